#pragma once

// The claim word: one protocol for every wait.
//
// {sequence:32 | index:16 | flags:8 | state:8}; the low half is the futex word of a blocked thread.
//
//   none         no routine lives here (fresh or ended)
//   running      not waiting
//   preparing    registering with more than one waker; a winner now must not wake: the waiter sees it at
//   commit() waiting      suspended won          somebody has claimed it, with `index`; only that one
//   delivers and wakes delivered    threads only: the winner's last access was this store cancelling, reaped,
//   waiting_cancelled   an operation in the kernel that is being cancelled (protocols.md A5)
//
//   running -> preparing | waiting   begin(), by the waiter
//   preparing -> waiting             commit(), by the waiter
//   preparing | waiting -> won       claim(), by anybody, one CAS; exactly one wins
//   won -> delivered                 deliver(), by the winner, for a thread
//   won | delivered -> running       end(), by the waiter
//
// Protocol against cancellation
//   waiter     W1 store waiting or preparing, seq_cst; W2 load the flags, seq_cst; set: claim yourself
//   canceller  C1 store the flag, seq_cst; C2 load the claim word, seq_cst, and claim
// Guarantee: W2 sees C1, or C2 sees W1.
//
// Rules
//   1. A winner that found `preparing` has nothing left to deliver: who moves data is locked out until
//   commit, or
//      delivers before it claims, or sets a final flag that the failed committer waits for (A4).
//   2. A thread leaves on `delivered`, never on `won`; a time-out that loses its claim waits for it (A1).
//   3. Only what is pinned is claimed: by the queue's lock, the scope's lock, a firing timer, a handle.  The
//   stop alone
//      claims what it found in the registry: the sequence number is never reset, so a word that was read from
//      a routine which has ended is never equal again (A16).
//   4. After `waiting` is published, the waiter's side touches nothing of the frame.
//   5. A dump pins a waiter for the time it reads it: claim() spins for those few microseconds.
//
// Source: Kotlin's CancellableContinuationImpl for preparing/commit; model-checked in
// test/model/claim_model_test.cpp. Rejected: no CAS for waits on one thing (Go): everything here can also be
// cancelled and have a deadline.

#include <weft/detail/context.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/select_case.hpp>
#include <weft/detail/waiter.hpp>

#include <atomic>
#include <bit>
#include <cstdint>

#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/scheduler.hpp"

namespace weft::core {

using detail::wait_end;
using detail::wait_node;
using detail::wait_reason;
using detail::waiter;
using detail::waiter_kind;

enum class state : std::uint8_t {
  none = 0,
  running,
  preparing,
  waiting,
  won,
  delivered,
  cancelling,
  reaped,
  waiting_cancelled,
};

enum flags : std::uint8_t {
  no_flags = 0,
  no_cancel = 1,  // nobody cancels this wait (a scope that waits for its children)
  no_stop = 2,    // shielded: the runtime's stop does not reach it
  pinned = 4,     // a dump reads it
  on_thread = 8,  // the waiter is a thread: whoever claims it delivers, early or not (rule 2)
};

/// Who won, beside the case indices 0 ...
inline constexpr std::uint16_t by_cancel = 0xffff, by_timeout = 0xfffe, by_self = 0xfffd;

constexpr std::uint64_t word(std::uint32_t sequence, std::uint16_t index, std::uint8_t f, state s) noexcept {
  return (std::uint64_t{sequence} << 32) | (std::uint64_t{index} << 16) | (std::uint64_t{f} << 8) |
         static_cast<std::uint64_t>(s);
}

constexpr state state_of(std::uint64_t w) noexcept {
  return static_cast<state>(w & 0xff);
}

constexpr std::uint8_t flags_of(std::uint64_t w) noexcept {
  return static_cast<std::uint8_t>(w >> 8);
}

constexpr std::uint16_t index_of(std::uint64_t w) noexcept {
  return static_cast<std::uint16_t>(w >> 16);
}

constexpr std::uint32_t sequence_of(std::uint64_t w) noexcept {
  return static_cast<std::uint32_t>(w >> 32);
}

enum class claimed : std::uint8_t {
  lost,
  early,   // the waiter was still preparing: it sees the claim by itself, and is not the winner's to touch
  parked,  // the waiter sleeps, or is a thread: it is the winner's until deliver()
};

template <template <typename> class Ref = std::atomic_ref>
class claim_word {
 public:
  explicit claim_word(std::uint64_t& w) noexcept : word_(w) {}

