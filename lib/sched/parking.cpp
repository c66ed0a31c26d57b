// How workers fall asleep and are woken.
//
// Protocol
//
//   producer                              parker
//   P1  store the work, seq_cst           S1  under the lock: list me as idle, state += idle (- searching)
//   P2  load state; idle and nobody       S2  look at everything I may take, seq_cst
//       searching: wake_one()             S3  found: under the lock, take me off the list; else sleep
//
//   wake_one: under the lock take somebody off the list, state += searching - idle; then set its park word
//   and wake it by futex.  The woken worker is counted as searching, so that nobody else is woken until it
//   has found something or has parked; one that finds something and is the last searcher wakes the next (1 ->
//   2 -> 4).
//
// Guarantee: P2 sees S1, or S2 sees P1; so no work stays behind while all sleep.  If P2 saw a searcher, that
// searcher
//            leaves the count later and looks again.
//
// Invariants
//   1. state's idle == idle_.size(); both change under the lock.
//   2. A worker is in the list, or its park word will be set to notified, but never both (A6: one that wakes
//   by itself
//      takes itself off the list, or waits for the wake in flight).
//   3. The poller's deadline is not later than the earliest timer: whoever arms a timer in a sleeping
//   worker's heap and
//      every worker that parks compares (A7); a worker that runs looks at its own heap.
//   4. S2 tests only what a searcher takes: a re-check that is true for ever would be a storm of wakes.  The
//   last item of
//      a worker is its own while it runs - the monitor sees to one that stands still - but anybody's while it
//      is blocked.
//
// Source: Go's proc.go ("Worker thread parking/unparking"), Tokio's idle.rs; model-checked (test/model).
// Rejected: a bit mask of idle workers without a lock (a waker that holds the count but not the bit makes a
// sleeper
//           unreachable); re-checking in the last searcher only (a worker refused by the searcher limit
//           sleeps beside queued work); waking the monitor from every wake (7 us each: it goes to sleep only
//           after a while).

#include <algorithm>

#include "os/lock.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

bool scheduler::wants_searcher() const noexcept {
  const std::uint32_t s = state_.load(std::memory_order_seq_cst);  // P2, pairs with S1
  return idle_of(s) != 0 && searching_of(s) == 0;
}

void scheduler::wake_one() noexcept {
  worker* chosen = nullptr;
  {
    const os::guard hold(set_lock_);
    const std::uint32_t s = state_.load(std::memory_order_relaxed);  // relaxed: changes under the lock only
    if (idle_.empty() || searching_of(s) != 0) return;
    // The poller last: it would have to be replaced.
    std::size_t i = idle_.size() - 1;
    if (i != 0 && idle_[i] == poller_.load(std::memory_order_relaxed)) --i;  // relaxed: a preference
    chosen = idle_[i];
    unlist(*chosen);
  }
  notify(*chosen);
  kick_monitor();
}

/// Under the lock.  The worker is counted as searching from here on.
bool scheduler::unlist(worker& w) noexcept {
  if (!w.in_idle) return false;
  w.in_idle = false;
  idle_.erase(std::find(idle_.rbegin(), idle_.rend(), &w).base() - 1);
  state_.fetch_add(one_searching - one_idle, std::memory_order_seq_cst);  // S7, pairs with P2
  return true;
}

/// Under the lock.
void scheduler::list_idle(worker& w, std::uint32_t leaves_searching) noexcept {
  w.in_idle = true;
  idle_.push_back(&w);  // capacity was reserved when the worker was made
  state_.fetch_add(one_idle - leaves_searching, std::memory_order_seq_cst);  // S1, pairs with P2
}

void scheduler::notify(worker& w) noexcept {
  count_shared.wakes.add_shared();
  if (w.park_word.exchange(notified, std::memory_order_acq_rel) == parked) {  // R4, pairs with A4
    port_.wake(word_of(w.park_word), 1);
  }
}

bool scheduler::may_search() const noexcept {
  // At most half of the workers search: more would only contend (Go, Tokio).
  return 2 * searching_of(state_.load(std::memory_order_relaxed)) <
         active_.load(std::memory_order_relaxed);  // relaxed
}

void scheduler::begin_search(worker& w) noexcept {
  w.searching = true;
  state_.fetch_add(one_searching, std::memory_order_seq_cst);  // S8, pairs with P2
}

/// The worker has found something.  If it was the last searcher and there is more, it wakes the next.
void scheduler::end_search(worker& w) noexcept {
  w.searching = false;
  const std::uint32_t before =
      state_.fetch_sub(one_searching, std::memory_order_seq_cst);  // S9, pairs with P2
  if (searching_of(before) == 1 && idle_of(before) != 0 && (w.has_surplus() || has_injected())) wake_one();
}

/// S2.
bool scheduler::found_meanwhile(worker& w) noexcept {
  if (has_injected()) return true;
  const unsigned n = count();
  for (unsigned i = 0; i < n; ++i) {
    worker& other = at(i);
    if (&other != &w && other.has_loot()) return true;
  }
  const os::nanos due = next_timer();
  return due != os::never && due <= port_.now();
}

