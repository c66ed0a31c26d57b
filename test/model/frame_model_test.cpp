// Frames that change threads through the depot, and the stop's walk over the slabs while one is handed out,
// under all interleavings of tiny cases, and mutants that must be caught.  The code is
// lib/sched/frame_depot.hpp; a slab has two or three blocks, a magazine one or two.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/model_test.hpp"
#include "sched/frame_depot.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::sched::frame_depot;
using weft::sched::magazine;
using weft::sched::slab_registry;
using weft::sched::slab_uses;

struct frame {
  model::plain<frame*> next;
  model::plain<frame*> next_magazine;
  model::plain<frame*> later;
  model::atomic<int> claim_word{0};
  model::plain<int> owner;  // who uses it as a frame, 0: nobody

  static frame* make(void* at) { return static_cast<frame*>(at); }
};

/// As the one of frame_pool.cpp.
struct slab {
  explicit slab(std::uint32_t capacity) : uses(capacity) {}

  frame* block(std::uint32_t index) { return &blocks.at(index); }

  static std::uint32_t run_length() { return 2; }

  slab_uses<model::atomic> uses;
  model::plain<slab*> older;
  std::array<frame, 3> blocks;
};

template <typename Depot, std::uint32_t SlabSize>
struct pool {
  static constexpr std::size_t threads = 2;

  struct cache {
    typename Depot::blocks loaded;
    typename Depot::blocks spare;
  };

  Depot depot;
  slab_registry<slab, model::atomic> registry;
  std::vector<std::unique_ptr<slab>> made;
  std::array<cache, threads> caches;

  void add_slab() {
    if (depot.needs_slab() == Depot::need::none) return;
    made.push_back(std::make_unique<slab>(SlabSize));
    (void)depot.add(made.back().get(), registry);
  }

  /// As allocate_slowly().
  frame* allocate(int who) {
    cache& mine = caches[static_cast<std::size_t>(who - 1)];
    if (mine.loaded.empty()) {
      mine.loaded = std::exchange(mine.spare, {});
      while (mine.loaded.empty()) {
        mine.loaded = depot.take();
        if (mine.loaded.empty()) add_slab();
      }
    }
    auto* got = static_cast<frame*>(mine.loaded.pop());
    model::check(got->owner.get() == 0, "a block is handed out twice");
    got->owner.set(who);
    return got;
  }

  /// As free_slowly().
  void free(int who, frame* which) {
    which->owner.set(0);
    cache& mine = caches[static_cast<std::size_t>(who - 1)];
    if (mine.loaded.full()) {
      if (!mine.spare.empty()) depot.give_full(mine.spare);
      mine.spare = std::exchange(mine.loaded, {});
    }
    mine.loaded.push(which);
  }

  /// As the end of a thread.
  void leave(int who) {
    cache& mine = caches[static_cast<std::size_t>(who - 1)];
    if (!mine.loaded.empty()) depot.give_loose(mine.loaded);
    if (!mine.spare.empty()) depot.give_full(mine.spare);
  }
};

// --- mutants ---

/// Nobody holds the lock.
struct unguarded {
  explicit unguarded(std::uint32_t&) {}
};

// --- frames that change threads ---

template <std::uint32_t Size, typename Guard = model::guard>
using depot_of = frame_depot<frame, slab, Size, Guard>;

/// Two threads get frames and free them, and one frees what the other has got; at the end all blocks are
/// free, once.
template <typename Depot, std::uint32_t SlabSize>
model::program exchange() {
  struct world : pool<Depot, SlabSize> {
    model::atomic<frame*> handed_over{nullptr};
  };

  auto all = std::make_shared<world>();
  const auto gives = [=] {
    frame* first = all->allocate(1);
    frame* second = all->allocate(1);
    all->handed_over.store(first, std::memory_order_release);
    all->free(1, second);
    all->leave(1);
  };
  const auto takes = [=] {
    frame* mine = all->allocate(2);
    if (frame* others = all->handed_over.exchange(nullptr, std::memory_order_acquire)) all->free(2, others);
    all->free(2, mine);
    all->leave(2);
  };
  const auto look = [=] {
    std::uint32_t used = 0;
    std::uint32_t found = all->handed_over.newest() == nullptr ? 0 : 1;
    for (const auto& each : all->made) used += each->uses.estimate();
    for (auto some = all->depot.take(); !some.empty() && found <= used;) {
      (void)some.pop();
      ++found;
      if (some.empty() && found < used) some = all->depot.take();
    }
    model::check(found == used, "a block was lost, or is free twice");
  };
  return {.threads = {gives, takes}, .finally = look};
}

// --- the walk ---

/// Two routines begin in frames that may be the first of a slab; each looks whether there is a stop, which
/// walks all slabs meanwhile.
template <typename Depot>
model::program walk(bool slab_is_there) {
  struct world : pool<Depot, 2> {
    model::atomic<int> stopping{0};
    std::array<bool, 2> unaware{};
    std::array<bool, 2> seen{};
  };

  auto all = std::make_shared<world>();
  if (slab_is_there) all->add_slab();
  const auto routine = [=](int who) {
    return [=] {
      frame* mine = all->allocate(who);
      mine->claim_word.store(who, std::memory_order_seq_cst);
      const bool sees_stop = all->stopping.load(std::memory_order_seq_cst) != 0;
      all->unaware[static_cast<std::size_t>(who - 1)] = !sees_stop;
    };
  };
  const auto stop = [=] {
    all->stopping.store(1, std::memory_order_seq_cst);
    for (slab* each = all->registry.newest(); each != nullptr; each = each->older) {
      const std::uint32_t used = each->uses.count();
      for (std::uint32_t i = 0; i < used; ++i) {
        const int who = each->block(i)->claim_word.load(std::memory_order_seq_cst);
        if (who != 0) all->seen[static_cast<std::size_t>(who - 1)] = true;
      }
    }
  };
  const auto look = [=] {
    for (std::size_t i = 0; i < 2; ++i)
      model::check(!all->unaware[i] || all->seen[i], "the stop has missed a routine");
  };
  return {.threads = {routine(1), routine(2), stop}, .finally = look};
}

model::programs walks() {
  return {[] { return walk<depot_of<1>>(true); }, [] { return walk<depot_of<1>>(false); }};
}

}  // namespace

TEST_CASE("a frame belongs to one thread at a time, and none is lost on the way through the depot",
          "[model][frame]") {
  require_sound(exchange<depot_of<1>, 2>, 2);
  require_sound(exchange<depot_of<2>, 3>, 2);
}

TEST_CASE("a routine that begins while the stop walks sees the stop or is seen", "[model][frame]") {
  for (const auto& each : walks()) require_sound(each, 2);
}

TEST_CASE("the model check catches a depot without a lock", "[model][frame]") {
  require_caught(exchange<depot_of<1, unguarded>, 2>);
}

TEST_CASE("each order of the frame registry is needed: weakened alone it is caught", "[model][frame]") {
  require_each_order_matters("sched/frame_depot.hpp", walks());
}

#endif
