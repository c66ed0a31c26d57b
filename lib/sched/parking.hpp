#pragma once

// How workers fall asleep and are woken, and what sees to it that no work stays behind.
//
// Protocol
//
//   producer                              parker
//   P1  store the work, seq_cst           S1  under the lock: list me as idle, state += idle (- searching)
//   P2  load state; idle and nobody       S2  look at everything I may take, seq_cst; forks after a heavy
//                                             barrier, if there may be any (fork_deque.hpp)
//       searching: wake_one()             S3  found: under the lock, take me off the list; else sleep
//
//   wake_one: under the lock take somebody off the list, state += searching - idle; then set its park word
//   and wake it by futex.  The woken worker is counted as searching, so that nobody else is woken until it
//   has found something or has parked; one that finds something and is the last searcher wakes the next
//   (1 -> 2 -> 4).
//
// Guarantee: P2 sees S1, or S2 sees P1; so no work stays behind while all sleep.  If P2 saw a searcher, that
//            searcher leaves the count later and looks again, however it leaves.  It leaves soon: it runs
//            nothing of others before - a destructor that waits for somebody would keep him from being woken.
//
// Blocked workers: a worker whose thread blocks in an announced call is replaced by a spare, which is listed
// as idle - a producer's ordinary wake finds it - and then the queues are looked at as by a parker
// (protocols.md A10).  When the call returns, the spare goes back to the reserve if it was never woken; else
// one worker too many is active, and the next that parks retires.
//
// Taken over: the monitor does the same to a worker whose thread sleeps in a call that nobody announced: K1
// to K6, in parker.hpp.
//
// Monitor (protocols.md A8)
//   monitor   M1 asleep = true, seq_cst; M2 are all still parked? no: asleep = false, go on
//   waker     W1 state -= idle or active += 1, seq_cst; W2 asleep? wake the monitor
// Guarantee: M2 sees W1, or W2 sees M1.  Whoever runs when all were parked does W1, W2: who is woken, who
//            wakes by itself, and who comes back from a blocking call.
//
// Descriptors: where a runtime watches some, the poller sleeps in its driver: D1 to D5, in driver.hpp.
//
// Invariants
//   1. state's idle == idle_.size(); both change under the lock.
//   2. A worker is in the list, or its park word will be set to notified, but never both (A6: one that wakes
//      by itself takes itself off the list, or waits for the wake in flight).
//   3. The poller's deadline is not later than the earliest timer: whoever arms a timer in a sleeping
//      worker's heap and every worker that parks, blocks or retires compares (A7); one that runs looks at its
//      own heap.  It may sleep on for a rest (timer_pace.hpp): who leaves a due timer to that knows of a
//      poller, or is the next.
//   4. S2 tests only what a searcher takes: a re-check that is true for ever would be a storm of wakes.  The
//      last item of a worker is its own while it runs - the monitor sees to one that stands still - but
//      anybody's while it is blocked.
//
// Source: Go's proc.go ("Worker thread parking/unparking"), Tokio's idle.rs.
// Model-checked in test/model/parking_model_test.cpp.
// Rejected: a bit mask of idle workers without a lock (a waker that holds the count but not the bit makes a
//           sleeper unreachable); re-checking in the last searcher only (a worker refused by the searcher
//           limit sleeps beside queued work); waking the monitor from every wake (7 us each: it goes to sleep
//           only after a while); a last searcher that wakes the next without looking (Go: a storm when there
//           is nothing more).

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/parker.hpp"
#include "sched/reserve.hpp"

namespace weft::sched {

/// `Home` derives from this.  Its at() and count() give the workers, which derive from parker and tell what
/// they have; the rest that is asked of it is in scheduler.hpp.
template <typename Home, typename Worker, template <typename> class Atomic = std::atomic,
          typename Guard = os::guard>
class parking {
 public:
  // --- who has work for others ---

  /// Somebody pushed a surplus, seq_cst, and keeps running.
  bool wants_searcher() const noexcept {
    const std::uint32_t s = state_.load(std::memory_order_seq_cst);  // P2, pairs with S1
    return s - 1 < most_idle;  // some idle and none searching, in one comparison
  }

