#pragma once

// The world that the parking code of lib/ is checked in: workers whose queues are counters.  Time and its
// driver are in parking_port.hpp.
//
// A `home` is the scheduler: it derives from sched::parking as the real one does, so that a mutant can leave
// out one of its steps by a function of its own.  What a worker does with its queues - take, search, steal -
// is that of lib/sched/worker.cpp, worker_look.cpp and worker_search.cpp in small.

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "model/parking_port.hpp"
#include "sched/parking.hpp"

namespace weft::model {

struct no_count {
  void add() {}

  void add_shared() {}
};

template <template <typename> class Atomic>
struct toy_worker : sched::parker<Atomic> {
  struct {
    Atomic<nanos> when{never};
    nanos seen = never, since = 0;  // by when_all_sleep(): which, and when first

    /// Whether all may sleep on until `now`.
    bool may_wait(nanos asleep_since, nanos now, nanos rest) {
      if (seen != when.newest()) {
        seen = when.newest();
        since = asleep_since;
      }
      return seen >= now || (rest != 0 && now - std::max(seen, since) <= rest);
    }

    nanos min_when() const { return when.load(std::memory_order_seq_cst); }
  } timers;

  struct {
    no_count parks;
  } count;

  Atomic<int> queue{0};         // the ring, and the slot
  Atomic<int> stands_still{0};  // its tick does
  Atomic<int> sleeps{0};        // in a call that nobody has announced
  Atomic<int> turns{0};         // its tick
  int number = 0;
  bool forks = false;  // what it has queued are forks: kept when it is one too many, taken to the last

  bool has_surplus() const { return queue.load(std::memory_order_seq_cst) > (forks ? 0 : 1); }

  bool has_queued() const { return queue.load(std::memory_order_seq_cst) > 0; }
};

struct toy_settings {
  unsigned workers = 2;
  nanos blocking_idle_timeout = never / 2;
};

template <typename Home, template <typename> class Atomic = atomic>
class toy_home : public sched::parking<Home, toy_worker<Atomic>, Atomic, guard> {
 public:
  using worker = toy_worker<Atomic>;
  /// What a worker does with an item.
  using script = std::function<void(Home&, worker&, int item)>;

  struct {
    no_count wakes;
  } count_shared;

  /// Items are the numbers 1 ..., in the order in which they are pushed; `all_items` are expected in the end.
  toy_home(unsigned workers, unsigned spares, int all_items, script does)
      : all_items_(all_items), does_(std::move(does)) {
    how_.workers = workers;
    this->active_.store(workers, std::memory_order_relaxed);
    this->allowed_.store(workers, std::memory_order_relaxed);
    this->reserve_room(workers + spares);
    for (unsigned i = 0; i < workers + spares; ++i) {
      workers_.push_back(std::make_unique<worker>());
      workers_.back()->number = static_cast<int>(i);
    }
    for (unsigned i = workers; i < workers + spares; ++i) {
      at(i).rests = true;
      at(i).park_word.store(sched::parked, std::memory_order_relaxed);
      this->put_in_reserve(at(i));
    }
  }

  // --- what parking.hpp asks for ---

  unsigned count() const { return static_cast<unsigned>(workers_.size()); }

  worker& at(unsigned i) const { return *workers_[i]; }

  toy_port& port() { return port_; }

  const toy_settings& how() const { return how_; }

  void see_forks() {}

  /// None that the case does not give it.
  toy_driver<Atomic>* io() { return has_driver_.load(std::memory_order_seq_cst) != 0 ? io_.get() : nullptr; }

  bool watches() const {
    return has_driver_.load(std::memory_order_seq_cst) != 0 &&
           io_->watched.load(std::memory_order_seq_cst) != 0;
  }

  bool has_injected() const { return injected_.load(std::memory_order_seq_cst) > 0; }

  nanos rest = 0;  // who sleeps for timers sleeps so long at least

  nanos after_rest(nanos deadline) const {
    return rest == 0 || deadline == never ? deadline : std::max(deadline, port_.now() + rest);
  }

  void check_drained() {}

  void uncount_thread() {}

  void note_return(worker&) {}

  /// Before the threads start: a driver, which nobody knows of until attach().
  void make_driver() {
    io_ = std::make_unique<toy_driver<Atomic>>();
    io_->port = &port_;
    io_->items = &injected_;
  }

  void attach() { has_driver_.store(1, std::memory_order_seq_cst); }

  void watch() { io_->watched.fetch_add(1, std::memory_order_seq_cst); }

  // --- producers ---

  /// A descriptor that is watched becomes ready.
  void become_ready() {
    ++pushed_;
    io_->event();
  }

