#pragma once

// channel<T>: routines and threads hand values to one another.

#include <weft/detail/channel_ops.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/status.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace weft {

template <typename T>
class channel;

namespace detail {

/// A counted reference to a channel, holding so many of its ends.
template <std::uint32_t Senders, std::uint32_t Receivers>
class channel_ref {
 public:
  channel_ref(const channel_ref& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) hold_channel(*core_, Senders, Receivers);
  }

  channel_ref(channel_ref&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}

  channel_ref& operator=(channel_ref other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }

  ~channel_ref() {
    if (core_ != nullptr) drop_channel(*core_, Senders, Receivers);
  }

  /// Closes the channel; idempotent.  Waiting senders get `closed` and keep their values; waiting receivers
  /// get nothing; what is buffered can still be received.  Never waits. \return true if this call closed it.
  /// \par Order  What happened before close() happens before a receive that reports closed.
  bool close() const noexcept { return close_channel(core()); }

  [[nodiscard]] bool is_closed() const noexcept { return channel_closed(core()); }

  /// Values in the buffer now.
  [[nodiscard]] std::size_t size() const noexcept { return channel_size(core()); }

  /// SIZE_MAX for an unbounded one.
  [[nodiscard]] std::size_t capacity() const noexcept { return channel_capacity(core()); }

  /// True if both are handles to the same channel.
  template <std::uint32_t S, std::uint32_t R>
  bool operator==(const channel_ref<S, R>& other) const noexcept {
    return core_ == other.raw();
  }

  // Not for callers.
  channel_core& core() const noexcept {
    if (core_ == nullptr) misuse_empty_channel();
    return *core_;
  }

  channel_core* raw() const noexcept { return core_; }

 protected:
  explicit channel_ref(channel_core* owned) noexcept : core_(owned) {}

 private:
  channel_core* core_;
};

/// The operations of a sending end.
template <typename Self, typename T>
class sending {
  static_assert(
      std::is_object_v<T> && !std::is_const_v<T>,
      "weft: a channel's element is an object and not const: a value, a pointer, a std::unique_ptr");
  static_assert(
      std::is_nothrow_move_constructible_v<T>,
      "weft: a channel's element must be nothrow-move-constructible: put it into a std::unique_ptr");

  channel_core& to() const noexcept { return static_cast<const Self&>(*this).core(); }

 public:
  /// Sends a copy of `value`; waits for a free slot or a receiver.  Suspends the routine, never blocks its
  /// worker. From plain code: blocking::channel<T>::send.
  ///
  /// \return  sent; closed if the channel is or becomes closed: nothing was sent.
  /// \throws  what T's copy constructor throws, before anything is sent; cancelled; for an unbounded channel
  ///          std::bad_alloc, and nothing was sent
  /// \par Order  Everything before the send happens before the matching receive returns.
  /// \par Cost   One lock, no allocation (unbounded: a block of 64 values now and then).
  auto send(const T& value) const { return send_copy_op<T>(to(), value); }

  /// Sends `value` itself: moved from if and only if the result is `sent`, else still the caller's.  Await it
  /// in the same statement if `value` is a temporary.
  auto send(T&& value) const noexcept { return send_op<T>(to(), __builtin_addressof(value)); }

  /// Sends if it need not wait.  Legal anywhere, never throws `cancelled`.
  try_send_status try_send(T&& value) const { return tried(try_send_now(to(), __builtin_addressof(value))); }

  try_send_status try_send(const T& value) const {
    T copy(value);
    return tried(try_send_now(to(), __builtin_addressof(copy)));
  }

  /// send() with a limit.  A slot or receiver that is there beats a limit that has passed.  After timed_out
  /// the value is still the caller's.  \throws std::bad_alloc if there is no memory for the timer: the same
  template <typename Rep, typename Period>
  auto send_for(T&& value, std::chrono::duration<Rep, Period> d) const {
    return send_until_op<T>(to(), __builtin_addressof(value), deadline_after(d));
  }

  template <typename Rep, typename Period>
  auto send_for(const T& value, std::chrono::duration<Rep, Period> d) const {
    return send_copy_until_op<T>(to(), value, deadline_after(d));
  }

  template <typename Duration>
  auto send_until(T&& value, std::chrono::time_point<std::chrono::steady_clock, Duration> t) const {
    return send_until_op<T>(to(), __builtin_addressof(value), deadline_at(t));
  }

  template <typename Duration>
  auto send_until(const T& value, std::chrono::time_point<std::chrono::steady_clock, Duration> t) const {
    return send_copy_until_op<T>(to(), value, deadline_at(t));
  }

 private:
  static try_send_status tried(wait_end how) noexcept {
    return how == wait_end::done     ? try_send_status::sent
           : how == wait_end::closed ? try_send_status::closed
                                     : try_send_status::full;
  }
};

template <typename Self>
class sending<Self, void> {
  channel_core& to() const noexcept { return static_cast<const Self&>(*this).core(); }

 public:
  auto send() const noexcept { return send_op<void>(to(), nullptr); }

  try_send_status try_send() const {
    const wait_end how = try_send_now(to(), nullptr);
    return how == wait_end::done     ? try_send_status::sent
           : how == wait_end::closed ? try_send_status::closed
                                     : try_send_status::full;
  }

  template <typename Rep, typename Period>
  auto send_for(std::chrono::duration<Rep, Period> d) const {
    return send_until_op<void>(to(), nullptr, deadline_after(d));
  }

