#pragma once

// select(): waits for the first of several operations and does exactly that one.

#include <weft/channel.hpp>
#include <weft/detail/composite.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/select_case.hpp>
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

namespace detail {

struct no_handler {};

struct case_base {};

template <typename C>
concept selectable = std::derived_from<std::remove_cvref_t<C>, case_base>;

/// What a handler gives: void, or a routine to be awaited.
template <typename F, typename... Args>
struct handler_result {
  static auto probe() {
    if constexpr (std::is_same_v<F, no_handler>) {
      return std::type_identity<void>();
    } else if constexpr (std::is_invocable_v<F&, Args...>) {
      return std::type_identity<std::invoke_result_t<F&, Args...>>();
    } else {
      static_assert(std::is_invocable_v<F&>,
                    "weft: a select handler takes the operation's result, or nothing");
      return std::type_identity<std::invoke_result_t<F&>>();
    }
  }

  using type = typename decltype(probe())::type;
};

template <typename F, typename... Args>
decltype(auto) handle(F& f, Args&&... args) {
  if constexpr (std::is_same_v<F, no_handler>) {
    return;
  } else if constexpr (std::is_invocable_v<F&, Args...>) {
    return f(std::forward<Args>(args)...);
  } else {
    return f();
  }
}

/// The common part of the cases.  `Self` has start() (before polling) and run() (after it happened).
template <typename Self, typename F>
class case_shared : public case_base {
  using function = std::remove_reference_t<F>;

 public:
  static constexpr bool owns_callable =
      !std::is_reference_v<F> && !std::is_trivially_destructible_v<function>;

  /// `on_send(ch, v, f).when(!queue.empty())`: takes part only if true.
  Self when(bool enabled) && {
    erased_.enabled = enabled;
    return static_cast<Self&&>(*this);
  }

  select_case& erased() noexcept { return erased_; }

 protected:
  case_shared(const case_kind* kind, F&& f) : erased_(kind), f_(std::forward<F>(f)) {}

  select_case erased_;
  F f_;
};

template <typename T, typename F>
class recv_case final : public case_shared<recv_case<T, F>, F> {
 public:
  using argument = std::conditional_t<std::is_void_v<T>, bool,
                                      std::optional<std::conditional_t<std::is_void_v<T>, int, T>>>;

  recv_case(channel_core& c, F&& f)
      : case_shared<recv_case, F>(&recv_case_kind, std::forward<F>(f)), wait_{&c, nullptr} {}

  void start(select_core&, std::uint32_t) noexcept {
    wait_.value = &room_;
    wait_.how = wait_end::pending;
    this->erased_.node.op = &wait_;
  }

  decltype(auto) run() {
    const bool got = wait_.how == wait_end::done;
    if constexpr (std::is_void_v<T>) {
      return handle(this->f_, got);
    } else {
      return handle(this->f_, got ? taken(room_) : std::optional<T>());
    }
  }

  using result = typename handler_result<std::remove_reference_t<F>, argument>::type;

 private:
  channel_wait wait_;
  room<T> room_;
};

/// `V` is T& for a borrowed rvalue, T for a copy; void for channel<void>.
template <typename T, typename V, typename F>
class send_case final : public case_shared<send_case<T, V, F>, F> {
 public:
  template <typename... Value>
  send_case(channel_core& c, F&& f, Value&&... value)
      : case_shared<send_case, F>(&send_case_kind, std::forward<F>(f)),
        wait_{&c, nullptr},
        value_(std::forward<Value>(value)...) {}

  void start(select_core&, std::uint32_t) noexcept {
    if constexpr (std::is_pointer_v<decltype(value_)> && std::is_reference_v<V>) {
      wait_.value = value_;
    } else {
      wait_.value = &value_;
    }
    wait_.how = wait_end::pending;
    this->erased_.node.op = &wait_;
  }

  decltype(auto) run() {
    return handle(this->f_, wait_.how == wait_end::done ? send_status::sent : send_status::closed);
  }

  using result = typename handler_result<std::remove_reference_t<F>, send_status>::type;

