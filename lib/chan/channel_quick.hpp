#pragma once

// What channel_quick.cpp and the cases of select share: the steps of an operation on small plain values, in a
// lock that was entered by the worker's seat.

#include <cstring>

#include "chan/channel_buffer.hpp"
#include "chan/channel_core.hpp"
#include "core/park.hpp"

namespace weft::chan {

using namespace core;

/// Copies without a call; the three sizes that are plain.
[[gnu::always_inline]] inline void copy_plain(const channel_core& c, void* to, const void* from) noexcept {
  if (c.ops.size == 8) [[likely]] {
    std::memcpy(to, from, 8);
  } else if (c.ops.size == 4) {
    std::memcpy(to, from, 4);
  } else {
    std::memcpy(to, from, 16);
  }
}

/// Where the next value goes; null if there is no room, or only in a new block.
[[gnu::always_inline]] inline std::byte* next_room(channel_core& c) noexcept {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (c.ring != nullptr) [[likely]] {
    if (n >= c.capacity) return nullptr;
    const std::size_t i = c.head + n;
    return c.ring + (i < c.capacity ? i : i - c.capacity) * c.ops.size;
  }
  if (c.last_block == nullptr || c.tail_index == channel_core::block::values) return nullptr;
  return slot_in(c, *c.last_block, c.tail_index++);
}

/// Takes the oldest value.  False: there is none, or its block becomes empty.
[[gnu::always_inline]] inline bool take_value(channel_core& c, void* storage) noexcept {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (n == 0) return false;
  if (c.ring != nullptr) [[likely]] {
    copy_plain(c, storage, c.ring + c.head * c.ops.size);
    if (++c.head == c.capacity) c.head = 0;
  } else {
    if (c.head + 1 == channel_core::block::values) return false;
    copy_plain(c, storage, slot_in(c, *c.first_block, c.head++));
  }
  set_count(c, n - 1);
  return true;
}

[[gnu::always_inline]] inline bool is_open(const channel_core& c) noexcept {
  return !c.no_receivers && !c.closed.load(std::memory_order_relaxed);  // relaxed: under the lock
}

/// In the lock: the first of the queue, if it is a routine and can be had; it is off the queue then.  Null:
/// the operation in full is to find out.
[[gnu::always_inline]] inline wait_node* claim_routine(channel_core& c, detail::wait_queue& q) noexcept {
  wait_node& n = *q.first;
  waiter& party = owner_of(n);
  if (party.kind() != waiter_kind::routine) return nullptr;
  remove(q, n);
  if (word_of(party).claim(n.index) != claimed::parked) return nullptr;  // it stays counted as inside
  --c.inside;
  return &n;
}

/// Runs next on this worker, if it is of its runtime.
[[gnu::always_inline]] inline void wake_next(waiter& party, const waiter& by) noexcept {
  sched::worker& here = worker_of(by);
  if (&worker_of(party).home() == &here.home()) [[likely]] {
    here.push_next(party);
  } else {
    sched::scheduler::wake(party);
  }
}

}  // namespace weft::chan
