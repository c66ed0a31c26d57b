#pragma once

// select(): waits for the first of several operations and does exactly that one.

#include <weft/channel.hpp>
#include <weft/detail/composite.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/select_cases.hpp>
#include <weft/go.hpp>
#include <weft/sync/event.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

/// First in a select: cases are tried in their order, not at random.
struct biased_t {
  explicit biased_t() = default;
};

inline constexpr biased_t biased{};

// --- the cases ---

/// Receives; `f` is called with std::optional<T> (channel<void>: bool), empty if the channel is closed and
/// drained.
template <typename T, typename F = detail::no_handler>
auto on_recv(const channel<T>& ch, F&& f = F{}) {
  return detail::recv_case<T, F>(ch.core(), std::forward<F>(f));
}

template <typename T, typename F = detail::no_handler>
auto on_recv(const channel_receiver<T>& ch, F&& f = F{}) {
  return detail::recv_case<T, F>(ch.core(), std::forward<F>(f));
}

namespace detail {

template <typename T, typename Value, typename F>
auto make_send_case(channel_core& c, Value&& value, F&& f) {
  if constexpr (!std::is_lvalue_reference_v<Value> && std::is_same_v<std::remove_cvref_t<Value>, T>) {
    return send_case<T, T&, F>(c, std::forward<F>(f), &value);
  } else {
    return send_case<T, T, F>(c, std::forward<F>(f), std::forward<Value>(value));
  }
}

}  // namespace detail

/// Sends; `f` is called with the send_status.  An lvalue is copied; an rvalue is borrowed, and moved from if
/// and only if this case happens and the status is `sent`.
template <typename T, typename Value, typename F = detail::no_handler>

requires(!std::is_void_v<T>) && std::convertible_to<Value&&, T> auto on_send(const channel<T>& ch,
                                                                             Value&& value, F&& f = F{}) {
  return detail::make_send_case<T>(ch.core(), std::forward<Value>(value), std::forward<F>(f));
}

template <typename T, typename Value, typename F = detail::no_handler>

requires(!std::is_void_v<T>) && std::convertible_to<Value&&, T> auto on_send(const channel_sender<T>& ch,
                                                                             Value&& value, F&& f = F{}) {
  return detail::make_send_case<T>(ch.core(), std::forward<Value>(value), std::forward<F>(f));
}

template <typename F = detail::no_handler>
auto on_send(const channel<void>& ch, F&& f = F{}) {
  return detail::send_case<void, void, F>(ch.core(), std::forward<F>(f));
}

template <typename F = detail::no_handler>
auto on_send(const channel_sender<void>& ch, F&& f = F{}) {
  return detail::send_case<void, void, F>(ch.core(), std::forward<F>(f));
}

/// The routine has ended; only waits, the result is still the handle's.
template <typename T, typename F = detail::no_handler>
auto on_join(const join_handle<T>& h, F&& f = F{}) {
  return detail::join_case<F>(h.promise(), std::forward<F>(f));
}

/// The event is set.
template <typename F = detail::no_handler>
auto on_event(event& e, F&& f = F{}) {
  return detail::event_case<F>(e, std::forward<F>(f));
}

/// Nothing else happened for `d`.  Never beats a case that is ready.
template <typename Rep, typename Period, typename F = detail::no_handler>
auto on_timeout(std::chrono::duration<Rep, Period> d, F&& f = F{}) {
  return detail::time_case<F>(detail::nanos_of(d), true, std::forward<F>(f));
}

template <typename Duration, typename F = detail::no_handler>
auto on_deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> t, F&& f = F{}) {
  return detail::time_case<F>(detail::deadline_at(t), false, std::forward<F>(f));
}

/// Nothing is ready now: select does not wait.
template <typename F = detail::no_handler>
auto otherwise(F&& f = F{}) {
  return detail::otherwise_case<F>(std::forward<F>(f));
}

namespace detail {

/// The waiting part: the index of the case that happened.
class index_op : public op_base {
 public:
  explicit index_op(select_core& core) noexcept : core_(&core) {}

  bool ready(waiter& w) { return select_ready(*core_, w); }

  bool park(waiter& w) noexcept { return select_park(*core_, w); }

  std::uint32_t finish(waiter& w) { return select_finish(*core_, w); }

  std::int64_t deadline() const noexcept { return core_->deadline; }

 private:
  select_core* core_;
};

template <typename C>
inline constexpr bool is_coroutine_case = is_routine<typename C::result>;

template <bool Biased, typename... Cases>
class case_set {
 public:
  explicit case_set(Cases&&... cases) : cases_(std::move(cases)...) {}

