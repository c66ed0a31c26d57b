#include "chan/channel_core.hpp"

#include <weft/channel.hpp>

#include <utility>

#include "base/fatal.hpp"
#include "chan/channel_buffer.hpp"
#include "core/context.hpp"
#include "core/park.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/current.hpp"

namespace weft::chan {

using namespace core;
using detail::wait_end;
using detail::wait_queue;

namespace {

constexpr std::uint64_t one_sender = std::uint64_t{1} << 32, one_receiver = 1;

void free_core(channel_core& c) noexcept {
  destroy_values(c);
  free_buffer(c);
  delete &c;
}

/// Under the lock.  The first waiter that can still be had; its value is not moved yet.
bool claim_first(channel_core& c, wait_queue& q, handover& after) noexcept {
  while (wait_node* n = q.first) {
    remove(q, *n);
    waiter& w = owner_of(*n);
    const claimed how = word_of(w).claim(n->index);
    if (how == claimed::lost) continue;  // its owner will come for the lock: it stays counted as inside
    --c.inside;
    after = {static_cast<channel_wait*>(n->op), &w, how};
    return true;
  }
  return false;
}

/// Everybody who waits goes: senders with their values.
void end_waits(channel_core& c, winners& won) noexcept {
  for (wait_queue* q : {&c.senders, &c.receivers}) {
    handover h;
    while (claim_first(c, *q, h)) {
      h.other->how = wait_end::closed;
      won.add(*h.party, h.how);
    }
  }
  note_senders(c);
}

void close_locked(channel_core& c, winners& won) noexcept {
  shut(c, channel_core::closed);
  end_waits(c, won);
}

/// Nobody can receive any more: the buffer's values are destroyed outside the lock, which this gives up.
void discard_buffer(channel_core& c, holding& hold) noexcept {
  ++c.inside;  // keeps the channel meanwhile; no send comes in any more
  hold.let_go();
  destroy_values(c);
  hold.lock();
  --c.inside;
  hold.unlock_and_free();
}

}  // namespace

wait_end send_locked(channel_core& c, void* value, handover& after) {
  if (shut_by(c) != 0) return wait_end::closed;
  if (c.receivers.first != nullptr && claim_first(c, c.receivers, after)) return wait_end::done;
  if (!has_room(c)) return wait_end::pending;
  put(c, value);
  return wait_end::done;
}

wait_end recv_locked(channel_core& c, void* storage, handover& after) noexcept {
  // Through a handle that is gone.  What is buffered belongs to who dropped the last.
  if ((shut_by(c) & channel_core::no_receivers) != 0) return wait_end::closed;
  if (c.count.load(std::memory_order_relaxed) != 0) {  // relaxed: under the lock
    get(c, storage);
    if (c.senders.first != nullptr) {
      handover next;
      if (claim_first(c, c.senders, next)) {
        put(c, next.other->value);  // there is room now, and only a bounded channel has waiting senders
        next.other->how = wait_end::done;
        after = {nullptr, next.party, next.how};
      }
      note_senders(c);
    }
    return wait_end::done;
  }
  if (c.senders.first != nullptr) {
    const bool got = claim_first(c, c.senders, after);
    note_senders(c);
    if (got) return wait_end::done;
  }
  return shut_by(c) != 0 ? wait_end::closed : wait_end::pending;
}

void complete_send(const detail::element_ops& ops, void* value, const handover& after) noexcept {
  if (after.party == nullptr) return;
  move_value(ops, after.other->value, value);
  after.other->how = wait_end::done;
  deliver(*after.party, after.how);
}

void complete_recv(const detail::element_ops& ops, void* storage, const handover& after) noexcept {
  if (after.party == nullptr) return;
  if (after.other != nullptr) {
    move_value(ops, storage, after.other->value);
    after.other->how = wait_end::done;
  }
  deliver(*after.party, after.how);
}

void enqueue(channel_core& c, wait_node& n) noexcept {
  ++c.inside;
  append(n.is_send ? c.senders : c.receivers, n);
  if (n.is_send) note_senders(c);
}

void leave(channel_core& c, wait_node& n) noexcept {
  --c.inside;
  if (!n.linked) return;
  remove(n.is_send ? c.senders : c.receivers, n);
  if (n.is_send) note_senders(c);
}

void holding::unlock_and_free() noexcept {
  channel_core& c = *channel_;
  const bool last = c.inside == 0 && c.ends.load(std::memory_order_acquire) == 0;  // A4, pairs with R4
  unlock();
  if (last) free_core(c);
}

wait_end try_send_now(channel_core& c, void* value, os::seat* me) {
  os::step();
  holding hold(c, me);
  handover after;
  const wait_end how = send_locked(c, value, after);
  hold.unlock();
  if (after.party != nullptr) complete_send(c.ops, value, after);
  return how;
}

wait_end try_recv_now(channel_core& c, void* storage, os::seat* me) noexcept {
  os::step();
  holding hold(c, me);
  handover after;
  const wait_end how = recv_locked(c, storage, after);
  hold.unlock();
  if (after.party != nullptr) complete_recv(c.ops, storage, after);
  return how;
}

}  // namespace weft::chan

