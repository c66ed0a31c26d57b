#pragma once

// any(): the first of several routines that succeeds.

#include <weft/detail/composite.hpp>
#include <weft/detail/launch.hpp>
#include <weft/detail/scope_core.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

/// What any() gives: which routine was first, and its value.
template <typename T>
struct any_result {
  std::size_t index;
  T value;
};

template <>
struct any_result<void> {
  std::size_t index;
};

namespace detail {

template <typename T>
struct any_state {
  context* scope;
  int winner = -1;  // atomic
  int failed = -1;  // atomic
  std::exception_ptr error;
  std::optional<stored<value_or_nothing<T>>> value;

  bool first(int& who, int me) noexcept {
    int none = -1;
    return __atomic_compare_exchange_n(&who, &none, me, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);  // relaxed: the join
  }
};

template <typename T>
routine<> any_child(routine<T> child, any_state<T>* all, int me) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(child);
      if (all->first(all->winner, me)) cancel_context(*all->scope, cancel_requested);
    } else {
      T value = co_await std::move(child);
      if (all->first(all->winner, me)) {
        cancel_context(*all->scope, cancel_requested);
        if constexpr (std::is_reference_v<T>) {
          all->value.emplace(__builtin_addressof(value));
        } else {
          all->value.emplace(
              std::move(value));  // if that throws, it is a failure, and the others are over too
        }
      }
    }
  } catch (...) {
    if (!is_cancellation() && all->first(all->failed, me)) all->error = std::current_exception();
  }
}

template <typename T, std::size_t N>
routine<any_result<T>> run_any(routine<T>* routines) {
  for (std::size_t i = 0; i < N; ++i) static_cast<void>(unstarted(routines[i]));
  waiter& self = co_await self_op();
  any_state<T> state;
  {
    open_scope open(self, false, no_deadline);
    state.scope = &open.scope;
    std::exception_ptr not_started;
    try {
      for (std::size_t i = 0; i < N; ++i) {
        auto child = any_child<T>(std::move(routines[i]), &state, static_cast<int>(i));
        launch_info how{nullptr, birth::member, &open.scope, 0, nullptr};  // no site
        how.here = check_open(nullptr);
        launch(child.frame().promise(), how);
        static_cast<void>(child.release());
      }
    } catch (...) {
      not_started = std::current_exception();
      cancel_context(open.scope, cancel_requested);
    }
    scope_join_op ended(open.scope);
    co_await ended;
    if (not_started) std::rethrow_exception(not_started);
  }
  if constexpr (std::is_void_v<T>) {
    if (state.winner >= 0) co_return any_result<T>{static_cast<std::size_t>(state.winner)};
  } else if (state.value) {
    const auto index = static_cast<std::size_t>(state.winner);
    if constexpr (std::is_reference_v<T>) {
      co_return any_result<T>{index, static_cast<T>(**state.value)};
    } else {
      co_return any_result<T>{index, *std::move(state.value)};
    }
  }
  if (state.error) std::rethrow_exception(state.error);
  throw_cancelled(self);
}

}  // namespace detail

/// What any(r1, r2, ...) returns.
template <typename T, std::size_t N>
class [[nodiscard("co_await it")]] any_op : public detail::composite_base {
 public:
  template <typename... Rs>
  explicit any_op(Rs && ... routines) noexcept : routines_{std::move(routines)...} {}

  auto run() {
    return detail::run_any<T, N>(routines_);
  }

 private:
  routine<T> routines_[N];
};

/// Runs the routines at the same time; gives {index, value} of the first that succeeds, when the others have
/// been cancelled and have ended.  If all fail, the first exception is rethrown.  One that has not begun when
/// another succeeds never does.
///
/// \throws std::bad_alloc  if there is no memory for its frames
template <typename T, std::same_as<T>... Ts>
any_op<T, 1 + sizeof...(Ts)> any(routine<T> first, routine<Ts>... others) noexcept {
  return any_op<T, 1 + sizeof...(Ts)>(std::move(first), std::move(others)...);
}

}  // namespace weft
