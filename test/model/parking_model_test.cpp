// How workers sleep and are woken, under all interleavings of tiny cases, and mutants that must be caught.
// The code is lib/sched/parking.hpp; the cases are those of protocols.md A6 to A12 and of its models m4 and
// m8.

#include <functional>
#include <memory>

#include "model/parking_io_cases.hpp"
#include "model/parking_pairs.hpp"
#include "model/parking_world.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::earlier_timer;
using model::nanos;
using model::nothing;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound_big;
using model::run;
using model::toy_home;
using model::worker_of;
using weft::sched::role;

// --- homes: the real one, and those that leave out a step ---

struct home : toy_home<home> {
  using toy_home::toy_home;
};

template <template <typename> class Atomic>
struct weak_home : toy_home<weak_home<Atomic>, Atomic> {
  using toy_home<weak_home<Atomic>, Atomic>::toy_home;
};

struct without_recheck : toy_home<without_recheck> {
  using toy_home::toy_home;

  bool found_meanwhile(worker&) { return false; }
};

/// A worker looks at the others' queues, its own being empty.
struct trusts_itself : toy_home<trusts_itself> {
  using toy_home::toy_home;

  bool has_left_work(worker& w) { return found_meanwhile(w); }
};

/// A blocked worker's last item is taken to be its own (found by running, see lib/README.md).
struct blind_to_blocked : toy_home<blind_to_blocked> {
  using toy_home::toy_home;

  static bool has_loot(const worker& w) { return w.has_surplus(); }
};

/// A searcher that finds something else forgets what it may have passed.
struct forgets_blocked : toy_home<forgets_blocked> {
  using toy_home::toy_home;

  static bool blocked_have_work() { return false; }
};

/// The last searcher takes what it has found and wakes nobody.
struct takes_all : toy_home<takes_all> {
  using toy_home::toy_home;

  void end_search(worker& w) {
    w.searching = false;
    state_.fetch_sub(one_searching, std::memory_order_seq_cst);
  }
};

/// A worker that blocks lists its spare and goes to sleep.
struct blocks_blindly : toy_home<blocks_blindly> {
  using toy_home::toy_home;

  void look_again(worker&) {}
};

/// A worker that retires leaves the count of searchers and sleeps.
struct retires_blindly : toy_home<retires_blindly> {
  using toy_home::toy_home;

  void look_again(worker& w) {
    if (w.is_blocked()) toy_home::look_again(w);
  }
};

/// Timers are dense.
struct resting_home : toy_home<resting_home> {
  resting_home(unsigned workers, unsigned spares, int all_items, script does)
      : toy_home(workers, spares, all_items, std::move(does)) {
    rest = 10;
  }
};

/// A worker that blocks sees to timers only if there is no poller at all.
struct late_for_timers : toy_home<late_for_timers> {
  using toy_home::toy_home;

  void look_again(worker& w) {
    const bool unattended =
        next_timer() != model::never && poller_.load(std::memory_order_seq_cst) == nullptr;
    if (found_meanwhile(w) || w.has_queued() || unattended) wake_one();
  }
};

/// Who wakes by its own timer stays listed as idle (4p).
struct stays_listed : toy_home<stays_listed> {
  using toy_home::toy_home;

  static bool take_off(worker&) { return true; }
};

/// It does not wait for the wake in flight (4q).
struct leaves_a_wake : toy_home<leaves_a_wake> {
  using toy_home::toy_home;

  bool take_off(worker& w) { return toy_home::take_off(w), true; }
};

/// The poller keeps its deadline when an earlier timer is armed from outside (A7).
struct deaf_to_timers : toy_home<deaf_to_timers> {
  using toy_home::toy_home;

  void timer_armed(nanos) {}
};

/// It keeps it, too, when a worker parks with an earlier one.
struct keeps_its_deadline : toy_home<keeps_its_deadline> {
  using toy_home::toy_home;

  void kick_poller() {}
};

/// Nobody wakes a sleeping monitor (A8).
struct silent : toy_home<silent> {
  using toy_home::toy_home;

  void kick_monitor() {}
};