  void inject() {
    ++pushed_;
    injected_.fetch_add(1, std::memory_order_seq_cst);
    if (this->wants_searcher()) this->wake_one();
  }

  /// Before the threads start.
  void put(int items) {
    pushed_ += items;
    injected_.fetch_add(items, std::memory_order_seq_cst);
  }

  /// Into the own slot: wakes nobody.
  void push_quietly(worker& w) {
    ++pushed_;
    w.queue.fetch_add(1, std::memory_order_seq_cst);
    self().keep_nothing_if_replaced(w);
  }

  void keep_nothing_if_replaced(worker& w) {
    if (w.is_replaced()) lift_queue(w);
  }

  void arm_timer(worker& w, nanos when) {
    w.timers.when.store(when, std::memory_order_seq_cst);
    if (w.is_blocked()) self().timer_armed(when);
  }

  /// What a worker does when it has fired a timer.
  std::function<void(Home&, worker&)> when_fired = [](Home&, worker&) {};

  /// A call that blocks while `condition` does not hold.
  template <typename Condition>
  void block(worker& w, Condition condition) {
    check(this->replace(w), "the case has too few spares");
    self().look_again(w);
    wait_until(condition);
    self().end_block(w);
    check(!w.is_blocked(), "a worker runs as one whose last item is anybody's");
  }

  /// The same, and nobody is told.
  template <typename Condition>
  void block_silently(worker& w, Condition condition) {
    w.sleeps.store(1, std::memory_order_seq_cst);
    wait_until(condition);
    w.sleeps.store(0, std::memory_order_seq_cst);
  }

  /// What scheduler::let_run() does; there are spares enough.
  void let_run(unsigned workers) {
    check(this->allow(workers), "a worker that rests is not in the reserve");
    bool queued = has_injected();
    for (const auto& each : workers_) queued = queued || each->has_queued();
    if (queued) this->wake_one();
  }

  /// Plain code that goes on until `condition` holds.
  template <typename Condition>
  void compute(worker& w, Condition condition) {
    w.stands_still.store(1, std::memory_order_seq_cst);
    wait_until(condition);
    w.stands_still.store(0, std::memory_order_seq_cst);
  }

  bool has_done(int item) const { return (done_ >> item & 1) != 0; }

  /// All timers that have fired.
  int fired() const { return fired_; }

  // --- the threads ---

  void run(unsigned i) {
    worker& w = at(i);
    if (w.rests && !this->sleep_in_reserve(w)) return;
    for (;;) {
      if (w.is_replaced()) self().end_block(w);
      if (this->has_too_many()) {
        while (!w.forks && take_from(w.queue)) injected_.fetch_add(1, std::memory_order_seq_cst);
        if (has_injected()) this->wake_one();
        if (!this->park(w)) return;
      }
      work found = take_from(w.queue) ? work::item : run_timers_of(w) ? work::timer : work::none;
      if (found == work::none && take_from(injected_)) found = work::item;
      if (found == work::none) found = search(w);
      if (found == work::none) {
        if (!this->park(w)) return;
        continue;
      }
      if (w.searching) self().end_search(w);
      if (found == work::item) execute(w);
      if (found == work::timer) when_fired(self(), w);
    }
  }

  /// The monitor.  Between two looks time passes, so all others sleep then or wait.
  void monitor() {
    for (;;) {
      const std::uint32_t seen = this->monitor_word_.load(std::memory_order_acquire);
      if (over_) return;
      if (self().all_parked()) {
        self().sleep_until_kicked(seen, [] {});
        continue;
      }
      bool waiting = has_injected();
      self().take_over_sleepers();
      for (unsigned i = 0; i < count(); ++i) {
        if (at(i).has_queued() && at(i).stands_still.load(std::memory_order_seq_cst) != 0) waiting = true;
      }
      if (waiting && this->wants_searcher()) this->wake_one();
      port_.wait(this->monitor_word_, seen, port_.now() + 1);
    }
  }

  /// What the monitor does with those that it finds asleep.
  void take_over_sleepers() {
    for (unsigned i = 0; i < count(); ++i) {
      worker& w = at(i);
      const int turn = w.turns.load(std::memory_order_seq_cst);
      if (w.sleeps.load(std::memory_order_seq_cst) == 0) continue;
      const auto still = [&] { return w.turns.load(std::memory_order_relaxed) == turn; };
      if (this->take_over(w, still) != Home::takeover::done) continue;
      self().pass_barrier();
      self().lift(w);
      const nanos due = this->next_timer();
      if (due != never) self().timer_armed(due);
      self().see_what_came_before();
    }
  }

