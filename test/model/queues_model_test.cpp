// The scheduler's lock-free structures under all interleavings of tiny cases, and mutants that must be
// caught: a checker that finds nothing wrong with a weakened queue proves nothing about the real one.

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "model/model_test.hpp"
#include "model/queue_ledger.hpp"
#include "sched/inject_queue.hpp"
#include "sched/run_queue.hpp"
#include "support/catch.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::checked;
using model::item;
using model::item_count;
using model::ledger;
using model::no_seq_cst;
using model::relaxed_stores;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::sched::inject_queue;
using weft::sched::run_queue;

// Two of the smallest rings: 2 so that slots are reused at once, 4 so that a thief leaves something in its
// own.

template <template <typename> class Atomic>
model::program small_ring() {
  struct world : ledger {
    run_queue<item, 2, Atomic> ring{0xFFFFFFFE};
    run_queue<item, 2, Atomic> stolen[2];
  };

  auto all = std::make_shared<world>();
  const auto push = [all] {
    item* mine = all->next();
    if (!all->ring.push(mine)) --all->pushed;
  };
  const auto pop = [all] {
    if (const item* got = all->ring.pop()) all->take(got);
  };
  const auto thief = [all](int i) {
    return [all, i] {
      if (const item* got = all->ring.steal_into(all->stolen[i])) all->take(got);
    };
  };
  const auto owner = [=] {
    push();
    push();
    pop();
    push();
    pop();
    pop();
  };
  const auto drain = [all] {
    while (const item* got = all->ring.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief(0), thief(1)}, drain};
}

template <template <typename> class Atomic>
model::program ring_that_is_halved() {
  struct world : ledger {
    run_queue<item, 4, Atomic> ring{0xFFFFFFFD};
    run_queue<item, 4, Atomic> stolen[2];
  };

  auto all = std::make_shared<world>();
  const auto owner = [all] {
    while (all->pushed < item_count) {
      if (!all->ring.push(all->next())) break;
    }
    item* half[2];
    const std::uint32_t count = all->ring.pop_half(half);
    for (std::uint32_t i = 0; i < count; ++i) all->take(half[i]);
    if (const item* got = all->ring.pop()) all->take(got);
  };
  const auto first_thief = [all] {
    if (const item* got = all->ring.steal_into(all->stolen[0])) all->take(got);
    if (const item* got = all->stolen[0].pop()) all->take(got);
  };
  const auto second_thief = [all] {  // of the owner, and of the first thief
    if (const item* got = all->stolen[0].steal_into(all->stolen[1])) all->take(got);
    if (const item* got = all->ring.steal_into(all->stolen[1])) all->take(got);
  };
  const auto drain = [all] {
    for (auto* ring : {&all->ring, &all->stolen[0], &all->stolen[1]}) {
      while (const item* got = ring->pop()) all->take(got);
    }
    all->balance();
  };
  return {{owner, first_thief, second_thief}, drain};
}

/// A thief takes what the owner puts into slots that were taken from before.
template <template <typename> class Atomic>
model::program slots_again() {
  struct world : ledger {
    run_queue<item, 2, Atomic> ring;
    run_queue<item, 2, Atomic> stolen;
  };

  auto all = std::make_shared<world>();
  for (int i = 0; i < 2; ++i) (void)all->ring.push(all->next());
  const auto owner = [all] {
    if (!all->ring.push(all->next())) --all->pushed;
    if (const item* got = all->ring.pop()) all->take(got);
  };
  const auto thief = [all] {
    for (int i = 0; i < 2; ++i) {
      if (const item* got = all->ring.steal_into(all->stolen)) all->take(got);
    }
  };
  const auto drain = [all] {
    while (const item* got = all->ring.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief}, drain};
}

/// The same, one that has no queue: what it takes it has.
template <template <typename> class Atomic>
model::program thief_without_ring() {
  struct world : ledger {
    run_queue<item, 2, Atomic> ring;
  };

  auto all = std::make_shared<world>();
  (void)all->ring.push(all->next());
  const auto owner = [all] {
    if (!all->ring.push(all->next())) --all->pushed;
    if (const item* got = all->ring.pop()) all->take(got);
    if (!all->ring.push(all->next())) --all->pushed;
  };
  const auto thief = [all] {
    for (int round = 0; round < 2; ++round) {
      item* half[2];
      const std::uint32_t count = all->ring.steal_half(half);
      for (std::uint32_t i = 0; i < count; ++i) all->take(half[i]);
    }
  };
  const auto drain = [all] {
    while (const item* got = all->ring.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief}, drain};
}