  select_core& start() noexcept {
    core_ = {list_, sizeof...(Cases), Biased, false, no_deadline, 0};
    std::uint32_t i = 0;
    std::apply([&](auto&... c) { ((list_[i] = &c.erased(), c.start(core_, i), ++i), ...); }, cases_);
    return core_;
  }

  /// Calls the handler of the case.
  template <typename F>
  void visit(std::uint32_t index, F f) {
    std::uint32_t i = 0;
    std::apply([&](auto&... c) { ((i++ == index ? f(c) : void()), ...); }, cases_);
  }

 private:
  std::tuple<Cases...> cases_;
  select_case* list_[sizeof...(Cases) == 0 ? 1 : sizeof...(Cases)];
  select_core core_;
};

/// All handlers are plain.
template <bool Biased, typename... Cases>
class [[nodiscard("co_await it")]] plain_select_op : public op_base {
 public:
  static constexpr bool owns_callable = (Cases::owns_callable || ...);

  explicit plain_select_op(Cases && ... cases) : set_(std::move(cases)...), wait_(core_at_start_) {}

  bool ready(waiter & w) {
    wait_ = index_op(set_.start());
    return wait_.ready(w);
  }

  bool park(waiter & w) noexcept {
    return wait_.park(w);
  }
  std::int64_t deadline() const noexcept {
    return wait_.deadline();
  }

  std::size_t finish(waiter & w) {
    const std::uint32_t index = wait_.finish(w);
    set_.visit(index, [](auto& c) { (void)c.run(); });
    return index;
  }

 private:
  inline static select_core core_at_start_{};
  case_set<Biased, Cases...> set_;
  index_op wait_;
};

inline routine<> drop_result(routine<> r) {
  return r;
}

template <typename T>
routine<> drop_result(routine<T> r) {
  (void)co_await std::move(r);
}

/// Runs the chosen coroutine handler inside the awaiting routine.
template <typename Set>
routine<std::size_t> run_select(Set* set) {
  index_op wait(set->start());
  const std::uint32_t index = co_await wait;
  routine<> handler;
  set->visit(index, [&](auto& c) {
    if constexpr (is_coroutine_case<std::remove_reference_t<decltype(c)>>) {
      handler = drop_result(c.run());
    } else {
      (void)c.run();
    }
  });
  if (handler) co_await std::move(handler);
  co_return index;
}

template <bool Biased, typename... Cases>
class [[nodiscard("co_await it")]] coroutine_select_op : public composite_base {
 public:
  static constexpr bool owns_callable = (Cases::owns_callable || ...);

  explicit coroutine_select_op(Cases && ... cases) : set_(std::move(cases)...) {}
  auto run() {
    return run_select(&set_);
  }

 private:
  case_set<Biased, Cases...> set_;
};

template <bool Biased, typename... Cases>
auto select_of(Cases&&... cases) {
  if constexpr ((is_coroutine_case<std::remove_cvref_t<Cases>> || ...)) {
    return coroutine_select_op<Biased, std::remove_cvref_t<Cases>...>(std::forward<Cases>(cases)...);
  } else {
    return plain_select_op<Biased, std::remove_cvref_t<Cases>...>(std::forward<Cases>(cases)...);
  }
}

/// A case, or `biased`.
template <typename A>
concept select_argument = selectable<A> || std::same_as<std::remove_cvref_t<A>, biased_t>;

/// All of them at once: a concept over the whole list, so that the facade's overload can be the more
/// constrained one.
template <typename... As>
concept select_arguments = (select_argument<As> && ...);

template <selectable... Cases>
auto make_select(Cases&&... cases) {
  return select_of<false>(std::forward<Cases>(cases)...);
}

template <selectable... Cases>
auto make_select(biased_t, Cases&&... cases) {
  return select_of<true>(std::forward<Cases>(cases)...);
}

}  // namespace detail

/// Waits until one of the cases can happen, does it, calls its handler; gives the index of the case.
///
/// Among several that are ready the choice is uniformly random, or in order after `biased`.  Exactly one case
/// happens; one that lost has received nothing, sent nothing, moved from nothing.  Handlers may be
/// coroutines: they are awaited.  No enabled case and no otherwise(): waits until cancelled.  A handler's
/// exception leaves select. \throws cancelled \par Cost   One ready case: as the operation alone, plus the
/// draw.  Waiting on n: n locks twice.
template <typename... Cases>
requires detail::select_arguments<Cases...>

auto select(Cases&&... cases) {
  return detail::make_select(std::forward<Cases>(cases)...);
}

}  // namespace weft
