#pragma once

// How long threads wait for what other threads hold: a lock, or one that is reserved for another.
//
// The waits of a thread are added to a total that it was given.  Without one nothing is measured, nor is a
// clock read; a simulated thread has none.

#include <atomic>

#include "os/port.hpp"

namespace weft::os {

/// Where the waits of this thread are added from now on; null: nowhere.  The thread alone writes it.
void count_contention(std::atomic<nanos>* total) noexcept;

/// A wait: from here to the end of the block.
class [[nodiscard]] contended {
 public:
  contended() noexcept;
  contended(const contended&) = delete;
  contended& operator=(const contended&) = delete;
  ~contended();

 private:
  std::atomic<nanos>* total_;
  nanos since_ = 0;
};

}  // namespace weft::os
