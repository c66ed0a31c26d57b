#pragma once

// go(), join_handle, yield(): starting routines and waiting for their end.

#include <weft/detail/deadline.hpp>
#include <weft/detail/spawn.hpp>
#include <weft/detail/started.hpp>
#include <weft/routine.hpp>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft {

/// Owns the result of a routine that go() started.  Move-only; one thread or routine uses it at a time, but
/// done(), cancel(), id() and name() are legal beside a wait that does not take the result: join_for(),
/// join_until(), on_join().
///
/// Dropping it detaches the routine, which goes on.  If the routine has failed already, its exception is
/// reported to runtime_options::on_unhandled_exception then, else when it fails.
///
/// `if (h)`: it has a routine.  An empty one - default-constructed, joined, moved from - is tested, assigned
/// and dropped; anything else is misuse.
template <typename T = void>
class join_handle : public detail::started<T> {
 public:
  join_handle() noexcept = default;

  explicit join_handle(std::coroutine_handle<detail::promise<T>> frame) noexcept
      : detail::started<T>(frame) {}

  /// Blocks this thread until the routine has ended; gives its result or rethrows its exception.  The handle
  /// is empty afterwards.  In a routine write `co_await std::move(h)`: same result, and no thread waits.
  ///
  /// \throws routine_cancelled  if the routine ended by cancellation
  /// \throws cancelled          if the calling routine was cancelled first: the handle is still the caller's
  /// \throws std::system_error  on a thread of weft's, past max_threads: the same
  /// \par Order  Everything the routine did happens before join returns.
  T join() { return detail::started<T>::join(); }

  /// Blocks until the routine has ended or `d` has passed; true if it has ended.  Does not consume the
  /// result.
  template <typename Rep, typename Period>
  [[nodiscard]] bool join_for(std::chrono::duration<Rep, Period> d) {
    return detail::wait_on_thread(detail::join_until_op(this->promise(), detail::deadline_after(d)));
  }

  /// The same until a point of the steady clock.
  template <typename Duration>
  [[nodiscard]] bool join_until(std::chrono::time_point<std::chrono::steady_clock, Duration> t) {
    return detail::wait_on_thread(detail::join_until_op(this->promise(), detail::deadline_at(t)));
  }

  /// True once the routine has ended.  Never waits.
  [[nodiscard]] bool done() const noexcept { return detail::started<T>::done(); }

  /// Asks the routine to end: its next or current wait throws `cancelled`; if it has not begun, it never does
  /// (see go()).  Never waits; any thread, but not beside a join(), which frees the routine.
  void cancel() noexcept { detail::started<T>::cancel(); }

  [[nodiscard]] std::uint64_t id() const noexcept { return detail::id_of(this->promise()); }

  /// The name given at go(); empty if none.  Valid as long as the handle is.
  [[nodiscard]] std::string_view name() const noexcept {
    const detail::promise_base& p = this->promise();
    return p.annexed() ? std::string_view(p.origin.extra->name, p.origin.extra->name_size)
                       : std::string_view();
  }
};

namespace detail {

// --- go ---

template <typename F, typename... Args>
auto go_at(sched::scheduler* where, std::source_location at, F&& f, Args&&... args) {
  if constexpr (std::is_same_v<std::remove_cvref_t<F>, spawn_options>) {
    spawn_request what{&f,
                       {where, f.detached ? birth::loose : birth::joined, nullptr, site_word(at), nullptr}};
    auto frame = spawn(what, std::forward<Args>(args)...);
    if (f.detached) frame = nullptr;
    return join_handle(frame);
  } else {
    spawn_request what{nullptr, {where, birth::joined, nullptr, site_word(at), nullptr}};
    return join_handle(spawn(what, std::forward<F>(f), std::forward<Args>(args)...));
  }
}

template <typename... Args>
auto go_here(std::source_location at, Args&&... args) {
  return go_at(nullptr, at, std::forward<Args>(args)...);
}

}  // namespace detail

// How a routine's promise awaits a handle; here, where argument-dependent look-up finds it.
template <typename T>
detail::join_op<T> operation_of(join_handle<T>&& handle) noexcept {
  return detail::join_op<T>(handle);
}

