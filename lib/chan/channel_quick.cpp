// What most operations of most programs do: a routine's send or receive of a small plain value that finds
// room, a value or its counterpart at once, or waits.
//
// Each does what the operation in full (channel_core.cpp) does in that case, by the same steps, and hands
// over to it in all others.  The first half calls nothing, so it saves no registers.  A channel operation was
// 200 instructions and two read-modify-writes; here it is 60 and none, or one for the claim of a counterpart,
// if the lock is reserved for the worker.
//
// Not in a simulated run: there it would leave out the steps.

#include "chan/channel_quick.hpp"

namespace weft::detail {

using namespace core;
using namespace chan;

namespace {

/// Not one that may be cancelled, or wants a longer look.
[[gnu::always_inline]] inline bool is_quick(const channel_core& c, const waiter& w) noexcept {
  return !os::may_be_simulated() && is_plainly_live(w) && c.is_plain;
}

// How the lock is held, known at compile time: what needs no read-modify-write shall not ask either.

struct by_seat {
  static constexpr auto kept = lock_held::by_seat;

  static void unlock(channel_core& c, const waiter& w) noexcept { c.lock.leave(&worker_of(w).seat); }
};

struct by_word {
  static constexpr auto kept = lock_held::by_word;

  static void unlock(channel_core& c, const waiter&) noexcept { c.lock.unlock(nullptr, false); }
};

/// It is over at once, and still inside the lock.
template <typename Held>
[[gnu::always_inline]] inline bool ends_at_once(channel_wait& op, const waiter& w) noexcept {
  Held::unlock(*op.channel, w);
  op.waited = false;
  op.how = wait_end::done;
  return --w.worker->ready > 0;
}

/// Still inside the lock: park() is next, and nothing comes in between.
template <typename Held>
[[gnu::always_inline]] inline bool has_to_wait(channel_wait& op) noexcept {
  op.inside = Held::kept;
  return false;
}

template <typename Held>
[[gnu::noinline]] bool give_to_receiver(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  wait_node* const n = is_open(c) ? claim_routine(c, c.receivers) : nullptr;
  if (n == nullptr) {
    Held::unlock(c, w);
    return send_ready_in_full(op, w);
  }
  waiter& party = owner_of(*n);
  auto& other = *static_cast<channel_wait*>(n->op);
  copy_plain(c, other.value, op.value);
  other.how = wait_end::done;
  const bool goes_on = ends_at_once<Held>(op, w);
  wake_next(party, w);
  return goes_on;
}

template <typename Held>
[[gnu::noinline]] bool take_from_sender(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  // From a full buffer the oldest value comes first, and the sender's goes in.
  const bool meets = c.count.load(std::memory_order_relaxed) == 0 && !c.no_receivers;  // relaxed: in the lock
  wait_node* const n = meets ? claim_routine(c, c.senders) : nullptr;
  note_senders(c);
  if (n == nullptr) {
    Held::unlock(c, w);
    return recv_ready_in_full(op, w);
  }
  waiter& party = owner_of(*n);
  auto& other = *static_cast<channel_wait*>(n->op);
  copy_plain(c, op.value, other.value);
  other.how = wait_end::done;
  const bool goes_on = ends_at_once<Held>(op, w);
  wake_next(party, w);
  return goes_on;
}

template <typename Held>
[[gnu::always_inline]] inline bool send_inside(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  if (c.receivers.first != nullptr) return give_to_receiver<Held>(op, w);
  if (is_open(c)) [[likely]] {
    if (std::byte* const slot = next_room(c)) [[likely]] {
      copy_plain(c, slot, op.value);
      set_count(c, c.count.load(std::memory_order_relaxed) + 1);  // relaxed: under the lock
      return ends_at_once<Held>(op, w);
    }
    if (!is_unbounded(c)) return has_to_wait<Held>(op);
  }
  Held::unlock(c, w);
  return send_ready_in_full(op, w);
}

template <typename Held>
[[gnu::always_inline]] inline bool recv_inside(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  if (c.senders.first != nullptr) return take_from_sender<Held>(op, w);
  if (!c.no_receivers) [[likely]] {
    if (take_value(c, op.value)) [[likely]]
      return ends_at_once<Held>(op, w);
    if (c.count.load(std::memory_order_relaxed) == 0 && is_open(c))  // relaxed: under the lock
      return has_to_wait<Held>(op);
  }
  Held::unlock(c, w);
  return recv_ready_in_full(op, w);
}

[[gnu::noinline]] bool send_by_word(channel_wait& op, waiter& w) noexcept {
  return op.channel->lock.lock(&worker_of(w).seat) ? send_inside<by_seat>(op, w)
                                                   : send_inside<by_word>(op, w);
}

[[gnu::noinline]] bool recv_by_word(channel_wait& op, waiter& w) noexcept {
  return op.channel->lock.lock(&worker_of(w).seat) ? recv_inside<by_seat>(op, w)
                                                   : recv_inside<by_word>(op, w);
}

/// In the lock, with nothing to be had: waits.  False: cancelled meanwhile.
template <typename Held>
[[gnu::always_inline]] inline bool wait_inside(channel_wait& op, waiter& w, wait_queue& q,
                                               bool is_send) noexcept {
  channel_core& c = *op.channel;
  os::seat* const me = &worker_of(w).seat;
  op.inside = lock_held::no;
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
  c.lock.unlock(me, Held::kept == lock_held::by_seat);  // from here on the routine may run elsewhere
  return goes_on;
}

}  // namespace

bool send_ready(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  if (!is_quick(c, w)) [[unlikely]]
    return send_ready_in_full(op, w);
  if (!c.lock.enter(&worker_of(w).seat)) [[unlikely]]
    return send_by_word(op, w);
  return send_inside<by_seat>(op, w);
}

bool recv_ready(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  if (!is_quick(c, w)) [[unlikely]]
    return recv_ready_in_full(op, w);
  if (!c.lock.enter(&worker_of(w).seat)) [[unlikely]]
    return recv_by_word(op, w);
  return recv_inside<by_seat>(op, w);
}

bool send_park(channel_wait& op, waiter& w) noexcept {
  switch (op.inside) {
    [[likely]] case lock_held::by_seat : return wait_inside<by_seat>(op, w, op.channel->senders, true);
    case lock_held::by_word:
      return wait_inside<by_word>(op, w, op.channel->senders, true);
    default:
      return send_park_in_full(op, w);
  }
}

bool recv_park(channel_wait& op, waiter& w) noexcept {
  switch (op.inside) {
    [[likely]] case lock_held::by_seat : return wait_inside<by_seat>(op, w, op.channel->receivers, false);
    case lock_held::by_word:
      return wait_inside<by_word>(op, w, op.channel->receivers, false);
    default:
      return recv_park_in_full(op, w);
  }
}

}  // namespace weft::detail