  void wake_one() noexcept {
    Worker* chosen = nullptr;
    {
      const Guard hold(set_lock_);
      const std::uint32_t s = state_.load(std::memory_order_relaxed);  // relaxed: changes under the lock only
      if (idle_.empty() || searching_of(s) != 0) return;
      // The poller last: it would have to be replaced.
      std::size_t i = idle_.size() - 1;
      if (i != 0 && idle_[i] == poller_.load(std::memory_order_relaxed)) --i;  // relaxed: a preference
      chosen = idle_[i];
      unlist(*chosen);
    }
    notify(*chosen);
    self().kick_monitor();
  }

  /// A thread that is no worker has begun to watch a descriptor.
  void watch_began() noexcept {
    if (poller_.load(std::memory_order_seq_cst) == nullptr) wake_one();  // D2, pairs with T2: who leaves
  }

  /// There is a driver now: who sleeps for timers on its futex is to sleep there.
  void driver_came() noexcept {
    if (poller_.load(std::memory_order_seq_cst) != nullptr) self().kick_poller();  // D4, pairs with T3
  }

  /// A timer was armed in a heap whose worker may sleep.
  void timer_armed(os::nanos when) noexcept {
    if (poller_deadline_.load(std::memory_order_seq_cst) <= when) return;  // T1, pairs with T2 and T5
    if (poller_.load(std::memory_order_seq_cst) != nullptr) {              // T1, pairs with T3
      self().kick_poller();
    } else {
      wake_one();  // nobody waits for timers; if somebody searches, it will when it parks
    }
  }

  os::nanos next_timer() const noexcept {
    os::nanos earliest = os::never;
    const unsigned n = self().count();
    for (unsigned i = 0; i < n; ++i) earliest = std::min(earliest, self().at(i).timers.min_when());
    return earliest;
  }

  // --- a worker without work ---

  bool may_search() const noexcept {
    // At most half of the workers search: more would only contend (Go, Tokio).
    return 2 * searching_of(state_.load(std::memory_order_relaxed)) <  // relaxed: a limit, not exact
           active_.load(std::memory_order_relaxed);                    // relaxed: same
  }

  void begin_search(Worker& w) noexcept {
    w.searching = true;
    state_.fetch_add(one_searching, std::memory_order_seq_cst);  // S8, pairs with P2
  }

  /// The worker has found something.  If it was the last searcher and there is more, it wakes the next.
  void end_search(Worker& w) noexcept {
    w.searching = false;
    const std::uint32_t before = state_.fetch_sub(one_searching, std::memory_order_seq_cst);  // S9, with P2
    if (searching_of(before) != 1 || idle_of(before) == 0) return;
    if (w.has_surplus() || self().has_injected() || self().blocked_have_work()) wake_one();
  }

  /// Sleeps until there is something to do.  False: the thread must end.
  bool park(Worker& w) noexcept {
    w.count.parks.add();
    {
      Guard hold(set_lock_);
      if (leaving_) return false;
      if (w.is == role::blocked) {  // K6
        stand_up(w);
        self().note_return(w);
      }
      if (has_too_many()) {
        retire(w);
        hold.unlock();
        self().check_drained();
        self().look_again(w);
        return sleep_in_reserve(w);
      }
      list_idle(w, w.searching ? one_searching : 0);
      w.searching = false;
    }
    self().check_drained();
    if (self().has_left_work(w)) {
      Guard hold(set_lock_);
      if (unlist(w)) {
        hold.unlock();
        w.searching = true;
        self().kick_monitor();
        return true;
      }
    }  // else somebody has taken me off already: the wake is on its way
    sleep(w);
    w.searching = true;
    self().kick_monitor();
    const Guard hold(set_lock_);
    return !leaving_;
  }

  /// More workers are active than there should be: one retires at its next scheduling point.
  bool has_too_many() const noexcept {
    return active_.load(std::memory_order_relaxed) >  // relaxed: park() looks locked
           allowed_.load(std::memory_order_relaxed);  // relaxed: same
  }

