// Channels as cases of select.  The node's op is the case's channel_wait.

#include <weft/detail/channel_core.hpp>
#include <weft/detail/select_case.hpp>

#include "chan/channel_core.hpp"
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

}  // namespace

const case_kind send_case_kind{"send on channel", &channel_of,        cancel_class::plain,
                               &poll_send,        &lock_of,           &poll_send_locked,
                               &send_unlocked,    &enroll_case<true>, &withdraw_case};
const case_kind recv_case_kind{"recv on channel", &channel_of,       cancel_class::plain, &poll_recv,
                               &lock_of,          &poll_recv_locked, &recv_unlocked,      &enroll_case<false>,
                               &withdraw_case};

}  // namespace weft::detail
