#pragma once

// A lock that one thread, for which it is reserved, takes without a read-modify-write.
//
// It is a lock in a word (os/lock.hpp) and the seat of the thread for which it is reserved.  A seat says what
// its thread is inside of.  A thread that has taken the lock several times in a row reserves it; another that
// comes ends that.
//
// Protocol
//   owner    Q1 owner == my seat?  Q2 seat = this lock; light barrier; Q3 owner == my seat? inside
//            else seat = nothing, and the word as all others; leaving: Q4 seat = nothing
//   others   under the word: V1 owner = nobody; heavy barrier; V2 wait until the old owner's seat is not this
// Guarantee: Q3 sees V1, or V2 sees Q2.  Who is inside is there by its seat while it is the owner, or by the
//            word while there is no owner; so it is alone.
//
// Invariants
//   1. `owner_` changes under the word only.
//   2. A seat is written by its thread only.  Its memory is never freed: the owner may be read when its
//      thread has ended, or the next thread sits there and has the reservation (they never overlap).
//   3. After leaving by the seat nothing of the lock is touched: it may be gone.
//
// Cost: 1.6 ns uncontended instead of the word's 6.6 (a read-modify-write).  Ending a reservation is a
// membarrier: 0.3 us here if no other processor runs this process, 10 us if one does (it is interrupted, and
// this is a virtual machine); after that the next takes twice as many turns in a row, of this lock and of
// each other that the thread reserves, until it has reserved some without losing them: where routines are
// stolen from it, its reservations do not last.
//
// Model-checked in test/model/reserved_lock_model_test.cpp.
// Source: biased locking (Kawachiya et al. 2002; HotSpot until JDK 15, which stopped the world to end one).
// Rejected: a lock-free ring (two RMWs a value, and select, close and cancellation on top).

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "os/asymmetric.hpp"
#include "os/lock.hpp"

namespace weft::os {

/// Where a thread sits: the reserved locks that it is inside of.
template <template <typename> class Atomic = std::atomic>
class basic_seat {
 public:
  static constexpr unsigned depth = 4;

  basic_seat() = default;
  basic_seat(const basic_seat&) = delete;
  basic_seat& operator=(const basic_seat&) = delete;

  bool has_room() const noexcept { return used_ < depth; }

  void enter(const void* lock) noexcept {
    assert(inside_[used_].load(std::memory_order_relaxed) == nullptr);  // relaxed: own thread
    inside_[used_++].store(lock, std::memory_order_relaxed);            // Q2, relaxed: a barrier follows
  }

  void leave() noexcept {
    inside_[--used_].store(nullptr, std::memory_order_release);  // Q4, pairs with V2
  }

  // The same for a thread that is inside of nothing and goes nowhere else meanwhile: it need not count.

  void enter_alone(const void* lock) noexcept {
    assert(used_ == 0);
    inside_[0].store(lock, std::memory_order_relaxed);  // Q2, relaxed: a barrier follows
  }

  void leave_alone() noexcept { inside_[0].store(nullptr, std::memory_order_release); }  // Q4, pairs with V2

  /// Any thread.
  bool is_inside(const void* lock) const noexcept {
    for (const auto& each : inside_) {
      if (each.load(std::memory_order_acquire) == lock) return true;  // V2, pairs with Q4
    }
    return false;
  }

  /// In a row, before its thread reserves a lock that needs `otherwise`: more where reservations do not last.
  unsigned turns_needed(unsigned otherwise) const noexcept {
    return otherwise * price_.load(std::memory_order_relaxed) / whole_price;  // relaxed: an estimate
  }

  /// Own thread.
  void has_reserved() noexcept {
    const unsigned p = price_.load(std::memory_order_relaxed);  // relaxed: an estimate
    price_.store(std::max(p - p / whole_price, whole_price), std::memory_order_relaxed);  // relaxed: so
  }

  /// Who ends one.
  void has_lost_one() noexcept {
    const unsigned p = price_.load(std::memory_order_relaxed);                // relaxed: an estimate
    price_.store(std::min(p * 2, highest_price), std::memory_order_relaxed);  // relaxed: so; one may be lost
  }

  /// A new thread sits here.
  void begin() noexcept { price_.store(whole_price, std::memory_order_relaxed); }  // relaxed: an estimate

 private:
  static constexpr unsigned whole_price = 16, highest_price = whole_price << 5;

  std::array<Atomic<const void*>, depth> inside_{};
  unsigned used_ = 0;                         // own thread
  std::atomic<unsigned> price_{whole_price};  // in sixteenths; no part of the protocol

 public:
  basic_seat* next_free = nullptr;  // of the pool of seats
};

/// What the lock needs of its surroundings; the model checker has its own.
struct real_world {
  /// In a row, until a thread reserves the lock; doubled by each reservation that another ends, for this lock
  /// and for the thread.  So many turns by the word cost about a quarter of what it costs to end a
  /// reservation while others run, and ten times that while nobody does.  (With 64 the sieve of primes on two
  /// workers passed 6,600 barriers in 180 ms; 1024 leaves channels that are used a thousand times without.
  /// With 512 for each of 2,000 channels it passed 2,400, and took 51 us a prime; as it is, 38.)
  static constexpr std::uint16_t first_turns = 512;

