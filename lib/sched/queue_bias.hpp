#pragma once

// queue_bias: whether the owner of queues that others steal from uses them by plain accesses for now.
//
// A worker takes thousands of items from its queues between two thefts, each by a read-modify-write that is
// there for the thief.  While the queues are the owner's alone it needs none; a thief ends that, for good
// until the owner has seen no theft for a while.
//
// Protocol
//   owner    B1 alone?  B2 inside = yes; light barrier; B3 alone? plain accesses; B4 inside = no
//            else accesses as among several
//   thief    V1 counts itself in; if the owner is alone, or another thief's barrier is not known to have
//            passed: alone = no; heavy barrier; V3 seen by all = yes
//            V2 inside? then it leaves with nothing; else accesses as among several; V4 counts itself out
//   owner    now and then, if no thief has come lately: B5 from "seen by all, no thief" to alone
// Guarantee: B3 sees that it is not alone, or V2 sees B2; so plain accesses are never beside a thief's.
//
// Invariants
//   1. The owner becomes alone only while no thief is counted.
//   2. Once a thief has seen inside == no after a barrier, the owner does not go inside until a new B1 can
//      see alone == yes: so V2 is asked once for each theft.
//   3. No thief waits for another: one that is descheduled during a theft keeps the owner from being alone,
//      and nobody from stealing.
//
// Model-checked in test/model/queue_bias_model_test.cpp.
// Source: as os/reserved_lock.hpp; Acar, Chargueraud, Rainey, "Scheduling parallel programs by work stealing
//         with private deques" (PPoPP 2013) for queues without barriers.
// Rejected: a barrier at each theft (with many cores an interrupt of each); private queues whose owner hands
//           out on request (Acar's: an owner inside a long routine does not answer); one thief at a time,
//           by a lock (a thief that gets no processor holds it, and the others find nothing).

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "os/reserved_lock.hpp"

namespace weft::sched {

/// What the bias needs of its surroundings; the model checker has its own.
struct bias_world : os::real_world {
  /// Looks without a theft in between, until the queues are the owner's alone; doubled each time, so that
  /// queues which are stolen from again and again are hardly ever.  So many looks are about a thousand
  /// items, whose read-modify-writes cost what the barrier does that ends it.
  static constexpr std::uint32_t first_looks = 16, most_looks = 1 << 14;

  /// For an owner to come out, which takes it a nanosecond, unless it was descheduled; then the processor is
  /// offered to it a few times.
  static constexpr unsigned most_waits = spin_limit + 8;

  static constexpr std::uint32_t thief = 1;  // what one counts for
};

template <template <typename> class Atomic = std::atomic, typename World = bias_world>
class queue_bias {
 public:
  queue_bias() = default;
  queue_bias(const queue_bias&) = delete;
  queue_bias& operator=(const queue_bias&) = delete;

  /// Owner.  True: plain accesses, until leave().
  [[nodiscard]] bool enter() noexcept {
    if (!is_alone()) return false;                   // B1
    inside_.store(true, std::memory_order_relaxed);  // B2, relaxed: a barrier follows
    World::light_barrier();
    if (is_alone()) [[likely]]  // B3, pairs with V1 by the barriers
      return true;
    leave();
    return false;
  }

  void leave() noexcept { inside_.store(false, std::memory_order_release); }  // B4, pairs with V2

  /// Thief.  False: the owner is inside, and does not come out.  True: accesses as among several, until
  /// end_theft().
  [[nodiscard]] bool begin_theft() noexcept {
    const std::uint32_t seen =
        state_.fetch_add(World::thief, std::memory_order_acquire);  // V1, pairs with V3
    if ((seen & seen_by_all) == 0) end_alone(seen);
    stolen_.store(true, std::memory_order_relaxed);                               // relaxed: only counted by
    for (unsigned looks = 0; inside_.load(std::memory_order_acquire); ++looks) {  // V2, pairs with B4
      if (looks == World::most_waits) {
        end_theft();
        return false;
      }
      World::wait(looks);
    }
    return true;
  }

  void end_theft() noexcept {
    state_.fetch_sub(World::thief, std::memory_order_release);  // V4, pairs with B5
  }

  /// Owner, now and then: are they its own again?
  void look() noexcept {
    if (is_alone()) return;
    if (stolen_.load(std::memory_order_relaxed)) {      // relaxed: an estimate
      stolen_.store(false, std::memory_order_relaxed);  // relaxed: same
      quiet_ = 0;
      return;
    }
    if (++quiet_ < needed_ || !World::may_reserve()) return;
    std::uint32_t no_thief = seen_by_all;
    if (!state_.compare_exchange_strong(no_thief, alone, std::memory_order_acquire,  // B5, pairs with V4
                                        std::memory_order_relaxed)) {                // relaxed: left as it is
      return;
    }
    quiet_ = 0;
    needed_ = std::min(needed_ * 2, World::most_looks);
  }

 private:
  // The state: who uses the queues, and in the lower bits how many thieves are there.
  static constexpr std::uint32_t alone = 1U << 31;        // the owner, by plain accesses
  static constexpr std::uint32_t seen_by_all = 1U << 30;  // a barrier has passed since it was not alone

  bool is_alone() const noexcept {
    return (state_.load(std::memory_order_relaxed) & alone) != 0;  // relaxed: a barrier orders it, or own
  }

  void end_alone(std::uint32_t seen) noexcept {
    if ((seen & alone) != 0)
      state_.fetch_and(~alone, std::memory_order_relaxed);  // V1, relaxed: a barrier follows
    World::heavy_barrier();
    state_.fetch_or(seen_by_all, std::memory_order_release);  // V3, pairs with V1: the barrier has passed
  }

  Atomic<std::uint32_t> state_{seen_by_all};
  Atomic<bool> inside_{false};  // written by the owner
  Atomic<bool> stolen_{false};  // since the last look
  std::uint32_t quiet_ = 0;     // looks in a row without a theft; the owner's, as the next
  std::uint32_t needed_ = World::first_looks;
};

}  // namespace weft::sched
