// The deque of forks under all interleavings of tiny cases, and mutants that must be caught.  The code is
// that of lib/; membarrier is the engine's.

#include <memory>

#include "model/model_test.hpp"
#include "model/queue_ledger.hpp"
#include "sched/fork_deque.hpp"
#include "support/catch.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::checked;
using model::item;
using model::ledger;
using model::no_release;
using model::no_seq_cst;
using model::require_caught;
using model::require_each_order_matters;
using model::require_pair_matters;
using model::require_sound;
using weft::sched::fork_deque;

/// A deque whose owner and thieves have full barriers.
struct even {
  static bool is_asymmetric(unsigned) { return false; }

  static void light_barrier() {}

  static void heavy_barrier() { model::check(false, "a heavy barrier without need"); }
};

/// One whose thieves have the barrier for both.
struct lopsided {
  static bool is_asymmetric(unsigned) { return true; }

  static void light_barrier() {}

  static void heavy_barrier() { model::heavy_barrier(); }
};

/// Mutant: the thieves have none.
struct without_barrier : lopsided {
  static void heavy_barrier() {}
};

template <template <typename> class Atomic, typename World>
using small_deque = fork_deque<item, 2, Atomic, World>;

template <template <typename> class Atomic, typename World = even>
model::program growing_deque() {
  struct world : ledger {
    small_deque<Atomic, World> forks;
  };

  auto all = std::make_shared<world>();
  const auto pop = [all] {
    if (const item* got = all->forks.pop()) all->take(got);
  };
  const auto owner = [=] {
    for (int i = 0; i < 3; ++i) all->forks.push(all->next());
    if (const item* got = all->forks.pop_if(&all->items[2])) all->take(got);
    pop();
    pop();
  };
  const auto thief = [all] {
    const auto [got, lost] = all->forks.steal();
    if (got != nullptr) all->take(got);
    model::check(got == nullptr || !lost, "taken and lost");
  };
  const auto drain = [all] {
    while (const item* got = all->forks.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief, thief}, drain};
}

/// The owner pops the last of two while both are stolen: only the order of all accesses of top tells it that
/// a thief has been there.
template <template <typename> class Atomic, typename World = even>
model::program last_of_two() {
  struct world : ledger {
    small_deque<Atomic, World> forks;
  };

  auto all = std::make_shared<world>();
  for (int i = 0; i < 2; ++i) all->forks.push(all->next());
  const auto owner = [all] {
    if (const item* got = all->forks.pop()) all->take(got);
  };
  const auto thief = [all] {
    if (const item* got = all->forks.steal().item) all->take(got);
  };
  const auto drain = [all] {
    while (const item* got = all->forks.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief, thief}, drain};
}

/// The owner pops the only one, stolen meanwhile or not, and pushes another.
template <template <typename> class Atomic, typename World = even>
model::program pushed_after_the_last() {
  struct world : ledger {
    small_deque<Atomic, World> forks;
  };

  auto all = std::make_shared<world>();
  all->forks.push(all->next());
  const auto owner = [all] {
    if (const item* got = all->forks.pop()) all->take(got);
    all->forks.push(all->next());
  };
  const auto thief = [all] {
    if (const item* got = all->forks.steal().item) all->take(got);
  };
  const auto drain = [all] {
    while (const item* got = all->forks.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief}, drain};
}

template <template <typename> class Atomic, typename World = even>
struct deque_world {
  item one;
  small_deque<Atomic, World> queue;
};

/// The owner takes the oldest, then the newest as the end of a child does, while a thief comes.
template <template <typename> class Atomic, typename World = even>
model::program both_ends() {
  struct world : ledger {
    small_deque<Atomic, World> forks;
  };

  auto all = std::make_shared<world>();
  const auto owner = [all] {
    for (int i = 0; i < 2; ++i) all->forks.push(all->next());
    if (const item* got = all->forks.pop_oldest()) all->take(got);
    item* const last = &all->items[1];
    if (all->forks.pop_quickly_if(last) || all->forks.pop_if(last) != nullptr) all->take(last);
    all->forks.push(all->next());
  };
  const auto thief = [all] {
    if (const item* got = all->forks.steal().item) all->take(got);
  };
  const auto drain = [all] {
    while (const item* got = all->forks.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief}, drain};
}