 private:
  using kept_value =
      std::conditional_t<std::is_void_v<V>, no_handler,
                         std::conditional_t<std::is_reference_v<V>, std::remove_reference_t<V>*, V>>;

  channel_wait wait_;
  kept_value value_;
};

template <typename F>
class event_case final : public case_shared<event_case<F>, F> {
 public:
  event_case(event& e, F&& f)
      : case_shared<event_case, F>(&event_case_kind, std::forward<F>(f)), event_(&e) {}

  void start(select_core&, std::uint32_t) noexcept { this->erased_.node.op = event_; }

  decltype(auto) run() { return handle(this->f_); }

  using result = typename handler_result<std::remove_reference_t<F>>::type;

 private:
  event* event_;
};

template <typename F>
class join_case final : public case_shared<join_case<F>, F> {
 public:
  join_case(promise_base& child, F&& f)
      : case_shared<join_case, F>(&join_case_kind, std::forward<F>(f)), child_(&child) {}

  void start(select_core&, std::uint32_t) noexcept { this->erased_.node.op = child_; }

  decltype(auto) run() { return handle(this->f_); }

  using result = typename handler_result<std::remove_reference_t<F>>::type;

 private:
  promise_base* child_;
};

/// A relative time-out starts with the wait; an absolute one is what it is.
template <typename F>
class time_case final : public case_shared<time_case<F>, F> {
 public:
  time_case(std::int64_t when, bool relative, F&& f)
      : case_shared<time_case, F>(nullptr, std::forward<F>(f)), when_(when), relative_(relative) {}

  void start(select_core& s, std::uint32_t index) noexcept {
    if (!this->erased_.enabled || when_ == no_deadline) return;
    const std::int64_t now = relative_ ? clock_now() : 0;
    const std::int64_t deadline = when_ > no_deadline - now ? no_deadline : now + when_;
    if (deadline >= s.deadline) return;
    s.deadline = deadline;
    s.deadline_case = index;
  }

  decltype(auto) run() { return handle(this->f_); }

  using result = typename handler_result<std::remove_reference_t<F>>::type;

 private:
  std::int64_t when_;
  bool relative_;
};

template <typename F>
class otherwise_case final : public case_shared<otherwise_case<F>, F> {
 public:
  explicit otherwise_case(F&& f) : case_shared<otherwise_case, F>(nullptr, std::forward<F>(f)) {}

  void start(select_core& s, std::uint32_t index) noexcept {
    if (!this->erased_.enabled) return;
    s.has_otherwise = true;
    s.chosen = index;  // unless another one happens
  }

  decltype(auto) run() { return handle(this->f_); }

  using result = typename handler_result<std::remove_reference_t<F>>::type;
};

}  // namespace detail

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
auto make_select(Cases&&... cases) {
  if constexpr ((is_coroutine_case<std::remove_cvref_t<Cases>> || ...)) {
    return coroutine_select_op<Biased, std::remove_cvref_t<Cases>...>(std::forward<Cases>(cases)...);
  } else {
    return plain_select_op<Biased, std::remove_cvref_t<Cases>...>(std::forward<Cases>(cases)...);
  }
}

}  // namespace detail

/// Waits until one of the cases can happen, does it, calls its handler; gives the index of the case.
///
/// Among several that are ready the choice is uniformly random, or in order after `biased`.  Exactly one case
/// happens; one that lost has received nothing, sent nothing, moved from nothing.  Handlers may be
/// coroutines: they are awaited.  No enabled case and no otherwise(): waits until cancelled.  A handler's
/// exception leaves select. \throws cancelled \par Cost   One ready case: as the operation alone, plus the
/// draw.  Waiting on n: n locks twice.
template <detail::selectable... Cases>
auto select(Cases&&... cases) {
  return detail::make_select<false>(std::forward<Cases>(cases)...);
}

template <detail::selectable... Cases>
auto select(biased_t, Cases&&... cases) {
  return detail::make_select<true>(std::forward<Cases>(cases)...);
}

}  // namespace weft