bool scheduler::park(worker& w) noexcept {
  w.count.parks.add();
  {
    os::guard hold(set_lock_);
    if (leaving_) return false;
    if (active_.load(std::memory_order_relaxed) > how_.workers) {  // relaxed: changes under the lock
      if (w.searching) state_.fetch_sub(one_searching, std::memory_order_seq_cst);  // S9, pairs with P2
      w.searching = false;
      w.is = role::reserve;
      w.rests = true;
      reserve_.push_back(&w);
      active_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: under the lock
      w.park_word.store(parked,
                        std::memory_order_relaxed);  // relaxed: read under the lock or by notify()'s exchange
      hold.unlock();
      check_drained();
      return sleep_in_reserve(w);
    }
    list_idle(w, w.searching ? one_searching : 0);
    w.searching = false;
  }
  check_drained();
  if (found_meanwhile(w)) {
    os::guard hold(set_lock_);
    if (unlist(w)) {
      hold.unlock();
      w.searching = true;
      kick_monitor();
      return true;
    }
  }  // else somebody has taken me off already: the wake is on its way
  sleep(w);
  w.searching = true;
  kick_monitor();
  const os::guard hold(set_lock_);
  return !leaving_;
}

void scheduler::sleep(worker& w) noexcept {
  const os::nanos deadline = take_poller_token(w);
  std::uint32_t was = awake;
  bool by_itself = false;
  if (w.park_word.compare_exchange_strong(was, parked, std::memory_order_acq_rel)) {  // A5, pairs with R4
    while (w.park_word.load(std::memory_order_acquire) == parked) {                   // A4, pairs with R4
      if (!port_.wait(word_of(w.park_word), parked, deadline)) {
        by_itself = true;
        break;
      }
    }
  }
  if (by_itself) {
    bool mine;
    {
      const os::guard hold(set_lock_);
      mine = unlist(w);
    }
    if (!mine) {  // taken off by a waker whose `notified` is in flight: it must not hit the next sleep
      while (w.park_word.load(std::memory_order_acquire) == parked) {  // A4, pairs with R4
        port_.wait(word_of(w.park_word), parked, os::never);
      }
    }
  }
  w.park_word.store(awake, std::memory_order_relaxed);  // relaxed: nobody notifies who is not listed
  if (w.is_poller) {
    w.is_poller = false;
    poller_deadline_.store(os::never, std::memory_order_seq_cst);  // T2, pairs with T1
    poller_.store(nullptr, std::memory_order_seq_cst);             // T2, pairs with T1
  }
}

os::nanos scheduler::next_timer() const noexcept {
  os::nanos earliest = os::never;
  const unsigned n = count();
  for (unsigned i = 0; i < n; ++i) earliest = std::min(earliest, at(i).timers.min_when());
  return earliest;
}

/// One sleeper wakes for the timers; the others sleep for as long as nobody wakes them.
os::nanos scheduler::take_poller_token(worker& w) noexcept {
  os::nanos earliest = next_timer();
  if (earliest == os::never) return os::never;
  worker* none = nullptr;
  if (!poller_.compare_exchange_strong(none, &w, std::memory_order_seq_cst)) {       // T3, pairs with T1
    if (poller_deadline_.load(std::memory_order_seq_cst) > earliest) kick_poller();  // T4, pairs with T5
    return os::never;
  }
  w.is_poller = true;
  for (;;) {
    poller_deadline_.store(earliest, std::memory_order_seq_cst);  // T5, pairs with T1 and T4: then look again
    const os::nanos again = next_timer();
    if (again >= earliest) return earliest;
    earliest = again;
  }
}

void scheduler::timer_armed(os::nanos when) noexcept {
  if (poller_deadline_.load(std::memory_order_seq_cst) <= when) return;  // T1, pairs with T2 and T5
  if (poller_.load(std::memory_order_seq_cst) != nullptr) {              // T1, pairs with T3
    kick_poller();
  } else {
    wake_one();  // nobody waits for timers; if somebody searches, it will when it parks
  }
}

/// Wakes the poller as a searcher; when it parks again it takes the new deadline.
void scheduler::kick_poller() noexcept {
  worker* p = nullptr;
  {
    const os::guard hold(set_lock_);
    p = poller_.load(std::memory_order_relaxed);  // relaxed: listed or not is decided under the lock
    if (p == nullptr || !unlist(*p)) return;      // on its way already: it reads all timers when it parks
  }
  notify(*p);
}

void scheduler::add_stillness(stillness& to) const noexcept {
  const unsigned in_pool = pool_.idle_threads();
  const os::guard hold(set_lock_);
  const unsigned active = active_.load(std::memory_order_relaxed);  // relaxed: changes under the lock
  if (how_.manual || stopping() || in_pool == blocking_pool::not_still || idle_.size() != active ||
      has_injected() || next_timer() != os::never ||
      !monitor_asleep_.load(std::memory_order_seq_cst)) {  // M2, pairs with M1
    to.still = false;
    return;
  }
  for (unsigned i = 0, n = count(); i < n; ++i) {
    const worker& w = at(i);
    if (w.has_queued()) to.still = false;
    to.ticks += w.tick();
  }
  to.threads +=
      active + static_cast<unsigned>(reserve_.size() + companions_.size()) + in_pool + 1;  // the monitor
}

unsigned scheduler::idle() const noexcept {
  return idle_of(state_.load(std::memory_order_relaxed));  // relaxed: a statistic
}

}  // namespace weft::sched