/// Only who is woken wakes the monitor, not who comes back from a blocking call.
struct returns_silently : toy_home<returns_silently> {
  using toy_home::toy_home;

  void end_block(worker& w) {
    returning = true;
    toy_home::end_block(w);
    returning = false;
  }

  void kick_monitor() {
    if (!returning) toy_home::kick_monitor();
  }

  bool returning = false;
};

/// The monitor announces its sleep and does not look again.
struct sleeps_at_once : toy_home<sleeps_at_once> {
  using toy_home::toy_home;

  bool all_parked() { return announced() || toy_home::all_parked(); }

  bool announced() const { return monitor_asleep_.newest(); }
};

// --- cases ---

/// Work comes from outside (4a, 4b).
template <typename Home>
model::program injections(unsigned workers) {
  auto all = std::make_shared<Home>(workers, 0, 2, nothing);
  const auto injector = [=] { all->inject(); };
  std::vector<std::function<void()>> threads{injector, injector};
  for (unsigned i = 0; i < workers; ++i) threads.push_back(worker_of(all, i));
  return run(all, threads);
}

/// One thread injects twice (4c).
template <typename Home>
model::program two_injections() {
  auto all = std::make_shared<Home>(2, 0, 2, nothing);
  const auto injector = [=] {
    all->inject();
    all->inject();
  };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1)});
}

/// The first item computes until the second has run: whoever found the first wakes somebody for the second.
template <typename Home>
model::program injection_beside_computing() {
  auto all = std::make_shared<Home>(2, 0, 2, [](Home& here, auto& w, int item) {
    if (item == 1) here.compute(w, [&] { return here.has_done(2); });
  });
  const auto injector = [=] {
    all->inject();
    all->inject();
  };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1)});
}

/// The poller's sleep may end by itself while it is woken (4r, 4s).
template <typename Home>
model::program poller_wakes(unsigned workers) {
  auto all = std::make_shared<Home>(workers, 0, 2, nothing);
  all->port().impatient = true;
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto injector = [=] {
    all->inject();
    all->inject();
  };
  std::vector<std::function<void()>> threads{injector};
  for (unsigned i = 0; i < workers; ++i) threads.push_back(worker_of(all, i));
  return run(all, threads);
}

/// A later timer is armed while the poller's sleep ends.
template <typename Home>
model::program later_timer() {
  auto all = std::make_shared<Home>(1, 0, 0, nothing);
  all->port().impatient = true;
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto outside = [=] {
    if (all->fired() == 0) return;
    all->at(0).timers.when.store(150, std::memory_order_seq_cst);
    all->timer_armed(150);
  };
  return run(all, {outside, worker_of(all, 0)});
}

/// A routine arms a timer in its own worker's heap and ends; the poller sleeps for longer.
template <typename Home>
model::program timer_of_parker() {
  auto all = std::make_shared<Home>(
      2, 0, 1, [](Home&, auto& w, int) { w.timers.when.store(5, std::memory_order_seq_cst); });
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto injector = [=] { all->inject(); };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1)});
}

/// A routine arms a timer in its own worker's heap and then blocks the thread; the poller sleeps for longer.
template <typename Home>
model::program timer_of_blocked() {
  auto all = std::make_shared<Home>(2, 1, 1, [](Home& here, auto& w, int) {
    w.timers.when.store(5, std::memory_order_seq_cst);
    here.block(w, [&] { return here.fired() != 0; });
  });
  all->at(2).timers.when.store(100, std::memory_order_relaxed);
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), worker_of(all, 2)});
}

/// A routine makes another one runnable and blocks the thread until that has run (A10, and lib/README.md).
template <typename Home>
model::program item_of_blocked() {
  auto all = std::make_shared<Home>(2, 1, 2, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.push_quietly(w);
    here.block(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), worker_of(all, 2)});
}

/// As before, while a searcher finds something else and goes on with that.
template <typename Home>
model::program item_of_blocked_and_another() {
  auto all = std::make_shared<Home>(2, 1, 3, [](Home& here, auto& w, int item) {
    if (item == 1) {
      here.push_quietly(w);
      here.block(w, [&] { return here.has_done(3); });
    } else if (item == 2) {
      here.compute(w, [&] { return here.has_done(3); });
    }
  });
  all->put(1);
  const auto injector = [=] { all->inject(); };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), worker_of(all, 2)});
}