  static void lock(std::uint32_t& word) noexcept { os::lock(word); }

  static bool try_lock(std::uint32_t& word) noexcept { return os::try_lock(word); }

  static void unlock(std::uint32_t& word) noexcept { os::unlock(word); }

  static void light_barrier() noexcept { os::light_barrier(); }

  static void heavy_barrier() noexcept;

  static bool may_reserve() noexcept { return barriers_are_asymmetric(); }

  /// Lets the owner leave, which takes some ns unless it was descheduled: pauses, then offers the processor,
  /// then sleeps in between.
  static void wait(unsigned looks) noexcept;
  static constexpr unsigned spin_limit = 64, yield_limit = 128;
};

template <template <typename> class Atomic = std::atomic, typename World = real_world>
class basic_reserved_lock {
 public:
  using seat = basic_seat<Atomic>;

  /// How the lock is held: by the seat, or by the word.  `me` is null for a thread without a seat.
  [[nodiscard]] bool lock(seat* me) noexcept {
    if (enter(me)) return true;
    lock_word(me);
    return false;
  }

  /// False: somebody has it.  Else `by_seat` says how it is held.
  [[nodiscard]] bool try_lock(seat* me, bool& by_seat) noexcept {
    by_seat = enter(me);
    if (by_seat) return true;
    if (!World::try_lock(word_)) return false;
    const seat* const owner = owner_.load(std::memory_order_relaxed);  // relaxed: under the word
    if (owner != nullptr && owner != me && owner->is_inside(this)) {   // may be for long: not waited for
      World::unlock(word_);
      return false;
    }
    come_by_word(me);
    return true;
  }

  /// Only if it is reserved for the caller.
  [[nodiscard]] bool enter(seat* me) noexcept {
    if (owner_.load(std::memory_order_relaxed) != me || me == nullptr)
      return false;  // Q1, relaxed: Q3 decides
    if (!me->has_room()) return false;
    me->enter(this);
    World::light_barrier();
    if (owner_.load(std::memory_order_relaxed) == me) [[likely]]  // Q3, pairs with V1 by the barriers
      return true;
    me->leave();
    return false;
  }

  /// enter() where seat::enter_alone() is right; `me` may be a seat that nothing is reserved for.
  [[nodiscard]] bool enter_alone(seat& me) noexcept {
    if (owner_.load(std::memory_order_relaxed) != &me) return false;  // Q1, relaxed: Q3 decides
    me.enter_alone(this);
    World::light_barrier();
    if (owner_.load(std::memory_order_relaxed) == &me) [[likely]]  // Q3, pairs with V1 by the barriers
      return true;
    me.leave_alone();
    return false;
  }

  /// Where enter_alone() has failed.
  void lock_by_word(seat& me) noexcept { lock_word(&me); }

  void unlock(seat* me, bool by_seat) noexcept {
    if (by_seat) {
      me->leave();
    } else {
      World::unlock(word_);
    }
  }

 private:
  static constexpr std::uint16_t most_turns = 1 << 14;

  [[gnu::noinline]] void lock_word(seat* me) noexcept {
    World::lock(word_);
    come_by_word(me);
  }

  void come_by_word(seat* me) noexcept {
    seat* const owner = owner_.load(std::memory_order_relaxed);  // relaxed: under the word
    if (owner != nullptr) end_reservation(*owner, me);
    if (me == nullptr || last_ != me) {
      last_ = me;
      turns_ = 0;
    }
    if (me == nullptr || ++turns_ < needed_ || turns_ < me->turns_needed(World::first_turns)) return;
    if (!World::may_reserve()) return;
    owner_.store(me, std::memory_order_relaxed);  // relaxed: for this thread, and under the word
    me->has_reserved();
  }

  void end_reservation(seat& owner, const seat* me) noexcept {
    owner_.store(nullptr, std::memory_order_relaxed);  // V1, relaxed: a barrier follows
    turns_ = 0;
    if (&owner == me) return;  // it has no room left, and is not inside of this one
    World::heavy_barrier();
    for (unsigned looks = 0; owner.is_inside(this); ++looks) World::wait(looks);
    owner.has_lost_one();
    needed_ = std::min<std::uint16_t>(static_cast<std::uint16_t>(needed_ * 2), most_turns);
  }

  std::uint32_t word_ = 0;
  std::uint16_t turns_ = 0;                    // in a row by `last_`; under the word
  std::uint16_t needed_ = World::first_turns;  // under the word
  seat* last_ = nullptr;                       // under the word
  Atomic<seat*> owner_{nullptr};
};

using seat = basic_seat<>;
/// No lock is reserved for it.
inline constinit seat nobodys_seat;
using reserved_lock = basic_reserved_lock<>;

/// A seat for the life of a worker.
class seat_place {
 public:
  /// Throws std::bad_alloc.
  seat_place();
  seat_place(const seat_place&) = delete;
  seat_place& operator=(const seat_place&) = delete;
  ~seat_place();

  seat& here() const noexcept { return *seat_; }

 private:
  seat* seat_;
};

}  // namespace weft::os
