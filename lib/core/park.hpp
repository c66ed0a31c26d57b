#pragma once

// How a waiter waits: the claim word (core/claim_word.hpp) of a waiter, its wait node in a queue, its timer.

#include <weft/detail/context.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/select_case.hpp>
#include <weft/detail/waiter.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/claim_word.hpp"
#include "os/port.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::core {

using detail::wait_end;
using detail::wait_node;
using detail::wait_reason;
using detail::waiter;
using detail::waiter_kind;

inline claim_word<> word_of(waiter& w) noexcept {
  return claim_word<>(w.park);
}

/// The half of the claim word with the state, for the port's wait and wake: the first on a little-endian
/// machine.
inline const std::uint32_t& futex_word(const waiter& w) noexcept {
  static_assert(std::endian::native == std::endian::little);
  const void* at = &w.park;
  asm("" : "+r"(at));  // the kernel reads it, so two types at one address are right here
  return *static_cast<const std::uint32_t*>(at);
}

/// The worker whose timer heap and queues serve `w`: the one it runs on, or its thread's berth.
inline sched::worker& worker_of(const waiter& w) noexcept {
  return *static_cast<sched::worker*>(w.worker);
}

/// The flags a wait of `w` has by the context it is in.
inline std::uint8_t shield_of(const waiter& w) noexcept {
  return w.scope != nullptr && w.scope->shielded != 0 ? no_stop : no_flags;
}

/// A routine that the context it is in has not cancelled; W2, in one look at state, kind and shield of the
/// context.  False: who knows.
[[gnu::always_inline]] inline bool is_in_live_context(const waiter& w) noexcept {
  if (w.kind() != waiter_kind::routine) return false;
  using four_bytes [[gnu::may_alias]] = std::uint32_t;
  static_assert(std::endian::native == std::endian::little && offsetof(detail::context_base, state) == 4 &&
                offsetof(detail::context_base, kind) == 5 && offsetof(detail::context_base, shielded) == 6);
  constexpr std::uint32_t not_plain = 0x00fffeff;  // state live, kind routine_root or nested, no shield
  static_assert(detail::live == 0 && detail::routine_root == 0 && detail::nested == 1);
  const auto* marks = reinterpret_cast<const four_bytes*>(&w.scope->state);
  return (__atomic_load_n(marks, __ATOMIC_SEQ_CST) & not_plain) == 0;  // W2, with C1
}

/// Nor has the runtime's stop.
[[gnu::always_inline]] inline bool is_plainly_live(const waiter& w) noexcept {
  if (!is_in_live_context(w)) return false;
  const auto* worker = static_cast<const sched::worker*>(__atomic_load_n(
      &w.worker, __ATOMIC_RELAXED));  // relaxed: once published it may run elsewhere; same runtime
  return !worker->home().stopping();
}

/// W2.
bool look_in_full(const waiter& w) noexcept;

inline bool is_cancelled(const waiter& w) noexcept {
  return !is_plainly_live(w) && look_in_full(w);
}

/// The same before an operation tries: limits that are around it alone do not end what is ready.  Who has to
/// wait looks again.
bool is_limited_only(const waiter& w) noexcept;

inline bool is_cancelled_untried(const waiter& w) noexcept {
  return is_cancelled(w) && !is_limited_only(w);
}

/// The winner has nothing more to do with the waiter than this: a routine that was `parked` becomes runnable,
/// a thread leaves.  Nothing is touched of one that was claimed early: it may have ended meanwhile.
void deliver(waiter& w, claimed how) noexcept;

/// A member, or a fork group that nobody above knows yet, becomes known to cancellers, before it waits.
void link_scope(waiter& w) noexcept;

/// The next wait of `w` begins: what it waits for, and `preparing` or `waiting`.
inline void begin(waiter& w, state s, wait_reason why, void* op,
                  std::uint8_t extra_flags = no_flags) noexcept {
  if (w.is_unlisted_member() || (w.scope != nullptr && w.scope->kind == detail::group)) link_scope(w);
  w.node.because(why);
  w.node.op = op;
  w.node.in_case = false;
  w.node.linked = false;
  w.node.index = 0;
  const std::uint8_t kind = w.kind() == waiter_kind::thread ? on_thread : no_flags;
  word_of(w).begin(s, static_cast<std::uint8_t>(shield_of(w) | kind | extra_flags));
}

