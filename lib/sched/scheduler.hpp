#pragma once

// scheduler: what the workers of one runtime share - who sleeps, the inject queue, timers' poller, spares,
// the stop.
//
// Implemented by verb: scheduler.cpp (start, end), parking.hpp (sleep and wake), compensation.cpp (blocked
// workers and spares), monitor.cpp (a worker that stands still), worker.cpp and worker_search.cpp (the
// workers' side).

#include <weft/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fatal.hpp"
#include "os/host_wake.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/culprit.hpp"
#include "sched/deadlock.hpp"
#include "sched/driver.hpp"
#include "sched/end_gates.hpp"
#include "sched/inject_queue.hpp"
#include "sched/parking.hpp"
#include "sched/timer_pace.hpp"
#include "sched/worker.hpp"

namespace weft::sched {

using detail::foreign_party;

/// The settings in force: runtime_options with the defaults looked up.
struct settings {
  unsigned workers;  // at least 1; in manual mode one without a thread
  bool manual;
  unsigned max_blocking_threads;
  unsigned max_threads;
  os::nanos blocking_idle_timeout;
  os::nanos stall_threshold;
  os::nanos stop_grace;
  reactor_kind reactor;
  std::string name;
  const exception_handler*
      on_unhandled_exception;  // for ever: a handle that is dropped may outlive the runtime
};

/// Something with a thread of its own that lives as long as a runtime (a dump on a signal); its destructor
/// ends it.
class companion {
 public:
  companion() = default;
  companion(const companion&) = delete;
  companion& operator=(const companion&) = delete;
  virtual ~companion();
};

class scheduler : public parking<scheduler, worker> {
 public:
  using injected = inject_queue<waiter, &waiter::next>;

  /// Starts the workers.  Throws std::system_error and leaves nothing behind.
  scheduler(const runtime_options& options, os::port& port);
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// Keeps the object, not its threads, for somebody who may still look at it when its runtime is gone.
  void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }  // relaxed: the caller has one

  /// The runtime's own hold is the first.
  void drop() noexcept {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;  // R9, pairs with A9
  }

  os::port& port() const noexcept { return port_; }

  const settings& how() const noexcept { return how_; }

  blocking_pool& pool() noexcept { return pool_; }

  /// The runtime that this thread belongs to, as a worker or in its blocking pool; or null.
  static scheduler* here() noexcept;

  // --- runnable routines ---

  /// Makes a routine runnable that this caller has claimed.  Any thread; honours its home.
  static void wake(waiter& r) noexcept;
  /// One of several: behind what is ready, where wake() would let the last go first.
  static void wake_in_turn(waiter& r) noexcept;
  /// A chain linked through waiter::next.
  static void wake_chain(waiter* first) noexcept;
  void inject(waiter& r) noexcept;
  /// On a thread that the end of this runtime does not wait for: what is queued may run, and the runtime end,
  /// before this returns.
  void inject_from_outside(waiter& r) noexcept;
  void inject_chain(waiter* first, waiter* last, std::uint32_t count) noexcept;
  /// What a worker had and does not run.
  void inject_given_up(waiter* first, waiter* last, std::uint32_t count) noexcept;
  /// Whose time has come a while ago.
  void inject_overdue(waiter& r) noexcept;
  waiter* take_injected(worker& by, std::uint32_t at_most, std::uint32_t& count) noexcept;

  /// One of the inject queue that should have run by now; null: none.
  waiter* take_overdue() noexcept { return inject_.pop_overdue(); }

  /// Something is queued somewhere.
  bool has_work() const noexcept;

  bool has_injected() const noexcept { return !inject_.empty(); }

  /// For a sleeper that is about to look: forks are pushed without a barrier (fork_deque.hpp).
  void see_forks() const noexcept {
    const unsigned n = count();
    for (unsigned i = 0; i < n; ++i) {
      if (at(i).forks_need_barrier()) return os::heavy_barrier();
    }
  }

  // --- blocked workers: compensation.cpp ---

  /// The worker's thread is about to block: lists a spare as idle.  Throws std::system_error past
  /// max_threads.  Nested calls are part of the first: a handler that blocks, inside a select that has.
  void begin_block(worker& w);
  /// The worker will block and must not fail then, until break_promise().  Throws as begin_block().  False:
  /// it has a promise already, or is in an announced call.
  bool promise_spare(worker& w);
  void end_block(worker& w) noexcept;
  /// The worker is back from a call that it had not announced.
  void end_takeover(worker& w) noexcept;
  /// It is: for who asks how long the call took.
  void note_return(worker& w) noexcept;

  /// Who was found asleep last; `since` is 0 if nobody was.
  culprit last_culprit() const noexcept {
    const os::guard hold(culprit_lock_);
    return culprit_;
  }

