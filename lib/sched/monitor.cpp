// The monitor: a thread that sees a worker stand still while it has work that others could do, and gets
// somebody woken.
//
// It backs up what the wake rules leave out to be cheap: the slot and the last item of a ring wake nobody
// when pushed (they run within nanoseconds, unless the routine before them computes or blocks), and a worker
// inside a long routine does not run its timers.  It looks every `stall_threshold` while there is something
// to watch, backs off to 4 ms - so that nobody sleeps for 10 ms beside work - and sleeps for good once all
// workers have been parked for a while.
//
// It also sees how long workers wait for one another, and lets some rest (restraint.hpp), and starts a thread
// of the blocking pool if what is queued there has waited for long and everybody is stuck
// (blocking_pool.hpp).
//
// How it falls asleep and is woken is in parking.hpp.  An occupied slot counts as queued work; a worker that
// is blocked in an announced call is not active, its queues are stealable and were looked at.

#include <algorithm>
#include <utility>

#include "os/lock.hpp"
#include "sched/restraint.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

namespace {

constexpr os::nanos longest_pause = 4'000'000;  // twice that is below 10 ms: a look may be too early to see
/// Looks that found all parked before the monitor goes to sleep: a runtime that is woken every few ms does
/// not pay for waking the monitor each time.
constexpr int quiet_looks = 4;
/// A due timer that nobody has run after so long is the monitor's.
constexpr os::nanos timer_grace = 300'000;

}  // namespace

/// One thread's notes about the workers.
class monitor {
 public:
  explicit monitor(scheduler& home)
      : home_(home),
        looked_at_(home.port_.now()),
        pause_(home.how_.stall_threshold),
        restraint_(home.how_.workers) {}

  void run() noexcept {
    int quiet = 0;
    for (;;) {
      const std::uint32_t seen = home_.monitor_word_.load(std::memory_order_acquire);  // A7, pairs with R7
      if ((seen & 1) != 0) return;
      if (home_.all_parked()) {
        if (home_.resting() != 0) home_.let_run(restraint_.lift());
        if (++quiet > quiet_looks) {
          quiet = 0;
          home_.sleep_until_kicked(seen, &look_for_deadlock);
          looked_at_ = home_.port_.now();
          pause_ = home_.how_.stall_threshold;
          continue;
        }
      } else {
        quiet = 0;
      }
      pause(seen);
      home_.count_shared.monitor_wakes.add();
      look();
    }
  }

 private:
  /// Until the next look at the workers.  Meanwhile the blocking pool may need a thread, which is not to
  /// bring that look forward.
  void pause(std::uint32_t seen) noexcept {
    const os::nanos until = home_.port_.now() + pause_;
    do {
      const os::nanos due = std::min(until, home_.pool_.grow_if_late());
      home_.port_.wait(word_of(home_.monitor_word_), seen, due);
      seen = home_.monitor_word_.load(std::memory_order_acquire);  // A7, pairs with R7
    } while ((seen & 1) == 0 && home_.port_.now() < until);
  }

  void look() noexcept {
    const bool injected = home_.has_injected();
    bool waiting = injected, stuck = false, moved = false;
    os::nanos lost = 0;
    const os::nanos now = home_.port_.now();
    const os::nanos passed = now - std::exchange(looked_at_, now);
    const unsigned n = home_.count();
    for (unsigned i = 0; i < n; ++i) {
      worker& w = home_.at(i);
      const std::uint32_t tick = w.tick();
      const std::uint32_t ran = tick - w.watched_tick;
      const std::uint64_t parks = w.count.parks.read();
      const bool queued = w.has_queued();
      // Standing still, or with more to do than a wake costs.  A worker that has not slept is measured here,
      // too: its own measure may be 60 dispatches old, and those may have been long ones.
      if (queued && ran == 0) {
        waiting = true;
        stuck = stuck || !sleeps(w);
      }
      if (queued && ran != 0) {
        const os::nanos each =
            parks == w.watched_parks ? std::max(passed / ran, w.dispatch_time()) : w.dispatch_time();
        waiting = waiting || each * (w.queued() + 1) > home_.how_.stall_threshold / 5;
      }
      w.watched_tick = tick;
      w.watched_parks = parks;
      const os::nanos contended = w.contended.load(std::memory_order_relaxed);  // relaxed: a statistic
      const os::nanos waited = contended - std::exchange(w.watched_contended, contended);
      if (!w.is_blocked()) lost += std::min(waited, passed);  // one that began long ago counts as one worker
      moved = moved || ran != 0;
    }
    stuck = stuck || (injected && !moved);
    const unsigned active = home_.active(), idle = std::min(home_.idle(), active);  // not of the same moment
    const bool let_back = restrain({now, passed, lost, active - idle, stuck});
    const bool late = run_late_timers();
    const bool somebody = home_.idle() != 0;
    if (waiting && home_.wants_searcher()) home_.wake_one();
    pause_ = (waiting && somebody) || late || let_back
                 ? std::max<os::nanos>(home_.how_.stall_threshold, pause_ / 2)
                 : std::min(2 * pause_, longest_pause);
    const os::nanos due = home_.next_timer();
    if (due != os::never) {
      const os::nanos left = due + timer_grace - home_.port_.now();
      pause_ = std::clamp(left, std::min(home_.how_.stall_threshold, pause_), pause_);
    }
  }

  /// Idle, at rest or in an announced call.
  static bool sleeps(const worker& w) noexcept {
    return w.is_blocked() || w.park_word.load(std::memory_order_relaxed) == parked;  // relaxed: a hint
  }

  /// True: some have come back, which is a trial.
  bool restrain(const restraint::sight& seen) noexcept {
    const unsigned before = home_.how_.workers - home_.resting(), now = restraint_.look(seen);
    if (now != before || now > home_.active()) home_.let_run(now);
    return now > before;
  }

  bool run_late_timers() noexcept {
    const os::nanos now = home_.port_.now();
    if (home_.next_timer() > now - timer_grace) return false;
    const auto inject = [](void* context, detail::waiter* chain) {
      while (chain != nullptr) {
        detail::waiter* next = chain->next;
        auto& home = *static_cast<scheduler*>(context);
        const bool on_pool = chain->lives() == detail::home::blocking_pool;
        on_pool ? home.pool_.queue(*chain) : home.inject(*chain);
        chain = next;
      }
    };
    const unsigned n = home_.count();
    for (unsigned i = 0; i < n; ++i) {
      timer_heap& theirs = home_.at(i).timers;
      if (theirs.min_when() <= now) theirs.try_run_due(now, inject, &home_);
    }
    return true;
  }

  scheduler& home_;
  os::nanos looked_at_;
  os::nanos pause_;
  restraint restraint_;
};

void scheduler::run_monitor() noexcept {
  monitor(*this).run();
}

}  // namespace weft::sched
