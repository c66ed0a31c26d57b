// Where a channel keeps its values: nowhere (rendezvous), a ring (bounded), a list of blocks (unbounded). All
// under the channel's lock.

#include "chan/channel_buffer.hpp"

#include <limits>
#include <new>
#include <stdexcept>

#include "os/port.hpp"

namespace weft::chan {

namespace {

using block = channel_core::block;

std::align_val_t alignment(const channel_core& c) noexcept {
  return std::align_val_t(c.ops.align > alignof(std::max_align_t) ? c.ops.align : alignof(std::max_align_t));
}

block* new_block(channel_core& c) {
  if (c.spare_block != nullptr) {
    block* b = c.spare_block;
    c.spare_block = nullptr;
    b->next = nullptr;
    return b;
  }
  os::may_fail();
  void* memory = ::operator new(block_offset(c) + block::values * c.ops.size, alignment(c));
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

}  // namespace

void throw_no_such_capacity() {
  throw std::length_error("weft: a channel of this capacity cannot be had");
}

void make_buffer(channel_core& c) {
  if (is_unbounded(c) || c.capacity == 0 || c.ops.size == 0) return;
  if (c.capacity > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / c.ops.size) {
    throw_no_such_capacity();
  }
  c.ring = static_cast<std::byte*>(::operator new(c.capacity* c.ops.size, alignment(c), std::nothrow));
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

void put_unbounded(channel_core& c, void* value) {
  move_value(c.ops, unbounded_slot(c), value);
}

void get_unbounded(channel_core& c, void* storage) noexcept {
  std::byte* slot = slot_in(c, *c.first_block, c.head);
  move_value(c.ops, storage, slot);
  destroy_value(c.ops, slot);
  advance_head(c);
}

void destroy_values(channel_core& c) noexcept {
  while (c.count.load(std::memory_order_relaxed) != 0) {  // relaxed: nobody else is left
    if (c.ops.size != 0) {
      std::byte* slot = is_unbounded(c) ? slot_in(c, *c.first_block, c.head) : c.ring + c.head * c.ops.size;
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
