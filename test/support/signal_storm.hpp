#pragma once

// A signal at short intervals, whose handler does not restart system calls.

#include <atomic>
#include <csignal>
#include <ctime>

#include <sys/types.h>

namespace weft::test {

class signal_storm {
 public:
  /// `thread` takes it; 0: any thread of the process.
  explicit signal_storm(long nanoseconds, pid_t thread = 0) {
    struct sigaction action {};

    action.sa_handler = [](int) { taken_.fetch_add(1, std::memory_order_relaxed); };  // relaxed: a count
    ::sigaction(SIGRTMIN, &action, &before_);
    sigevent event{};
    event.sigev_notify = thread == 0 ? SIGEV_SIGNAL : SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN;
    if (thread != 0) event._sigev_un._tid = thread;
    ::timer_create(CLOCK_MONOTONIC, &event, &timer_);
    const itimerspec often{{0, nanoseconds}, {0, nanoseconds}};
    ::timer_settime(timer_, 0, &often, nullptr);
  }

  signal_storm(const signal_storm&) = delete;
  signal_storm& operator=(const signal_storm&) = delete;

  ~signal_storm() {
    ::timer_delete(timer_);

    struct sigaction ignore {};

    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGRTMIN, &ignore, nullptr);  // what is pending
    ::sigaction(SIGRTMIN, &before_, nullptr);
  }

  /// Signals that were taken, of all storms.
  static long taken() noexcept { return taken_.load(std::memory_order_relaxed); }  // relaxed: a count

 private:
  static inline std::atomic<long> taken_{0};
  timer_t timer_{};

  struct sigaction before_ {};
};

}  // namespace weft::test
