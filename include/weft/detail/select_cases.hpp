#pragma once

// The typed cases of select: what on_recv() and its kin return.

#include <weft/detail/channel_ops.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/select_case.hpp>
#include <weft/status.hpp>
#include <weft/sync/event.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

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

  /// The value to send is somebody else's and may be gone after the full expression.
  static constexpr bool borrows_value = false;

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
  static constexpr bool borrows_value = std::is_reference_v<V>;

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

}  // namespace weft
