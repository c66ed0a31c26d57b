#pragma once

// The typed cases of select: what on_recv() and its kin return.

#include <weft/detail/channel_ops.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/select_case.hpp>
#include <weft/routine.hpp>
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

/// Does it take a reference?  Not known of templates.
template <typename Signature>
inline constexpr bool takes_reference = false;
template <typename R, typename P, bool E>
inline constexpr bool takes_reference<R (*)(P) noexcept(E)> = std::is_reference_v<P>;
template <typename R, typename C, typename P, bool E>
inline constexpr bool takes_reference<R (C::*)(P) noexcept(E)> = std::is_reference_v<P>;
template <typename R, typename C, typename P, bool E>
inline constexpr bool takes_reference<R (C::*)(P) const noexcept(E)> = std::is_reference_v<P>;
template <typename R, typename C, typename P, bool E>
inline constexpr bool takes_reference<R (C::*)(P)& noexcept(E)> = std::is_reference_v<P>;
template <typename R, typename C, typename P, bool E>
inline constexpr bool takes_reference<R (C::*)(P) const& noexcept(E)> = std::is_reference_v<P>;

template <typename F>
constexpr bool handler_takes_reference() {
  if constexpr (requires { &F::operator(); }) {
    return takes_reference<decltype(&F::operator())>;
  } else {
    return takes_reference<std::decay_t<F>>;
  }
}

/// What a handler gives: void, or a routine to be awaited.
template <typename F, typename... Args>
struct handler_result {
  static auto probe() {
    if constexpr (std::is_same_v<F, no_handler>) {
      return std::type_identity<void>();
    } else if constexpr (std::is_invocable_v<F&, Args...>) {
      using given = std::invoke_result_t<F&, Args...>;
      static_assert(
          !is_routine<given> || !handler_takes_reference<F>(),
          "weft: a select handler that is a coroutine takes the operation's result by value: it runs "
          "when what a reference would refer to is gone");
      return std::type_identity<given>();
    } else if constexpr (std::is_invocable_v<F&>) {
      return std::type_identity<std::invoke_result_t<F&>>();
    } else {
      static_assert(std::is_invocable_v<F&>,
                    "weft: a select handler takes the operation's result, or nothing");
      return std::type_identity<void>();  // the sentence above is enough
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
  } else if constexpr (std::is_invocable_v<F&>) {
    return f();
  }
}

// What on_recv() and its kin return is small: what to wait for, the handler, whether it takes part.  The
// select makes a `Case::active` of it in place, with node, wait and room for a value; a frame holds each of
// those once.

/// The common part of the cases.
template <typename Self, typename F>
class case_shared : public case_base {
 public:
  static constexpr bool owns_callable =
      !std::is_reference_v<F> && !std::is_trivially_destructible_v<std::remove_reference_t<F>>;

  /// The value to send is somebody else's and may be gone after the full expression.
  static constexpr bool borrows_value = false;
  static constexpr bool copies_value = false;

  /// `on_send(ch, v, f).when(!queue.empty())`: takes part only if true.
  Self when(bool enabled) && {
    enabled_ = enabled;
    return static_cast<Self&&>(*this);
  }

 protected:
  explicit case_shared(F&& f) : f_(std::forward<F>(f)) {}

  template <typename Owner>
  friend class active_shared;

  F f_;
  bool enabled_ = true;
};

/// The common part of the active ones.  They have start(), before polling, and run(), after it happened.  One
/// that may be woken in vain has take(), before run(): false, somebody else was quicker.
template <typename Case>
class active_shared {
 public:
  using result = typename Case::result;

  active_shared(const active_shared&) = delete;
  active_shared& operator=(const active_shared&) = delete;

  select_case& erased() noexcept { return erased_; }

 protected:
  using function = decltype(Case::f_);

  active_shared(const case_kind* kind, Case&& from) : erased_(kind), f_(std::forward<function>(from.f_)) {
    erased_.enabled = from.enabled_;
  }

  select_case erased_;
  function f_;
};

template <typename T, typename F>
class recv_case final : public case_shared<recv_case<T, F>, F> {
 public:
  using argument = std::conditional_t<std::is_void_v<T>, bool,
                                      std::optional<std::conditional_t<std::is_void_v<T>, int, T>>>;
  using result = typename handler_result<std::remove_reference_t<F>, argument>::type;

  recv_case(channel_core& c, F&& f) : case_shared<recv_case, F>(std::forward<F>(f)), channel_(&c) {}

  class active final : public active_shared<recv_case> {
   public:
    explicit active(recv_case&& from)
        : active_shared<recv_case>(&recv_case_kind, std::move(from)), wait_{from.channel_, nullptr} {}

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

    channel_core& channel() const noexcept { return *wait_.channel; }

   private:
    channel_wait wait_;
    room<T> room_;
  };