  /// The next wait begins.  Own thread.
  void begin(state s, std::uint8_t f) noexcept {
    const std::uint64_t before = word_.load(std::memory_order_relaxed);  // relaxed: nobody else writes it now
    word_.store(word(sequence_of(before) + 1, 0, f, s), std::memory_order_seq_cst);  // W1, pairs with C2
  }

  /// preparing -> waiting; false: somebody has claimed meanwhile.
  bool commit() noexcept {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (state_of(seen) == state::preparing) {
      if ((flags_of(seen) & pinned) != 0) {
        os::relax_cpu();
        seen = word_.load(std::memory_order_relaxed);  // relaxed: as above
        continue;
      }
      const std::uint64_t next = word(sequence_of(seen), 0, flags_of(seen), state::waiting);
      const bool done = word_.compare_exchange_strong(seen, next, std::memory_order_seq_cst);  // W1, with C2
      if (done) return true;
    }
    return false;
  }

  /// The race.  `unless`: flags that protect the waiter from this claimer.
  claimed claim(std::uint16_t index, std::uint8_t unless = 0) noexcept {
    std::uint64_t seen = word_.load(std::memory_order_seq_cst);  // C2, pairs with W1
    for (;;) {
      const state s = state_of(seen);
      if ((s != state::waiting && s != state::preparing) || (flags_of(seen) & unless) != 0)
        return claimed::lost;
      if ((flags_of(seen) & pinned) != 0) {
        os::relax_cpu();
        seen = word_.load(std::memory_order_seq_cst);  // C2, pairs with W1
        continue;
      }
      const std::uint64_t next = word(sequence_of(seen), index, flags_of(seen), state::won);
      if (word_.compare_exchange_strong(seen, next, std::memory_order_seq_cst)) {  // C2, pairs with W1
        return s == state::waiting || (flags_of(seen) & on_thread) != 0 ? claimed::parked : claimed::early;
      }
    }
  }

  /// claim() of exactly the word that was read before, from something that is not pinned.
  bool claim_exactly(std::uint64_t seen, std::uint16_t index) noexcept {
    const std::uint64_t next = word(sequence_of(seen), index, flags_of(seen), state::won);
    return word_.compare_exchange_strong(seen, next, std::memory_order_seq_cst);  // C2, pairs with W1
  }

  std::uint64_t read() const noexcept { return word_.load(std::memory_order_seq_cst); }  // C2, pairs with W1

  /// Keeps a waiting routine where it is; false: it is not waiting.
  bool pin() noexcept {
    std::uint64_t seen = read();
    while (state_of(seen) == state::waiting && (flags_of(seen) & pinned) == 0) {
      if (word_.compare_exchange_weak(seen, seen | (std::uint64_t{pinned} << 8),
                                      std::memory_order_acq_rel)) {  // P1, pairs with W1
        return true;
      }
    }
    return false;
  }

  void unpin() noexcept {
    word_.fetch_and(~(std::uint64_t{pinned} << 8), std::memory_order_release);  // P2, pairs with C2
  }

  /// The winner's last access to a thread's waiter.
  void set_delivered() noexcept {
    const std::uint64_t seen =
        word_.load(std::memory_order_relaxed);  // relaxed: the winner alone writes it now
    word_.store((seen & ~std::uint64_t{0xff}) | static_cast<std::uint64_t>(state::delivered),
                std::memory_order_release);  // R1, pairs with A1
  }

