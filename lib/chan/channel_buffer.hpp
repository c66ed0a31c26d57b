#pragma once

// The values inside a channel.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "chan/channel_core.hpp"

namespace weft::detail {

/// 64 values: one allocation in 64 sends, and a drained channel keeps at most one block.
struct channel_core::block {
  static constexpr std::size_t values = 64;
  block* next = nullptr;
};

}  // namespace weft::detail

namespace weft::chan {

inline std::size_t block_offset(const channel_core& c) noexcept {
  return (sizeof(channel_core::block) + c.ops.align - 1) & ~(c.ops.align - 1);
}

/// `Size`: the element's, where it is known at compile time.
template <std::size_t Size = 0>
std::byte* slot_in(const channel_core& c, channel_core::block& b, std::size_t i) noexcept {
  return reinterpret_cast<std::byte*>(&b) + block_offset(c) + i * (Size != 0 ? Size : c.ops.size);
}

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

inline void put_in_ring(channel_core& c, void* value) noexcept {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  const std::size_t i = c.head + n;
  move_value(c.ops, c.ring + (i < c.capacity ? i : i - c.capacity) * c.ops.size, value);
  set_count(c, n + 1);
}

inline void get_from_ring(channel_core& c, void* storage) noexcept {
  std::byte* slot = c.ring + c.head * c.ops.size;
  if (++c.head == c.capacity) c.head = 0;
  move_value(c.ops, storage, slot);
  destroy_value(c.ops, slot);
  set_count(c, c.count.load(std::memory_order_relaxed) - 1);  // relaxed: under the lock
}

/// There is room.  Unbounded: may throw std::bad_alloc, and then nothing was moved.
inline void put(channel_core& c, void* value) {
  if (c.ring != nullptr) return put_in_ring(c, value);
  if (c.ops.size != 0) put_unbounded(c, value);
  set_count(c, c.count.load(std::memory_order_relaxed) + 1);  // relaxed: under the lock
}

/// There is a value.
inline void get(channel_core& c, void* storage) noexcept {
  if (c.ring != nullptr) return get_from_ring(c, storage);
  if (c.ops.size != 0) get_unbounded(c, storage);
  set_count(c, c.count.load(std::memory_order_relaxed) - 1);  // relaxed: under the lock
}

/// Nobody can receive any more.
void destroy_values(channel_core& c) noexcept;

}  // namespace weft::chan
