#pragma once

// runtime: workers, timers and the blocking pool, as a value; several may live side by side.

#include <weft/config.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/go.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft {

namespace sched {
class scheduler;
}

struct runtime_stats;

namespace detail {
/// A foreign coroutine hops: counted by the runtime from enter_hop() on, which throws stopped; it may run
/// before hop() returns.
WEFT_API void enter_hop(sched::scheduler& to, foreign_party& as);
WEFT_API void hop_to(foreign_party& as, void* frame) noexcept;
}  // namespace detail

/// For runtime_options::workers: no threads of its own; the host drives it by poll().
inline constexpr unsigned manual = ~0U;

/// How the runtime waits for descriptors; automatic is epoll, which is at least as fast.  io_uring needs
/// Linux 5.19 and a system that permits it, else it is epoll, too: runtime_stats::io_uring_error.  Over it a
/// system call of yours that sleeps on a thread of weft's may end by EINTR without a signal, as epoll_wait
/// does; and what becomes ready may wait for the thread that began to watch it, while that sleeps in the
/// disk. The environment variable WEFT_REACTOR=io_uring or =epoll goes before the option; anything else there
/// counts for nothing.
enum class reactor_kind : unsigned char { automatic, io_uring, epoll };

/// An exception that left a routine nobody joins.
struct unhandled_exception {
  std::exception_ptr error;
  std::uint64_t id;
  std::string_view name;  ///< empty if it has none
  std::source_location spawned_at;
};

/// Called with each unhandled_exception on the thread where it happened.  What it throws terminates the
/// program.  Null: prints name, spawn site and what(), then aborts.
struct exception_handler {
  void (*call)(void* context, const unhandled_exception& what) = nullptr;
  void* context = nullptr;
};

struct runtime_options {
  unsigned workers = 0;  ///< 0: the CPUs this process may use (affinity, cgroup quota); or `manual`
  unsigned max_blocking_threads = 128;  ///< of the blocking pool; more jobs queue
  unsigned max_threads = 10'000;        ///< all threads, at least `workers`; a facade call beyond throws
  std::chrono::nanoseconds blocking_idle_timeout =
      std::chrono::seconds(10);  ///< idle spare and pool threads end then
  std::chrono::nanoseconds stall_threshold =
      std::chrono::microseconds(200);                              ///< a worker is looked at after that
  std::chrono::nanoseconds stop_grace = std::chrono::seconds(10);  ///< how long ~runtime waits
  reactor_kind reactor = reactor_kind::automatic;
  std::string_view name = "weft";  ///< of its threads; copied
  exception_handler on_unhandled_exception = {};
};

/// Awaited by any coroutine: it goes on on a worker of the runtime, before a stop that begins meanwhile
/// returns.
///
/// Without effect in a routine: that comes home at once, and is not looked at for cancellation.
///
/// \throws stopped  from the runtime's stop() on; the coroutine goes on where it is
class [[nodiscard("co_await it")]] schedule_op {
 public:
  explicit schedule_op(sched::scheduler & to) noexcept : to_(&to) {}

  bool await_ready() {
    detail::enter_hop(*to_, self_);
    return false;
  }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    detail::hop_to(self_, h.address());
  }
  void await_resume() const noexcept {}

 private:
  sched::scheduler* to_;
  detail::foreign_party self_;
};

