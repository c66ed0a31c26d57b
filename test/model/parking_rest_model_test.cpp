// The monitor lets workers rest and come back (sched/restraint.hpp) while they fall asleep and are woken,
// under all interleavings of tiny cases, and mutants that must be caught.

#include <functional>
#include <memory>

#include "model/parking_pairs.hpp"
#include "model/parking_world.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::nothing;
using model::poller_rests;
using model::require_caught;
using model::require_sound_big;
using model::run;
using model::toy_home;
using model::worker_of;

struct home : toy_home<home> {
  using toy_home::toy_home;
};

/// The monitor lets workers rest or come back, and does not look again.
struct restrains_blindly : toy_home<restrains_blindly> {
  using toy_home::toy_home;

  void let_run(unsigned workers) { (void)allow(workers); }
};

/// It lets anybody rest who is listed as idle.
struct restrains_anybody : toy_home<restrains_anybody> {
  using toy_home::toy_home;

  static bool sleeps_for_good(const worker&) { return true; }
};

/// The monitor lets a worker rest while work comes, and lets it back.
template <typename Home>
model::program rests(bool comes_back) {
  auto all = std::make_shared<Home>(2, 0, 1, nothing);
  const auto injector = [=] { all->inject(); };
  const auto monitor = [=] {
    all->let_run(1);
    if (comes_back) all->let_run(2);
  };
  return run(all, {injector, worker_of(all, 0), worker_of(all, 1), monitor});
}

/// A routine has a surplus and computes when the other worker comes back.  (The last item is its own.)
template <typename Home>
model::program comes_back_to_work() {
  auto all = std::make_shared<Home>(2, 0, 3, [](Home& here, auto& w, int item) {
    if (item != 1) return;
    here.push_quietly(w);
    here.push_quietly(w);
    if (here.wants_searcher()) here.wake_one();
    here.compute(w, [&] { return here.has_done(2); });
  });
  all->put(1);
  const auto monitor = [=] {
    all->let_run(1);
    all->let_run(2);
  };
  return run(all, {worker_of(all, 0), worker_of(all, 1), monitor});
}

}  // namespace

TEST_CASE("a worker that the monitor lets rest leaves no work and no timer behind", "[model][parking]") {
  require_sound_big([] { return rests<home>(false); }, 1);
  require_sound_big([] { return rests<home>(true); }, 1);
  require_sound_big(poller_rests<home>, 2);
  require_sound_big(comes_back_to_work<home>, 1);
}

TEST_CASE("the model check catches a monitor that lets the wrong worker rest", "[model][parking]") {
  require_caught(poller_rests<restrains_anybody>);
}

TEST_CASE("the model check catches a monitor that lets a worker come back and does not look",
          "[model][parking]") {
  require_caught(comes_back_to_work<restrains_blindly>);
}

#endif
