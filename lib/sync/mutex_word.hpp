#pragma once

// The mutex's word: who has it, and who must be woken.
//
//   held     somebody has it
//   line     the line may not be empty; set and cleared under the line's lock
//   called   somebody was taken off the line, has been woken to look and has not looked yet
//   reserved for the thread of one seat, which changes `held` by plain stores; there is no line
//
// Protocol
//   lock     L1 CAS + held, if it is free - whoever waits or was called is passed;
//            else, under the line's lock, L2 + line, and it queues up
//   unlock   U1 CAS - held, if there is no line or somebody was called already;
//            else, under the line's lock, the first is taken off and either U2 called - held: it looks,
//            or U3 held stays: the mutex is its own.  Handed over is to who looked in vain, and to
//            threads and coroutines of foreign types, whose resumptions cost more or are counted
//   look     K1 under the line's lock: - called, and + held if it is free; else + line and it queues up
//            again, in front
// Guarantee: a free mutex with a line has somebody called, and whoever was called looks.  So nobody is
// forgotten: either the looker gets it and its unlock sees the line, or it finds a holder whose unlock does.
// Each waiter looks in vain at most once.
//
// Who has taken the mutex often in a row without a waiter reserves it for its thread's seat
// (os/reserved_lock.hpp), by CAS held -> held + reserved under the line's lock.  While it is reserved
//   owner    Q1 favourite == my seat?  Q2 seat = this mutex; light barrier; Q3 favourite == my seat, and the
//            word as L1 or U1 wants it?  store held or not; Q4 seat = nothing.  If not: Q4, and as all others
//   others   L1 and U1 fail; under the line's lock V1 favourite = nobody; heavy barrier; V2 wait until the
//            owner's seat is not this; V3 - reserved; then L2 or U1
// Guarantee: Q3 sees V1, or V2 sees Q2.  So after V2 nobody changes the word by a plain store.  The routine
// that holds the mutex is another matter: it may be anywhere when the reservation ends, and unlocks as all
// do.
//
// Model-checked in test/model/mutex_model_test.cpp.
// Source: Go's sync.Mutex (normal and starving mode; there a waiter is passed for 1 ms).
// Rejected: handing over always: once one waits all do (8 routines on one worker 16 -> 72 ns a lock); a
//           reserved lock around the word: one read-modify-write more for each turn that is not reserved.

#include <weft/sync/mutex.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "os/reserved_lock.hpp"

namespace weft::sync {

using detail::mutex_state;

template <template <typename> class Ref = std::atomic_ref, typename World = os::real_world,
          typename Seat = os::seat>
class mutex_word {
 public:
  explicit mutex_word(mutex_state& m) noexcept
      : word_(m.word), favourite_(m.favourite), ended_(m.ended), state_(&m) {}

  enum class release { done, wake, not_held, reserved };

  bool is_unused() const noexcept {
    return (word_.load(std::memory_order_acquire) & ~reserved) == 0;  // A1, pairs with R1
  }

  bool is_held() const noexcept {
    return (word_.load(std::memory_order_relaxed) & held) != 0;  // relaxed: to tell misuse apart
  }

  /// Q1; who gets no further need not find out where it sits.
  bool is_reserved() const noexcept {
    return (favourite_.load(std::memory_order_relaxed) & 1) != 0;  // relaxed: Q3 decides
  }

  /// L1 of the owner.  False: as all others.
  bool take_reserved(Seat& me) noexcept { return change_reserved(me, reserved, reserved | held); }

  /// U1 of the owner.
  bool let_go_reserved(Seat& me) noexcept { return change_reserved(me, reserved | held, reserved); }

  /// L1.
  bool take() noexcept {
    std::uint32_t seen = 0;
    while ((seen & (held | reserved)) == 0) {
      if (word_.compare_exchange_strong(seen, seen | held, std::memory_order_acquire))  // A1, pairs with R1
        return true;
    }
    return false;
  }

  /// U1.  `wake`: the mutex is still the caller's, who takes the line's lock and decides.
  release let_go() noexcept {
    std::uint32_t seen = held;
    do {
      const std::uint32_t free = seen & ~held;
      if (word_.compare_exchange_strong(seen, free, std::memory_order_release))  // R1, pairs with A1
        return release::done;
      if ((seen & held) == 0) return release::not_held;
      if ((seen & reserved) != 0) return release::reserved;
    } while ((seen & (line | called)) != line);
    return release::wake;
  }

