// The monitor takes over a worker that sleeps in a call which nobody announced (sched/parking.hpp, K1 to K6):
// while it comes back, announces a block, arms a timer, falls asleep; and mutants that must be caught.

#include <functional>
#include <memory>

#include "model/parking_world.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_sound_big;
using model::run;
using model::toy_home;
using model::worker_of;

struct home : toy_home<home> {
  using toy_home::toy_home;
};

/// The monitor leaves the queues to thieves.
struct leaves_queues : toy_home<leaves_queues> {
  using toy_home::toy_home;

  void lift(worker&) {}

  static bool has_loot(const worker& w) { return w.has_surplus(); }

  void end_search(worker& w) {
    w.searching = false;
    state_.fetch_sub(one_searching, std::memory_order_seq_cst);
  }
};

/// It does not make the worker see that it was taken over.
struct without_barrier : toy_home<without_barrier> {
  using toy_home::toy_home;

  static void pass_barrier() {}
};

/// A worker that is back keeps what it pushes, as one that runs.
struct keeps_what_it_pushes : toy_home<keeps_what_it_pushes> {
  using toy_home::toy_home;

  void keep_nothing_if_replaced(worker&) {}
};

/// The monitor does not look for what was injected while nobody was idle.
struct looks_at_sleepers_only : toy_home<looks_at_sleepers_only> {
  using toy_home::toy_home;

  void see_what_came_before() {}
};

/// Nobody compares a replaced worker's timers.
struct forgets_timers : toy_home<forgets_timers> {
  using toy_home::toy_home;

  void timer_armed(model::nanos) {}
};

/// The worker comes back without being active again.
struct never_stands_up : toy_home<never_stands_up> {
  using toy_home::toy_home;

  void end_block(worker& w) {
    const model::guard hold(set_lock_);
    w.is = weft::sched::role::active;
    w.blocked.store(false, std::memory_order_seq_cst);
  }
};

/// It runs what it has found while it is still counted as searching.
struct searches_on : toy_home<searches_on> {
  using toy_home::toy_home;

  void end_search(worker&) {}
};

/// Others take the spare that a worker was promised.
struct forgets_promises : toy_home<forgets_promises> {
  using toy_home::toy_home;

  bool promise(worker&) {
    const model::guard hold(set_lock_);
    return reserve_.has_one();
  }

  void break_promise(worker&) {}
};

/// A routine makes another runnable and sleeps until that has run.
template <typename Home>
model::program item_of_sleeper() {
  auto all = std::make_shared<Home>(1, 1, 2, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.push_quietly(w);
    here.block_silently(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

/// It comes back at any moment, makes another runnable, and goes to sleep again before it is in its loop.
template <typename Home>
model::program item_of_one_that_came_back() {
  auto all = std::make_shared<Home>(1, 1, 2, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.block_silently(w, [] { return true; });
    here.push_quietly(w);
    here.block_silently(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

/// The same, and the second call is announced.
template <typename Home>
model::program announces_after_all() {
  auto all = std::make_shared<Home>(1, 1, 2, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.block_silently(w, [] { return true; });
    here.push_quietly(w);
    here.block(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), [=] { all->take_over_sleepers(); }});
}

/// It comes back, finds nothing to do and parks; then there is work.
template <typename Home>
model::program parks_as_it_is_taken_over() {
  auto all = std::make_shared<Home>(1, 1, 2, [](Home& here, auto& w, int item) {
    if (item == 1) here.block_silently(w, [] { return true; });
  });
  all->put(1);
  const auto injector = [=] { all->inject(); };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), [=] { all->take_over_sleepers(); }});
}

/// The only worker sleeps, with nothing queued, until what comes later has run.
template <typename Home>
model::program work_comes_later() {
  auto all = std::make_shared<Home>(1, 1, 2, [](Home& here, auto& w, int item) {
    if (item == 1) here.block_silently(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  const auto injector = [=] { all->inject(); };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

/// Who was woken sleeps, announced or not, until what comes later has run.
template <typename Home>
model::program woken_one_sleeps(bool announced) {
  auto all = std::make_shared<Home>(1, 1, 2, [=](Home& here, auto& w, int item) {
    if (item != 1) return;
    const auto done = [&] { return here.has_done(2); };
    announced ? here.block(w, done) : here.block_silently(w, done);
  });
  const auto injector = [=] {
    all->inject();
    all->inject();
  };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

/// A worker that is promised a spare blocks, while the other is found asleep.
template <typename Home>
model::program promised_one_blocks() {
  auto all = std::make_shared<Home>(2, 1, 0, model::nothing);
  all->at(1).sleeps.store(1, std::memory_order_relaxed);
  const auto blocks = [=] {
    auto& w = all->at(0);
    if (all->promise(w)) model::check(all->replace(w), "a spare that was promised is gone");
  };
  return run(all, {blocks, [=] { all->take_over_sleepers(); }});
}

/// A routine arms a timer in its own worker's heap and sleeps until that has fired.
template <typename Home>
model::program timer_of_sleeper(bool came_back) {
  auto all = std::make_shared<Home>(1, 1, 1, [=](Home& here, auto& w, int) {
    if (came_back) here.block_silently(w, [] { return true; });
    here.arm_timer(w, 5);
    here.block_silently(w, [&] { return here.fired() != 0; });
  });
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

}  // namespace

TEST_CASE("what a worker has that was found asleep runs on another", "[model][parking]") {
  require_sound_big(item_of_sleeper<home>, 1);
  require_sound_big(work_comes_later<home>, 1);
  require_sound_big([] { return woken_one_sleeps<home>(false); }, 1);
  require_sound_big([] { return woken_one_sleeps<home>(true); }, 1);
}

TEST_CASE("a worker that comes back as it is taken over is active once and leaves no item behind",
          "[model][parking]") {
  require_sound_big(item_of_one_that_came_back<home>, 2);
  require_sound_big(announces_after_all<home>, 2);
  require_sound_big(parks_as_it_is_taken_over<home>, 1);
}

TEST_CASE("the timer of a worker that was found asleep fires", "[model][parking]") {
  require_sound_big([] { return timer_of_sleeper<home>(false); }, 1);
  require_sound_big([] { return timer_of_sleeper<home>(true); }, 1);
}

TEST_CASE("the model check catches a monitor that leaves what a sleeper has", "[model][parking]") {
  require_caught(item_of_sleeper<leaves_queues>);
  require_caught(work_comes_later<looks_at_sleepers_only>);
  require_caught([] { return timer_of_sleeper<forgets_timers>(false); });
}

TEST_CASE("the model check catches a worker that does not see that it was taken over", "[model][parking]") {
  require_caught(item_of_one_that_came_back<without_barrier>);
  require_caught(item_of_one_that_came_back<keeps_what_it_pushes>);
}

TEST_CASE("the model check catches a worker that comes back and is not counted", "[model][parking]") {
  require_caught(parks_as_it_is_taken_over<never_stands_up>);
}

TEST_CASE("a spare that is promised stands in for nobody else", "[model][parking]") {
  require_sound_big(promised_one_blocks<home>, 1);
  require_caught(promised_one_blocks<forgets_promises>);
}

TEST_CASE("the model check catches a worker that sleeps as a searcher", "[model][parking]") {
  require_caught([] { return woken_one_sleeps<searches_on>(false); });
  require_caught([] { return woken_one_sleeps<searches_on>(true); });
}

#endif
