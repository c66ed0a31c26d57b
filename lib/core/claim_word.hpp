#pragma once

// The claim word: one protocol for every wait.
//
// {sequence:32 | index:16 | flags:8 | state:8}; the low half is the futex word of a blocked thread.
//
//   none         no routine lives here (fresh or ended)
//   running      not waiting
//   preparing    registering with more than one waker; a winner now must not wake: commit() will see it
//   waiting      suspended
//   won          somebody has claimed it, with `index`; only that one delivers and wakes
//   delivered    threads only: the winner's last access was this store
//   cancelling, reaped, waiting_cancelled   an operation in the kernel that is being cancelled (A5)
//
//   running -> preparing | waiting   begin(), by the waiter
//   preparing -> waiting             commit(), by the waiter
//   preparing | waiting -> won       claim(), by anybody, one CAS; exactly one wins
//   won -> delivered                 deliver(), by the winner, for a thread
//   won | delivered -> running       end(), by the waiter
//
// Protocol against cancellation
//   waiter     W1 store waiting or preparing; light barrier; W2 load the flags; set: claim yourself
//   canceller  C1 store the flag; C2 load the claim word, and claim; it does not wait: heavy barrier, C2
//   again
// Guarantee: W2 sees C1, or the last C2 sees W1.  Every wait passes W1, and what is cancelled mostly waits,
// so there is hardly ever a heavy barrier (os/asymmetric.hpp).  Where there is none W1 is seq_cst, as C1 and
// C2, and the first C2 is enough.  So it is if C2 sees a wait that is protected from the canceller: whoever
// ends that wait claims it, which comes after C2, and the waiter's next W2 comes after that.  (A waiter that
// ended it by itself with a plain store could have made its next W2 before that store is seen: rule 6.)
//
// Rules
//   1. A winner that found `preparing` has nothing left to deliver: who moves data is locked out until
//      commit, or delivers before it claims, or sets a final flag that the failed committer waits for (A4).
//   2. A thread leaves on `delivered`, never on `won`; a time-out that loses its claim waits for it (A1).
//   3. Only what is pinned is claimed: by the queue's lock, the scope's lock, a firing timer, a handle.
//      The stop alone claims what it found in the registry, and asks whose it is between reading the word
//      and the CAS: the sequence number is never reset, so a word that was read from a routine which has
//      ended is never equal again (A16).
//   4. After `waiting` is published, the waiter's side touches nothing of the frame.
//   5. A dump pins a waiter for the time it reads it: claim() spins for those few microseconds.
//   6. Each `waiting` ends by a claim, also where the waiter ends it by itself.
//
// Source: Kotlin's CancellableContinuationImpl for preparing/commit.
// Model-checked in test/model/claim_model_test.cpp.
// Rejected: no CAS for waits on one thing (Go): everything here can also be cancelled and have a deadline;
//           a stop that claims `waiting` only: it passes a waiter that is between its look and its commit.

#include <weft/detail/context.hpp>

#include <atomic>
#include <cstdint>

#include "os/asymmetric.hpp"
#include "os/lock.hpp"

namespace weft::core {

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
  outlives = 16,  // not of a wait: the coroutine was destroyed, the promise stays (promise_base)
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

struct real_barriers {
  static bool are_asymmetric() noexcept { return os::barriers_are_asymmetric(); }

  static void light() noexcept { os::light_barrier(); }
};

/// `Relax` is what a loop that waits for another thread does.
template <template <typename> class Ref = std::atomic_ref, void (*Relax)() noexcept = os::relax_cpu,
          typename Barriers = real_barriers>
class claim_word {
 public:
  using barriers = Barriers;

  explicit claim_word(std::uint64_t& w) noexcept : word_(w) {}

  /// The next wait begins.  Own thread.
  void begin(state s, std::uint8_t f) noexcept {
    if (Barriers::are_asymmetric()) [[likely]] {
      begin_asymmetric(s, f);
    } else {
      word_.store(next_wait(s, f), std::memory_order_seq_cst);  // W1, pairs with C2
    }
  }

  /// The same where it is known that the barriers are asymmetric: something is reserved.
  void begin_asymmetric(state s, std::uint8_t f) noexcept {
    word_.store(next_wait(s, f), std::memory_order_release);  // W1, pairs with C2, by the barriers
    Barriers::light();                                        // with its second
  }

  /// preparing -> waiting; false: somebody has claimed meanwhile.
  bool commit() noexcept {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while (state_of(seen) == state::preparing) {
      if ((flags_of(seen) & pinned) != 0) {
        Relax();
        seen = word_.load(std::memory_order_relaxed);  // relaxed: as above
        continue;
      }
      const std::uint64_t next = word(sequence_of(seen), 0, flags_of(seen), state::waiting);
      const bool done = word_.compare_exchange_strong(seen, next, std::memory_order_seq_cst);  // W1, with C2
      if (done) return true;
    }
    return false;
  }

