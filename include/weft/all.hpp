#pragma once

// all(): runs routines at the same time and waits for every one of them.

#include <weft/detail/composite.hpp>
#include <weft/detail/fork.hpp>
#include <weft/routine.hpp>

#include <coroutine>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace weft {
namespace detail {

template <typename T>
using value_or_unit = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// The result of one child, or what it threw.
template <typename T>
value_or_unit<T> child_result(std::coroutine_handle<promise<T>> child) {
  if constexpr (std::is_void_v<T>) {
    child.promise().take();
    return {};
  } else {
    return child.promise().take();
  }
}

/// Forks, joins.  `Children` gives the promises and the results.
template <typename Children>
class all_awaiter {
 public:
  all_awaiter(Children& children, waiter& root) noexcept : children_(&children), root_(&root) {}

  all_awaiter(const all_awaiter&) = delete;
  all_awaiter& operator=(const all_awaiter&) = delete;

  bool await_ready() {
    if (cancelled_before(*root_)) throw_cancelled(*root_);
    group_.count = children_->prepare();
    group_.children = children_->promises();
    return group_.count == 0;
  }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) noexcept {
    root_->frame = self.address();
    return fork_all(group_, *root_);
  }

  auto await_resume() {
    if (group_.count != 0) {
      end_all(group_);
      if (group_.failed != nullptr) std::rethrow_exception(children_->error_of(group_.failed));
    }
    return children_->results();
  }

 private:
  Children* children_;
  waiter* root_;
  fork_group group_;
};

}  // namespace detail

/// What all(r1, r2, ...) returns.
template <typename... Ts>
class [[nodiscard("co_await it")]] all_op : public detail::fork_base {
 public:
  explicit all_op(routine<Ts>... routines) noexcept : routines_(std::move(routines)...) {}

  // Not for callers: how it is awaited.
  detail::all_awaiter<all_op> await_as_child(detail::waiter & root) noexcept {
    return {*this, root};
  }

  std::uint32_t prepare() noexcept {
    std::size_t i = 0;
    std::apply([&](auto&... r) { ((promises_[i++] = &detail::unstarted(r)), ...); }, routines_);
    return sizeof...(Ts);
  }

  detail::promise_base** promises() noexcept {
    return promises_;
  }

  std::exception_ptr error_of(detail::promise_base * failed) noexcept {
    std::exception_ptr error;
    const auto look = [&](auto& r) {
      if (&r.frame().promise() == failed) error = r.frame().promise().error();
    };
    std::apply([&](auto&... r) { (look(r), ...); }, routines_);
    return error;
  }

  std::tuple<detail::value_or_unit<Ts>...> results() {
    return std::apply(
        [](auto&... r) {
          return std::tuple<detail::value_or_unit<Ts>...>{detail::child_result(r.frame())...};
        },
        routines_);
  }

 private:
  std::tuple<routine<Ts>...> routines_;
  detail::promise_base* promises_[sizeof...(Ts) == 0 ? 1 : sizeof...(Ts)];
};

/// Runs the routines at the same time - on this worker and whichever others are free - and waits for all of
/// them.
///
/// Gives a tuple of their results; for void, std::monostate.  The first that throws cancels the others; when
/// all have ended its exception is rethrown.  Cancellation and deadline are inherited.
///
/// \par Cost   Continuation stealing: a child that nobody else took costs one push and one pop, no atomic
/// counter.
template <typename... Ts>
all_op<Ts...> all(routine<Ts>... routines) noexcept {
  return all_op<Ts...>(std::move(routines)...);
}

}  // namespace weft
