#pragma once

// Time: sleeping, tickers, events that come later.  All of it is the steady clock.
//
// Durations saturate: max() means never; zero or negative means now, but goes through the run queue once
// (sleep_for, sleep_until) or through the timers (recv_for, on_timeout and the other limits); a NaN throws
// std::invalid_argument before anything is queued.

#include <weft/config.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/operation.hpp>
#include <weft/sync/event.hpp>

#include <chrono>
#include <cstdint>

namespace weft {

namespace sched {
class scheduler;
struct timer_cell;
}  // namespace sched

/// What the timers of the current runtime go by: the steady clock, or the virtual one inside sim::run.
WEFT_API std::chrono::steady_clock::time_point now() noexcept;

class [[nodiscard("co_await it")]] sleep_op : public detail::op_base {
 public:
  explicit sleep_op(std::int64_t deadline) noexcept : deadline_(deadline) {}

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  WEFT_API void finish(detail::waiter & w);
  std::int64_t deadline() const noexcept {
    return deadline_;
  }

 private:
  std::int64_t deadline_;
  sched::timer_cell* timer_ = nullptr;
  detail::wait_end how_ = detail::wait_end::pending;
};

/// Suspends the routine for at least `d`; never wakes it early.  \throws cancelled, std::bad_alloc
/// \par Cost  One entry in the worker's timer heap: O(log n) for n pending timers.
/// \par Lateness  Mostly what the kernel takes to wake a thread, 10 to 60 us.
/// Where 16 or more timers are pending and more than 20,000 fire in a second, a worker without other work
/// wakes for them every 100 us.
template <typename Rep, typename Period>
sleep_op sleep_for(std::chrono::duration<Rep, Period> d) {
  return sleep_op(detail::deadline_after(d));
}

/// The same until a point of the steady clock.
template <typename Duration>
sleep_op sleep_until(std::chrono::time_point<std::chrono::steady_clock, Duration> t) {
  return sleep_op(detail::deadline_at(t));
}

class ticker;

/// Waits for a ticker's next tick; gives the number of ticks missed since the last.
class [[nodiscard("co_await it")]] tick_op : public detail::op_base {
 public:
  WEFT_API explicit tick_op(ticker & t) noexcept;

  bool ready(detail::waiter & w) noexcept {
    return sleep_.ready(w);
  }
  bool park(detail::waiter & w) noexcept {
    return sleep_.park(w);
  }
  WEFT_API std::uint64_t finish(detail::waiter & w);
  std::int64_t deadline() const noexcept {
    return sleep_.deadline();
  }

 private:
  ticker* ticker_;
  sleep_op sleep_;
};

/// Ticks at start + period, start + 2 periods ...: an absolute schedule that does not drift.  Used by one at
/// a time. A tick that was missed because the last one took too long is not repeated: tick() says how many
/// there were.
class ticker {
 public:
  /// \throws std::invalid_argument for a period of zero or less, or NaN.
  template <typename Rep, typename Period>
  explicit ticker(std::chrono::duration<Rep, Period> period) : ticker(detail::nanos_of(period)) {}

  /// `co_await t.tick()` waits for the next tick; gives how many were missed before it.
  tick_op tick() noexcept { return tick_op(*this); }

 private:
  friend class tick_op;
  WEFT_API explicit ticker(std::int64_t period);

  std::int64_t period_;
  std::int64_t next_;
};

/// An event that is set once its time has come: for on_event() and `co_await e.wait()`.
///
/// The runtime on which it was made - elsewhere the global one - sets it.  If that is stopped before, stop()
/// sets it when the last routine has ended: who still waits for it would wait for ever.  It may outlive the
/// runtime, and throws `stopped` if made on a thread when the stop has begun.
class WEFT_API later_event : public event {
 public:
  explicit later_event(std::int64_t deadline);
  ~later_event();

 private:
  sched::timer_cell* timer_ = nullptr;
  sched::scheduler* kept_ = nullptr;  // whose timer it is, if another thread may end that meanwhile
};

/// `auto e = after(10ms);`  Set earlier if the runtime stops, see later_event.  \throws stopped,
/// std::bad_alloc, std::system_error if the global runtime cannot be started
template <typename Rep, typename Period>
later_event after(std::chrono::duration<Rep, Period> d) {
  return later_event(detail::deadline_after(d));
}

}  // namespace weft