 private:
  channel_core* channel_;
};

/// `V` is T& for a borrowed rvalue, T for a copy; void for channel<void>.
template <typename T, typename V, typename F>
class send_case final : public case_shared<send_case<T, V, F>, F> {
  using kept_value =
      std::conditional_t<std::is_void_v<V>, no_handler,
                         std::conditional_t<std::is_reference_v<V>, std::remove_reference_t<V>*, V>>;

 public:
  using value_type = V;
  static constexpr bool borrows_value = std::is_reference_v<V>;
  using result = typename handler_result<std::remove_reference_t<F>, send_status>::type;

  template <typename... Value>
  send_case(channel_core& c, F&& f, Value&&... value)
      : case_shared<send_case, F>(std::forward<F>(f)), channel_(&c), value_(std::forward<Value>(value)...) {}

  class active final : public active_shared<send_case> {
   public:
    explicit active(send_case&& from)
        : active_shared<send_case>(&send_case_kind, std::move(from)),
          wait_{from.channel_, nullptr},
          value_(std::move(from.value_)) {}

    void start(select_core&, std::uint32_t) noexcept {
      if constexpr (borrows_value) {
        start_with(value_);
      } else {
        start_with(__builtin_addressof(value_));
      }
    }

    /// A selector's, which keeps the value and sends copies.
    void start_with(void* value) noexcept {
      wait_.value = value;
      wait_.how = wait_end::pending;
      this->erased_.node.op = &wait_;
    }

    const kept_value& value() const noexcept { return value_; }

    channel_core& channel() const noexcept { return *wait_.channel; }

    bool has_sent() const noexcept { return wait_.how == wait_end::done; }

    decltype(auto) run() { return handle(this->f_, has_sent() ? send_status::sent : send_status::closed); }

   private:
    channel_wait wait_;
    kept_value value_;
  };

  static constexpr bool copies_value = !std::is_reference_v<V> && !std::is_void_v<V>;

 private:
  channel_core* channel_;
  kept_value value_;
};

/// A case that waits for an object and has nothing to say but that it happened.
template <typename Object, const case_kind& Kind, typename F>
class signal_case final : public case_shared<signal_case<Object, Kind, F>, F> {
 public:
  using result = typename handler_result<std::remove_reference_t<F>>::type;

  signal_case(Object& o, F&& f) : case_shared<signal_case, F>(std::forward<F>(f)), object_(&o) {}

  class active final : public active_shared<signal_case> {
   public:
    explicit active(signal_case&& from)
        : active_shared<signal_case>(&Kind, std::move(from)), object_(from.object_) {}

    void start(select_core&, std::uint32_t) noexcept { this->erased_.node.op = object_; }

    decltype(auto) run() { return handle(this->f_); }

   private:
    Object* object_;
  };

 private:
  Object* object_;
};

template <typename F>
using event_case = signal_case<event, event_case_kind, F>;
template <typename F>
using join_case = signal_case<promise_base, join_case_kind, F>;

/// A relative time-out starts with the wait; an absolute one is what it is.
template <typename F>
class time_case final : public case_shared<time_case<F>, F> {
 public:
  using result = typename handler_result<std::remove_reference_t<F>>::type;

  time_case(std::int64_t when, bool relative, F&& f)
      : case_shared<time_case, F>(std::forward<F>(f)), when_(when), relative_(relative) {}

  class active final : public active_shared<time_case> {
   public:
    explicit active(time_case&& from)
        : active_shared<time_case>(nullptr, std::move(from)), when_(from.when_), relative_(from.relative_) {}

    void start(select_core& s, std::uint32_t index) noexcept {
      if (!this->erased_.enabled || when_ == no_deadline) return;
      const std::int64_t now = relative_ ? clock_now() : 0;
      const std::int64_t deadline = when_ > no_deadline - now ? no_deadline : now + when_;
      if (deadline >= s.deadline) return;
      s.deadline = deadline;
      s.deadline_case = index;
    }

    decltype(auto) run() { return handle(this->f_); }

   private:
    std::int64_t when_;
    bool relative_;
  };

 private:
  std::int64_t when_;
  bool relative_;
};

template <typename F>
class otherwise_case final : public case_shared<otherwise_case<F>, F> {
 public:
  using result = typename handler_result<std::remove_reference_t<F>>::type;

  explicit otherwise_case(F&& f) : case_shared<otherwise_case, F>(std::forward<F>(f)) {}

  class active final : public active_shared<otherwise_case> {
   public:
    explicit active(otherwise_case&& from) : active_shared<otherwise_case>(nullptr, std::move(from)) {}

    void start(select_core& s, std::uint32_t index) noexcept {
      if (!this->erased_.enabled) return;
      s.has_otherwise = true;
      s.chosen = index;  // unless another one happens
    }

    decltype(auto) run() { return handle(this->f_); }
  };
};

}  // namespace detail

}  // namespace weft
