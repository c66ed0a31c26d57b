#pragma once

// parker: what a worker has for the set it belongs to.  How it sleeps is in parking.hpp.
//
// Taken over: a worker whose thread sleeps in a call that nobody announced is made a blocked one by the
// monitor, and a spare stands in, in the same way.  The worker does not know, and may be back already:
//
//   monitor   K1 under the lock: is it still active, awake and where it was seen?  then blocked = true, a
//                spare listed as idle; K2 heavy barrier; K3 its slot, ring and forks to others, its timers to
//                the poller
//   worker    K4 pushes to its own slot or ring, or arms a timer; light barrier; K5 blocked? then K3 itself
//             K6 in its loop, or where it takes the lock to park or to announce a block: blocked? then it is
//                active again, as at the end of a call; or the call that it announces goes on with the spare
// Guarantee: K5 sees K1, or K3 sees K4: nothing stays behind in the queues of one that may sleep for ever.
//            K1 and K6 hold the lock, so that a worker is active or replaced, never both and never neither.
// Between two looks of K6 it may run on as one too many: at most `hand_offs` routines.  Where there is no
// membarrier K2 is none: then the monitor's next look finds what K3 has not seen.

#include <atomic>
#include <cstdint>

namespace weft::sched {

/// park_word's values; polling: asleep in the driver.
inline constexpr std::uint32_t awake = 0, parked = 1, notified = 2, polling = 3;

/// What a worker's thread is to the set; under the set's lock.
enum class role : std::uint8_t {
  active,   // runs, searches or is idle; or is a spare that has not come to the reserve yet
  blocked,  // in a call, announced or found, compensated
  reserve,  // a spare: sleeps, not listed as idle
  gone,     // its thread has ended; the queues are empty
};

/// The plain word inside an atomic, for the port's wait and wake.
inline const std::uint32_t& word_of(const std::atomic<std::uint32_t>& a) noexcept {
  static_assert(sizeof(a) == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
  return reinterpret_cast<const std::uint32_t&>(a);
}

/// What a worker has for the set it belongs to.
template <template <typename> class Atomic = std::atomic>
struct parker {
  alignas(64) Atomic<std::uint32_t> park_word{awake};
  Atomic<bool> blocked{false};  // is == role::blocked, for those without the lock
  role is = role::active;       // under the set's lock
  bool in_idle = false;         // under the set's lock
  bool promised = false;        // under the set's lock, by its own thread: a spare is kept for it
  bool rests = false;      // under the set's lock: sleeps in the reserve, even if listed as idle meanwhile
  bool searching = false;  // own thread; never while code of others runs: that may wait for another worker
  bool is_poller = false;  // own thread

  bool is_blocked() const noexcept {
    return blocked.load(std::memory_order_seq_cst);  // B1, pairs with B2: its thread sleeps in a call
  }

  /// Own thread: a spare stands in for it.  If it has announced no call, the monitor has found it asleep.
  bool is_replaced() const noexcept {
    return blocked.load(std::memory_order_relaxed);  // K5, K6, relaxed: a barrier or the lock orders it
  }
};

}  // namespace weft::sched