/// The only worker blocks with nothing queued; then work comes (8B).
template <typename Home>
model::program blocked_before() {
  auto all = std::make_shared<Home>(1, 1, 2, [](Home& here, auto& w, int item) {
    if (item == 1) here.block(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  const auto injector = [=] { all->inject(); };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1)});
}

/// A call returns and its routine computes; the worker too many retires, perhaps as the searcher that a
/// producer relied on.
template <typename Home>
model::program searcher_retires() {
  auto all = std::make_shared<Home>(2, 1, 3, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.block(w, [&] { return here.has_done(2); });
    here.compute(w, [&] { return here.has_done(3); });
  });
  all->put(1);
  const auto injector = [=] {
    all->inject();
    all->inject();
  };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), worker_of(all, 2)});
}

/// A call returns and its routine forks; the worker is one too many until a spare retires before it.  All
/// others compute.
template <typename Home>
model::program forks_of_one_too_many() {
  auto all = std::make_shared<Home>(1, 1, 3, [](Home& here, auto& w, int item) {
    if (item == 1) {
      here.block(w, [&] { return here.has_done(2); });
      here.push_quietly(w);
    }
  });
  for (unsigned i = 0; i < 2; ++i) all->at(i).forks = true;
  all->put(2);
  return run(all, {worker_of(all, 0), worker_of(all, 1)});
}

/// A routine puts another in its worker's slot, which wakes nobody, and computes until that has run (8A).
template <typename Home>
model::program item_of_computing() {
  auto all = std::make_shared<Home>(2, 0, 2, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.push_quietly(w);
    here.compute(w, [&] { return here.has_done(2); });
  });
  const auto injector = [=] { all->inject(); };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

/// The same, woken by a timer when all have parked and the monitor fell asleep.
template <typename Home>
model::program item_after_timer() {
  auto all = std::make_shared<Home>(2, 0, 1, nothing);
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  all->when_fired = [](Home& here, auto& w) {
    here.push_quietly(w);
    here.compute(w, [&] { return here.has_done(1); });
  };
  return run(all, {worker_of(all, 0), worker_of(all, 1), [=] { all->monitor(); }});
}

