#pragma once

// wait_readable, wait_writable: for descriptors of other libraries.

#include <weft/detail/descriptor.hpp>
#include <weft/detail/io_wait.hpp>

namespace weft {

/// wait_readable(), wait_writable()
class [[nodiscard("co_await it")]] ready_op : public detail::io_wait {
 public:
  ready_op(int fd, detail::io_call call) noexcept : io_wait(nullptr, call, false, nullptr, 0), fd_(fd) {}

  ready_op(const ready_op&) = delete;
  ready_op& operator=(const ready_op&) = delete;

  WEFT_API bool ready(detail::waiter & w) noexcept;

  void finish(detail::waiter & w) {
    end(w);
  }

 private:
  int fd_;
  detail::descriptor_handle own_;
};

/// Suspends until the descriptor can be read from without blocking, has come to its end, or has failed.
///
/// It may be blocking or not, and must stay open meanwhile: weft waits on a copy of its own.  Several may
/// wait for one descriptor; that it is readable is true when the routine is resumed, unless somebody else
/// reads.
/// \throws cancelled
/// \throws std::system_error  EBADF; EMFILE: no number for the copy
/// \par Cost  one system call if it is ready, else six
inline ready_op wait_readable(int fd) noexcept {
  return ready_op(fd, detail::io_call::none);
}

/// The same until it can be written to.
inline ready_op wait_writable(int fd) noexcept {
  return ready_op(fd, detail::io_call::none_out);
}

}  // namespace weft