  /// So many may be active from now on.  If more are, sleepers are taken to the reserve as they sleep, and
  /// others retire; if fewer are, spares are listed as idle.  False: the reserve has too few for that.  The
  /// caller looks for work then: who was listed as idle when it came may not be any more.
  bool allow(unsigned workers) noexcept {
    const Guard hold(set_lock_);
    allowed_.store(workers, std::memory_order_relaxed);  // relaxed: has_too_many() is a hint without the lock
    for (std::size_t i = idle_.size(); i-- > 0 && has_too_many();) {
      // One beyond the workers is woken to retire, by the monitor: else its thread would never end.
      const bool may_rest =
          active_.load(std::memory_order_relaxed) <= self().how().workers;  // relaxed: locked
      if (idle_[i]->rests || (may_rest && self().sleeps_for_good(*idle_[i]))) take_to_reserve(i);
    }
    while (active_.load(std::memory_order_relaxed) < workers) {  // relaxed: changes under the lock
      if (!reserve_.has_one()) return false;
      list_idle(reserve_.take(), 0);
      active_.fetch_add(1, std::memory_order_relaxed);  // relaxed: M2 is of the thread that calls this
    }
    return true;
  }

  // --- a worker whose thread blocks ---

  /// A spare stands in for `w`, listed as idle.  False: there is none in the reserve.
  bool replace(Worker& w) noexcept {
    const Guard hold(set_lock_);
    if (w.is == role::blocked) {  // K6: it was taken over, and the spare stays
      self().note_return(w);
      return true;
    }
    if (reserve_.size() == 0) return false;
    stand_in_for(w);
    return true;
  }

  enum class takeover : std::uint8_t { done, without_spare, came_back };

  /// Monitor.  replace() of one that does not know, if `still()` under the lock.
  template <typename Still>
  takeover take_over(Worker& w, Still still) noexcept {
    const Guard hold(set_lock_);
    // On its way to sleep, or woken, it is in parking's own code.
    const bool is_awake = w.park_word.load(std::memory_order_relaxed) == awake;  // relaxed: a moment's sight
    if (w.is != role::active || w.in_idle || leaving_ || !is_awake || !still()) return takeover::came_back;
    if (!reserve_.has_one_for(w)) return takeover::without_spare;
    stand_in_for(w);  // K1
    return takeover::done;
  }

  /// From now on until break_promise() the monitor leaves a spare for `w`.  False: there is none.
  bool promise(Worker& w) noexcept {
    const Guard hold(set_lock_);
    return reserve_.promise(w);
  }

  void break_promise(Worker& w) noexcept {
    const Guard hold(set_lock_);
    reserve_.break_promise(w);
  }

  /// S2, of a worker that does not sleep as idle: blocked or retired.
  void look_again(Worker& w) noexcept {
    if (has_left_work(w)) wake_one();
    const os::nanos due = next_timer();
    if (due != os::never) timer_armed(due);
    if (self().watches()) watch_began();
  }

  /// The call has returned.
  void end_block(Worker& w) noexcept {
    {
      const Guard hold(set_lock_);
      stand_up(w);
      if (has_too_many()) put_back_a_spare();
    }
    self().kick_monitor();
  }

  /// It will never run anything again.
  void leave_for_good(Worker& w) noexcept {
    const Guard hold(set_lock_);
    if (w.is == role::blocked) stand_up(w);  // K6
    w.is = role::gone;
  }

  /// The worker is a spare, its park word `parked`.  Returns true when it was woken as a searcher.
  bool sleep_in_reserve(Worker& w) noexcept {
    os::nanos deadline = self().port().now() + self().how().blocking_idle_timeout;
    while (w.park_word.load(std::memory_order_acquire) == parked) {  // A4, pairs with R4
      if (self().port().wait(word_of(w.park_word), parked, deadline)) continue;
      const Guard hold(set_lock_);
      if (w.is == role::reserve && reserve_.has_one() &&
          w.park_word.load(std::memory_order_relaxed) == parked) {  // relaxed: under the lock
        reserve_.let_go(w);
        self().uncount_thread();
        return false;
      }
      // Listed as idle for now, not in the reserve yet, or promised to somebody.
      deadline = self().port().now() + std::max(self().how().blocking_idle_timeout, shortest_rest);
    }
    w.park_word.store(awake, std::memory_order_relaxed);  // relaxed: nobody notifies who is not listed
    const Guard hold(set_lock_);
    w.rests = false;
    w.searching = true;
    return !leaving_;
  }

  // --- the monitor ---