/// Owns its workers.  Not movable: routines refer to it.
///
/// Legal to use from any thread.  Its destructor stops it and waits `stop_grace`; what remains then is
/// printed and the process aborts.  Destroying it on one of its own workers is misuse.
class WEFT_API runtime {
 public:
  /// Starts the workers.  \throws std::system_error if a thread cannot be had, and nothing is left behind.
  explicit runtime(runtime_options options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  ~runtime();

  /// The one that go() uses outside of workers; started by the first call, as in the constructor.  When main
  /// returns, or calls exit(), its threads stay where they next wait or yield, and nothing is unwound;
  /// global().stop() is the orderly end.  No static is destroyed before all workers stay, but for one that
  /// computes for more than 50 ms.  Calls on the blocking pool are not waited for.  If another thread calls
  /// exit(), or main's never used the global runtime, statics that were made after it started are destroyed
  /// first.
  ///
  /// In the destructor of a static, and in what atexit() was given, it starts nothing any more: go() throws
  /// `stopped`, which says that main has returned, and a join() of a routine that stayed is misuse.
  static runtime& global();

  /// Cancels every routine, waits until all have ended and returns; the workers are gone then.  Idempotent.
  /// So it does with what coroutines of foreign types await on its workers: a single operation ends by
  /// `cancelled`; what runs routines (a routine, scope, with_timeout, all, any, a selector, a select with
  /// coroutine handlers) by routine_cancelled.
  /// Inside one of its own routines it only requests the stop.  From then on go() from outside throws
  /// `stopped`.  On another runtime's thread somebody stands in for that meanwhile, as in a facade call.
  /// \throws std::system_error  there, past its max_threads; nothing has happened then
  void stop();

  /// stop(), at most for `d`.  False: not all have ended; what remains is named on standard error (routine,
  /// spawn site, where it is).  May be called again.  Inside one of its own routines: false at once, and
  /// nothing is named.
  template <typename Rep, typename Period>
  bool stop_for(std::chrono::duration<Rep, Period> d) {
    return stop_until(detail::deadline_after(d));
  }

  [[nodiscard]] bool is_stopped() const noexcept;
  [[nodiscard]] unsigned workers() const noexcept;

  /// Counters of all workers, summed.  <weft/stats.hpp>
  [[nodiscard]] runtime_stats stats() const noexcept;

  /// Writes every live routine to the descriptor `fd`, as plain text: id, name, what it waits for, the source
  /// line of each await up its async stack, where it was started; then what the threads do.  Any thread, at
  /// any time, also on a runtime that hangs.  Other forms: <weft/dump.hpp>.
  void dump(int fd = 2) const;

  /// dump() to standard error whenever the process gets `signal`, from a thread that sleeps until then.  The
  /// program goes on.  Until the runtime ends; the signal's earlier disposition is restored then. \throws
  /// std::system_error if the signal cannot be caught or the thread cannot be started.
  void dump_on_signal(int signal);

  // --- embedding ---

  /// `co_await rt.schedule()` in a coroutine of any type.
  [[nodiscard]] schedule_op schedule() noexcept { return schedule_op(*core_); }

  /// Resumes `h` once on a worker, before a stop that begins meanwhile returns.  \throws stopped (as go()),
  /// std::bad_alloc: then `h` is still the caller's
  void post(std::coroutine_handle<> h);

  // --- manual mode ---
  //
  // The host is the thread that was the last to call poll(), run_for() or stop(); until then, the one that
  // constructed the runtime.  A facade call there, outside of poll(), drives all runtimes of that thread
  // while it waits; inside a coroutine that poll() runs it is misuse.  Plain callables run on the blocking
  // pool.

  /// Runs what is ready, without waiting; returns how many routines were resumed.  Comes back after 65,536
  /// though more are ready; the descriptor stays readable then.
  std::size_t poll();

  /// poll() again and again for `d`, sleeping in between.
  template <typename Rep, typename Period>
  std::size_t run_for(std::chrono::duration<Rep, Period> d) {
    return run_until(detail::deadline_after(d));
  }

  /// One descriptor for the host's event loop: readable when poll() has something to do - work came from any
  /// thread, or a timer is due.  The loop may wait for it without a limit.
  [[nodiscard]] int native_handle() const;

  template <typename F>
  auto go(F&& f, std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f));
  }

  template <typename F, typename A0>
  auto go(F&& f, A0&& a0, std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0));
  }

  template <typename F, typename A0, typename A1>
  auto go(F&& f, A0&& a0, A1&& a1, std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1));
  }

  template <typename F, typename A0, typename A1, typename A2>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3,
          std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4,
          std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
          std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
            typename A6>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
          std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5), std::forward<A6>(a6));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
            typename A6, typename A7>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7,
          std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
            typename A6, typename A7, typename A8>
  auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7, A8&& a8,
          std::source_location at = std::source_location::current()) {
    return detail::go_at(core_, at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7),
                         std::forward<A8>(a8));
  }

  // Not for callers.
  sched::scheduler& core() const noexcept { return *core_; }

 private:
  bool stop_until(std::int64_t deadline);
  std::size_t run_until(std::int64_t deadline);

  sched::scheduler* core_;
};

/// Sets the options of the global runtime and starts it.  \throws std::system_error if a thread cannot be had
/// \throws std::logic_error if it runs already, or if its stop() has not returned yet; after that it starts
/// anew.
WEFT_API void init_global_runtime(runtime_options options);

}  // namespace weft