/// The same after a blocking call, during which all others have parked, and the monitor fell asleep.
template <typename Home>
model::program item_after_block() {
  auto all = std::make_shared<Home>(2, 1, 2, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.block(w, [] { return true; });
    here.push_quietly(w);
    here.compute(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  return run(all, {worker_of(all, 0), worker_of(all, 1), worker_of(all, 2), [=] { all->monitor(); }});
}

model::programs cases() {
  model::programs all = model::parking_pairs();
  all.insert(all.end(),
             {[] { return model::event_and_injection<home>(1); }, model::event_and_timer<home>,
              model::driver_comes<home>, model::watch_beside_timer<home>, model::poller_rests<home>,
              later_timer<home>, [] { return earlier_timer<home>(); }, [] { return injections<home>(1); },
              [] { return poller_wakes<home>(1); }, blocked_before<home>, searcher_retires<home>,
              timer_of_parker<home>, item_of_computing<home>});
  return all;
}

}  // namespace

TEST_CASE("no injected item is left behind by workers that fall asleep", "[model][parking]") {
  require_sound_big([] { return injections<home>(1); }, 2);
  require_sound_big([] { return injections<home>(2); }, 1);
  require_sound_big(two_injections<home>, 1);
  require_sound_big(injection_beside_computing<home>, 1);
}

TEST_CASE("a poller whose timer is due while it is woken is counted once", "[model][parking]") {
  require_sound_big([] { return poller_wakes<home>(1); }, 2);
  require_sound_big([] { return poller_wakes<home>(2); }, 1);
}

TEST_CASE("nobody sleeps longer than the earliest timer, whoever armed it", "[model][parking]") {
  require_sound_big([] { return earlier_timer<home>(); }, 1);
  require_sound_big(later_timer<home>, 2);
  require_sound_big(timer_of_parker<home>, 1);
  require_sound_big(timer_of_blocked<home>, 1);
}

TEST_CASE("who lets timers come together sleeps no longer than the rest beyond the earliest",
          "[model][parking]") {
  require_sound_big([] { return earlier_timer<resting_home>(); }, 1);
  require_sound_big(later_timer<resting_home>, 2);
  require_sound_big(timer_of_parker<resting_home>, 1);
  require_sound_big(timer_of_blocked<resting_home>, 1);
  require_sound_big([] { return poller_wakes<resting_home>(2); }, 1);
  require_sound_big(model::event_and_timer<resting_home>, 1);
}

TEST_CASE("a blocked worker's last item runs on another", "[model][parking]") {
  require_sound_big(item_of_blocked<home>, 1);
  require_sound_big(item_of_blocked_and_another<home>, 1);
  require_sound_big(blocked_before<home>, 2);
}

TEST_CASE("a searcher that retires leaves no work to sleepers", "[model][parking]") {
  require_sound_big(searcher_retires<home>, 1);
}

TEST_CASE("a worker that is no longer one too many does not sleep beside its forks", "[model][parking]") {
  require_sound_big(forks_of_one_too_many<home>, 2);
}

TEST_CASE("the monitor is awake while a worker computes beside its slot", "[model][parking]") {
  require_sound_big(item_of_computing<home>, 1);
  require_sound_big(item_after_block<home>, 1);
  require_sound_big(item_after_timer<home>, 1);
}

TEST_CASE("each step of parking is seen by the one that it is for", "[model][parking]") {
  for (const auto& each : model::parking_pairs()) model::require_sound(each, 3);
}

TEST_CASE("the model check catches a parker that does not look again", "[model][parking]") {
  require_caught([] { return injections<without_recheck>(1); });
  require_caught([] { return injections<weak_home<model::no_seq_cst>>(1); });
  require_caught(injection_beside_computing<takes_all>);
}

TEST_CASE("the model check catches a parker that passes a blocked worker's item", "[model][parking]") {
  require_caught(item_of_blocked<blind_to_blocked>);
  require_caught(item_of_blocked_and_another<forgets_blocked>);
}

TEST_CASE("the model check catches a worker that blocks without looking again", "[model][parking]") {
  require_caught(blocked_before<blocks_blindly>);
}

TEST_CASE("the model check catches a searcher that retires without looking again", "[model][parking]") {
  require_caught(searcher_retires<retires_blindly>);
}

TEST_CASE("the model check catches a worker that sleeps beside its forks", "[model][parking]") {
  require_caught(forks_of_one_too_many<trusts_itself>);
}

TEST_CASE("the model check catches a poller that is woken twice", "[model][parking]") {
  require_caught([] { return poller_wakes<stays_listed>(1); });
  require_caught([] { return poller_wakes<leaves_a_wake>(1); });
}

TEST_CASE("the model check catches timers that nobody compares with the poller's", "[model][parking]") {
  require_caught([] { return earlier_timer<deaf_to_timers>(); });
  require_caught(timer_of_parker<keeps_its_deadline>);
  require_caught(timer_of_blocked<late_for_timers>);
  require_caught(later_timer<weak_home<model::no_seq_cst>>);
}

TEST_CASE("the model check catches a monitor that sleeps while somebody runs", "[model][parking]") {
  require_caught(item_of_computing<silent>);
  require_caught(item_of_computing<sleeps_at_once>);
  require_caught(item_of_computing<weak_home<model::no_seq_cst>>);
  require_caught(item_after_block<returns_silently>);
}

TEST_CASE("each order of parking is needed: weakened alone it is caught", "[model][parking]") {
  require_each_order_matters(
      "sched/parking.hpp", cases(),
      {"begin_search S8", "stand_in_for B2", "stand_up B2", "sleep_in_reserve A4", "sleep_until_kicked M1.2",
       "kick_monitor R7", "blocked_have_work B1", "end_sleep R4", "retire M2", "take_to_reserve M2",
       "sleep A4", "sleep_on_futex A", "sleep_in_driver A", "take_poller_token T"});
}

#endif