  bool all_parked() const noexcept {
    return idle_of(state_.load(std::memory_order_seq_cst)) >=  // M2, pairs with W1
           active_.load(std::memory_order_seq_cst);            // M2, pairs with W1
  }

  /// `look` is called when it is certain that the monitor sleeps.
  template <typename Look>
  void sleep_until_kicked(std::uint32_t seen, Look look) noexcept {
    monitor_asleep_.store(true, std::memory_order_seq_cst);  // M1, pairs with W2
    if (self().all_parked()) {
      look();
      self().port().wait(word_of(monitor_word_), seen, os::never);
    }
    monitor_asleep_.store(false, std::memory_order_seq_cst);  // M1, pairs with W2
  }

  /// W2.
  void kick_monitor() noexcept {
    if (!monitor_asleep_.load(std::memory_order_seq_cst)) return;  // W2, pairs with M1
    monitor_asleep_.store(false, std::memory_order_relaxed);       // relaxed: one kick is enough
    monitor_word_.fetch_add(2, std::memory_order_release);         // R7, pairs with A7
    self().port().wake(word_of(monitor_word_), 1);
  }

  // --- looking ---

  unsigned idle() const noexcept {
    return idle_of(state_.load(std::memory_order_relaxed));  // relaxed: a statistic
  }

  bool has_poller() const noexcept {
    return poller_.load(std::memory_order_relaxed) != nullptr;  // relaxed: a hint
  }

  unsigned blocked() const noexcept {
    return blocked_.load(std::memory_order_relaxed);  // relaxed: a statistic
  }

  unsigned active() const noexcept {
    return active_.load(std::memory_order_relaxed);  // relaxed: a statistic
  }

 protected:
  parking() = default;

  /// S2, and its own: who gives up its queues as one too many keeps its forks, and a spare may retire first.
  bool has_left_work(Worker& w) noexcept { return self().found_meanwhile(w) || w.has_queued(); }

  /// S2.
  bool found_meanwhile(Worker& w) noexcept {
    self().see_forks();
    if (self().has_injected()) return true;
    const unsigned n = self().count();
    for (unsigned i = 0; i < n; ++i) {
      Worker& other = self().at(i);
      if (&other != &w && self().has_loot(other)) return true;
    }
    const os::nanos due = next_timer();
    return due != os::never && self().after_rest(due) <= self().port().now();  // else the poller has it: T4
  }

  /// Something that a thief takes at once: more than one item, or any if nobody will run it there.
  static bool has_loot(const Worker& w) noexcept { return w.is_blocked() ? w.has_queued() : w.has_surplus(); }

  /// Of one that is listed as idle: it has looked, and will not wake by itself for a timer.
  bool sleeps_for_good(const Worker& w) const noexcept {
    return w.park_word.load(std::memory_order_acquire) == parked &&  // A4, pairs with A5: after T3
           poller_.load(std::memory_order_relaxed) != &w;            // relaxed: A4 brought it
  }

  /// Wakes the poller as a searcher; when it parks again it takes the new deadline.
  void kick_poller() noexcept {
    Worker* p = nullptr;
    {
      const Guard hold(set_lock_);
      p = poller_.load(std::memory_order_relaxed);  // relaxed: listed or not is decided under the lock
      if (p == nullptr || !unlist(*p)) return;      // on its way already: it reads all timers when it parks
    }
    notify(*p);
  }

  /// The worker wakes by itself.  False: a wake is in flight.
  bool take_off(Worker& w) noexcept {
    const Guard hold(set_lock_);
    return unlist(w);
  }

  /// What a searcher has passed before it was anybody's.
  bool blocked_have_work() const noexcept {
    if (blocked_.load(std::memory_order_seq_cst) == 0) return false;  // B1, pairs with B2
    const unsigned n = self().count();
    for (unsigned i = 0; i < n; ++i) {
      const Worker& w = self().at(i);
      if (w.is_blocked() && w.has_queued()) return true;
    }
    return false;
  }

  /// Every worker gets to know that its thread must end.
  void let_all_leave() noexcept {
    {
      const Guard hold(set_lock_);
      leaving_ = true;
    }
    for (unsigned i = 0; i < self().count(); ++i) end_sleep(self().at(i));
  }

