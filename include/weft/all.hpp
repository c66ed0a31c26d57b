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

/// Forks, joins.  `Children` gives the frames and the results.
template <typename Children>
class all_awaiter {
 public:
  all_awaiter(Children& children, waiter& root) noexcept : children_(&children), root_(&root) {}

  all_awaiter(const all_awaiter&) = delete;
  all_awaiter& operator=(const all_awaiter&) = delete;

  bool await_ready() {
    group_.count = children_->count();
    group_.frames = children_->frames();
    if (group_.count != 0) return false;
    check_live(*root_);
    return true;
  }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) noexcept {
    root_->frame = self.address();
    return fork_all(group_, *root_);
  }

  auto await_resume() {
    if (group_.count != 0 && !group_.ended_plainly()) [[unlikely]]
      end_all(group_, *root_);
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
  explicit all_op(routine<Ts>... routines) noexcept : frames_{routines.release().address()...} {}

  all_op(all_op && other) noexcept {
    for (std::size_t i = 0; i < sizeof...(Ts); ++i) frames_[i] = std::exchange(other.frames_[i], nullptr);
  }

  all_op& operator=(all_op&&) = delete;

  ~all_op() {
    for (std::size_t i = 0; i < sizeof...(Ts); ++i) {
      if (frames_[i] != nullptr) std::coroutine_handle<>::from_address(frames_[i]).destroy();
    }
  }

  // Not for callers: how it is awaited.
  detail::all_awaiter<all_op> await_as_child(detail::waiter & root) noexcept {
    return {*this, root};
  }

  static constexpr std::uint32_t count() noexcept {
    return sizeof...(Ts);
  }

  void* const* frames() const noexcept {
    return frames_;
  }

  std::tuple<detail::value_or_unit<Ts>...> results() {
    return results_of(std::index_sequence_for<Ts...>());
  }

 private:
  template <std::size_t... I>
  std::tuple<detail::value_or_unit<Ts>...> results_of(std::index_sequence<I...>) {
    return std::tuple<detail::value_or_unit<Ts>...>{
        detail::child_result(std::coroutine_handle<detail::promise<Ts>>::from_address(frames_[I]))...};
  }

  void* frames_[sizeof...(Ts) == 0 ? 1 : sizeof...(Ts)];
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
