#pragma once

// How long threads wait for what other threads hold: a lock, or one that is reserved for another; and whether
// one does so now.  Who holds such a thing gives it back within a bounded number of instructions.
//
// What a thread's waits are written down in it was given.  Without one nothing is measured, nor is a clock
// read; a simulated thread has none.

#include <atomic>
#include <cstdint>

#include "os/port.hpp"

namespace weft::os {

/// One thread's waits.  It alone writes them.
class contention {
 public:
  nanos total() const noexcept { return total_.load(std::memory_order_relaxed); }  // relaxed: a statistic

  /// Odd: it is in a wait; else it was in none between two looks that found the same.  Whoever also asks the
  /// kernel whether the thread sleeps asks between the two.
  std::uint32_t turn() const noexcept {
    return turn_.load(
        std::memory_order_relaxed);  // relaxed: a thread falls asleep, and is asked for, in order
  }

 private:
  friend class contended;

  std::atomic<nanos> total_{0};
  std::atomic<std::uint32_t> turn_{0};
};

/// Where the waits of this thread are written down from now on; null: nowhere.
void count_contention(contention* to) noexcept;

/// A wait: from here to the end of the block; none inside another.
class [[nodiscard]] contended {
 public:
  contended() noexcept;
  contended(const contended&) = delete;
  contended& operator=(const contended&) = delete;
  ~contended();

 private:
  void pass() noexcept;

  contention* of_;
  nanos since_ = 0;
};

}  // namespace weft::os