  /// W2 of a wait that has begun as `waiting`.  True: enqueue it.  False: it was cancelled, and has claimed
  /// itself.
  template <typename Cancelled>
  bool goes_on_unless(Cancelled is_cancelled) noexcept {
    if (!is_cancelled()) return true;
    return claim(by_self) == claimed::lost;  // lost: a canceller was quicker and wakes it as usual
  }

  /// W2 of a wait that has begun as `preparing`, and commit().
  template <typename Cancelled>
  bool commit_unless(Cancelled is_cancelled) noexcept {
    if (is_cancelled()) claim(by_self);
    return commit();
  }

  /// The race.  `unless`: flags that protect the waiter from this claimer.
  claimed claim(std::uint16_t index, std::uint8_t unless = 0) noexcept {
    return claim_of(index, unless, [] { return true; });
  }

  /// claim() of one that waits and has no flags, by who holds the lock of the queue that it is in.  False:
  /// claim() is to find out.
  bool claim_plain(std::uint16_t index) noexcept {
    constexpr std::uint64_t waits = word(0, 0, no_flags, state::waiting);
    std::uint64_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the queue's lock brought it
    if (static_cast<std::uint32_t>(seen) != waits) return false;
    const std::uint64_t next = seen - waits + word(0, index, no_flags, state::won);
    return word_.compare_exchange_strong(seen, next, std::memory_order_acquire,  // C2, pairs with P2
                                         std::memory_order_relaxed);  // relaxed: claim() looks again
  }

  /// claim() of something that is not pinned: only the life and the wait that `is_right` has looked at.
  template <typename Question>
  claimed claim_of(std::uint16_t index, std::uint8_t unless, Question is_right) noexcept {
    std::uint64_t seen = word_.load(std::memory_order_seq_cst);  // C2, pairs with W1
    for (;;) {
      const state s = state_of(seen);
      if ((s != state::waiting && s != state::preparing) || (flags_of(seen) & unless) != 0)
        return claimed::lost;
      if (!is_right()) return claimed::lost;
      if ((flags_of(seen) & pinned) != 0) {
        Relax();
        seen = word_.load(std::memory_order_seq_cst);  // C2, pairs with W1
        continue;
      }
      const std::uint64_t next = word(sequence_of(seen), index, flags_of(seen), state::won);
      if (word_.compare_exchange_strong(seen, next, std::memory_order_seq_cst)) {  // C2, pairs with W1
        return s == state::waiting || (flags_of(seen) & on_thread) != 0 ? claimed::parked : claimed::early;
      }
    }
  }

  /// After a claim that was lost: the waiter is in a wait that `unless` protects.
  bool is_spared(std::uint8_t unless) const noexcept {
    const std::uint64_t seen = read();
    return state_of(seen) == state::waiting && (flags_of(seen) & unless) != 0;
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

  /// For the waiter: who sees `delivered` or its winner sees what was delivered.
  std::uint64_t look() const noexcept {
    return word_.load(std::memory_order_acquire);  // A1, pairs with R1 and C2
  }

  state wait_state() const noexcept { return state_of(look()); }

  std::uint16_t winner() const noexcept { return index_of(look()); }

  /// The wait is over.  Own thread.
  void end() noexcept { set(state::running); }

  /// The routine is born, or has ended.
  void set(state s) noexcept {
    const std::uint64_t before = word_.load(std::memory_order_relaxed);  // relaxed: nobody else writes it now
    word_.store(word(sequence_of(before) + (s == state::none ? 1 : 0), 0, 0, s),
                std::memory_order_release);  // R2, pairs with C2
  }

  /// Of a routine that has ended.  Own thread.
  void outlives_frame(bool does) noexcept {
    const std::uint64_t before = word_.load(std::memory_order_relaxed);  // relaxed: nobody else writes it now
    const auto f = static_cast<std::uint8_t>(does ? outlives : no_flags);
    word_.store(word(sequence_of(before), 0, f, state_of(before)),
                std::memory_order_relaxed);  // relaxed: nobody else reads the flag
  }

 private:
  std::uint64_t next_wait(state s, std::uint8_t f) const noexcept {
    const std::uint64_t before = word_.load(std::memory_order_relaxed);  // relaxed: nobody else writes it now
    return word(sequence_of(before) + 1, 0, f, s);
  }

  Ref<std::uint64_t> word_;
};

/// A thread that has parked, or has been refused that, leaves (rule 2).  `sleep(seen, deadline)` sleeps while
/// the low half of the word is `seen`; false: the deadline has passed, after which it claims for itself.
template <typename Word, typename Sleep>
void leave_when_delivered(Word word, bool is_parked, std::int64_t deadline, Sleep sleep) noexcept {
  if (!is_parked) {
    const std::uint64_t seen = word.look();
    if (state_of(seen) == state::running || index_of(seen) == by_self)
      return;  // no wait, or nobody else's win
  }
  for (;;) {
    const auto seen = static_cast<std::uint32_t>(word.look());
    if (state_of(seen) == state::delivered) return;
    if (sleep(seen, deadline)) continue;
    if (word.claim(by_timeout) != claimed::lost) return;
    deadline = detail::no_deadline;  // somebody was quicker and is about to deliver
  }
}

}  // namespace weft::core