  /// By who has taken it without waiting: true if it is worth reserving.
  bool note_turn(const Seat* me) noexcept {
    const auto mine = reinterpret_cast<std::uintptr_t>(me);
    if (me == nullptr ||
        favourite_.load(std::memory_order_relaxed) != mine) {  // relaxed: who holds it writes it
      favourite_.store(mine, std::memory_order_relaxed);       // relaxed: as the load
      state_->turns = 0;
      return false;
    }
    const unsigned needed = unsigned{World::first_turns}
                            << ended_.load(std::memory_order_relaxed);  // relaxed: a count
    return ++state_->turns >= std::max(needed, me->turns_needed(World::first_turns)) && World::may_reserve();
  }

  /// By who holds it: others wait.
  void end_row() noexcept {
    favourite_.store(0, std::memory_order_relaxed);  // relaxed: who holds it writes it
  }

  // --- under the line's lock ---

  /// By who holds it.
  void reserve(Seat& me) noexcept {
    state_->turns = 0;
    std::uint32_t seen = held;
    if (word_.compare_exchange_strong(seen, held | reserved,
                                      std::memory_order_relaxed)) {  // relaxed: its own
      favourite_.store(reinterpret_cast<std::uintptr_t>(&me) | 1, std::memory_order_relaxed);  // relaxed: so
      me.has_reserved();
    }
  }

  /// V1 to V3, if it is reserved.  `me` is the seat of this thread, or null.
  void end_reservation(const Seat* me) noexcept {
    const std::uintptr_t favourite = favourite_.load(std::memory_order_relaxed);  // relaxed: under the lock
    if ((favourite & 1) == 0) return;
    auto& owner = *reinterpret_cast<Seat*>(favourite - 1);
    favourite_.store(0, std::memory_order_relaxed);  // V1, relaxed: a barrier follows
    if (&owner != me) {
      World::heavy_barrier();
      for (unsigned looks = 0; owner.is_inside(state_); ++looks) World::wait(looks);
      owner.has_lost_one();
      const std::uint16_t ended = ended_.load(std::memory_order_relaxed);  // relaxed: under the lock
      ended_.store(std::min<std::uint16_t>(ended + 1, most_ended),
                   std::memory_order_relaxed);  // relaxed: a count
    }
    const std::uint32_t now = word_.load(std::memory_order_relaxed);  // relaxed: nobody changes it now
    word_.store(now & ~reserved, std::memory_order_release);          // V3: R1, pairs with A1
  }

  /// L1 or L2.  False: the caller queues up.
  bool take_or_announce() noexcept { return take_or_announce(0); }

  /// K1.
  bool look() noexcept { return take_or_announce(called); }

  /// U2.  Nobody else changes a held word without the line's lock, but to add what they see.
  void call(bool more) noexcept {
    word_.store((more ? line : 0) | called, std::memory_order_release);  // R1, pairs with A1
  }

  /// U3.
  void hand_over(bool more) noexcept {
    word_.store(held | (more ? line : 0), std::memory_order_relaxed);  // relaxed: the wake-up orders
  }

  /// Nobody in the line could be had.
  void free() noexcept { word_.store(0, std::memory_order_release); }  // R1, pairs with A1

 protected:
  static constexpr std::uint32_t held = 1, line = 2, called = 4, reserved = 8;
  static constexpr std::uint16_t most_ended = 5;
  static_assert((unsigned{World::first_turns} << most_ended) <= UINT16_MAX, "turns are counted in 16 bits");

  bool take_or_announce(std::uint32_t no_more) noexcept {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      if ((seen & held) == 0) {
        const std::uint32_t mine = (seen | held) & ~no_more;
        if (word_.compare_exchange_strong(seen, mine, std::memory_order_acquire))  // A1, pairs with R1
          return true;
      } else {
        const std::uint32_t awaited = (seen | line) & ~no_more;
        if (word_.compare_exchange_strong(seen, awaited, std::memory_order_relaxed))  // relaxed: the line's
          return false;                                                               // lock orders the queue
      }
    }
  }

  bool change_reserved(Seat& me, std::uint32_t from, std::uint32_t to) noexcept {
    const std::uintptr_t mine = reinterpret_cast<std::uintptr_t>(&me) | 1;
    if (favourite_.load(std::memory_order_relaxed) != mine) return false;  // Q1, relaxed: Q3 decides
    if (!me.has_room()) return false;
    me.enter(state_);  // Q2
    World::light_barrier();
    const bool right =
        favourite_.load(std::memory_order_relaxed) == mine &&  // Q3, pairs with V1 by the barriers
        word_.load(std::memory_order_relaxed) == from;         // relaxed: nobody else changes it
    if (right) word_.store(to, std::memory_order_release);     // R1, pairs with A1
    me.leave();                                                // Q4
    return right;
  }

  Ref<std::uint32_t> word_;
  Ref<std::uintptr_t> favourite_;
  Ref<std::uint16_t> ended_;
  mutex_state* state_;
};

}  // namespace weft::sync