  /// Room for so many workers in the lists, which must not allocate later.  Throws std::bad_alloc.
  void reserve_room(std::size_t workers) {
    const Guard hold(set_lock_);
    idle_.reserve(workers);
    reserve_.make_room(workers);
  }

  /// A worker whose thread has ended, or null.
  Worker* take_gone() noexcept {
    const Guard hold(set_lock_);
    return reserve_.take_gone();
  }

  void put_gone(Worker& w) noexcept {
    const Guard hold(set_lock_);
    reserve_.put_gone(w);
  }

  /// A new spare, whose thread is in sleep_in_reserve() or about to.
  void put_in_reserve(Worker& w) noexcept {
    const Guard hold(set_lock_);
    reserve_.put(w);
  }

  // state_ = {searching:16, idle:16}; idle is idle_.size().
  static constexpr std::uint32_t one_idle = 1, one_searching = 1U << 16, most_idle = one_searching - 1;

  static unsigned idle_of(std::uint32_t s) noexcept { return s & 0xffff; }

  static unsigned searching_of(std::uint32_t s) noexcept { return s >> 16; }

  alignas(64) Atomic<std::uint32_t> state_{0};
  alignas(64) mutable std::uint32_t set_lock_ = 0;  // guards the lists and every worker's role
  std::vector<Worker*> idle_;                       // newest last
  reserve<Worker> reserve_;
  Atomic<unsigned> active_{0};   // changes under the lock
  Atomic<unsigned> allowed_{0};  // same: so many may be active
  Atomic<unsigned> blocked_{0};  // same
  bool leaving_ = false;         // under the lock

  alignas(64) Atomic<Worker*> poller_{nullptr};
  Atomic<os::nanos> poller_deadline_{os::never};

  Atomic<std::uint32_t> monitor_word_{0};
  Atomic<bool> monitor_asleep_{false};

 private:
  /// How often a spare that is listed as idle looks whether it still is.
  static constexpr os::nanos shortest_rest = 10'000'000;

  Home& self() noexcept { return static_cast<Home&>(*this); }

  const Home& self() const noexcept { return static_cast<const Home&>(*this); }

  /// Under the lock.  The worker is counted as searching from here on.
  bool unlist(Worker& w) noexcept {
    if (!w.in_idle) return false;
    w.in_idle = false;
    idle_.erase(std::find(idle_.rbegin(), idle_.rend(), &w).base() - 1);
    state_.fetch_add(one_searching - one_idle, std::memory_order_seq_cst);  // S7, W1, pair with P2, M2
    return true;
  }

  /// Under the lock.
  void list_idle(Worker& w, std::uint32_t leaves_searching) noexcept {
    w.in_idle = true;
    idle_.push_back(&w);                                                       // reserve_room() was called
    state_.fetch_add(one_idle - leaves_searching, std::memory_order_seq_cst);  // S1, pairs with P2
  }

  void notify(Worker& w) noexcept {
    self().count_shared.wakes.add_shared();
    end_sleep(w);
  }

  void end_sleep(Worker& w) noexcept {
    const std::uint32_t was = w.park_word.exchange(notified, std::memory_order_acq_rel);  // R4, pairs with A4
    if (was == parked) self().port().wake(word_of(w.park_word), 1);
    if (was == polling) self().io()->interrupt();
  }

  /// Under the lock; there is a spare.
  void stand_in_for(Worker& w) noexcept {
    Worker& spare = reserve_.take();
    reserve_.becomes_blocked(w);
    w.blocked.store(true, std::memory_order_seq_cst);  // B2, pairs with B1: S2 counts all it has
    blocked_.fetch_add(1, std::memory_order_seq_cst);  // B2, pairs with B1
    list_idle(spare, 0);
  }

  /// Under the lock.
  void stand_up(Worker& w) noexcept {
    reserve_.becomes_active(w);
    w.blocked.store(false, std::memory_order_seq_cst);  // B2, pairs with B1
    blocked_.fetch_sub(1, std::memory_order_seq_cst);   // B2, pairs with B1
    active_.fetch_add(1, std::memory_order_seq_cst);    // W1, pairs with M2
  }

