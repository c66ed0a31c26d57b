#pragma once

// The values inside a channel.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "chan/channel_core.hpp"

namespace weft::chan {

/// Constructs `to` from `from`, which stays its owner's to destroy.
inline void move_value(const detail::element_ops& ops, void* to, void* from) noexcept {
  if (ops.move != nullptr) {
    ops.move(to, from);
  } else if (ops.size == sizeof(std::uint64_t)) {
    std::memcpy(to, from, sizeof(std::uint64_t));  // a constant size is one instruction
  } else if (ops.size != 0) {
    std::memcpy(to, from, ops.size);
  }
}

inline void destroy_value(const detail::element_ops& ops, void* value) noexcept {
  if (ops.destroy != nullptr) ops.destroy(value);
}

inline bool is_unbounded(const channel_core& c) noexcept {
  return c.capacity == detail::unbounded_capacity;
}

[[noreturn]] void throw_no_such_capacity();
/// Throws std::length_error for a capacity that cannot be had.
void make_buffer(channel_core& c);
void free_buffer(channel_core& c) noexcept;

void put_unbounded(channel_core& c, void* value);
void get_unbounded(channel_core& c, void* storage) noexcept;

inline void set_count(channel_core& c, std::size_t n) noexcept {
  c.count.store(n, std::memory_order_release);  // R1, pairs with A1: looks without the lock
}

inline bool has_room(const channel_core& c) noexcept {
  return c.count.load(std::memory_order_relaxed) < c.capacity;  // relaxed: under the lock
}

/// There is room.  Unbounded: may throw std::bad_alloc, and then nothing was moved.
inline void put(channel_core& c, void* value) {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (c.ring != nullptr) {
    const std::size_t i = c.head + n;
    move_value(c.ops, c.ring + (i < c.capacity ? i : i - c.capacity) * c.ops.size, value);
  } else if (c.ops.size != 0) {
    put_unbounded(c, value);
  }
  set_count(c, n + 1);
}

/// There is a value.
inline void get(channel_core& c, void* storage) noexcept {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (c.ring != nullptr) {
    std::byte* slot = c.ring + c.head * c.ops.size;
    if (++c.head == c.capacity) c.head = 0;
    move_value(c.ops, storage, slot);
    destroy_value(c.ops, slot);
  } else if (c.ops.size != 0) {
    get_unbounded(c, storage);
  }
  set_count(c, n - 1);
}

/// Nobody can receive any more.
void destroy_values(channel_core& c) noexcept;

}  // namespace weft::chan