  void see_what_came_before() {
    if (has_injected() && this->wants_searcher()) this->wake_one();
  }

  static void pass_barrier() { heavy_barrier(); }

  void lift(worker& w) { lift_queue(w); }

  /// All sleep: either time passes, or it is the end.
  bool when_all_sleep() {
    if (over_) return false;
    check(io_ == nullptr || io_->word.newest() < 2, "all sleep beside an event");
    const nanos since = port_.now();
    if (port_.pass_time()) {
      for (unsigned i = 0; i < count(); ++i) {
        check(at(i).timers.may_wait(since, port_.now(), rest), "all sleep longer than a timer");
      }
      return true;
    }
    over_ = true;
    check(executed_ == all_items_, "all sleep beside an item");
    check(this->next_timer() == never, "all sleep beside a timer");
    check(this->state_.newest() == this->idle_.size(), "the counts of the state are wrong");
    const auto active = std::count_if(workers_.begin(), workers_.end(),
                                      [](const auto& w) { return w->is == sched::role::active; });
    check(this->active_.newest() == static_cast<unsigned>(active), "the count of active workers is wrong");
    this->let_all_leave();
    this->monitor_word_.fetch_or(1, std::memory_order_release);
    port_.wake(this->monitor_word_, 1);
    return true;
  }

 protected:
  std::unique_ptr<toy_driver<Atomic>> io_;
  Atomic<int> has_driver_{0};

 private:
  enum class work { none, item, timer };

  Home& self() { return static_cast<Home&>(*this); }

  template <typename Condition>
  void wait_until(Condition condition) {
    while (!condition()) engine::now()->wait_for_wake(&progress_);
    join(engine::now()->thread_clock(), progress_);
  }

  /// Something is done that others may wait for; they learn of it as by an acquiring load.
  void make_progress() {
    join(progress_, engine::now()->tick());
    engine::now()->wake(&progress_);
  }

  /// To the inject queue.
  void lift_queue(worker& w) {
    bool any = false;
    for (; take_from(w.queue); any = true) injected_.fetch_add(1, std::memory_order_seq_cst);
    if (any && this->wants_searcher()) this->wake_one();
  }

  static bool take_from(Atomic<int>& queue) {
    int left = queue.load(std::memory_order_seq_cst);
    while (left > 0) {
      if (queue.compare_exchange_strong(left, left - 1, std::memory_order_seq_cst)) return true;
    }
    return false;
  }

  bool run_timers_of(worker& w) {
    nanos due = w.timers.min_when();
    if (due > port_.now()) return false;
    if (!w.timers.when.compare_exchange_strong(due, never, std::memory_order_seq_cst)) return false;
    ++fired_;
    make_progress();
    return true;
  }

  work search(worker& w) {
    if (!w.searching) {
      if (!this->may_search()) return run_others_timers();
      this->begin_search(w);
    }
    for (const auto& victim : workers_) {
      if (victim.get() == &w) continue;
      const int queued = victim->queue.load(std::memory_order_seq_cst);
      if (queued == 0) continue;
      if (queued == 1 && !victim->forks && !victim->is_blocked() &&
          victim->stands_still.load(std::memory_order_seq_cst) == 0) {
        continue;
      }
      if (take_from(victim->queue)) return work::item;
    }
    return take_from(injected_) ? work::item : run_others_timers();
  }

  work run_others_timers() {
    for (const auto& each : workers_) {
      if (run_timers_of(*each)) return work::timer;
    }
    return work::none;
  }

  void execute(worker& w) {
    w.turns.fetch_add(1, std::memory_order_relaxed);
    const int item = ++executed_;
    check(item <= pushed_, "an item was taken twice");
    does_(self(), w, item);
    done_ |= 1U << item;
    make_progress();
  }

  const int all_items_;
  const script does_;
  toy_settings how_;
  toy_port port_;
  std::vector<std::unique_ptr<worker>> workers_;
  Atomic<int> injected_{0};
  clock progress_{};
  unsigned done_ = 0;
  int fired_ = 0;
  int pushed_ = 0;
  int executed_ = 0;
  bool over_ = false;
};

// --- cases ---

inline constexpr auto nothing = [](auto&, auto&, int) {};

template <typename Home>
std::function<void()> worker_of(const std::shared_ptr<Home>& all, unsigned i) {
  return [=] { all->run(i); };
}

template <typename Home>
program run(const std::shared_ptr<Home>& all, std::vector<std::function<void()>> threads) {
  return {.threads = std::move(threads), .when_all_sleep = [=] { return all->when_all_sleep(); }};
}

}  // namespace weft::model