  /// Under the lock.
  void retire(Worker& w) noexcept {
    if (w.searching) state_.fetch_sub(one_searching, std::memory_order_seq_cst);  // S9, pairs with P2
    w.searching = false;
    w.rests = true;
    reserve_.put(w);
    active_.fetch_sub(1, std::memory_order_seq_cst);       // M2 may find all parked now
    w.park_word.store(parked, std::memory_order_relaxed);  // relaxed: read under the lock or exchanged
  }

  /// Under the lock.  A spare that was never woken does not notice.
  void put_back_a_spare() noexcept {
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(), [](const Worker* i) { return i->rests; });
    if (found == idle_.rend()) return;
    take_to_reserve(static_cast<std::size_t>(found.base() - 1 - idle_.begin()));
  }

  /// Under the lock.
  void take_to_reserve(std::size_t idle) noexcept {
    Worker& w = *idle_[idle];
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(idle));
    w.in_idle = false;
    state_.fetch_sub(one_idle, std::memory_order_seq_cst);  // S1, pairs with P2
    reserve_.put(w);
    active_.fetch_sub(1, std::memory_order_seq_cst);  // M2 may find all parked now
  }

  void sleep(Worker& w) noexcept {
    const os::nanos deadline = take_poller_token(w);
    auto* const io = w.is_poller ? self().io() : nullptr;
    if (!(io != nullptr ? sleep_in_driver(w, *io, deadline) : sleep_on_futex(w, deadline))) {
      // Taken off by a waker whose `notified` is in flight: it must not hit the next sleep.
      while (w.park_word.load(std::memory_order_acquire) == parked) {  // A4, pairs with R4
        self().port().wait(word_of(w.park_word), parked, os::never);
      }
    }
    w.park_word.store(awake, std::memory_order_relaxed);  // relaxed: nobody notifies who is not listed
    if (io != nullptr) io->deliver();
    if (w.is_poller) {
      w.is_poller = false;
      poller_deadline_.store(os::never, std::memory_order_seq_cst);  // T2, pairs with T1
      poller_.store(nullptr, std::memory_order_seq_cst);             // T2, pairs with T1
    }
  }

  /// Until it is notified, or wakes by itself and takes itself off the list.  False: somebody else has.
  bool sleep_on_futex(Worker& w, os::nanos deadline) noexcept {
    std::uint32_t was = awake;
    if (!w.park_word.compare_exchange_strong(was, parked, std::memory_order_acq_rel)) return true;  // A5, R4
    while (w.park_word.load(std::memory_order_acquire) == parked) {  // A4, pairs with R4
      if (!self().port().wait(word_of(w.park_word), parked, deadline)) return self().take_off(w);
    }
    return true;
  }

  /// The same, of the poller.
  template <typename Driver>
  bool sleep_in_driver(Worker& w, Driver& io, os::nanos deadline) noexcept {
    std::uint32_t was = awake;
    if (!w.park_word.compare_exchange_strong(was, polling, std::memory_order_acq_rel)) return true;  // A5, R4
    while (w.park_word.load(std::memory_order_acquire) == polling) {  // A4, pairs with R4
      if (io.wait(deadline)) continue;
      if (self().take_off(w)) return true;
      was = polling;  // who is about to notify wakes a futex from here on
      w.park_word.compare_exchange_strong(was, parked, std::memory_order_acq_rel);  // A5, pairs with R4
      return false;
    }
    return true;
  }

  /// One sleeper wakes for timers and descriptors; the others sleep for as long as nobody wakes them.
  os::nanos take_poller_token(Worker& w) noexcept {
    os::nanos earliest = next_timer();
    if (earliest == os::never && !self().watches()) return os::never;  // D3
    Worker* none = nullptr;
    if (!poller_.compare_exchange_strong(none, &w, std::memory_order_seq_cst)) {  // T3, pairs with T1
      if (poller_deadline_.load(std::memory_order_seq_cst) > earliest) self().kick_poller();  // T4, with T5
      return os::never;
    }
    w.is_poller = true;
    for (;;) {
      poller_deadline_.store(earliest, std::memory_order_seq_cst);  // T5, pairs with T1 and T4: look again
      const os::nanos again = next_timer();
      if (again >= earliest) return self().after_rest(earliest);
      earliest = again;
    }
  }
};

}  // namespace weft::sched
