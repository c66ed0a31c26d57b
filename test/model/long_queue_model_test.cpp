// A long ring orders one push of several: a surplus is seen by who falls asleep, or the sleeper by the
// pusher.

#include <array>
#include <cstddef>
#include <memory>

#include "model/model_slots.hpp"
#include "model/model_test.hpp"
#include "sched/run_queue.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_sound;

struct item {
  item* next = nullptr;
};

/// Long from 4 items on; then every second push is ordered.
using ring = weft::sched::run_queue<item, 32, model::atomic>;

struct quiet_ring : ring {
  bool push(item* one) { return push_quietly(one); }
};

/// `pushes` items come, `pops` are run; more than one is left.  Then the owner looks for sleepers.
template <typename Ring>
model::program surplus(std::size_t pushes, std::size_t pops) {
  struct world {
    std::array<item, 8> items;
    Ring queue;
    model::atomic<int> sleepers{0};
    bool asleep = false;
    bool woken = false;
  };

  auto all = std::make_shared<world>();
  const auto owner = [=] {
    for (std::size_t i = 0; i < pushes; ++i) model::check(all->queue.push(&all->items[i]), "no room");
    for (std::size_t i = 0; i < pops; ++i) model::check(all->queue.pop() == &all->items[i], "not in order");
    all->woken = all->sleepers.load(std::memory_order_seq_cst) != 0;
  };
  const auto sleeper = [=] {
    all->sleepers.store(1, std::memory_order_seq_cst);
    all->asleep = all->queue.size() <= 1;
  };
  return {{owner, sleeper}, [=] { model::check(!all->asleep || all->woken, "asleep beside a surplus"); }};
}

}  // namespace

TEST_CASE("a surplus in a long ring is seen by the sleeper, or the sleeper by the pusher",
          "[model][run_queue]") {
  require_sound([] { return surplus<ring>(6, 0); }, 3);
  require_sound([] { return surplus<ring>(7, 0); }, 3);
  require_sound([] { return surplus<ring>(6, 4); }, 3);
}

TEST_CASE("the model check catches a long ring that orders no push", "[model][run_queue]") {
  require_caught([] { return surplus<quiet_ring>(6, 0); });
}

#endif
