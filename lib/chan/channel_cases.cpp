// Channels as cases of select.  The node's op is the case's channel_wait.

#include <weft/detail/channel_core.hpp>
#include <weft/detail/select_case.hpp>

#include "chan/channel_core.hpp"
#include "chan/channel_quick.hpp"
#include "core/park.hpp"

namespace weft::detail {

using namespace chan;

namespace {

channel_wait& wait_of(select_case& c) noexcept {
  return *static_cast<channel_wait*>(c.node.op);
}

std::uint64_t channel_of(const select_case& c) noexcept {
  return reinterpret_cast<std::uintptr_t>(static_cast<const channel_wait*>(c.node.op)->channel);
}

bool poll_send(select_case& c, waiter& w) {
  channel_wait& op = wait_of(c);
  op.how = chan::try_send_now(*op.channel, op.value, core::seat_of(w));
  return op.how != wait_end::pending;
}

bool poll_recv(select_case& c, waiter& w) {
  channel_wait& op = wait_of(c);
  op.how = chan::try_recv_now(*op.channel, op.value, core::seat_of(w));
  return op.how != wait_end::pending;
}

case_lock lock_of(select_case& c) noexcept {
  return &wait_of(c).channel->lock;
}

void keep(select_case& c, const handover& after) noexcept {
  c.spare[0] = after.other;
  c.spare[1] = after.party;
  c.node.slot = static_cast<std::uint8_t>(after.how);
}

handover kept(select_case& c) noexcept {
  return {static_cast<channel_wait*>(c.spare[0]), static_cast<waiter*>(c.spare[1]),
          static_cast<core::claimed>(c.node.slot)};
}

bool poll_send_locked(select_case& c) {
  channel_wait& op = wait_of(c);
  handover after;
  op.how = send_locked(*op.channel, op.value, after);
  keep(c, after);
  return op.how != wait_end::pending;
}

bool poll_recv_locked(select_case& c) {
  channel_wait& op = wait_of(c);
  handover after;
  op.how = recv_locked(*op.channel, op.value, after);
  keep(c, after);
  return op.how != wait_end::pending;
}

void send_unlocked(select_case& c) noexcept {
  channel_wait& op = wait_of(c);
  complete_send(op.channel->ops, op.value, kept(c));
}

void recv_unlocked(select_case& c) noexcept {
  channel_wait& op = wait_of(c);
  complete_recv(op.channel->ops, op.value, kept(c));
}

template <bool IsSend>
bool enroll_case(select_case& c) noexcept {
  wait_of(c).how = wait_end::pending;
  c.node.is_send = IsSend;
  enqueue(*wait_of(c).channel, c.node);
  return true;
}

void withdraw_case(select_case& c, bool won) noexcept {
  if (won) return;  // the counterpart has taken the node off
  channel_core& ch = *wait_of(c).channel;
  holding hold(ch, core::seat_of(*c.node.owner));
  leave(ch, c.node);
  hold.unlock_and_free();
}

// --- looks inside the locks ---

/// It has happened, inside of this lock and `others`.
inside_look ends(channel_wait& op, os::seat& me, unsigned others) noexcept {
  op.how = wait_end::done;
  for (unsigned i = 0; i <= others; ++i) me.leave();
  return inside_look::happened;
}

inside_look does_not_know(os::seat& me) noexcept {
  me.leave();
  return inside_look::unknown;
}

[[gnu::noinline]] inside_look give_to_receiver(channel_wait& op, waiter& w, unsigned others) noexcept {
  os::seat& me = core::worker_of(w).seat;
  channel_core& c = *op.channel;
  const counterpart found = claim_routine(c, c.receivers);
  if (found.party == nullptr) return does_not_know(me);
  copy_plain<0>(c, found.op->value, op.value);
  found.op->how = wait_end::done;
  ends(op, me, others);
  static_cast<void>(wake_next(*found.party, core::worker_of(w)));
  return inside_look::happened;
}

[[gnu::noinline]] inside_look take_from_sender(channel_wait& op, waiter& w, unsigned others) noexcept {
  os::seat& me = core::worker_of(w).seat;
  channel_core& c = *op.channel;
  const counterpart found = claim_routine(c, c.senders);
  note_senders(c);
  if (found.party == nullptr) return does_not_know(me);
  copy_plain<0>(c, op.value, found.op->value);
  found.op->how = wait_end::done;
  ends(op, me, others);
  static_cast<void>(wake_next(*found.party, core::worker_of(w)));
  return inside_look::happened;
}

inside_look look_to_send(select_case& c, waiter& w, unsigned others) noexcept {
  channel_wait& op = wait_of(c);
  channel_core& ch = *op.channel;
  os::seat& me = core::worker_of(w).seat;
  if (!ch.lock.enter(&me)) return inside_look::unknown;
  if (!is_open(ch)) return does_not_know(me);
  if (ch.receivers.first != nullptr) {
    return ch.is_plain ? give_to_receiver(op, w, others) : does_not_know(me);
  }
  if (!has_room(ch)) return inside_look::idle;
  const std::size_t n = ch.count.load(std::memory_order_relaxed);  // relaxed: under the lock
  std::byte* const slot = ch.is_plain ? next_room<0>(ch, n) : nullptr;
  if (slot == nullptr) return does_not_know(me);
  copy_plain<0>(ch, slot, op.value);
  set_count(ch, n + 1);
  return ends(op, me, others);
}

inside_look look_to_recv(select_case& c, waiter& w, unsigned others) noexcept {
  channel_wait& op = wait_of(c);
  channel_core& ch = *op.channel;
  os::seat& me = core::worker_of(w).seat;
  if (!ch.lock.enter(&me)) return inside_look::unknown;
  const bool empty = ch.count.load(std::memory_order_relaxed) == 0;  // relaxed: under the lock
  if (ch.senders.first == nullptr) [[likely]] {
    if (empty && is_open(ch)) return inside_look::idle;
    if (ch.is_plain && has_receivers(ch) && take_value<0>(ch, op.value)) return ends(op, me, others);
  } else if (empty && ch.is_plain && has_receivers(ch)) {
    return take_from_sender(op, w, others);
  }
  return does_not_know(me);
}

}  // namespace

const case_kind send_case_kind{"send on channel", &channel_of,       cancel_class::plain, &poll_send,
                               &lock_of,          &poll_send_locked, &send_unlocked,      &enroll_case<true>,
                               &withdraw_case,    &look_to_send};
const case_kind recv_case_kind{"recv on channel", &channel_of,       cancel_class::plain, &poll_recv,
                               &lock_of,          &poll_recv_locked, &recv_unlocked,      &enroll_case<false>,
                               &withdraw_case,    &look_to_recv};

}  // namespace weft::detail
