#pragma once

// queue_bias: whether the owner of queues that others steal from uses them by plain accesses for now.
//
// A worker takes thousands of items from its queues between two thefts, each by a read-modify-write that is
// there for the thief.  While the queues are the owner's alone it needs none; a thief ends that, for good
// until the owner has seen no theft for a while.
//
// Protocol
//   owner   B1 alone?  B2 inside = yes; light barrier; B3 alone? plain accesses; B4 inside = no
//           else accesses as among several
//   thief   one at a time, under a lock: V1 alone = no; heavy barrier; V2 inside? then it leaves with
//   nothing;
//           else accesses as among several
//   owner   now and then, if no thief has come lately and none is there (the lock): alone = yes
// Guarantee: B3 sees V1, or V2 sees B2; so plain accesses are never beside a thief's.
//
// Invariants
//   1. `alone_` changes under the lock only.
//   2. Once a thief has seen inside == no after its barrier, the owner does not go inside until a new B1 can
//      see alone == yes: so V2 is asked once for each theft.
//
// Model-checked in test/model/queue_bias_model_test.cpp.
// Source: as os/reserved_lock.hpp; Acar, Chargueraud, Rainey, "Scheduling parallel programs by work stealing
//         with private deques" (PPoPP 2013) for queues without barriers.
// Rejected: a barrier at each theft (with many cores an interrupt of each); private queues whose owner hands
//           out on request (Acar's: an owner inside a long routine does not answer).

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "os/reserved_lock.hpp"

namespace weft::sched {

/// What the bias needs of its surroundings; the model checker has its own.
struct bias_world : os::real_world {
  /// Looks without a theft in between, until the queues are the owner's alone; doubled each time, so that
  /// queues which are stolen from again and again are hardly ever.
  static constexpr std::uint32_t first_looks = 1, most_looks = 1 << 14;

  /// For an owner to come out, which takes it a nanosecond, unless it was descheduled; then the processor is
  /// offered to it a few times.
  static constexpr unsigned most_waits = spin_limit + 8;

  static bool try_lock(std::uint32_t& word) noexcept { return os::try_lock(word); }
};

template <template <typename> class Atomic = std::atomic, typename World = bias_world>
class queue_bias {
 public:
  queue_bias() = default;
  queue_bias(const queue_bias&) = delete;
  queue_bias& operator=(const queue_bias&) = delete;

  /// Owner.  True: plain accesses, until leave().
  [[nodiscard]] bool enter() noexcept {
    if (!alone_.load(std::memory_order_relaxed)) return false;  // B1, relaxed: B3 decides
    inside_.store(true, std::memory_order_relaxed);             // B2, relaxed: a barrier follows
    World::light_barrier();
    if (alone_.load(std::memory_order_relaxed)) [[likely]]  // B3, pairs with V1 by the barriers
      return true;
    leave();
    return false;
  }

  void leave() noexcept { inside_.store(false, std::memory_order_release); }  // B4, pairs with V2

  /// Thief.  False: another thief is there, or the owner inside.  True: accesses as among several, until
  /// end_theft().
  [[nodiscard]] bool begin_theft() noexcept {
    if (!World::try_lock(thief_)) return false;
    if (alone_.load(std::memory_order_relaxed)) {      // relaxed: under the lock
      alone_.store(false, std::memory_order_relaxed);  // V1, relaxed: a barrier follows
      World::heavy_barrier();
    }
    stolen_.store(true, std::memory_order_relaxed);                               // relaxed: only counted by
    for (unsigned looks = 0; inside_.load(std::memory_order_acquire); ++looks) {  // V2, pairs with B4
      if (looks == World::most_waits) {
        World::unlock(thief_);
        return false;
      }
      World::wait(looks);
    }
    return true;
  }

  void end_theft() noexcept { World::unlock(thief_); }

  /// Owner, now and then: are they its own again?
  void look() noexcept {
    if (alone_.load(std::memory_order_relaxed)) return;  // relaxed: own thread set it, or asks again
    if (stolen_.load(std::memory_order_relaxed)) {       // relaxed: an estimate
      stolen_.store(false, std::memory_order_relaxed);   // relaxed: same
      quiet_ = 0;
      return;
    }
    if (++quiet_ < needed_ || !World::may_reserve() || !World::try_lock(thief_)) return;
    alone_.store(true, std::memory_order_relaxed);  // relaxed: own thread's, and under the lock
    World::unlock(thief_);
    quiet_ = 0;
    needed_ = std::min(needed_ * 2, World::most_looks);
  }

 private:
  Atomic<bool> alone_{false};
  Atomic<bool> inside_{false};  // written by the owner
  Atomic<bool> stolen_{false};  // since the last look
  std::uint32_t thief_ = 0;     // the thieves' lock
  std::uint32_t quiet_ = 0;     // looks in a row without a theft; the owner's, as the next
  std::uint32_t needed_ = World::first_looks;
};

}  // namespace weft::sched
