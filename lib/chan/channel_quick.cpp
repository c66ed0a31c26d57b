// What most operations of most programs do: a routine's send or receive of a small plain value that finds
// room, a value or its counterpart at once, or waits.
//
// Each does what the operation in full (channel_core.cpp) does in that case, by the same steps, and hands
// over to it in all others.  The first half calls nothing, so it saves no registers.  A channel operation was
// 200 instructions and two read-modify-writes; here it is 60 and none, or one for the claim of a counterpart,
// if the lock is reserved for the worker.
//
// Not in a simulated run, where it would leave out the steps, nor once the runtime stops: then the worker has
// no quick_seat() for which anything could be reserved, so that nobody asks.

#include "chan/channel_quick.hpp"

namespace weft::detail {

using namespace core;
using namespace chan;

namespace {

// How the lock is held, known at compile time: what needs no read-modify-write shall not ask either.  By the
// seat: nothing else is entered meanwhile, so it is entered alone.

struct by_seat {
  static constexpr auto kept = lock_held::by_seat;

  static void unlock(channel_core&, const sched::worker& here) noexcept { here.seat.leave_alone(); }
};

struct by_word {
  static constexpr auto kept = lock_held::by_word;

  static void unlock(channel_core& c, const sched::worker&) noexcept { c.lock.unlock(nullptr, false); }
};

/// It is over at once, and still inside the lock.  Gives how many may still be so until it must yield.
template <typename Held>
[[gnu::always_inline]] inline std::int32_t ends_at_once(channel_wait& op, sched::worker& here) noexcept {
  Held::unlock(*op.channel, here);
  op.waited = false;
  op.how = wait_end::done;
  return --here.ready;
}

/// Still inside the lock: park() is next, and nothing comes in between.
template <typename Held>
[[gnu::always_inline]] inline bool has_to_wait(channel_wait& op) noexcept {
  op.inside = Held::kept;
  return false;
}

template <std::size_t Plain, typename Held>
[[gnu::noinline]] bool give_to_receiver(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  sched::worker& here = worker_of(w);
  const counterpart found = is_open(c) ? claim_routine(c, c.receivers) : counterpart{};
  if (found.party == nullptr) {
    Held::unlock(c, here);
    return send_ready_in_full(op, w);
  }
  copy_plain<Plain>(c, found.op->value, op.value);
  found.op->how = wait_end::done;
  static_cast<void>(ends_at_once<Held>(op, here));
  return wake_next(*found.party, here);
}

template <std::size_t Plain, typename Held>
[[gnu::noinline]] bool take_from_sender(channel_wait& op, waiter& w) noexcept {
  channel_core& c = *op.channel;
  sched::worker& here = worker_of(w);
  // From a full buffer the oldest value comes first, and the sender's goes in.
  const bool meets =
      c.count.load(std::memory_order_relaxed) == 0 && has_receivers(c);  // relaxed: in the lock
  const counterpart found = meets ? claim_routine(c, c.senders) : counterpart{};
  note_senders(c);
  if (found.party == nullptr) {
    Held::unlock(c, here);
    return recv_ready_in_full(op, w);
  }
  copy_plain<Plain>(c, op.value, found.op->value);
  found.op->how = wait_end::done;
  static_cast<void>(ends_at_once<Held>(op, here));
  return wake_next(*found.party, here);
}

template <std::size_t Plain, typename Held>
[[gnu::always_inline]] inline bool send_inside(channel_core& c, channel_wait& op, waiter& w,
                                               sched::worker& here) noexcept {
  if (c.receivers.first != nullptr) return give_to_receiver<Plain, Held>(op, w);
  if (is_open(c)) [[likely]] {
    const std::size_t n = c.count.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (std::byte* const slot = next_room<Plain>(c, n)) [[likely]] {
      copy_plain<Plain>(c, slot, op.value);
      set_count(c, n + 1);
      return ends_at_once<Held>(op, here) > 0;
    }
    if (!is_unbounded(c)) return has_to_wait<Held>(op);
  }
  Held::unlock(c, here);
  return send_ready_in_full(op, w);
}

template <std::size_t Plain, typename Held>
[[gnu::always_inline]] inline bool recv_inside(channel_core& c, channel_wait& op, waiter& w,
                                               sched::worker& here) noexcept {
  if (c.senders.first != nullptr) return take_from_sender<Plain, Held>(op, w);
  if (has_receivers(c)) [[likely]] {
    if (take_value<Plain>(c, op.value)) [[likely]]
      return ends_at_once<Held>(op, here) > 0;
    if (c.count.load(std::memory_order_relaxed) == 0 && is_open(c))  // relaxed: under the lock
      return has_to_wait<Held>(op);
  }
  Held::unlock(c, here);
  return recv_ready_in_full(op, w);
}

// The lock is not reserved for this worker, or the worker may not be quick.

template <std::size_t Plain>
[[gnu::noinline]] bool send_by_word(channel_wait& op, waiter& w) noexcept {
  sched::worker& here = worker_of(w);
  if (!here.may_be_quick()) return send_ready_in_full(op, w);
  op.channel->lock.lock_by_word(here.seat);
  return send_inside<Plain, by_word>(*op.channel, op, w, here);
}

template <std::size_t Plain>
[[gnu::noinline]] bool recv_by_word(channel_wait& op, waiter& w) noexcept {
  sched::worker& here = worker_of(w);
  if (!here.may_be_quick()) return recv_ready_in_full(op, w);
  op.channel->lock.lock_by_word(here.seat);
  return recv_inside<Plain, by_word>(*op.channel, op, w, here);
}

/// In the lock, with nothing to be had.
template <typename Held>
[[gnu::always_inline]] inline bool join_queue(channel_wait& op, waiter& w, bool is_send,
                                              const sched::worker& here) noexcept {
  channel_core& c = *op.channel;
  w.node.is_send = is_send;
  ++c.inside;
  append(is_send ? c.senders : c.receivers, w.node);
  if (is_send) note_senders(c);
  Held::unlock(c, here);  // from here on the routine may run elsewhere
  return true;
}

void begins_to_wait(channel_wait& op) noexcept {
  op.inside = lock_held::no;
  op.waited = true;
  op.how = wait_end::pending;
}

/// The wait has begun.  False: it was cancelled meanwhile.
template <typename Held>
[[gnu::noinline]] bool wait_unless_cancelled(channel_wait& op, waiter& w, bool is_send,
                                             const sched::worker& here) noexcept {
  if (word_of(w).goes_on_unless([&] { return is_cancelled(w); }))
    return join_queue<Held>(op, w, is_send, here);
  op.how = wait_end::cancelled;
  Held::unlock(*op.channel, here);
  return false;
}

constexpr wait_reason reason(bool is_send) noexcept {
  return is_send ? wait_reason::send : wait_reason::recv;
}

[[gnu::noinline]] bool park_slowly(channel_wait& op, waiter& w, bool is_send) noexcept {
  const lock_held held = op.inside;
  if (held == lock_held::no) return is_send ? send_park_in_full(op, w) : recv_park_in_full(op, w);
  const sched::worker& here = worker_of(w);
  begins_to_wait(op);
  begin(w, state::waiting, reason(is_send), &op);
  return held == lock_held::by_seat ? wait_unless_cancelled<by_seat>(op, w, is_send, here)
                                    : wait_unless_cancelled<by_word>(op, w, is_send, here);
}

[[gnu::always_inline]] inline bool park(channel_wait& op, waiter& w, bool is_send) noexcept {
  if (op.inside != lock_held::by_seat || w.is_unlisted_member()) [[unlikely]]
    return park_slowly(op, w, is_send);
  const sched::worker& here = worker_of(w);
  begins_to_wait(op);
  begin_plain_wait(w, reason(is_send), &op);
  if (!plainly_waits(w, here)) [[unlikely]]
    return wait_unless_cancelled<by_seat>(op, w, is_send, here);
  return join_queue<by_seat>(op, w, is_send, here);
}

}  // namespace

template <std::size_t Plain>
bool send_ready(channel_wait& op, waiter& w) noexcept {
  if constexpr (Plain == 0) return send_ready_in_full(op, w);
  if (!is_in_live_context(w)) [[unlikely]]
    return send_ready_in_full(op, w);
  channel_core& c = *op.channel;
  sched::worker& here = worker_of(w);
  if (!c.lock.enter_alone(here.quick_seat())) [[unlikely]]
    return send_by_word<Plain>(op, w);
  return send_inside<Plain, by_seat>(c, op, w, here);
}

template <std::size_t Plain>
bool recv_ready(channel_wait& op, waiter& w) noexcept {
  if constexpr (Plain == 0) return recv_ready_in_full(op, w);
  if (!is_in_live_context(w)) [[unlikely]]
    return recv_ready_in_full(op, w);
  channel_core& c = *op.channel;
  sched::worker& here = worker_of(w);
  if (!c.lock.enter_alone(here.quick_seat())) [[unlikely]]
    return recv_by_word<Plain>(op, w);
  return recv_inside<Plain, by_seat>(c, op, w, here);
}

template bool send_ready<0>(channel_wait& op, waiter& w) noexcept;
template bool send_ready<4>(channel_wait& op, waiter& w) noexcept;
template bool send_ready<8>(channel_wait& op, waiter& w) noexcept;
template bool send_ready<16>(channel_wait& op, waiter& w) noexcept;
template bool recv_ready<0>(channel_wait& op, waiter& w) noexcept;
template bool recv_ready<4>(channel_wait& op, waiter& w) noexcept;
template bool recv_ready<8>(channel_wait& op, waiter& w) noexcept;
template bool recv_ready<16>(channel_wait& op, waiter& w) noexcept;

bool send_park(channel_wait& op, waiter& w) noexcept {
  return park(op, w, true);
}

bool recv_park(channel_wait& op, waiter& w) noexcept {
  return park(op, w, false);
}

}  // namespace weft::detail

namespace weft::chan {

bool wake_slowly(waiter& party, sched::worker& here) noexcept {
  if (&worker_of(party).home() == &here.home()) {
    here.push_next(party);
  } else {
    sched::scheduler::wake(party);
  }
  return here.ready > 0;
}

}  // namespace weft::chan