/// A thief leaves an item in its own ring, then looks for sleepers; the sleeper looks at that ring.
template <template <typename> class Atomic>
model::program steal_against_sleep() {
  struct world {
    std::array<item, 4> items;
    run_queue<item, 4, Atomic> ring;
    run_queue<item, 4, Atomic> stolen;
    model::atomic<int> sleepers{0};
    bool stole = false;
    bool asleep = false;
    bool woken = false;
  };

  auto all = std::make_shared<world>();
  for (item& each : all->items) (void)all->ring.push(&each);
  const auto thief = [all] {
    all->stole = all->ring.steal_into(all->stolen) != nullptr;
    all->woken = all->sleepers.load(std::memory_order_seq_cst) != 0;
  };
  const auto sleeper = [all] {
    all->sleepers.store(1, std::memory_order_seq_cst);
    all->asleep = all->stolen.empty();
  };
  const auto look = [all] {
    model::check(!all->stole || !all->asleep || all->woken, "asleep beside an item");
  };
  return {{thief, sleeper}, look};
}

/// A push that wakes nobody, as after a yield.
template <template <typename> class Atomic>
model::program quiet_push() {
  struct world : ledger {
    run_queue<item, 2, Atomic> ring;
    run_queue<item, 2, Atomic> stolen;
  };

  auto all = std::make_shared<world>();
  (void)all->ring.push(all->next());
  all->take(all->ring.pop_alone());  // no thief is there yet
  const auto owner = [all] { (void)all->ring.push_quietly(all->next()); };
  const auto thief = [all] {
    if (const item* got = all->ring.steal_into(all->stolen)) all->take(got);
  };
  const auto drain = [all] {
    while (const item* got = all->ring.pop()) all->take(got);
    all->balance();
  };
  return {{owner, thief}, drain};
}

/// Push, then look for sleepers; announce sleep, then look for work (protocols.md A12).
template <typename World, typename Push>
model::program push_against_sleep(Push push) {
  struct world : World {
    model::atomic<int> sleepers{0};
    bool asleep = false;
    bool woken = false;
  };

  auto all = std::make_shared<world>();
  const auto pusher = [all, push] {
    push(*all);
    all->woken = all->sleepers.load(std::memory_order_seq_cst) != 0;
  };
  const auto sleeper = [all] {
    all->sleepers.store(1, std::memory_order_seq_cst);
    all->asleep = all->queue.empty();
  };
  return {{pusher, sleeper}, [all] { model::check(!all->asleep || all->woken, "asleep beside an item"); }};
}

template <template <typename> class Atomic>
struct ring_world {
  item one;
  run_queue<item, 2, Atomic> queue{0xFFFFFFFF};
};

/// What a batch from the inject queue is pushed to: `ordered` by push_last().
template <template <typename> class Atomic>
struct batch_world {
  std::array<item, 2> items;
  run_queue<item, 4, Atomic> queue{0xFFFFFFFF};

  void push(bool ordered) {
    (void)queue.push_quietly(&items[0]);
    (void)(ordered ? queue.push_last(&items[1]) : queue.push_quietly(&items[1]));
  }
};

template <template <typename> class Atomic>
using small_inject_queue = inject_queue<item, &item::next, Atomic, model::guard>;

/// Two threads push to one shard while a third takes; whoever sees an empty mask must be seen asleep by a
/// pusher.
template <template <typename> class Atomic>
model::program injections() {
  struct world : ledger {
    small_inject_queue<Atomic> queue{1};
    model::atomic<int> sleepers{0};
    bool asleep = false;
    bool woken = false;
  };

  auto all = std::make_shared<world>();
  const auto pusher = [all](std::size_t i) {
    return [all, i] {
      all->queue.push(&all->items[i], 0);
      if (all->sleepers.load(std::memory_order_seq_cst) != 0) all->woken = true;
    };
  };
  const auto take_batch = [all](std::uint32_t workers) {
    std::uint32_t count = 0;
    const item* got = all->queue.pop_batch(0, workers, 128, count);
    const bool any = got != nullptr;
    for (; got != nullptr; got = got->next) all->take(got);
    return any;
  };
  const auto worker = [=] {
    (void)take_batch(2);
    all->sleepers.store(1, std::memory_order_seq_cst);
    all->asleep = all->queue.empty();
  };
  const auto drain = [=] {
    model::check(!all->asleep || all->woken || all->queue.empty(), "asleep beside an item");
    while (take_batch(1)) {
    }
    all->pushed = 2;
    all->balance();
  };
  return {{pusher(0), pusher(1), worker}, drain};
}