/// The owner pops two as the end of a child does, while both are stolen.
template <template <typename> class Atomic, typename World = even>
model::program popped_quickly() {
  struct world : ledger {
    small_deque<Atomic, World> forks;
  };

  auto all = std::make_shared<world>();
  for (int i = 0; i < 2; ++i) all->forks.push(all->next());
  const auto owner = [all] {
    for (std::size_t i = 2; i-- > 0;) {
      if (all->forks.pop_quickly_if(&all->items[i])) all->take(&all->items[i]);
    }
  };
  const auto thief = [all] {
    if (const item* got = all->forks.steal().item) all->take(got);
  };
  const auto drain = [all] {
    while (const item* got = all->forks.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief, thief}, drain};
}

/// push_against_sleep() of a deque: a barrier if the deque was seen to be open.
template <template <typename> class Atomic, typename World>
model::program fork_against_sleep(bool was_open) {
  struct world : deque_world<Atomic, World> {
    item before;
    model::atomic<int> sleepers{0};
    bool asleep = false;
    bool woken = false;
  };

  auto all = std::make_shared<world>();
  if (was_open) all->queue.push(&all->before);
  const auto pusher = [all, was_open] {
    if (was_open) {  // it has run dry, and begins anew
      (void)all->queue.pop();
      all->queue.shut();
    }
    all->queue.push(&all->one);
    all->woken = all->sleepers.load(std::memory_order_seq_cst) != 0;
  };
  const auto sleeper = [all] {
    all->sleepers.store(1, std::memory_order_seq_cst);
    if (all->queue.needs_barrier()) World::heavy_barrier();
    all->asleep = all->queue.empty();
  };
  return {{pusher, sleeper}, [all] { model::check(!all->asleep || all->woken, "asleep beside an item"); }};
}

model::programs deque_cases() {
  return {last_of_two<checked>,
          pushed_after_the_last<checked>,
          growing_deque<checked>,
          both_ends<checked>,
          popped_quickly<checked>,
          growing_deque<checked, lopsided>,
          both_ends<checked, lopsided>,
          popped_quickly<checked, lopsided>,
          [] { return fork_against_sleep<model::atomic, even>(false); },
          [] { return fork_against_sleep<model::atomic, lopsided>(false); },
          [] { return fork_against_sleep<model::atomic, lopsided>(true); }};
}

}  // namespace

TEST_CASE("no interleaving of owner and two thieves loses or doubles an item of a deque that grows",
          "[model][fork_deque]") {
  require_sound(growing_deque<checked>, 1);
  require_sound(last_of_two<checked>, 2);
  require_sound(pushed_after_the_last<checked>, 3);
  require_sound(both_ends<checked>, 3);
  require_sound(popped_quickly<checked>, 2);
}

TEST_CASE("the same of a deque whose thieves have the barrier for its owner, too", "[model][fork_deque]") {
  require_sound(growing_deque<checked, lopsided>, 1);
  require_sound(last_of_two<checked, lopsided>, 2);
  require_sound(pushed_after_the_last<checked, lopsided>, 3);
  require_sound(both_ends<checked, lopsided>, 3);
  require_sound(popped_quickly<checked, lopsided>, 2);
}

TEST_CASE("a fork is seen by the sleeper, or the sleeper by who forks", "[model][fork_deque]") {
  for (const bool was_open : {false, true}) {
    require_sound([=] { return fork_against_sleep<model::atomic, even>(was_open); }, 3);
    require_sound([=] { return fork_against_sleep<model::atomic, lopsided>(was_open); }, 3);
  }
}

TEST_CASE("the model check catches a deque with acquire and release for seq_cst", "[model][fork_deque]") {
  require_caught(growing_deque<no_seq_cst>);
}

TEST_CASE("the model check catches a deque whose thieves and sleepers have no barrier",
          "[model][fork_deque]") {
  require_caught(last_of_two<checked, without_barrier>);
  require_caught(popped_quickly<checked, without_barrier>);
  require_caught([] { return fork_against_sleep<model::atomic, without_barrier>(true); });
}

TEST_CASE("the model check catches a deque whose new buffer is published relaxed", "[model][fork_deque]") {
  require_caught(growing_deque<no_release>);
}

TEST_CASE("the model check catches a fork that is not pushed seq_cst", "[model][fork_deque]") {
  require_caught([] { return fork_against_sleep<no_seq_cst, even>(false); });
}

TEST_CASE("each order of the deque is needed: weakened alone it is caught", "[model][fork_deque]") {
  require_each_order_matters("sched/fork_deque.hpp", deque_cases(),
                             {"steal S4", "empty S4", "claim C1", "set_bottom S1 relaxed"});
  require_pair_matters("sched/fork_deque.hpp", {last_of_two<checked>}, "steal S4 acquire",
                       "claim C1 acq_rel");
}

#endif
