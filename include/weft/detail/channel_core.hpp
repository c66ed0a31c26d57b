#pragma once

// The type-erased channel, as templates see it.  Everything that waits, wakes or locks is in lib/chan/.

#include <weft/detail/operation.hpp>
#include <weft/detail/waiter.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace weft::sched {
struct timer_cell;
}

namespace weft::detail {

struct channel_core;

/// How to move and destroy one element.  Null means trivial: bytes are copied, nothing is destroyed.
struct element_ops {
  std::size_t size;
  std::size_t align;
  void (*move)(void* to, void* from) noexcept;  // constructs `to`; `from` stays an object of its owner's
  void (*destroy)(void* value) noexcept;
};

template <typename T>
void move_element(void* to, void* from) noexcept {
  ::new (to) T(std::move(*static_cast<T*>(from)));
}

template <typename T>
void destroy_element(void* value) noexcept {
  static_cast<T*>(value)->~T();
}

template <typename T>
inline constexpr element_ops ops_of{sizeof(T), alignof(T),
                                    std::is_trivially_copyable_v<T> ? nullptr : &move_element<T>,
                                    std::is_trivially_destructible_v<T> ? nullptr : &destroy_element<T>};
template <>
inline constexpr element_ops ops_of<void>{0, 1, nullptr, nullptr};

/// The size of an element that is copied in one go, and for which nothing is called; of all others 0.
template <typename T>
inline constexpr std::size_t plain_size = std::is_trivially_copyable_v<T> &&
                                                  (sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16)
                                              ? sizeof(T)
                                              : 0;
template <>
inline constexpr std::size_t plain_size<void> = 0;

enum class lock_held : std::uint8_t { no, by_seat, by_word };

/// One send or receive, waiting or not.  `value`: the sender's value, moved from if and only if it was sent;
/// the receiver's raw storage, constructed if and only if something was received.
struct channel_wait {
  channel_core* channel;
  void* value;
  wait_end how = wait_end::pending;
  bool waited = false;               // it has begun to: to be settled
  lock_held inside = lock_held::no;  // ready() has left the lock to park(), which is next
};

struct timed_channel_wait : channel_wait {
  std::int64_t deadline;
  sched::timer_cell* timer = nullptr;
};

inline constexpr std::size_t unbounded_capacity = SIZE_MAX;

/// A number that a caller gave is never taken for `unbounded`.
constexpr std::size_t bounded(std::size_t capacity) noexcept {
  return capacity == unbounded_capacity ? unbounded_capacity - 1 : capacity;
}

/// Throws std::length_error for a capacity that cannot be had.
WEFT_API channel_core* make_channel_core(const element_ops& ops, std::size_t capacity);
WEFT_API channel_core* make_unbounded_core(const element_ops& ops);
/// Handles are counted by end; the last sender closes, the last receiver makes sends fail and destroys the
/// buffer.
WEFT_API void hold_channel(channel_core& c, std::uint32_t senders, std::uint32_t receivers) noexcept;
WEFT_API void drop_channel(channel_core& c, std::uint32_t senders, std::uint32_t receivers) noexcept;
/// Keeps the memory and nothing else: without handles the channel is closed all the same.
WEFT_API void pin_channel(channel_core& c) noexcept;
WEFT_API void unpin_channel(channel_core& c) noexcept;
[[noreturn]] WEFT_API void misuse_empty_channel() noexcept;

/// Plain: `plain_size` of the element.
template <std::size_t Plain>
WEFT_API bool send_ready(channel_wait& op, waiter& w) noexcept;
template <std::size_t Plain>
WEFT_API bool recv_ready(channel_wait& op, waiter& w) noexcept;
WEFT_API bool send_park(channel_wait& op, waiter& w) noexcept;
WEFT_API bool recv_park(channel_wait& op, waiter& w) noexcept;
/// After a wait: withdraws what is still queued.
WEFT_API void channel_settle(channel_wait& op, waiter& w) noexcept;

WEFT_API bool send_park_timed(timed_channel_wait& op, waiter& w) noexcept;
WEFT_API bool recv_park_timed(timed_channel_wait& op, waiter& w) noexcept;
WEFT_API void channel_settle_timed(timed_channel_wait& op, waiter& w) noexcept;

/// Without waiting: done, closed, or pending for full/empty.
WEFT_API wait_end try_send_now(channel_core& c, void* value);
WEFT_API wait_end try_recv_now(channel_core& c, void* storage) noexcept;

WEFT_API bool close_channel(channel_core& c) noexcept;
WEFT_API bool channel_closed(const channel_core& c) noexcept;
WEFT_API std::size_t channel_size(const channel_core& c) noexcept;
WEFT_API std::size_t channel_capacity(const channel_core& c) noexcept;

/// Raw room for a T that may not be there yet.
template <typename T>
struct room {
  alignas(T) std::byte bytes[sizeof(T)];

  T& value() noexcept { return *std::launder(reinterpret_cast<T*>(bytes)); }
};

template <>
struct room<void> {
  std::byte bytes[1];
};

}  // namespace weft::detail