template <typename T>
detail::foreign_join_awaiter<T> operator co_await(join_handle<T>&& handle) {
  return detail::foreign_join_awaiter<T>(handle);
}

template <typename T>
detail::foreign_routine_awaiter<T> operator co_await(routine<T>&& r) {
  return detail::foreign_routine_awaiter<T>(std::source_location::current(), std::move(r));
}

/// Starts a routine: go(f, args...), go(spawn_options{...}, f, args...), go(routine).  Gives a join_handle.
///
/// `f` is a coroutine function, a coroutine lambda (with captures, if you like) or a plain callable.  `f` and
/// `args` are copied (decayed) and live until the routine ends; f is called once, with rvalues: at once if it
/// returns a routine - what that call throws leaves go() - else on the worker.  The routine runs on the
/// current runtime, or from a foreign thread on the global one, which the first call starts.  Never waits,
/// never runs the routine's body in place.
///
/// A routine, or plain callable, that is cancelled before it first runs never runs: only its copies of f and
/// args are destroyed.  What others wait for - wg.done(), ch.close() - belongs into the destructor of
/// something that f captures, or to the caller.
///
/// At most 9 arguments, 8 behind spawn_options; a lambda captures more.
///
/// \throws stopped            if the runtime was stopped
/// \throws std::bad_alloc     if there is no memory for the frame
/// \throws std::system_error  if the global runtime cannot be started; for a plain callable in manual mode,
///                            if the blocking pool has no thread and none can be had
/// \par Order  What happened before go() happens before the routine's body.
/// \par Cost   One frame; no lock and no system call while workers are busy.
/// (One overload per number of arguments, so that the call's own source location can stand last.)
template <typename F>
auto go(F&& f, std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f));
}

template <typename F, typename A0>
auto go(F&& f, A0&& a0, std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0));
}

template <typename F, typename A0, typename A1>
auto go(F&& f, A0&& a0, A1&& a1, std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1));
}

template <typename F, typename A0, typename A1, typename A2>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2));
}

template <typename F, typename A0, typename A1, typename A2, typename A3>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3,
        std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3));
}

template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4,
        std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4));
}

template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
        std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5));
}

template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
          typename A6>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
        std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5), std::forward<A6>(a6));
}

template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
          typename A6, typename A7>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7,
        std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7));
}

template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
          typename A6, typename A7, typename A8>
auto go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7, A8&& a8,
        std::source_location at = std::source_location::current()) {
  return detail::go_here(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1),
                         std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                         std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7),
                         std::forward<A8>(a8));
}

/// Lets the other ready routines of this worker run first.  Suspends once; a cancelled routine throws.
class [[nodiscard("co_await it")]] yield_op : public detail::op_base {
 public:
  /// A routine asks in park(), which is one call less.
  bool ready(detail::waiter & w) noexcept {
    return w.kind() != detail::waiter_kind::routine && cancelled_before(w);
  }
  WEFT_API bool park(detail::waiter & w) noexcept;
  WEFT_API void finish(detail::waiter & w);

 private:
  WEFT_API static bool cancelled_before(const detail::waiter& w) noexcept;
};

inline yield_op yield() noexcept {
  return {};
}

/// The routine that runs on this thread.  Outside of routines: 0 and empty; cancelled(), check() and
/// deadline() go by the blocking::scope, with_timeout or with_deadline that the thread is in, else false and
/// the latest time.
namespace this_routine {

WEFT_API std::uint64_t id() noexcept;
WEFT_API std::string_view name() noexcept;
/// True if its next wait will throw `cancelled`.
WEFT_API bool cancelled() noexcept;
/// Throws `cancelled` (or deadline_exceeded) if it is cancelled: for loops that compute and never wait.  Lets
/// nobody else run: that is yield().
WEFT_API void check();

/// The earliest deadline it has inherited; time_point::max() if none.
inline std::chrono::steady_clock::time_point deadline() noexcept {
  return std::chrono::steady_clock::time_point{std::chrono::nanoseconds{detail::current_deadline()}};
}

}  // namespace this_routine
}  // namespace weft