  state wait_state() const noexcept {
    return state_of(word_.load(std::memory_order_acquire));  // A1, pairs with R1
  }

  std::uint16_t winner() const noexcept {
    return index_of(word_.load(std::memory_order_acquire));  // A1, pairs with R1 and C2
  }

  /// The wait is over.  Own thread.
  void end() noexcept { set(state::running); }

  /// The routine is born, or has ended.
  void set(state s) noexcept {
    const std::uint64_t before = word_.load(std::memory_order_relaxed);  // relaxed: nobody else writes it now
    word_.store(word(sequence_of(before) + (s == state::none ? 1 : 0), 0, 0, s),
                std::memory_order_release);  // R2, pairs with C2
  }

 private:
  Ref<std::uint64_t> word_;
};

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

/// The flags a wait of `w` has by the context it is in.
inline std::uint8_t shield_of(const waiter& w) noexcept {
  return w.scope != nullptr && w.scope->shielded != 0 ? no_stop : no_flags;
}

/// W2.  Most waits are in a routine's own context: one load of it and one of the runtime's stop.
inline bool is_cancelled(const waiter& w) noexcept {
  const detail::context_base* x = w.scope;
  if (x == nullptr) return false;
  if (x->kind != detail::routine_root || w.worker == nullptr) [[unlikely]]
    return detail::cancel_requested_for(w) != detail::cancel_state::live;
  const auto s =
      std::atomic_ref(const_cast<std::uint8_t&>(x->state)).load(std::memory_order_seq_cst);  // W2, with C1
  if (s != detail::live) return true;
  return x->shielded == 0 && static_cast<const sched::worker*>(w.worker)->home().stopping();
}

/// The winner has nothing more to do with the waiter than this: a routine that was `parked` becomes runnable,
/// a thread leaves.  Nothing is touched of one that was claimed early: it may have ended meanwhile.
void deliver(waiter& w, claimed how) noexcept;

/// A fork group that nobody above knows yet becomes known, before something in it waits.
void link_scope(waiter& w) noexcept;

/// The next wait of `w` begins: what it waits for, and `preparing` or `waiting`.
inline void begin(waiter& w, state s, wait_reason why, void* op,
                  std::uint8_t extra_flags = no_flags) noexcept {
  if (w.scope != nullptr && w.scope->kind == detail::group) link_scope(w);
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
  if ((extra_flags & no_cancel) != 0 || !is_cancelled(w)) return true;
  return word_of(w).claim(by_self) == claimed::lost;  // lost: a canceller was quicker and wakes it as usual
}

/// For a wait that registers in several places: after all of them.  True: it sleeps.  False: it goes on at
/// once, the winner is in the claim word.
inline bool commit(waiter& w) noexcept {
  if (is_cancelled(w)) word_of(w).claim(by_self);
  return word_of(w).commit();
}

/// An operation has completed without suspending: false if the routine has had its share of those and must
/// yield.
inline bool may_go_on(waiter& w) noexcept {
  return w.kind() != waiter_kind::routine || --w.worker->ready > 0;
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
  /// False: no memory.  Threads have no timer: their futex has a deadline.
  static bool arm(sched::timer_cell*& cell, waiter& w, os::nanos deadline) noexcept;
  /// After the wait: it will not fire any more, or has.
  static void disarm(sched::timer_cell*& cell) noexcept;
};

/// The worker whose timer heap and queues serve `w`: the one it runs on.
inline sched::worker& worker_of(const waiter& w) noexcept {
  return *static_cast<sched::worker*>(w.worker);
}

// --- wait queues, under their owner's lock ---

inline void append(detail::wait_queue& q, wait_node& n) noexcept {
  n.prev = q.last;
  n.next = nullptr;
  (q.last != nullptr ? q.last->next : q.first) = &n;
  q.last = &n;
  n.linked = true;
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
