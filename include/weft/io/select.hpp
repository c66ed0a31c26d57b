#pragma once

// on_readable, on_writable: select cases for descriptors of other libraries.

#include <weft/detail/io_wait.hpp>
#include <weft/detail/ready_watch.hpp>
#include <weft/detail/select_cases.hpp>

#include <utility>

namespace weft {

namespace detail {

WEFT_API extern const case_kind readable_case_kind, writable_case_kind;

template <const case_kind& Kind, typename F>
class ready_case final : public case_shared<ready_case<Kind, F>, F> {
 public:
  using result = typename handler_result<std::remove_reference_t<F>>::type;

  ready_case(int fd, F&& f) : case_shared<ready_case, F>(std::forward<F>(f)), fd_(fd) {}

  class active final : public active_shared<ready_case> {
   public:
    explicit active(ready_case&& from)
        : active_shared<ready_case>(&Kind, std::move(from)),
          watch_(from.fd_, &Kind == &readable_case_kind ? io_call::none : io_call::none_out) {}

    void start(select_core&, std::uint32_t) noexcept {
      watch_.start();
      this->erased_.node.op = &watch_;
    }

    decltype(auto) run() {
      watch_.check();
      return handle(this->f_);
    }

   private:
    ready_watch watch_;
  };

 private:
  int fd_;
};

}  // namespace detail

/// The descriptor can be read from without blocking, has come to its end, or has failed.
///
/// It may be blocking or not, and must stay open meanwhile.  Only told is that it *was* readable: nothing is
/// read, so one that somebody else reads from may have nothing any more when `f` is called; who shares it
/// makes it non-blocking.
///
/// \throws std::system_error  out of select, and no case has happened.  EBADF; EMFILE: no number for a copy,
///                            which is what select waits on
/// \par Cost  one system call if some case is ready, else six
template <typename F = detail::no_handler>
auto on_readable(int fd, F&& f = F{}) {
  return detail::ready_case<detail::readable_case_kind, F>(fd, std::forward<F>(f));
}

/// The same of writing.
template <typename F = detail::no_handler>
auto on_writable(int fd, F&& f = F{}) {
  return detail::ready_case<detail::writable_case_kind, F>(fd, std::forward<F>(f));
}

namespace blocking {

using weft::on_readable;
using weft::on_writable;

}  // namespace blocking

}  // namespace weft
