#pragma once

// signal_set: waiting for signals of the system's.

#include <weft/config.hpp>
#include <weft/detail/descriptor.hpp>
#include <weft/detail/io_wait.hpp>
#include <weft/detail/ready_watch.hpp>
#include <weft/detail/select_cases.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>

namespace weft {

/// One signal that has come.
struct signal_info {
  int number = 0;        ///< SIGTERM ...
  int code = 0;          ///< si_code: SI_USER, SI_QUEUE, CLD_EXITED ...
  int sender = 0;        ///< the process that sent it, or that it tells of; 0: the system
  unsigned user = 0;     ///< who that belongs to
  int value = 0;         ///< what sigqueue(3) sent along
  int child_status = 0;  ///< SIGCHLD: the exit code, or the signal
};

namespace detail {

/// Room for what the system says of one signal.
struct signal_room {
  alignas(8) unsigned char bytes[128];
};

WEFT_API signal_info signal_in(const signal_room& room) noexcept;

}  // namespace detail

/// signal_set::wait()
class [[nodiscard("co_await it")]] signal_wait_op : public detail::io_wait {
 public:
  explicit signal_wait_op(detail::descriptor * on) noexcept
      : io_wait(on, detail::io_call::read, false, &room_, sizeof room_) {}

  signal_wait_op(const signal_wait_op&) = delete;
  signal_wait_op& operator=(const signal_wait_op&) = delete;

  signal_info finish(detail::waiter & w) {
    end(w);
    return detail::signal_in(room_);
  }

 private:
  detail::signal_room room_;
};

/// Signals that are waited for, and no longer interrupt: `signal_set s{SIGTERM, SIGINT};`,
/// `co_await s.wait()`.
///
/// Construct it on the main thread before other threads start.  The signals are blocked on the constructing
/// thread, and so on those that it starts from then on; weft's own have all of them blocked.  A thread of
/// the program's that has not is where the system delivers them instead, to a handler or by ending the
/// process.  Seen are signals that are sent to the process, not those that are sent to one thread: raise()
/// and abort() are such.
///
/// Each signal is given once, to one waiter; those of one number that come while one of it waits to be taken
/// are one, below SIGRTMIN, as ever.  What came before wait() is kept.
class WEFT_API signal_set {
 public:
  /// \throws std::system_error  EINVAL: no signal, or one that no program can wait for (SIGKILL, SIGSTOP,
  ///                            SIGSEGV, SIGBUS, SIGFPE, SIGILL); EMFILE
  signal_set(std::initializer_list<int> signals) : signal_set(signals.begin(), signals.size()) {}

  signal_set(const int* signals, std::size_t count);
  signal_set(const signal_set&) = delete;
  signal_set& operator=(const signal_set&) = delete;

  /// On the thread that has constructed it: unblocks what the constructor has blocked.  A signal that has
  /// come and was not taken is delivered then.  Two sets with a signal in common end in reverse order.
  ~signal_set();

  /// Waits for the next signal of the set.  \throws cancelled, no signal was taken; std::system_error
  /// (ENOTSUP: in a simulated run)
  signal_wait_op wait() noexcept { return signal_wait_op(is_.get()); }

  /// A signalfd(2).
  [[nodiscard]] int native_handle() const noexcept { return is_.number(); }

 private:
  detail::descriptor_handle is_;
  std::uint64_t blocked_ = 0;  // by the constructor: bit n is signal n + 1
  int thread_ = 0;
};

namespace detail {

WEFT_API extern const case_kind signal_case_kind;

template <typename F>
class caught_case final : public case_shared<caught_case<F>, F> {
 public:
  using result = typename handler_result<std::remove_reference_t<F>, signal_info>::type;

  caught_case(const signal_set& s, F&& f)
      : case_shared<caught_case, F>(std::forward<F>(f)), fd_(s.native_handle()) {}

  class active final : public active_shared<caught_case> {
   public:
    explicit active(caught_case&& from)
        : active_shared<caught_case>(&signal_case_kind, std::move(from)),
          watch_(from.fd_, io_call::read, &room_, sizeof room_) {}

    void start(select_core&, std::uint32_t) noexcept {
      watch_.start();
      this->erased_.node.op = &watch_;
    }

    bool take() noexcept { return watch_.take(); }

    decltype(auto) run() {
      watch_.check();
      return handle(this->f_, signal_in(room_));
    }

   private:
    signal_room room_;
    ready_watch watch_;
  };

 private:
  int fd_;
};

}  // namespace detail

/// A signal of the set has come: `f` is called with the signal_info.  It is taken if and only if this case
/// happens.
///
/// \throws std::system_error  as on_readable()
/// \par Cost  a coroutine for the select, and the system calls of on_readable()
template <typename F = detail::no_handler>
auto on_signal(const signal_set& s, F&& f = F{}) {
  return detail::caught_case<F>(s, std::forward<F>(f));
}

namespace blocking {

using weft::on_signal;
using weft::signal_info;
using weft::signal_set;

}  // namespace blocking

}  // namespace weft
