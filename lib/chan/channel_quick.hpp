#pragma once

// What channel_quick.cpp and the cases of select share: the steps of an operation on small plain values, in a
// lock that was entered by the worker's seat.

#include <cstring>

#include "chan/channel_buffer.hpp"
#include "chan/channel_core.hpp"
#include "core/park.hpp"

namespace weft::chan {

using namespace core;

// `Plain`: the element's size, or 0 where that is not known at compile time.

template <std::size_t Plain>
[[gnu::always_inline]] inline std::size_t size_in(const channel_core& c) noexcept {
  return Plain != 0 ? Plain : c.ops.size;
}

/// Copies without a call; the three sizes that are plain.
template <std::size_t Plain>
[[gnu::always_inline]] inline void copy_plain(const channel_core& c, void* to, const void* from) noexcept {
  if constexpr (Plain != 0) {
    std::memcpy(to, from, Plain);
  } else if (c.ops.size == 8) [[likely]] {
    std::memcpy(to, from, 8);
  } else if (c.ops.size == 4) {
    std::memcpy(to, from, 4);
  } else {
    std::memcpy(to, from, 16);
  }
}

/// Where the next value goes, behind `n` others; null if there is no room, or only in a new block.
template <std::size_t Plain>
[[gnu::always_inline]] inline std::byte* next_room(channel_core& c, std::size_t n) noexcept {
  if (c.ring != nullptr) [[likely]] {
    if (n >= c.capacity) return nullptr;
    const std::size_t i = c.head + n;
    return c.ring + (i < c.capacity ? i : i - c.capacity) * size_in<Plain>(c);
  }
  if (c.last_block == nullptr || c.tail_index == channel_core::block::values) return nullptr;
  return slot_in<Plain>(c, *c.last_block, c.tail_index++);
}

/// Takes the oldest value.  False: there is none, or its block becomes empty.
template <std::size_t Plain>
[[gnu::always_inline]] inline bool take_value(channel_core& c, void* storage) noexcept {
  const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (n == 0) return false;
  if (c.ring != nullptr) [[likely]] {
    copy_plain<Plain>(c, storage, c.ring + c.head * size_in<Plain>(c));
    if (++c.head == c.capacity) c.head = 0;
  } else {
    if (c.head + 1 == channel_core::block::values) return false;
    copy_plain<Plain>(c, storage, slot_in<Plain>(c, *c.first_block, c.head++));
  }
  set_count(c, n - 1);
  return true;
}

[[gnu::always_inline]] inline bool is_open(const channel_core& c) noexcept {
  return shut_by(c) == 0;
}

[[gnu::always_inline]] inline bool has_receivers(const channel_core& c) noexcept {
  return (shut_by(c) & channel_core::no_receivers) == 0;
}

struct counterpart {
  waiter* party;  // null: there is none
  channel_wait* op;
};

/// In the lock: claims the first of the queue, if it is a routine of the workers and just waits; it is off
/// the queue then. None: the operation in full is to find out.
[[gnu::always_inline]] inline counterpart claim_routine(channel_core& c, detail::wait_queue& q) noexcept {
  wait_node& n = *q.first;
  waiter& party = owner_of(n);
  if (!party.is_on_workers() || !word_of(party).claim_plain(n.index)) return {};
  remove_first(q);
  --c.inside;
  return {&party, static_cast<channel_wait*>(n.op)};
}

/// True: the caller goes on, its ready operations are not used up.
[[gnu::noinline]] bool wake_slowly(waiter& party, sched::worker& here) noexcept;

/// `party` runs next on this worker, if it is of its runtime.  Last of all, so that it is a jump.
[[gnu::always_inline]] inline bool wake_next(waiter& party, sched::worker& here) noexcept {
  if (&worker_of(party).home() != &here.home() || !here.push_next_quickly(party)) [[unlikely]]
    return wake_slowly(party, here);
  return here.ready > 0;
}

}  // namespace weft::chan
