// What most operations of most programs do: a routine's send or receive of a small plain value, in a channel
// whose lock is reserved for its worker, that finds room, a value or its counterpart at once, or waits.
//
// Each does what the operation in full (channel_core.cpp) does in that case, by the same steps, and hands
// over to it in all others.  The first half calls nothing, so it saves no registers.  A channel operation was
// 200 instructions and two read-modify-writes; here it is 60 and none, or one for the claim of a counterpart.
//
// Not in a simulated run: there it would leave out the steps.

#include "chan/channel_quick.hpp"

namespace weft::detail {

using namespace core;
using namespace chan;

namespace {

/// What the routine enters reserved locks by; null if it may be cancelled, or wants a longer look.
[[gnu::always_inline]] inline os::seat* seat_of_live(const waiter& w) noexcept {
  return !os::may_be_simulated() && is_plainly_live(w) ? &worker_of(w).seat : nullptr;
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

[[gnu::noinline]] bool give_to_receiver(channel_wait& op, waiter& w, os::seat* me) noexcept {
  channel_core& c = *op.channel;
  wait_node* const n = is_open(c) ? claim_routine(c, c.receivers) : nullptr;
  if (n == nullptr) {
    c.lock.leave(me);
    return send_ready_in_full(op, w);
  }
  waiter& party = owner_of(*n);
  auto& other = *static_cast<channel_wait*>(n->op);
  copy_plain(c, other.value, op.value);
  other.how = wait_end::done;
  const bool goes_on = ends_at_once(op, w, me);
  wake_next(party, w);
  return goes_on;
}

[[gnu::noinline]] bool take_from_sender(channel_wait& op, waiter& w, os::seat* me) noexcept {
  channel_core& c = *op.channel;
  // From a full buffer the oldest value comes first, and the sender's goes in.
  const bool meets = c.count.load(std::memory_order_relaxed) == 0 && !c.no_receivers;  // relaxed: in the lock
  wait_node* const n = meets ? claim_routine(c, c.senders) : nullptr;
  note_senders(c);
  if (n == nullptr) {
    c.lock.leave(me);
    return recv_ready_in_full(op, w);
  }
  waiter& party = owner_of(*n);
  auto& other = *static_cast<channel_wait*>(n->op);
  copy_plain(c, op.value, other.value);
  other.how = wait_end::done;
  const bool goes_on = ends_at_once(op, w, me);
  wake_next(party, w);
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
