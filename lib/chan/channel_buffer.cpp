// Where a channel keeps its values: nowhere (rendezvous), a ring (bounded), a list of blocks (unbounded). All
// under the channel's lock.

#include "chan/channel_buffer.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

namespace weft::detail {

/// 64 values: one allocation in 64 sends, and a drained channel keeps at most one block.
struct channel_core::block {
  static constexpr std::size_t values = 64;
  block* next = nullptr;
};

}  // namespace weft::detail

namespace weft::chan {

namespace {

using block = channel_core::block;

std::size_t stride(const channel_core& c) noexcept {
  return (c.ops.size + c.ops.align - 1) / c.ops.align * c.ops.align;
}

std::align_val_t alignment(const channel_core& c) noexcept {
  return std::align_val_t(c.ops.align > alignof(std::max_align_t) ? c.ops.align : alignof(std::max_align_t));
}

std::size_t block_offset(const channel_core& c) noexcept {
  return (sizeof(block) + c.ops.align - 1) / c.ops.align * c.ops.align;
}

std::byte* slot_in(const channel_core& c, block& b, std::size_t i) noexcept {
  return reinterpret_cast<std::byte*>(&b) + block_offset(c) + i * stride(c);
}

block* new_block(channel_core& c) {
  if (c.spare_block != nullptr) {
    block* b = c.spare_block;
    c.spare_block = nullptr;
    b->next = nullptr;
    return b;
  }
  void* memory = ::operator new(block_offset(c) + block::values * stride(c), alignment(c));
  return ::new (memory) block();
}

void free_block(channel_core& c, block* b) noexcept {
  if (b != nullptr) ::operator delete(b, alignment(c));
}

std::byte* unbounded_slot(channel_core& c) {
  if (c.last_block == nullptr || c.tail_index == block::values) {
    block* b = new_block(c);
    if (c.last_block == nullptr) {
      c.head = 0;
    }
    (c.last_block != nullptr ? c.last_block->next : c.first_block) = b;
    c.last_block = b;
    c.tail_index = 0;
  }
  return slot_in(c, *c.last_block, c.tail_index++);
}

/// The oldest value has been moved out of the first block.
void advance_head(channel_core& c) noexcept {
  if (++c.head != block::values) return;
  block* emptied = c.first_block;
  c.first_block = emptied->next;
  if (c.first_block == nullptr) c.last_block = nullptr;
  c.head = 0;
  if (c.spare_block == nullptr) {
    c.spare_block = emptied;
  } else {
    free_block(c, emptied);
  }
}

bool is_unbounded(const channel_core& c) noexcept {
  return c.capacity == detail::unbounded_capacity;
}

void set_count(channel_core& c, std::size_t n) noexcept {
  c.count.store(n, std::memory_order_release);  // R1, pairs with A1: looks without the lock
}

}  // namespace

void move_value(const detail::element_ops& ops, void* to, void* from) noexcept {
  if (ops.move != nullptr) {
    ops.move(to, from);
  } else if (ops.size == sizeof(std::uint64_t)) {
    std::memcpy(to, from, sizeof(std::uint64_t));  // a constant size is one instruction
  } else if (ops.size != 0) {
    std::memcpy(to, from, ops.size);
  }
}

void destroy_value(const detail::element_ops& ops, void* value) noexcept {
  if (ops.destroy != nullptr) ops.destroy(value);
}

void make_buffer(channel_core& c) {
  if (is_unbounded(c) || c.capacity == 0 || c.ops.size == 0) return;
  if (c.capacity > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / stride(c)) {
    throw std::length_error("weft: a channel of this capacity cannot be had");
  }
  c.ring = static_cast<std::byte*>(::operator new(c.capacity* stride(c), alignment(c), std::nothrow));
  if (c.ring == nullptr) throw std::length_error("weft: there is no memory for a channel of this capacity");
}

void free_buffer(channel_core& c) noexcept {
  if (c.ring != nullptr) ::operator delete(c.ring, alignment(c));
  while (block* b = c.first_block) {
    c.first_block = b->next;
    free_block(c, b);
  }
  free_block(c, c.spare_block);
}

bool has_room(const channel_core& c) noexcept {
  return c.count.load(std::memory_order_relaxed) < c.capacity;  // relaxed: under the lock
}

void put(channel_core& c, void* value) {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (c.ops.size != 0) {
    std::byte* slot;
    if (is_unbounded(c)) {
      slot = unbounded_slot(c);
    } else {
      const std::size_t i = c.head + n;
      slot = c.ring + (i < c.capacity ? i : i - c.capacity) * stride(c);
    }
    move_value(c.ops, slot, value);
  }
  set_count(c, n + 1);
}

void get(channel_core& c, void* storage) noexcept {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (c.ops.size != 0) {
    std::byte* slot = is_unbounded(c) ? slot_in(c, *c.first_block, c.head) : c.ring + c.head * stride(c);
    move_value(c.ops, storage, slot);
    destroy_value(c.ops, slot);
    if (is_unbounded(c)) {
      advance_head(c);
    } else if (++c.head == c.capacity) {
      c.head = 0;
    }
  }
  set_count(c, n - 1);
}

void destroy_values(channel_core& c) noexcept {
  while (c.count.load(std::memory_order_relaxed) != 0) {  // relaxed: nobody else is left
    if (c.ops.size != 0) {
      std::byte* slot = is_unbounded(c) ? slot_in(c, *c.first_block, c.head) : c.ring + c.head * stride(c);
      if (c.undelivered != nullptr) c.undelivered(c, slot);
      destroy_value(c.ops, slot);
      if (is_unbounded(c)) {
        advance_head(c);
      } else if (++c.head == c.capacity) {
        c.head = 0;
      }
    }
    set_count(c, c.count.load(std::memory_order_relaxed) - 1);  // relaxed: nobody else is left
  }
}

}  // namespace weft::chan
