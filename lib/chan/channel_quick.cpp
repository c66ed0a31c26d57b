// What most operations of most programs do: a routine's send or receive of a small plain value, in a channel
// whose lock is reserved for its worker, that finds room, a value or its counterpart at once, or waits.
//
// Each does what the operation in full (channel_core.cpp) does in that case, by the same steps, and hands
// over to it in all others.  The first half calls nothing, so it saves no registers.  A channel operation was
// 200 instructions and two read-modify-writes; here it is 60 and none, or one for the claim of a counterpart.
//
// Not in a simulated run: there it would leave out the steps.

#include <cstring>

#include "chan/channel_buffer.hpp"
#include "chan/channel_core.hpp"
#include "core/park.hpp"

namespace weft::detail {

using namespace core;
using namespace chan;

namespace {

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

/// What the routine enters reserved locks by; null if it may be cancelled, or wants a longer look.
[[gnu::always_inline]] inline os::seat* seat_of_live(const waiter& w) noexcept {
  return !os::may_be_simulated() && is_plainly_live(w) ? &worker_of(w).seat : nullptr;
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

/// It is over at once, and still inside the lock.
[[gnu::always_inline]] inline bool ends_at_once(channel_wait& op, const waiter& w, os::seat* me) noexcept {
  op.channel->lock.leave(me);
  op.waited = false;
  op.how = wait_end::done;
  return --w.worker->ready > 0;
}

/// Still inside the lock: park() is next, and nothing comes in between.
[[gnu::always_inline]] inline bool has_to_wait(channel_wait& op) noexcept {
  op.inside = true;
  return false;
}

/// In the lock: the first of the queue, if it is a routine that waits for this alone and can be had; it is
/// off the queue then.  Null: the operation in full is to find out.
[[gnu::always_inline]] inline waiter* claim_routine(channel_core& c, wait_queue& q) noexcept {
  wait_node& n = *q.first;
  if (n.in_case) return nullptr;
  waiter& party = owner_of(n);
  if (party.kind() != waiter_kind::routine) return nullptr;
  remove(q, n);
  if (word_of(party).claim(0) != claimed::parked) return nullptr;  // it stays counted as inside
  --c.inside;
  return &party;
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

[[gnu::noinline]] bool give_to_receiver(channel_wait& op, waiter& w, os::seat* me) noexcept {
  channel_core& c = *op.channel;
  waiter* const party = is_open(c) ? claim_routine(c, c.receivers) : nullptr;
  if (party == nullptr) {
    c.lock.leave(me);
    return send_ready_in_full(op, w);
  }
  auto& other = *static_cast<channel_wait*>(party->node.op);
  copy_plain(c, other.value, op.value);
  other.how = wait_end::done;
  const bool goes_on = ends_at_once(op, w, me);
  wake_next(*party, w);
  return goes_on;
}

[[gnu::noinline]] bool take_from_sender(channel_wait& op, waiter& w, os::seat* me) noexcept {
  channel_core& c = *op.channel;
  // From a full buffer the oldest value comes first, and the sender's goes in.
  const bool meets = c.count.load(std::memory_order_relaxed) == 0 && !c.no_receivers;  // relaxed: in the lock
  waiter* const party = meets ? claim_routine(c, c.senders) : nullptr;
  note_senders(c);
  if (party == nullptr) {
    c.lock.leave(me);
    return recv_ready_in_full(op, w);
  }
  auto& other = *static_cast<channel_wait*>(party->node.op);
  copy_plain(c, op.value, other.value);
  other.how = wait_end::done;
  const bool goes_on = ends_at_once(op, w, me);
  wake_next(*party, w);
  return goes_on;
}

/// In the lock, with nothing to be had: waits.  False: cancelled meanwhile.
[[gnu::always_inline]] inline bool wait_inside(channel_wait& op, waiter& w, wait_queue& q,
                                               bool is_send) noexcept {
  channel_core& c = *op.channel;
  os::seat* const me = &worker_of(w).seat;
  op.inside = false;
  op.waited = true;
  op.how = wait_end::pending;
  const bool goes_on = begin_plain_wait(w, is_send ? wait_reason::send : wait_reason::recv, &op);
  if (goes_on) [[likely]] {
    w.node.is_send = is_send;
    ++c.inside;
    append(q, w.node);
    if (is_send) note_senders(c);
  } else {
    op.how = wait_end::cancelled;
  }
  c.lock.leave(me);  // from here on the routine may run elsewhere
  return goes_on;
}

}  // namespace

bool send_ready(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  os::seat* const me = seat_of_live(w);
  if (!c.is_plain || !c.lock.enter(me)) [[unlikely]]
    return send_ready_in_full(op, w);
  if (c.receivers.first != nullptr) return give_to_receiver(op, w, me);
  if (is_open(c)) [[likely]] {
    if (std::byte* const slot = next_room(c)) [[likely]] {
      copy_plain(c, slot, op.value);
      set_count(c, c.count.load(std::memory_order_relaxed) + 1);  // relaxed: under the lock
      return ends_at_once(op, w, me);
    }
    if (!is_unbounded(c)) return has_to_wait(op);
  }
  c.lock.leave(me);
  return send_ready_in_full(op, w);
}

bool recv_ready(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  os::seat* const me = seat_of_live(w);
  if (!c.is_plain || !c.lock.enter(me)) [[unlikely]]
    return recv_ready_in_full(op, w);
  if (c.senders.first != nullptr) return take_from_sender(op, w, me);
  if (!c.no_receivers) [[likely]] {
    if (take_value(c, op.value)) [[likely]]
      return ends_at_once(op, w, me);
    if (c.count.load(std::memory_order_relaxed) == 0 && is_open(c))  // relaxed: under the lock
      return has_to_wait(op);
  }
  c.lock.leave(me);
  return recv_ready_in_full(op, w);
}

bool send_park(channel_wait& op, waiter& w) noexcept {
  if (!op.inside) [[unlikely]]
    return send_park_in_full(op, w);
  return wait_inside(op, w, op.channel->senders, true);
}

bool recv_park(channel_wait& op, waiter& w) noexcept {
  if (!op.inside) [[unlikely]]
    return recv_park_in_full(op, w);
  return wait_inside(op, w, op.channel->receivers, false);
}

}  // namespace weft::detail