namespace weft::detail {

using namespace core;
using namespace chan;

namespace {

channel_core* make_core(const element_ops& ops, std::size_t capacity) {
  os::may_fail();
  auto* c = new channel_core(ops, capacity);
  try {
    make_buffer(*c);
  } catch (...) {
    delete c;
    throw;
  }
  return c;
}

}  // namespace

channel_core* make_channel_core(const element_ops& ops, std::size_t capacity) {
  if (capacity == unbounded_capacity) chan::throw_no_such_capacity();
  return make_core(ops, capacity);
}

channel_core* make_unbounded_core(const element_ops& ops) {
  return make_core(ops, unbounded_capacity);
}

void hold_channel(channel_core& c, std::uint32_t senders, std::uint32_t receivers) noexcept {
  c.ends.fetch_add(senders * one_sender + receivers * one_receiver,
                   std::memory_order_relaxed);  // relaxed: has one
}

void drop_channel(channel_core& c, std::uint32_t senders, std::uint32_t receivers) noexcept {
  const std::uint64_t gone = senders * one_sender + receivers * one_receiver;
  // While others hold both ends nothing changes for the channel, and it must not be touched afterwards.
  std::uint64_t seen = c.ends.load(std::memory_order_relaxed);  // relaxed: the CAS decides
  while ((senders == 0 || (seen >> 32) > senders) && (receivers == 0 || (seen & 0xffffffff) > receivers)) {
    const bool gave = c.ends.compare_exchange_weak(seen, seen - gone, std::memory_order_acq_rel);  // R4, A4
    if (gave) return;
  }
  os::step();
  winners won;
  holding hold(c, sched::current_seat());
  const std::uint64_t left = c.ends.fetch_sub(gone, std::memory_order_acq_rel) - gone;  // R4, pairs with A4
  const bool no_senders = (left >> 32) == 0;
  // Once: while the buffer is discarded, without the lock, the last sender may go - it may be in the buffer.
  const bool last_receiver = (left & 0xffffffff) == 0 && (shut_by(c) & channel_core::no_receivers) == 0;
  if (last_receiver) {
    shut(c, channel_core::no_receivers);
    end_waits(c, won);  // receivers too: they borrowed the handle, and nothing can come any more
  }
  if (no_senders && (shut_by(c) & channel_core::closed) == 0) close_locked(c, won);
  if (last_receiver && (left != 0 || c.inside != 0)) {
    discard_buffer(c, hold);  // unlocks
  } else {
    hold.unlock_and_free();
  }
  won.deliver_all();
}

void pin_channel(channel_core& c) noexcept {
  const holding hold(c, sched::current_seat());
  ++c.inside;
}

void unpin_channel(channel_core& c) noexcept {
  holding hold(c, sched::current_seat());
  --c.inside;
  hold.unlock_and_free();
}

void misuse_empty_channel() noexcept {
  base::misuse("a channel handle is used that was moved from; copy it instead, or use the new one");
}

// --- waiting ---

namespace {

/// Begins an operation, which may be awaited again.  False: it is over, cancelled.
bool begins(channel_wait& op, const waiter& w) noexcept {
  os::step();
  op.waited = false;
  op.how = is_cancelled_untried(w) ? wait_end::cancelled : wait_end::pending;
  return op.how == wait_end::pending;
}

}  // namespace

bool send_ready_in_full(channel_wait& op, waiter& w) noexcept {
  if (!begins(op, w)) return true;
  channel_core& c = *op.channel;
  // Full: no need for the lock, park() looks again.
  if (c.ring != nullptr && c.count.load(std::memory_order_relaxed) >= c.capacity &&  // relaxed: a hint
      (shut_by(c) & channel_core::closed) == 0) {
    return false;
  }
  try {
    op.how = chan::try_send_now(c, op.value, seat_of(w));
  } catch (...) {
    op.how = wait_end::out_of_memory;
    return true;
  }
  return op.how != wait_end::pending && may_go_on(w);
}

bool recv_ready_in_full(channel_wait& op, waiter& w) noexcept {
  if (!begins(op, w)) return true;
  channel_core& c = *op.channel;
  if (c.count.load(std::memory_order_relaxed) == 0 &&                  // relaxed: a hint
      c.waiting_senders.load(std::memory_order_relaxed) == nullptr &&  // relaxed: a hint
      (shut_by(c) & channel_core::closed) == 0) {
    return false;
  }
  op.how = chan::try_recv_now(c, op.value, seat_of(w));
  return op.how != wait_end::pending && may_go_on(w);
}

namespace {

/// Under the lock; true: queued.
bool park_locked(channel_wait& op, waiter& w, bool is_send, std::int64_t deadline,
                 sched::timer_cell** timer) noexcept {
  op.waited = true;
  channel_core& c = *op.channel;
  const wait_reason why = is_send ? wait_reason::send : wait_reason::recv;
  if (timer == nullptr || deadline == no_deadline || w.kind() == waiter_kind::thread) {
    if (!begin_waiting(w, why, &op)) {
      op.how = wait_end::cancelled;
      return false;
    }
    w.node.is_send = is_send;
    enqueue(c, w.node);
    return true;
  }
  // The lock is held over the commit: who moves data cannot come in between (protocols.md A4).
  begin(w, state::preparing, why, &op);
  w.node.is_send = is_send;
  enqueue(c, w.node);
  if (!wait_timer::arm(*timer, w, deadline)) {
    op.how = wait_end::out_of_memory;
    word_of(w).claim(by_self);
    leave(c, w.node);
    return false;
  }
  return core::commit(w);
}

bool park_op(channel_wait& op, waiter& w, bool is_send, std::int64_t deadline,
             sched::timer_cell** timer) noexcept {
  if (op.how != wait_end::pending) return park_done(w);
  channel_core& c = *op.channel;
  holding hold(c, seat_of(w));
  handover after;
  wait_end how = wait_end::pending;
  try {
    how = is_send ? send_locked(c, op.value, after) : recv_locked(c, op.value, after);
  } catch (...) {
    how = wait_end::out_of_memory;
  }
  if (how == wait_end::pending) {
    return park_locked(op, w, is_send, deadline, timer);
  }
  op.how = how;
  const element_ops ops = c.ops;
  hold.unlock_and_free();
  if (how == wait_end::done && after.party != nullptr) {
    is_send ? complete_send(ops, op.value, after) : complete_recv(ops, op.value, after);
  }
  return false;
}

/// ready() has left the lock to a park() that takes it itself.
void come_out(channel_wait& op, const waiter& w) noexcept {
  const auto held = std::exchange(op.inside, lock_held::no);
  if (held == lock_held::no) return;
  op.waited = false;
  op.how = wait_end::pending;
  if (held == lock_held::by_seat) {
    worker_of(w).seat.leave_alone();
  } else {
    op.channel->lock.unlock(nullptr, false);
  }
}

}  // namespace

bool send_park_in_full(channel_wait& op, waiter& w) noexcept {
  return park_op(op, w, true, no_deadline, nullptr);
}

bool recv_park_in_full(channel_wait& op, waiter& w) noexcept {
  return park_op(op, w, false, no_deadline, nullptr);
}

bool send_park_timed(timed_channel_wait& op, waiter& w) noexcept {
  come_out(op, w);
  return park_op(op, w, true, op.deadline, &op.timer);
}

bool recv_park_timed(timed_channel_wait& op, waiter& w) noexcept {
  come_out(op, w);
  return park_op(op, w, false, op.deadline, &op.timer);
}

namespace {

[[gnu::noinline]] void withdraw(channel_wait& op, waiter& w) noexcept {
  const std::uint16_t winner = word_of(w).winner();
  channel_core& c = *op.channel;
  holding hold(c, seat_of(w));
  leave(c, w.node);
  hold.unlock_and_free();
  op.how = winner == by_timeout ? wait_end::timed_out : wait_end::cancelled;
  word_of(w).end();
}

}  // namespace

void channel_settle(channel_wait& op, waiter& w) noexcept {
  if (op.how == wait_end::pending) [[unlikely]]  // not by a counterpart, which writes how it ended
    return withdraw(op, w);
  word_of(w).end();
}

void channel_settle_timed(timed_channel_wait& op, waiter& w) noexcept {
  wait_timer::disarm(op.timer);
  channel_settle(op, w);
}

// --- not waiting ---

wait_end try_send_now(channel_core& c, void* value) {
  return chan::try_send_now(c, value, sched::current_seat());
}

wait_end try_recv_now(channel_core& c, void* storage) noexcept {
  return chan::try_recv_now(c, storage, sched::current_seat());
}

bool close_channel(channel_core& c) noexcept {
  os::step();
  winners won;
  {
    const holding hold(c, sched::current_seat());
    if ((shut_by(c) & channel_core::closed) != 0) return false;
    close_locked(c, won);
  }
  won.deliver_all();
  return true;
}

bool channel_closed(const channel_core& c) noexcept {
  os::step();
  return (c.shut.load(std::memory_order_acquire) & channel_core::closed) != 0;  // A3, pairs with R3
}

std::size_t channel_size(const channel_core& c) noexcept {
  os::step();
  return c.count.load(std::memory_order_acquire);  // A1, pairs with R1
}

std::size_t channel_capacity(const channel_core& c) noexcept {
  return c.capacity;
}

}  // namespace weft::detail
