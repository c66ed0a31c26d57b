#pragma once

// restraint: how many workers may be active.  All of them, unless they wait for one another.
//
// Routines that share one channel or one mutex do one thing after another in any case.  On several workers
// that takes longer than on one, because what they share moves from cache to cache, and all but one worker
// wait for its lock (two workers, four producers and four consumers: 45 to 90 ns an item, 17 on one).  So the
// monitor adds up how long workers have waited for locks; as many as there were workers' times in that rest
// for a while.  Then all may run again; if they lose as much again, the next rest is twice as long.
//
//   window          contended time is weighed that long
//   shortest_rest   after a window without loss; up to longest_rest while each trial fails
//
// The price if it is wrong: work that has become parallel meanwhile waits for others until the rest is over,
// or until a worker stands still beside queued work.  While trials fail they cost a window every
// longest_rest.
//
// Source: Dice, "Malthusian locks" (2017); Dice and Kogan, "Avoiding scalability collapse by restricting
//         concurrency" (2019): there for the threads that wait for one lock.
// Rejected: not to steal what runs soon in any case (independent routines would not spread either); longer
//           pauses in the lock (1.5 times as fast instead of 3, and blind waits of 40 us for everybody);
//           counting how often a lock changes sides (does not tell a pipeline from a crowd); climbing by
//           throughput (a dispatch is one operation or 128, or a millisecond of computing).

#include <algorithm>

#include "os/port.hpp"

namespace weft::sched {

class restraint {
 public:
  static constexpr os::nanos window = 1'000'000;
  static constexpr os::nanos shortest_rest = 10'000'000, longest_rest = 40'000'000;

  explicit restraint(unsigned workers) noexcept : workers_(workers), allowed_(workers) {}

  /// What was seen since the last look, `passed` ago.
  struct sight {
    os::nanos now, passed;
    os::nanos lost;   // to waits, by all workers together
    unsigned active;  // workers that do not sleep
    bool stuck;       // work waits where nobody moves: behind a routine that goes on, or injected
  };

  /// How many may be active from now on.
  unsigned look(const sight& seen) noexcept {
    if (allowed_ < workers_ && (seen.stuck || seen.now >= until_)) {
      if (seen.stuck) rest_ = shortest_rest;
      return lift();
    }
    passed_ += seen.passed;
    lost_ += seen.lost;
    had_ += seen.active * seen.passed;
    if (passed_ >= window) judge(seen.now);
    return allowed_;
  }

  /// All may be active.
  unsigned lift() noexcept {
    forget();
    return allowed_ = workers_;
  }

 private:
  void judge(os::nanos now) noexcept {
    const auto active = static_cast<unsigned>((had_ + passed_ / 2) / passed_);
    const auto wasted = static_cast<unsigned>((lost_ + passed_ * 2 / 5) / passed_);  // 0.6 are one
    if (wasted != 0 && active > 1) {
      const unsigned fewer = std::min(workers_ - 1, active - std::min(wasted, active - 1));
      if (allowed_ == workers_) {
        until_ = now + rest_;
        rest_ = std::min(2 * rest_, longest_rest);
      }
      allowed_ = std::clamp(fewer, 1U, allowed_);
    } else if (allowed_ == workers_) {
      rest_ = shortest_rest;
    }
    forget();
  }

  void forget() noexcept { passed_ = lost_ = had_ = 0; }

  unsigned workers_, allowed_;
  os::nanos rest_ = shortest_rest, until_ = 0;
  os::nanos passed_ = 0, lost_ = 0, had_ = 0;  // of this window
};

}  // namespace weft::sched
