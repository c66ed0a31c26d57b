// The bias of a worker's queues under all interleavings of tiny cases, and mutants that must be caught.  The
// code is lib/sched/queue_bias.hpp with the real ring and a slot as the worker's; membarrier is the engine's.

#include <array>
#include <cstdint>
#include <memory>

#include "model/model_slots.hpp"
#include "model/model_test.hpp"
#include "sched/queue_bias.hpp"
#include "sched/run_queue.hpp"
#include "support/catch.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::sched::queue_bias;
using weft::sched::run_queue;

struct item {
  int number = 0;
};

constexpr std::size_t item_count = 4;

}  // namespace

template <>
inline constexpr bool weft::model::is_slot<item*> = true;

namespace {

template <typename T>
using checked = model::checked_slots<T>;

struct modelled {
  static constexpr std::uint32_t first_looks = 1, most_looks = 4;
  static constexpr unsigned most_waits = 1;

  static void wait(unsigned) {}

  static constexpr std::uint32_t thief = 1;

  static void light_barrier() {}

  static void heavy_barrier() { model::heavy_barrier(); }

  static bool may_reserve() { return true; }
};

// --- mutants ---

/// A thief does not make the owner pass a barrier.
struct without_barrier : modelled {
  static void heavy_barrier() {}
};

/// The owner takes its queues back while a thief is there.
struct without_count : modelled {
  static constexpr std::uint32_t thief = 0;
};

// --- the world: what of a worker is stolen from ---

template <template <typename> class Atomic, typename World>
struct victim {
  queue_bias<Atomic, World> bias;
  Atomic<item*> slot{nullptr};
  run_queue<item, 2, Atomic> ring;
  std::array<run_queue<item, 2, Atomic>, 2> stolen;
  std::array<item, item_count> items{{{0}, {1}, {2}, {3}}};
  std::array<int, item_count> taken{};
  std::size_t pushed = 0;

  void count(const item* which) {
    if (which == nullptr) return;
    model::check(++taken[static_cast<std::size_t>(which->number)] == 1, "an item was taken twice");
  }

  void push() {
    if (!ring.push(&items[pushed])) return;
    ++pushed;
  }

  void pop() {
    if (bias.enter()) {
      count(ring.pop_alone());
      bias.leave();
    } else {
      count(ring.pop());
    }
  }

  /// As worker::push_next(), but what was in the slot is taken.
  void push_next() {
    item* const next = &items[pushed++];
    item* before = nullptr;
    if (bias.enter()) {
      before = slot.load(std::memory_order_relaxed);
      slot.store(next, std::memory_order_release);
      bias.leave();
    } else {
      before = slot.exchange(next, std::memory_order_acq_rel);
    }
    count(before);
  }

  void take_slot() {
    item* got = nullptr;
    if (bias.enter()) {
      got = slot.load(std::memory_order_relaxed);
      slot.store(nullptr, std::memory_order_relaxed);
      bias.leave();
    } else {
      got = slot.exchange(nullptr, std::memory_order_acq_rel);
    }
    count(got);
  }

  void steal(std::size_t thief) {
    if (!bias.begin_theft()) return;
    item* got = ring.steal_into(stolen[thief]);
    if (got == nullptr) got = slot.exchange(nullptr, std::memory_order_acq_rel);
    bias.end_theft();
    count(got);
  }

  void balance() {
    count(slot.exchange(nullptr, std::memory_order_acq_rel));
    for (auto* each : {&ring, &stolen[0], &stolen[1]}) {
      while (const item* got = each->pop()) count(got);
    }
    for (std::size_t i = 0; i < pushed; ++i) model::check(taken[i] == 1, "an item was lost");
  }
};

/// The owner takes while two thieves come, the queues being its own at first.
template <template <typename> class Atomic, typename World>
model::program ring_is_stolen_from() {
  auto all = std::make_shared<victim<Atomic, World>>();
  all->bias.look();
  all->push();
  all->push();
  const auto owner = [all] {
    all->pop();
    all->push();
    all->pop();
  };
  const auto thief = [all](std::size_t i) { return [all, i] { all->steal(i); }; };
  return {{owner, thief(0), thief(1)}, [all] { all->balance(); }};
}

template <template <typename> class Atomic, typename World>
model::program slot_is_stolen_from() {
  auto all = std::make_shared<victim<Atomic, World>>();
  all->bias.look();
  all->push_next();
  const auto owner = [all] {
    all->push_next();
    all->take_slot();
  };
  const auto thief = [all](std::size_t i) { return [all, i] { all->steal(i); }; };
  return {{owner, thief(0), thief(1)}, [all] { all->balance(); }};
}

/// A thief is there, or has been, when the owner takes its queues back; and comes again.
template <template <typename> class Atomic, typename World>
model::program taken_back() {
  auto all = std::make_shared<victim<Atomic, World>>();
  all->push();
  all->push();
  const auto owner = [all] {
    all->bias.look();
    all->pop();
    all->bias.look();
    all->pop();
  };
  const auto thief = [all] {
    all->steal(0);
    all->steal(0);
  };
  return {{owner, thief}, [all] { all->balance(); }};
}

template <template <typename> class Atomic, typename World = modelled>
model::programs cases() {
  return {ring_is_stolen_from<Atomic, World>, slot_is_stolen_from<Atomic, World>, taken_back<Atomic, World>};
}

}  // namespace

TEST_CASE("owner and thieves take each item once, whoever the queues are biased to", "[model][bias]") {
  require_sound(ring_is_stolen_from<checked, modelled>, 2);
  require_sound(slot_is_stolen_from<checked, modelled>, 2);
  require_sound(taken_back<checked, modelled>, 3);
}

TEST_CASE("the model check catches a theft without a barrier", "[model][bias]") {
  require_caught(ring_is_stolen_from<checked, without_barrier>);
  require_caught(slot_is_stolen_from<checked, without_barrier>);
}

TEST_CASE("the model check catches an owner that takes its queues back from a thief", "[model][bias]") {
  require_caught(taken_back<checked, without_count>);
}

TEST_CASE("each order of the bias is needed: weakened alone it is caught", "[model][bias]") {
  require_each_order_matters("sched/queue_bias.hpp", cases<checked>(),
                             {"leave B4", "begin_theft V2", "begin_theft V1", "end_alone V3"});
}

#endif