/// For a wait that registers in one place, under that place's lock.  True: enqueue it.  False: it was
/// cancelled, and has claimed itself.
inline bool begin_waiting(waiter& w, wait_reason why, void* op,
                          std::uint8_t extra_flags = no_flags) noexcept {
  begin(w, state::waiting, why, op, extra_flags);
  return word_of(w).goes_on_unless([&] { return (extra_flags & no_cancel) == 0 && is_cancelled(w); });
}

/// The first half of begin_waiting() of one that is_plainly_live(), for the calls that all programs make
/// most, inside of something that is reserved.
[[gnu::always_inline]] inline void begin_plain_wait(waiter& w, wait_reason why, void* op) noexcept {
  w.node.because(why);
  w.node.op = op;
  w.node.in_case = false;
  w.node.index = 0;
  word_of(w).begin_asymmetric(state::waiting, no_flags);
}

/// W2 after begin_plain_wait(), on the worker `here`.  False: who knows.
[[gnu::always_inline]] inline bool plainly_waits(const waiter& w, const sched::worker& here) noexcept {
  return is_in_live_context(w) && here.may_be_quick();
}

/// For a wait that registers in several places: after all of them.  True: it sleeps.  False: it goes on at
/// once, the winner is in the claim word.
inline bool commit(waiter& w) noexcept {
  return word_of(w).commit_unless([&] { return is_cancelled(w); });
}

/// An operation has completed without suspending: false if the routine has had its share of those and must
/// yield.
inline bool may_go_on(waiter& w) noexcept {
  return w.kind() != waiter_kind::routine || --w.worker->ready > 0;
}

/// What may_go_on() has said last.
inline bool is_spent(const waiter& w) noexcept {
  return w.kind() == waiter_kind::routine && w.worker->ready <= 0;
}

/// The waiter - not a thread - goes to the end of its worker's queue; it is published by that.
void yield_now(waiter& w) noexcept;

/// park() of an operation that is over, by a routine that may not go on: it yields with the result.
inline bool park_done(waiter& w) noexcept {
  w.node.because(wait_reason::yield);
  yield_now(w);
  return true;
}

/// The timer of one wait: armed between begin(preparing) and commit().
class wait_timer {
 public:
  /// False: no memory.  Threads have no timer: their futex has a deadline.  May be called under a lock.
  static bool arm(sched::timer_cell*& cell, waiter& w, os::nanos deadline) noexcept;
  /// After the wait: it will not fire any more, or has.
  static void disarm(sched::timer_cell*& cell) noexcept;
};

/// The seat of the thread on which `w` runs now.
inline os::seat* seat_of(const waiter& w) noexcept {
  return w.kind() == waiter_kind::routine ? &worker_of(w).seat : sched::current_seat();
}

// --- wait queues, under their owner's lock ---

inline void append(detail::wait_queue& q, wait_node& n) noexcept {
  n.prev = q.last;
  n.next = nullptr;
  (q.last != nullptr ? q.last->next : q.first) = &n;
  q.last = &n;
  n.linked = true;
}

inline void prepend(detail::wait_queue& q, wait_node& n) noexcept {
  n.prev = nullptr;
  n.next = q.first;
  (q.first != nullptr ? q.first->prev : q.last) = &n;
  q.first = &n;
  n.linked = true;
}

inline void remove_first(detail::wait_queue& q) noexcept {
  wait_node& n = *q.first;
  q.first = n.next;
  (n.next != nullptr ? n.next->prev : q.last) = nullptr;
  n.linked = false;
}

inline void remove(detail::wait_queue& q, wait_node& n) noexcept {
  (n.prev != nullptr ? n.prev->next : q.first) = n.next;
  (n.next != nullptr ? n.next->prev : q.last) = n.prev;
  n.linked = false;
}

using detail::case_node;

inline waiter& owner_of(wait_node& n) noexcept {
  if (n.in_case) return *static_cast<case_node&>(n).owner;
  return *reinterpret_cast<waiter*>(reinterpret_cast<std::byte*>(&n) - offsetof(waiter, node));
}

}  // namespace weft::core