/// A worker looks at the mask before another has emptied the shard, and takes what is pushed after that.
template <template <typename> class Atomic>
model::program emptied_twice() {
  struct world : ledger {
    small_inject_queue<Atomic> queue{1};
  };

  auto all = std::make_shared<world>();
  all->queue.push(all->next(), 0);
  const auto pusher = [all] { all->queue.push(all->next(), 0); };
  const auto worker = [all] {
    std::uint32_t count = 0;
    for (const item* got = all->queue.pop_batch(0, 1, 128, count); got != nullptr; got = got->next)
      all->take(got);
  };
  const auto drain = [=] {
    worker();
    all->balance();
    model::check(all->queue.empty(), "the mask shows items in an empty shard: nobody would sleep");
  };
  return {{pusher, worker, worker}, drain};
}

model::programs ring_cases() {
  return {quiet_push<checked>,
          slots_again<checked>,
          thief_without_ring<checked>,
          steal_against_sleep<model::atomic>,
          ring_that_is_halved<checked>,
          small_ring<model::atomic>,
          [] {
            return push_against_sleep<ring_world<model::atomic>>(
                [](auto& all) { (void)all.queue.push(&all.one); });
          }};
}

}  // namespace

TEST_CASE("no interleaving of owner and two thieves loses or doubles an item of a ring that wraps",
          "[model][run_queue]") {
  require_sound(small_ring<checked>, 1);
  require_sound(slots_again<checked>, 3);
  require_sound(thief_without_ring<checked>, 3);
}

TEST_CASE("no interleaving loses or doubles an item that a thief leaves in its own ring",
          "[model][run_queue]") {
  require_sound(ring_that_is_halved<checked>, 1);
  require_sound(quiet_push<checked>, 3);
}

TEST_CASE("no interleaving of two pushers and a worker loses an injected item or a wake",
          "[model][inject_queue]") {
  require_sound(injections<model::atomic>, 1);
  require_sound(emptied_twice<model::atomic>, 1);
}

TEST_CASE("a push to the ring is seen by the sleeper, or the sleeper by the pusher", "[model][sched]") {
  require_sound(
      [] {
        return push_against_sleep<ring_world<model::atomic>>(
            [](auto& all) { (void)all.queue.push(&all.one); });
      },
      3);
  require_sound(
      [] { return push_against_sleep<batch_world<model::atomic>>([](auto& all) { all.push(true); }); }, 3);
  require_sound(steal_against_sleep<model::atomic>, 3);
}

TEST_CASE("the model check catches a ring whose tail is published relaxed", "[model][run_queue]") {
  require_caught(small_ring<relaxed_stores>);
}

TEST_CASE("the model check catches a mask that is not seq_cst", "[model][inject_queue]") {
  require_caught(injections<no_seq_cst>);
}

TEST_CASE("the model check catches a surplus push that is not seq_cst", "[model][sched]") {
  require_caught([] {
    return push_against_sleep<ring_world<model::atomic>>(
        [](auto& all) { (void)all.queue.push_quietly(&all.one); });
  });
  require_caught(
      [] { return push_against_sleep<batch_world<model::atomic>>([](auto& all) { all.push(false); }); });
}

TEST_CASE("each order of the ring is needed: weakened alone it is caught", "[model][run_queue]") {
  require_each_order_matters("sched/run_queue.hpp", ring_cases(),
                             {"pop A1", "pop_half A1", "steal_into A1 relaxed", "steal_half A1 relaxed",
                              "size A1", "take R1 release", "pop_alone R1"});
}

TEST_CASE("each order of the inject queue is needed: weakened alone it is caught", "[model][inject_queue]") {
  require_each_order_matters("sched/inject_queue.hpp", {injections<model::atomic>}, {"look S2", "cut S3"});
}

#endif
