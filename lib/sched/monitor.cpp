// The monitor: a thread that sees a worker stand still while it has work that others could do, and gets
// somebody woken; and that sees a worker asleep in a call that nobody announced, and lets a spare stand in.
//
// It backs up what the wake rules leave out to be cheap: the slot and the last item of a ring wake nobody
// when pushed (they run within nanoseconds, unless the routine before them computes or blocks), and a worker
// inside a long routine does not run its timers.  It looks every `stall_threshold` while there is something
// to watch, at half that pace while anything is queued beside a worker that runs, backs off to 4 ms - so that
// nobody sleeps for 10 ms beside work - and sleeps for good once all workers have been parked for a while.
//
// Asleep, computing or descheduled?
//   A worker that is awake, and has had the processor for too little of the time since the last look (its
//   thread's clock), is asked for by name: what the kernel says of a thread (os/thread_state.hpp) tells one
//   that sleeps, and in which system call, from one that runs or would if it got a processor - the machine's
//   other processes and the hypervisor's make no difference to that.  Each look costs 0.5 us for a worker
//   that is awake, and 8 us for one that had no processor.  Where the kernel does not tell (no /proc, no
//   descriptor left), one that had none for `blind_threshold` is taken to sleep.
//   Its tick does not matter: one that sleeps now, and mostly, leaves its processor unused.
//   One that sleeps until it gets a lock of weft's (os/contention.hpp) computes: it goes on as soon as the
//   lock's holder has a processor, and nobody else would get that lock sooner.
//   Rejected: wall - processor time - run delay (/proc's schedstat; what a hypervisor takes is in neither, so
//   a descheduled worker would look asleep); the letter of /proc's stat alone (4.4 us a read instead of 2.9,
//   and no system call); descriptors kept open (a read of 3 us instead of 8, and one for each of perhaps a
//   thousand spares); a flag set around user code (the hot path).
//
// A spare stands in for each that was found; workers + `extra_` may be active.  While all of
// them are found asleep again beside queued work, extra_ doubles, up to `most_extra` for each worker; it is 0
// again once as many compute as there are workers, or nobody was found for `calm_after`.  (1,000 calls of 10
// ms on two workers: 285 ms without, 70 to 80 with; Go 72.)  Meanwhile routines are taken out of the inject
// queue one by one: in a batch they would wait behind the first that sleeps, and be given up again.  One look
// that finds somebody is no reason for that, nor for extra_: a second in a row is.
// How a worker is taken over is in parking.hpp.  While no thread can be had for it, one look in 4 ms is
// enough.
//
// While no worker has the time to, it asks for descriptors that are ready: threads and other runtimes wait
// for those that this one watches, too.
//
// It also sees how long workers wait for one another, and lets some rest (restraint.hpp), and starts a thread
// of the blocking pool if what is queued there has waited for long and everybody is stuck
// (blocking_pool.hpp).
//
// How it falls asleep and is woken is in parking.hpp.  An occupied slot counts as queued work; a worker that
// is blocked is not active, its queues are stealable and were looked at.

#include <algorithm>
#include <array>
#include <utility>

#include "os/asymmetric.hpp"
#include "os/lock.hpp"
#include "os/thread_state.hpp"
#include "sched/restraint.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

namespace {

constexpr os::nanos longest_pause = 4'000'000;  // twice that is below 10 ms: a look may be too early to see
/// Looks that found all parked before the monitor goes to sleep: a runtime that is woken every few ms does
/// not pay for waking the monitor each time.
constexpr int quiet_looks = 4;
/// A due timer that nobody has run after so long is the monitor's, unless its worker gets on: then it has
/// more to do than it can, and the timer is better off where the earliest goes first.
constexpr os::nanos timer_grace = 300'000;
/// For each worker, so many more may be active while all are found asleep.
constexpr unsigned most_extra = 4;
/// Of workers that are found asleep in one look.
constexpr unsigned most_found = 64;
/// Where the kernel does not tell whether a thread sleeps, one that has had no processor for so long does.
constexpr os::nanos blind_threshold = 50'000'000;
/// So long after a worker was last found asleep, routines are taken one by one.
constexpr os::nanos calm_after = 20'000'000;

constinit std::atomic<culprit_reader> reader{nullptr};

}  // namespace