  /// begin_block(), if a thread can be had for it.
  bool stand_in(worker& w) noexcept;

  /// So many workers may be active; the others rest.  If a thread that is needed cannot be had, some rest on
  /// until this is called again.
  void let_run(unsigned workers) noexcept;

  /// Workers that rest, so as not to wait for others.
  unsigned resting() const noexcept {
    const unsigned allowed = allowed_.load(std::memory_order_relaxed);  // relaxed: a statistic
    return how_.workers - std::min(allowed, how_.workers);
  }

  /// Counts a thread of the runtime in; false if there are max_threads.
  bool count_thread() noexcept;

  void uncount_thread() noexcept { threads_.fetch_sub(1, std::memory_order_relaxed); }  // relaxed: a count

  /// Workers that have forks and do not run.
  void add_stranded(int n) noexcept {
    stranded_.fetch_add(n, std::memory_order_relaxed);  // relaxed: a hint for those that look now and then
  }

  bool has_stranded() const noexcept {
    return stranded_.load(std::memory_order_relaxed) != 0;  // relaxed: a hint
  }

  unsigned threads() const noexcept { return threads_.load(std::memory_order_relaxed); }  // relaxed: a count

  /// A timer was armed in a heap whose worker may sleep; in manual mode the next poll() sets the host's
  /// timer.
  void timer_armed(os::nanos when) noexcept {
    if (how_.manual) return host_->raise();
    parking::timer_armed(when);
  }

  /// When a worker that sleeps for timers until `deadline` is to wake.
  os::nanos after_rest(os::nanos deadline) noexcept;

  // --- descriptors ---

  /// Null: this runtime has watched none yet.
  driver* io() const noexcept { return driver_.load(std::memory_order_seq_cst); }  // D5, pairs with R11

  /// D3.  There is something to wait for in the driver.
  bool watches() const noexcept {
    const driver* const d = io();
    return d != nullptr && d->watches();
  }

  /// Nobody waits for descriptors though somebody could.  A hint.
  bool is_unattended() const noexcept { return watches() && !has_poller(); }

  /// The driver from now on, unless there is one.  Gives the one in force.  Throws std::system_error.
  driver& attach(std::unique_ptr<driver> made);
  /// The same, of any that were armed on a thread that is no worker.
  void tell_of_timers() noexcept;

  // --- the monitor ---

  /// It may sleep for good.
  bool all_parked() const noexcept { return parking::all_parked() && !pool_.is_watched(); }

  /// The pool is watched from now on.
  void call_monitor() noexcept;

  // --- the end: scheduler.cpp ---

  /// From now on nothing new comes in from outside, and every wait is cancelled.
  void request_stop() noexcept;

  bool stopping() const noexcept { return drain_.requested(); }

  /// Every routine has ended.
  bool drained() const noexcept;
  /// Waits for that; false if `deadline` comes first.
  bool wait_drained(os::nanos deadline) noexcept;
  /// A worker passes by: tells wait_drained().
  void check_drained() noexcept;
  /// Ends the threads.  Drained before.  Any number of threads may call it, at the same time and again.
  void join_threads() noexcept;
  /// Then: what timers of others than routines - after(), threads' time limits - are left.
  void end_timers() noexcept;

  /// end_timers() has returned once: nobody needs it any more who stops it.
  bool has_ended() const noexcept { return ended_.load(std::memory_order_acquire); }  // A10, pairs with R10

  /// The process is at its end: the threads sleep for good from their next scheduling point on.  Returns when
  /// all workers do, but one that computes for long is not waited for.
  void freeze() noexcept;

  bool frozen() const noexcept { return freeze_.closed(); }

  /// All workers do, after freeze(), but those in a blocking call, who will.
  bool is_at_rest() noexcept;

  /// It is, and this thread destroys the statics: what it starts here never runs.
  bool is_left() const noexcept { return frozen() && base::is_after_main(); }

  /// Throws stopped then.
  void check_not_left() const;

  /// Of a worker that is awake, or of a pool's thread.
  [[noreturn]] void rest_for_good(bool is_worker) noexcept;

  /// In a forked child, whose only thread this is: what runs here now is the last.
  static void freeze_in_child() noexcept;

  /// Kept until the threads are joined.
  void keep(std::unique_ptr<companion> c);

  // --- looking ---

  worker& at(unsigned i) const noexcept {
    return *table_[i].load(std::memory_order_acquire);  // A2, pairs with R2
  }

  unsigned count() const noexcept { return count_.load(std::memory_order_acquire); }  // A3, pairs with R3

