#pragma once

// select(): waits for the first of several operations and does exactly that one.

#include <weft/channel.hpp>
#include <weft/detail/composite.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/select_cases.hpp>
#include <weft/detail/select_op.hpp>
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
//
// A case borrows what it waits for - the channel's handle, the event, the join_handle - as it borrows an
// rvalue to be sent.  Within one statement temporaries live long enough; a case or a select that is named
// and awaited later needs them to be named, too.  A selector shares the channels of its cases.  Those of
// descriptors are in <weft/io/select.hpp>, <weft/io/signal.hpp> and
// <weft/io/process.hpp>.

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
  if constexpr (std::is_same_v<Value, T>) {  // an rvalue that is not const
    return send_case<T, T&, F>(c, std::forward<F>(f), __builtin_addressof(value));
  } else {
    return send_case<T, T, F>(c, std::forward<F>(f), std::forward<Value>(value));
  }
}

}  // namespace detail

/// Sends; `f` is called with the send_status.  An lvalue is copied; an rvalue is borrowed, and moved from if
/// and only if this case happens and the status is `sent`.
template <typename T, typename Value = T, typename F = detail::no_handler>

requires(!std::is_void_v<T>) && std::convertible_to<Value&&, T> auto on_send(const channel<T>& ch,
                                                                             Value&& value, F&& f = F{}) {
  return detail::make_send_case<T>(ch.core(), std::forward<Value>(value), std::forward<F>(f));
}

template <typename T, typename Value = T, typename F = detail::no_handler>

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

/// A case that a selector keeps.
class any_case {
 public:
  any_case() = default;
  any_case(const any_case&) = delete;
  any_case& operator=(const any_case&) = delete;
  WEFT_API virtual ~any_case();

  virtual select_case& erased() noexcept = 0;
  virtual void start(select_core& s, std::uint32_t index) = 0;
  /// It was not woken in vain.
  virtual bool take() noexcept = 0;
  /// Calls the handler; the routine is empty unless that is a coroutine.
  virtual routine<> run() = 0;

  any_case* next = nullptr;
};

/// What a kept case sends in the next wait; made anew once it was sent.
template <typename C>
struct next_value {};

template <typename C>

requires C::copies_value struct next_value<C> {
  std::optional<typename C::value_type> copy;
};

template <typename C>
class kept_case final : public any_case {
 public:
  explicit kept_case(C&& c) : case_(std::move(c)) {
    if constexpr (has_channel) pin_channel(case_.channel());
  }

  kept_case(const kept_case&) = delete;
  kept_case& operator=(const kept_case&) = delete;

  ~kept_case() override {
    if constexpr (has_channel) unpin_channel(case_.channel());
  }

  select_case& erased() noexcept override { return case_.erased(); }

  void start(select_core& s, std::uint32_t index) override {
    if constexpr (requires { next_.copy; }) {
      if (!next_.copy) next_.copy.emplace(case_.value());
      case_.start_with(__builtin_addressof(*next_.copy));
    } else {
      case_.start(s, index);
    }
  }

  bool take() noexcept override { return detail::take(case_); }

  routine<> run() override {
    if constexpr (requires { next_.copy; }) {
      if (case_.has_sent()) next_.copy.reset();
    }
    if constexpr (is_coroutine_case<C>) {
      return drop_result(case_.run());
    } else {
      (void)case_.run();
      return {};
    }
  }

 private:
  static constexpr bool has_channel = requires(typename C::active & c) { c.channel(); };

  typename C::active case_;
  [[no_unique_address]] next_value<C> next_;
};

class selector_op;

}  // namespace detail

/// A select whose cases are not known before the program runs; it keeps them and can be waited on again and
/// again.
///
///   weft::selector s;
///   for (auto& ch : inputs) s.add(on_recv(ch, handle));
///   while (...) std::size_t which = co_await s.wait();
///
/// Used by one at a time; in plain code `weft::blocking::wait(s.wait())`.
class selector {
 public:
  selector() noexcept = default;

  /// Tries the cases in the order in which they were added.
  explicit selector(biased_t) noexcept : biased_(true) {}