/// One thread's notes about the workers.
class monitor {
 public:
  explicit monitor(scheduler& home)
      : home_(home),
        looked_at_(home.port_.now()),
        pause_(home.how_.stall_threshold),
        restraint_(home.how_.workers),
        allowed_(home.how_.workers) {}

  void run() noexcept {
    int quiet = 0;
    for (;;) {
      const std::uint32_t seen = home_.monitor_word_.load(std::memory_order_acquire);  // A7, pairs with R7
      if ((seen & 1) != 0) return;
      if (home_.all_parked()) {
        if (home_.resting() != 0 || extra_ != 0) home_.let_run(allowed_ = restraint_.lift());
        extra_ = 0;
        if (home_.has_too_many()) {
          home_.wake_one();  // to retire
        } else if (++quiet > quiet_looks) {
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
    const os::nanos until = std::max(looked_at_ + pause_, home_.port_.now() + home_.how_.stall_threshold / 4);
    do {
      const os::nanos due = std::min(until, home_.pool_.grow_if_late());
      home_.port_.wait(word_of(home_.monitor_word_), seen, due);
      seen = home_.monitor_word_.load(std::memory_order_acquire);  // A7, pairs with R7
    } while ((seen & 1) == 0 && home_.port_.now() < until);
  }

  void look() noexcept {
    const bool injected = home_.has_injected();
    bool waiting = injected, stuck = false, moved = false, behind = injected;
    os::nanos lost = 0;
    const os::nanos now = home_.port_.now();
    const os::nanos passed = now - std::exchange(looked_at_, now);
    again_ = std::exchange(found_, 0) != 0;
    computing_ = 0;
    soon_ = refused_ = false;
    const unsigned n = home_.count();
    for (unsigned i = 0; i < n; ++i) {
      worker& w = home_.at(i);
      const std::uint32_t tick = w.tick();
      const std::uint32_t ran = tick - w.watched.tick;
      const std::uint64_t parks = w.count.parks.read();
      const bool queued = w.has_queued();
      const bool asleep = sleeps(w);
      // Standing still, or with more to do than a wake costs.  A worker that has not slept is measured here,
      // too: its own measure may be 60 dispatches old, and those may have been long ones.
      if (queued && ran == 0) {
        waiting = true;
        stuck = stuck || !asleep;
        if (w.is_blocked()) w.lift_queues();  // it went on, and is in the next call
      }
      if (queued && ran != 0) {
        const os::nanos each =
            parks == w.watched.parks ? std::max(passed / ran, w.dispatch_time()) : w.dispatch_time();
        waiting = waiting || each * (w.queued() + 1) > home_.how_.stall_threshold / 5;
      }
      behind = behind || (queued && !asleep);
      if (!asleep) watch(w, std::min(passed, now - w.measured_when()), ran == 0);
      w.watched.gets_on = ran > 3 * (hand_offs + 1) && !asleep;  // a turn may be a fork's or injected
      w.watched.tick = tick;
      w.watched.parks = parks;
      const os::nanos contended = w.waits.total();
      const os::nanos waited = contended - std::exchange(w.watched.contended, contended);
      if (!w.is_blocked()) lost += std::min(waited, passed);  // one that began long ago counts as one worker
      moved = moved || ran != 0;
    }
    stuck = stuck || (injected && !moved);
    const unsigned active = home_.active(), idle = std::min(home_.idle(), active);  // not of the same moment
    const bool let_back = restrain({now, passed, lost, active - idle, stuck});
    const bool replaced = replace_stuck(now);
    ramp(replaced);
    const bool late = run_late_timers();
    const bool somebody = home_.idle() != 0;
    // Who finds nothing parks, and is the poller.  While all compute, who waits may be another runtime's.
    const bool unattended = home_.is_unattended();
    if ((waiting || unattended) && home_.wants_searcher()) home_.wake_one();
    if (unattended && !somebody) home_.io()->poll();
    const os::nanos threshold = home_.how_.stall_threshold;
    if (refused_ && !replaced) {
      pause_ = std::min(2 * pause_, longest_pause);  // until there is a thread to be had, it is in vain
    } else if ((waiting && somebody) || late || let_back || replaced || (soon_ && behind)) {
      pause_ = std::max(threshold, pause_ / 2);
      if (replaced) pause_ = threshold;
    } else {
      pause_ = std::min(2 * pause_, behind ? 2 * threshold : longest_pause);
    }
    const os::nanos due = next_timer();
    if (due != os::never) {
      const os::nanos left = due + grace() - home_.port_.now();
      pause_ = std::clamp(left, std::min(home_.how_.stall_threshold, pause_), pause_);
    }
  }

  /// One that is awake: has it been without a processor for a while, and does it sleep now?
  void watch(worker& w, os::nanos passed, bool still) noexcept {
    const std::uint32_t tick = w.tick();
    const int number = w.thread_number.load(std::memory_order_relaxed);  // relaxed: its own, or 0
    if (number == 0) return;
    const os::nanos cpu = os::thread_cpu_time(number);
    const os::nanos had = cpu - std::exchange(w.watched.cpu_time, cpu);
    const os::nanos threshold = home_.how_.stall_threshold;
    const os::nanos without = passed - had;
    const os::nanos enough = calm_until_ == 0 ? threshold * 3 / 4 : threshold / 4;
    if (had < 0 || without < enough) {
      w.watched.still = 0;
      soon_ = soon_ || without > threshold / 8;
      if (had >= without) ++computing_;
      return;
    }
    w.watched.still = still ? w.watched.still + without : 0;
    const std::uint32_t turn = w.waits.turn();
    const os::thread_look seen = os::look_at_thread(number);
    const bool for_us = turn % 2 != 0 || w.waits.turn() != turn;
    const bool sleeps = seen.what == os::thread_does::sleeps ||
                        (seen.what == os::thread_does::unknown && w.watched.still > blind_threshold);
    if (sleeps && !for_us && found_ < most_found) {
      stuck_[found_++] = {&w, tick, seen.call, std::max(without, w.watched.still)};
    } else {
      ++computing_;
    }
  }

  /// A spare for each that was found.  True: at least one has one now.
  bool replace_stuck(os::nanos now) noexcept {
    unsigned done = 0;
    for (unsigned i = 0; i < found_; ++i) {
      if (home_.frozen()) return false;
      if (!take_over(stuck_[i], now)) continue;
      stuck_[done++] = stuck_[i];
      run_late_timers();  // a thread takes 70 us to start
    }
    if (done != 0) {
      calm_until_ = now + calm_after;
      if (again_) home_.inject_.limit_batches(1);
      if (os::barriers_are_asymmetric()) os::heavy_barrier();            // K2, pairs with K5
      for (unsigned i = 0; i < done; ++i) stuck_[i].who->lift_queues();  // K3
      const os::nanos due = home_.next_timer();
      if (due != os::never) home_.timer_armed(due);
      if (home_.has_injected() && home_.wants_searcher()) home_.wake_one();
    } else if (calm_until_ != 0 && now > calm_until_) {
      calm_until_ = 0;
      home_.inject_.limit_batches(scheduler::injected::max_batch);
    }
    return done != 0;
  }

  struct sighting {
    worker* who;
    std::uint32_t tick;
    long call;
    os::nanos without;  // a processor, so far
  };

  bool take_over(const sighting& s, os::nanos now) noexcept {
    worker& w = *s.who;
    for (;;) {
      const auto how = home_.take_over(w, [&] { return w.tick() == s.tick; });
      if (how == scheduler::takeover::came_back) return false;
      if (how == scheduler::takeover::done) break;
      try {
        home_.add_spare();
      } catch (...) {
        home_.count_shared.not_replaced.add();
        refused_ = true;
        return false;
      }
    }
    w.watched.gets_on = false;
    home_.count_shared.taken_over.add();
    name_culprit(s, now);
    return true;
  }

  void name_culprit(const sighting& s, os::nanos now) noexcept {
    worker& w = *s.who;
    culprit found;
    found.worker = w.index();
    found.call = s.call;
    found.since = now - s.without;
    const waiter* runs = w.current();
    const culprit_reader read = reader.load(std::memory_order_acquire);  // A1, pairs with R1
    if (runs != nullptr && read != nullptr) read(*runs, found);
    const os::guard hold(home_.culprit_lock_);
    const bool is_back = w.back_at > now;
    if (!is_back) w.stuck_since(found.since);
    if (w.tick() != s.tick || w.current() != runs) return;  // it is back, and this may be another
    if (is_back) found.until = w.back_at;                   // and has announced a call in the same turn
    home_.culprit_ = found;
  }

  /// Idle, at rest or in an announced call.
  static bool sleeps(const worker& w) noexcept {
    const std::uint32_t word = w.park_word.load(std::memory_order_relaxed);  // relaxed: a hint
    return w.is_blocked() || word == parked || word == polling;
  }

  /// True: some have come back, which is a trial.
  bool restrain(const restraint::sight& seen) noexcept {
    const unsigned before = allowed_;
    allowed_ = restraint_.look(seen);
    let_run(before + extra_);
    return allowed_ > before;
  }

  /// While all that are active are found asleep beside queued work, twice as many may be active each time:
  /// two spares in each look would be 10 routines a millisecond, however long they sleep.
  void ramp(bool replaced) noexcept {
    const unsigned before = allowed_ + extra_;
    const unsigned workers = home_.how_.workers;
    if (computing_ >= workers || calm_until_ == 0) {
      extra_ = 0;
    } else if (computing_ > found_) {
      extra_ /= 2;
    } else if (replaced && again_ && found_ >= 3 * computing_ && home_.has_injected()) {
      extra_ = std::min(std::max(2 * extra_, workers), most_extra * workers);
    }
    let_run(before);
  }

  void let_run(unsigned before) noexcept {
    const unsigned now = allowed_ + extra_;
    if (now != before || now > home_.active()) home_.let_run(now);
  }

  /// While workers are blocked and nobody waits for timers, theirs are nobody else's business.
  os::nanos grace() const noexcept { return home_.blocked() != 0 && !home_.has_poller() ? 0 : timer_grace; }

  /// Of those that may be the monitor's.
  os::nanos next_timer() const noexcept {
    os::nanos earliest = os::never;
    for (unsigned i = 0; i < home_.count(); ++i) {
      const worker& w = home_.at(i);
      if (!w.watched.gets_on) earliest = std::min(earliest, w.timers.min_when());
    }
    return earliest;
  }

  bool run_late_timers() noexcept {
    const os::nanos now = home_.port_.now();
    if (next_timer() > now - grace()) return false;
    const auto inject = [](void* context, detail::waiter* chain) {
      while (chain != nullptr) {
        detail::waiter* next = chain->next;
        auto& home = *static_cast<scheduler*>(context);
        const bool on_pool = chain->lives() == detail::home::blocking_pool;
        on_pool ? home.pool_.queue(*chain) : home.inject_overdue(*chain);
        chain = next;
      }
    };
    const unsigned n = home_.count();
    std::size_t fired = 0;
    for (unsigned i = 0; i < n; ++i) {
      timer_heap& theirs = home_.at(i).timers;
      if (home_.at(i).watched.gets_on || theirs.min_when() > now) continue;
      fired += theirs.try_run_due(now, inject, &home_);
    }
    home_.count_shared.timers_fired.add(fired);
    return fired != 0;
  }

  scheduler& home_;
  os::nanos looked_at_;
  os::nanos pause_;
  restraint restraint_;
  unsigned allowed_;  // by it
  unsigned extra_ = 0;
  std::array<sighting, most_found> stuck_;
  unsigned found_ = 0, computing_ = 0;  // of this look
  bool soon_ = false;                   // of this look: somebody may have fallen asleep just now
  bool refused_ = false;                // of this look: no thread could be had to stand in
  bool again_ = false;                  // the look before has found somebody, too
  os::nanos calm_until_ = 0;
};

culprit_reader set_culprit_reader(culprit_reader r) noexcept {
  return reader.exchange(r, std::memory_order_acq_rel);  // R1, pairs with A1
}

void scheduler::run_monitor() noexcept {
  monitor(*this).run();
}

}  // namespace weft::sched
