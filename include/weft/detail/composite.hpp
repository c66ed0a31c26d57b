#pragma once

// composite: an operation that needs coroutines of its own (scope, any, a select with coroutine handlers). It
// is awaited as a child routine of the awaiting one; outside of routines it is started as a routine and
// joined.
//
// A composite derives from composite_base and has `routine<R> run() &`, called once.

#include <weft/go.hpp>
#include <weft/routine.hpp>

#include <concepts>
#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

namespace weft::detail {

struct composite_base {};

template <typename Op>
concept composite = std::derived_from<std::remove_cvref_t<Op>, composite_base>;

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
decltype(auto) wait_on_thread(Op&& op) {
  return go_here(std::source_location::current(), op.run()).join();
}

template <composite Op>
auto operator co_await(Op&& op) {
  check_safe_to_await<Op>();
  auto child = op.run();
  using value = typename routine_value<decltype(child)>::type;
  return foreign_routine_awaiter<value>(go_here(std::source_location::current(), std::move(child)));
}

}  // namespace weft::detail