  selector(const selector&) = delete;
  selector& operator=(const selector&) = delete;
  WEFT_API ~selector();

  /// Gives the case's index: what wait() returns when it has happened.  A value to be sent is copied in, and
  /// sent anew each time.  A channel may lose its last handle and is then closed; an event and a join_handle
  /// must live until the last wait that they take part in has ended.  \throws std::bad_alloc,
  /// std::length_error beyond 65,533 cases
  template <detail::selectable C>
  std::size_t add(C&& c) {
    using given = std::remove_cvref_t<C>;
    static_assert(std::is_same_v<C, given>, "weft: a selector keeps its cases: add(std::move(c))");
    static_assert(
        !given::borrows_value,
        "weft: a selector keeps its cases, and an rvalue given to on_send is only borrowed: name the value "
        "and pass the name, it is copied");
    if constexpr (given::copies_value) {
      static_assert(std::is_copy_constructible_v<typename given::value_type>,
                    "weft: a selector sends a copy of the value each time: use select() for a move-only one");
    }
    return keep(new detail::kept_case<given>(std::move(c)));
  }

  /// A case that is off does not take part, for instance one of a channel that is closed and drained.
  WEFT_API void enable(std::size_t index, bool on = true);

  std::size_t size() const noexcept { return count_; }

  /// As select().
  detail::selector_op wait() noexcept;

 private:
  friend class detail::selector_op;
  WEFT_API std::size_t keep(detail::any_case* c);
  WEFT_API detail::select_core& start();

  detail::any_case* first_ = nullptr;
  detail::any_case* last_ = nullptr;
  detail::select_case** list_ = nullptr;  // as many as count_, made when a wait begins
  std::size_t count_ = 0;
  std::size_t listed_ = 0;
  bool biased_ = false;
  bool waiting_ = false;
  detail::select_core core_{};
};

namespace detail {

class [[nodiscard("co_await it")]] selector_op : public composite_base {
 public:
  static constexpr bool is_one_wait = true;

  explicit selector_op(selector & s) noexcept : selector_(&s) {}

  routine<std::size_t> run() {
    return run_on(selector_);
  }

 private:
  struct waiting {
    explicit waiting(selector& of) noexcept : s(&of) {}

    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;

    ~waiting() { s->waiting_ = false; }

    selector* s;
  };

  static routine<std::size_t> run_on(selector * s) {
    std::uint32_t index = 0;
    any_case* c = nullptr;
    {
      select_core& core = s->start();
      index_op wait(core);
      const waiting until_chosen(*s);
      for (;;) {
        index = co_await wait;
        c = s->first_;
        for (std::uint32_t i = index; i != 0; --i) c = c->next;
        if (c->take()) break;
        core.start_again();
      }
    }
    co_await limit_counts_op();
    routine<> handler = c->run();  // it may add cases
    if (handler) co_await std::move(handler);
    co_return index;
  }

  selector* selector_;
};

}  // namespace detail

inline detail::selector_op selector::wait() noexcept {
  return detail::selector_op(*this);
}

/// Waits until one of the cases can happen, does it, calls its handler; gives the index of the case.
///
/// Among several that are ready the choice is uniformly random, or in order after `biased`.  Exactly one case
/// happens; one that lost has received nothing, sent nothing, moved from nothing.  Handlers may be
/// coroutines: they are awaited.  No enabled case and no otherwise(): waits until cancelled.  A handler's
/// exception leaves select, also the std::bad_alloc of a coroutine handler that finds no memory for its
/// frame: its case has happened by then, and what it received was its parameter and is gone.  A plain handler
/// cannot lose it that way.
///
/// \throws cancelled
///
/// \throws std::bad_alloc  for the timer of a limit, or for many cases: none has happened
///
/// \par Cost   One ready case: as the operation alone, plus the draw.  Waiting on n: n locks twice.
template <typename... Cases>
requires detail::select_arguments<Cases...>

auto select(Cases&&... cases) {
  return detail::make_select(std::forward<Cases>(cases)...);
}

}  // namespace weft