  template <typename Duration>
  auto send_until(std::chrono::time_point<std::chrono::steady_clock, Duration> t) const {
    return send_until_op<void>(to(), nullptr, deadline_at(t));
  }
};

/// The operations of a receiving end.
template <typename Self, typename T>
class receiving {
  channel_core& from() const noexcept { return static_cast<const Self&>(*this).core(); }

 public:
  /// Waits for a value.  Suspends the routine, never blocks its worker.  From plain code:
  /// blocking::channel<T>::recv.
  ///
  /// \return  std::optional<T>; empty once the channel is closed and drained.  channel<void>: bool.
  /// \throws  cancelled: nothing was taken out of the channel
  /// \par Order  Everything before the matching send happens before recv returns.  Everything before a
  ///             receive happens before the matching send returns where there is no buffer, and before the
  ///             n-th send after that one where n values fit in.
  auto recv() const noexcept { return recv_op<T>(from()); }

  /// recv() into an object that exists: true if it was assigned, false once closed and drained.  What T's
  /// move assignment throws leaves it, and the value received is gone.
  template <typename U = T>
  auto recv_into(std::type_identity_t<U>& out) const noexcept {
    return recv_into_op<U>(from(), out);
  }

  /// Takes a value if there is one.  Legal anywhere, never throws `cancelled`.
  received<T> try_recv() const noexcept {
    if constexpr (std::is_void_v<T>) {
      return {status_of(try_recv_now(from(), nullptr))};
    } else {
      room<T> r;
      const recv_status status = status_of(try_recv_now(from(), &r));
      if (status == recv_status::received) return {status, taken(r)};
      return {status, std::nullopt};
    }
  }

  /// recv() with a limit.  A value that is there beats a limit that has passed.  \throws std::bad_alloc if
  /// there is no memory for the timer: nothing was taken
  template <typename Rep, typename Period>
  auto recv_for(std::chrono::duration<Rep, Period> d) const {
    return recv_until_op<T>(from(), deadline_after(d));
  }

  template <typename Duration>
  auto recv_until(std::chrono::time_point<std::chrono::steady_clock, Duration> t) const {
    return recv_until_op<T>(from(), deadline_at(t));
  }

 private:
  static recv_status status_of(wait_end how) noexcept {
    return how == wait_end::done     ? recv_status::received
           : how == wait_end::closed ? recv_status::closed
                                     : recv_status::empty;
  }
};

}  // namespace detail

/// The sending end: copyable, counted.  The last one gone closes the channel.
template <typename T>
class channel_sender : public detail::channel_ref<1, 0>, public detail::sending<channel_sender<T>, T> {
 public:
  channel_sender(const channel<T>& both) noexcept;

 private:
  template <typename U>
  friend auto make_channel(std::size_t capacity);

  explicit channel_sender(detail::channel_core* owned) noexcept : channel_ref(owned) {}
};

/// The receiving end: copyable, counted.  The last one gone makes sends fail, destroys what is buffered and
/// ends as closed the receives that wait through it.
template <typename T>
class channel_receiver : public detail::channel_ref<0, 1>, public detail::receiving<channel_receiver<T>, T> {
 public:
  channel_receiver(const channel<T>& both) noexcept;

 private:
  template <typename U>
  friend auto make_channel(std::size_t capacity);

  explicit channel_receiver(detail::channel_core* owned) noexcept : channel_ref(owned) {}
};

/// A handle to one shared channel; copies share it.  Counts as one sender and one receiver.
///
/// capacity 0: a rendezvous, the send completes when a receiver has the value.  capacity n: n values are
/// buffered. First in, first out, for values and for waiters alike; nobody overtakes who waits.  Each value
/// is received once, or handed back, or still inside - under close, cancellation, timeouts and select at
/// once. T: nothrow-move-constructible; may be move-only, need not be default-constructible.  It is moved by
/// its own constructor under the channel's lock when it goes through the buffer: that constructor must not
/// use the channel. A parked operation keeps the channel alive; the last handle gone while operations wait
/// closes it.
template <typename T>
class channel : public detail::channel_ref<1, 1>,
                public detail::sending<channel<T>, T>,
                public detail::receiving<channel<T>, T> {
 public:
  using value_type = T;

  /// \throws std::length_error  for a capacity that cannot be had; std::bad_alloc
  explicit channel(std::size_t capacity = 0)
      : channel_ref(detail::make_channel_core(detail::ops_of<T>, detail::bounded(capacity))) {}

  /// Sends never wait; memory is the limit.
  static channel unbounded() { return channel(*detail::make_unbounded_core(detail::ops_of<T>)); }

 protected:
  explicit channel(detail::channel_core& owned) noexcept : channel_ref(&owned) {}
};

template <typename T>
channel_sender<T>::channel_sender(const channel<T>& both) noexcept : channel_ref(&both.core()) {
  detail::hold_channel(both.core(), 1, 0);
}

template <typename T>
channel_receiver<T>::channel_receiver(const channel<T>& both) noexcept : channel_ref(&both.core()) {
  detail::hold_channel(both.core(), 0, 1);
}

/// The two ends of a channel, apart.
template <typename T>
struct channel_ends {
  channel_sender<T> sender;
  channel_receiver<T> receiver;
};

/// `auto [tx, rx] = make_channel<int>(16);`
template <typename T>
auto make_channel(std::size_t capacity = 0) {
  channel<T> both(capacity);
  return channel_ends<T>{channel_sender<T>(both), channel_receiver<T>(both)};
}

}  // namespace weft
