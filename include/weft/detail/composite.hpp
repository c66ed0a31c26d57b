#pragma once

// composite: an operation that needs coroutines of its own (scope, any, a select with coroutine handlers). It
// is awaited as a child routine of the awaiting one; outside of routines it is started as a routine and
// joined.
//
// A composite derives from composite_base and has `routine<R> run() &`, called once.

#include <weft/detail/scope_core.hpp>
#include <weft/detail/started.hpp>
#include <weft/routine.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

namespace weft::detail {

struct composite_base {};

/// What forks the awaiting routine: all().
struct fork_base {};

template <typename Op>
concept composite = std::derived_from<std::remove_cvref_t<Op>, composite_base>;

template <typename Op>
concept forking = std::derived_from<std::remove_cvref_t<Op>, fork_base>;

template <forking Op>
using forked_result = decltype(std::declval<Op&>().await_as_child(std::declval<waiter&>()).await_resume());

/// Where a range-based for begins; <ranges> is too dear.
template <typename T, std::size_t N>
T* begin_of(T (&array)[N]) noexcept;
template <typename Range>

requires requires(Range& r) {
  r.begin();
}

auto begin_of(Range& r) -> decltype(r.begin());
template <typename Range>
auto begin_of(Range& r) -> decltype(begin(r));

/// What a range is of: not const, it is moved out.
template <typename Range>
using element_in =
    std::remove_reference_t<decltype(*begin_of(std::declval<std::remove_reference_t<Range>&>()))>;

template <typename Range>
concept routine_range = is_routine<element_in<Range>>;

template <typename T>
routine<T> run_under(std::int64_t deadline, routine<T> r) {
  waiter& self = co_await self_op();
  const open_scope open(self, open_scope::of_call{deadline});
  co_return co_await std::move(r);
}

/// Starts a routine in the place of a call by this thread: it begins whatever happens, and inherits the
/// deadline.  If the thread is cancelled it begins cancelled, and finds out at its first wait that is not
/// shielded.
template <typename T>
started<T> start_as_call(std::source_location at, routine<T> r) {
  const std::int64_t deadline = current_deadline();
  if (deadline != no_deadline) r = run_under(deadline, std::move(r));
  return start(at, std::move(r), true);
}

/// Joins a routine that this thread has started on its own behalf.  If the thread is cancelled, or its
/// deadline passes, so it is with the routine; its end is awaited nevertheless, because it may refer to what
/// the caller owns.
template <typename T>
T join_own(started<T> h) {
  try {
    return h.join();
  } catch (...) {
    if (!h) throw;  // the routine's own
    cancel_call(h.promise());
    const thread_scope shield(true, no_deadline);
    static_cast<void>(wait_on_thread_anyway(join_until_op(h.promise(), no_deadline)));
    if (!h.promise().has_result()) throw;
    return h.join();  // it was quicker
  }
}

/// Owns the child for the time of the await.
template <typename T>
class composite_awaiter {
 public:
  composite_awaiter(routine<T> child, waiter& root) noexcept
      : child_(std::move(child)), inner_(child_.frame(), root) {}

  composite_awaiter(const composite_awaiter&) = delete;
  composite_awaiter& operator=(const composite_awaiter&) = delete;

  bool await_ready() const noexcept { return inner_.await_ready(); }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) noexcept {
    return inner_.await_suspend(self);
  }

  T await_resume() { return inner_.await_resume(); }

 private:
  routine<T> child_;
  child_awaiter<T> inner_;
};

template <composite Op>
auto operation_as_child(Op&& op, waiter& root) {
  check_safe_to_await<Op>();
  auto child = op.run();
  return composite_awaiter<typename routine_value<decltype(child)>::type>(std::move(child), root);
}

/// On a thread: runs it as a routine, to its end.
template <composite Op>
decltype(auto) wait_on_thread(Op&& op, std::source_location at) {
  const promised_spare stands_in;
  return join_own(start_as_call(at, op.run()));
}

template <composite Op>
auto operator co_await(Op&& op) {
  check_safe_to_await<Op>();
  auto child = op.run();
  using value = typename routine_value<decltype(child)>::type;
  return foreign_routine_awaiter<value>(std::source_location::current(), std::move(child));
}

template <forking Op>
routine<forked_result<Op>> run_forks(Op op) {
  co_return co_await std::move(op);
}

template <forking Op>
auto wait_on_thread(Op&& op, std::source_location at) {
  const promised_spare stands_in;
  return join_own(start_as_call(at, run_forks(std::move(op))));
}

template <forking Op>
auto operator co_await(Op&& op) {
  using value = forked_result<Op>;
  auto forks = run_forks(std::move(op));
  return foreign_routine_awaiter<value>(std::source_location::current(), std::move(forks));
}

}  // namespace weft::detail
