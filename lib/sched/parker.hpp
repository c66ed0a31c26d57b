#pragma once

// parker: what a worker has for the set it belongs to.  The protocol is in parking.hpp.

#include <atomic>
#include <cstdint>

namespace weft::sched {

/// park_word's values.
inline constexpr std::uint32_t awake = 0, parked = 1, notified = 2;

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
  bool rests = false;      // under the set's lock: sleeps in the reserve, even if listed as idle meanwhile
  bool searching = false;  // own thread
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