  /// One of this runtime's workers, or of its pool's berths?  The pointer may be stale and is not followed.
  bool owns(const detail::worker_face* w) const noexcept {
    for (unsigned i = 0, n = count(); i < n; ++i) {
      if (w == &at(i)) return true;
    }
    return pool_.owns(w);
  }

  std::uint64_t take_ids() noexcept;

  std::uint64_t take_one_id() noexcept {
    return next_ids_.fetch_add(1, std::memory_order_relaxed);
  }  // relaxed: unique

  // --- what is not done by workers, counted here ---

  struct {
    counter spawned, finished, injected, wakes, spares, monitor_wakes, taken_over, not_replaced, timers_fired;
  } count_shared;

  // --- coroutines of foreign types: foreign.cpp ---

  /// Counts one in, until leave() or the end of run_foreign().
  void enter(foreign_party& p) noexcept;
  void leave(foreign_party& p) noexcept;
  /// It begins to wait, or has not after all.
  void list(foreign_party& p) noexcept;
  void unlist(foreign_party& p) noexcept;
  void run_foreign(foreign_party& p) noexcept;
  /// What was resumed in its place waits again / goes on after all.
  void wait_on(foreign_party& p) noexcept;
  void go_on(foreign_party& p) noexcept;

  /// Those that wait or are about to, under their lock.
  template <typename F>
  void for_each_foreign(F f) {
    const os::guard hold(foreign_.lock);
    for (foreign_party* p = foreign_.first; p != nullptr; p = p->after) f(*p);
  }

  /// How many are counted in.
  std::uint64_t foreign() const noexcept {
    const std::uint64_t ended = foreign_.ended.read();
    return foreign_.begun.read() - ended;
  }

  // --- is everything asleep?  deadlock.cpp ---

  void add_stillness(stillness& to) const noexcept;
  scheduler* next_runtime = nullptr;  // under deadlock.cpp's lock

  // --- manual mode ---

  worker& own_worker() noexcept { return at(0); }

  /// Null if there are workers.
  os::host_wake* host() noexcept { return host_.get(); }

  /// Runs what is ready, makes this thread the host.  Returns how many routines were resumed.
  std::size_t poll(std::size_t at_most) noexcept;
  /// The same for who has the drive lock.
  std::size_t drive(std::size_t at_most) noexcept;

  struct {
    std::uint32_t drive_lock =
        0;                      // held while routines run: who waits for it waits for another thread's poll()
    scheduler* next = nullptr;  // this and the rest under the list's lock, see hosting.hpp
    const void* thread = nullptr;  // the host's token; null: not listed
  } hosting;

 private:
  friend class worker;
  friend class monitor;
  friend class parking<scheduler, worker>;

  ~scheduler();

  worker& add_worker();
  void add_spare();
  void start_thread(worker& w);
  static void run_worker(void* w) noexcept;
  void end_started() noexcept;
  bool all_rest(unsigned resting) noexcept;
  void tell_of_injected() noexcept;
  void queue_on_pool(waiter& r) noexcept;

  void run_monitor() noexcept;

  os::port& port_;
  settings how_;
  std::atomic<std::uint32_t> holders_{1};

  std::atomic<unsigned> threads_{0};
  std::atomic<int> stranded_{0};

  drain_gate<> drain_;
  freeze_gate<> freeze_;
  std::atomic<bool> ended_{false};
  std::atomic<std::uint64_t> next_ids_{1};

  // The table grows and never moves: readers need no lock.
  std::unique_ptr<std::atomic<worker*>[]> table_;
  std::atomic<unsigned> count_{0};
  std::uint32_t table_lock_ = 0;
  std::uint32_t join_lock_ = 0;  // of join_threads(): one stop() joins, those beside it wait for that

  timer_pace pace_;
  injected inject_;
  blocking_pool pool_;

  struct {
    counter begun, ended;
    std::uint32_t lock = 0;
    foreign_party* first = nullptr;
  } foreign_;

  mutable std::uint32_t culprit_lock_ = 0;
  culprit culprit_;

  os::thread_id monitor_thread_;
  bool monitor_runs_ = false;

  std::atomic<driver*> driver_{nullptr};                // its own; set under table_lock_
  bool driver_ends_ = false;                            // under table_lock_
  std::unique_ptr<os::host_wake> host_;                 // manual mode only
  std::vector<std::unique_ptr<companion>> companions_;  // under set_lock_
};

inline bool worker::wanted_elsewhere() const noexcept {
  return home_->wants_searcher();
}

template <typename F>
void blocking_pool::for_each_berth(F f) const {
  const worker* berth = berths_.load(std::memory_order_acquire);  // A3, pairs with R3
  for (; berth != nullptr; berth = berth->next_berth) f(*berth);
}

}  // namespace weft::sched
