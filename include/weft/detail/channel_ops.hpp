#pragma once

// The operations of channels: what send() and recv() return.  Awaited in a routine, given to
// blocking::wait(), or taken apart by select().

#include <weft/detail/channel_core.hpp>
#include <weft/detail/operation.hpp>
#include <weft/status.hpp>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft::detail {

/// Takes the value out of the room and destroys what is left of it there.
template <typename T>
std::optional<T> taken(room<T>& r) noexcept {
  T& value = r.value();
  std::optional<T> out(std::move(value));
  value.~T();
  return out;
}

inline void check_sent(wait_end how, const waiter& w) {
  if (how != wait_end::done && how != wait_end::closed && how != wait_end::timed_out) throw_wait_end(how, w);
}

/// How it ended: done or closed; throws what else it may be.
inline wait_end end_of(channel_wait& wait, waiter& w) {
  if (wait.waited) channel_settle(wait, w);
  if (wait.how == wait_end::done) [[likely]]
    return wait_end::done;
  check_sent(wait.how, w);
  return wait.how;
}

/// Borrows the value.
template <typename T>
class [[nodiscard("co_await it, or use try_send")]] send_op : public op_base {
 public:
  send_op(channel_core & c, void* value) noexcept : wait_{&c, value} {}

  bool ready(waiter & w) noexcept {
    return send_ready<plain_size<T>>(wait_, w);
  }
  bool park(waiter & w) noexcept {
    return send_park(wait_, w);
  }

  send_status finish(waiter & w) {
    return end_of(wait_, w) == wait_end::done ? send_status::sent : send_status::closed;
  }

 private:
  channel_wait wait_;
};

/// Owns a copy of the value.
template <typename T>
class [[nodiscard("co_await it, or use try_send")]] send_copy_op : public op_base {
 public:
  send_copy_op(channel_core & c, const T& value) : value_(value), wait_{&c, __builtin_addressof(value_)} {}
  send_copy_op(const send_copy_op&) = delete;
  send_copy_op& operator=(const send_copy_op&) = delete;

  bool ready(waiter & w) noexcept {
    return send_ready<plain_size<T>>(wait_, w);
  }

  bool park(waiter & w) noexcept {
    return send_park(wait_, w);
  }

  send_status finish(waiter & w) {
    return end_of(wait_, w) == wait_end::done ? send_status::sent : send_status::closed;
  }

 private:
  T value_;
  channel_wait wait_;
};

template <typename T>
class [[nodiscard("co_await it")]] send_until_op : public op_base {
 public:
  send_until_op(channel_core & c, void* value, std::int64_t deadline) noexcept
      : wait_{{&c, value}, deadline} {}

  bool ready(waiter & w) noexcept {
    return send_ready<plain_size<T>>(wait_, w);
  }
  bool park(waiter & w) noexcept {
    return send_park_timed(wait_, w);
  }
  std::int64_t deadline() const noexcept {
    return wait_.deadline;
  }

  send_until_status finish(waiter & w) {
    if (wait_.waited) channel_settle_timed(wait_, w);
    check_sent(wait_.how, w);
    if (wait_.how == wait_end::timed_out) return send_until_status::timed_out;
    return wait_.how == wait_end::done ? send_until_status::sent : send_until_status::closed;
  }

 private:
  timed_channel_wait wait_;
};

template <typename T>
class [[nodiscard("co_await it")]] send_copy_until_op : public op_base {
 public:
  send_copy_until_op(channel_core & c, const T& value, std::int64_t deadline)
      : value_(value), inner_(c, nullptr, deadline), channel_(&c) {}
  send_copy_until_op(const send_copy_until_op&) = delete;
  send_copy_until_op& operator=(const send_copy_until_op&) = delete;

  bool ready(waiter & w) noexcept {
    inner_ = send_until_op<T>(*channel_, __builtin_addressof(value_), inner_.deadline());
    return inner_.ready(w);
  }

  bool park(waiter & w) noexcept {
    return inner_.park(w);
  }
  std::int64_t deadline() const noexcept {
    return inner_.deadline();
  }
  send_until_status finish(waiter & w) {
    return inner_.finish(w);
  }

 private:
  T value_;
  send_until_op<T> inner_;
  channel_core* channel_;
};

template <typename T>
class [[nodiscard("co_await it, or use try_recv")]] recv_op : public op_base {
 public:
  explicit recv_op(channel_core & c) noexcept : wait_{&c, nullptr} {}

  bool ready(waiter & w) noexcept {
    wait_.value = &room_;
    return recv_ready<plain_size<T>>(wait_, w);
  }

  bool park(waiter & w) noexcept {
    return recv_park(wait_, w);
  }

  auto finish(waiter & w) {
    const bool received = end_of(wait_, w) == wait_end::done;
    if constexpr (std::is_void_v<T>) {
      return received;
    } else {
      return received ? taken(room_) : std::optional<T>();
    }
  }

 private:
  channel_wait wait_;
  room<T> room_;
};

template <typename T>
class [[nodiscard("co_await it")]] recv_into_op : public op_base {
  // All of T's bytes may be written only where they are its own: in the padding of a base or of a
  // [[no_unique_address]] member others keep theirs.
  static constexpr bool in_place =
      std::is_scalar_v<T> || std::is_void_v<T> ||
      (std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>);

 public:
  recv_into_op(channel_core & c, T & out) noexcept : wait_{&c, nullptr}, out_(__builtin_addressof(out)) {}

  bool ready(waiter & w) noexcept {
    if constexpr (in_place) {
      wait_.value = out_;
    } else {
      wait_.value = &room_;
    }
    return recv_ready<plain_size<T>>(wait_, w);
  }

  bool park(waiter & w) noexcept {
    return recv_park(wait_, w);
  }

  bool finish(waiter & w) {
    if (end_of(wait_, w) != wait_end::done) return false;
    if constexpr (!in_place) *out_ = std::move(*taken(room_));
    return true;
  }

 private:
  channel_wait wait_;
  T* out_;
  [[no_unique_address]] std::conditional_t<in_place, room<void>, room<T>> room_;
};

template <typename T>
class [[nodiscard("co_await it")]] recv_until_op : public op_base {
 public:
  recv_until_op(channel_core & c, std::int64_t deadline) noexcept : wait_{{&c, nullptr}, deadline} {}

  bool ready(waiter & w) noexcept {
    wait_.value = &room_;
    return recv_ready<plain_size<T>>(wait_, w);
  }

  bool park(waiter & w) noexcept {
    return recv_park_timed(wait_, w);
  }
  std::int64_t deadline() const noexcept {
    return wait_.deadline;
  }

  received<T> finish(waiter & w) {
    if (wait_.waited) channel_settle_timed(wait_, w);
    check_sent(wait_.how, w);
    const recv_status status = wait_.how == wait_end::done     ? recv_status::received
                               : wait_.how == wait_end::closed ? recv_status::closed
                                                               : recv_status::empty;
    if constexpr (std::is_void_v<T>) {
      return {status};
    } else {
      if (status == recv_status::received) return {status, taken(room_)};
      return {status, std::nullopt};
    }
  }

 private:
  timed_channel_wait wait_;
  room<T> room_;
};

}  // namespace weft::detail
