#include "sched/timer_heap.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <thread>
#include <vector>

#include "base/random.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using weft::os::nanos;
using weft::os::never;
using weft::sched::timer_cell;
using weft::sched::timer_heap;

namespace {

constexpr nanos end_of_time = never - 1;

// TSan's shadow of a million takes seconds to page in.
constexpr std::size_t very_many = weft::test::under_tsan ? 200'000 : 1'000'000;

/// What a timer wakes: it counts its expiries, and its address passes for a chain of waiters.
struct sleeper {
  nanos when = 0;
  int expired = 0;
  timer_cell* cell = nullptr;

  static weft::detail::waiter* expire(void* self) noexcept {
    ++static_cast<sleeper*>(self)->expired;
    return static_cast<weft::detail::waiter*>(self);
  }

  static weft::detail::waiter* expire_without_winner(void* self) noexcept {
    ++static_cast<sleeper*>(self)->expired;
    return nullptr;
  }

  void arm(timer_heap& heap, nanos at) {
    when = at;
    cell = heap.arm(at, expire, this);
  }
};

sleeper& woken(weft::detail::waiter* chain) {
  return *static_cast<sleeper*>(static_cast<void*>(chain));
}

void record_when(void* list, weft::detail::waiter* chain) {
  static_cast<std::vector<nanos>*>(list)->push_back(woken(chain).when);
}

void count_one(void* counter, weft::detail::waiter*) {
  ++*static_cast<int*>(counter);
}

std::vector<nanos> run(timer_heap& heap, nanos now) {
  std::vector<nanos> order;
  heap.run_due(now, record_when, &order);
  return order;
}

}  // namespace

TEST_CASE("timers fire in the order of their deadlines", "[sched][timer]") {
  timer_heap heap;
  weft::base::random numbers(3);
  std::vector<sleeper> sleepers(1000);
  for (auto& each : sleepers) each.arm(heap, static_cast<nanos>(numbers.below(500)));
  const auto order = run(heap, end_of_time);
  CHECK(order.size() == sleepers.size());
  CHECK(std::is_sorted(order.begin(), order.end()));
  int once = 0;
  for (auto& each : sleepers) once += !timer_heap::cancel(each.cell) && each.expired == 1;
  CHECK(once == 1000);
  CHECK(heap.size() == 0);
}

TEST_CASE("no timer fires early, and one that is due fires at the next run", "[sched][timer]") {
  timer_heap heap;
  std::array<sleeper, 4> sleepers;
  for (int i = 0; i < 4; ++i) sleepers[static_cast<std::size_t>(i)].arm(heap, 10 * (4 - i));
  CHECK(heap.min_when() == 10);
  CHECK(run(heap, 9).empty());
  CHECK(run(heap, 10) == std::vector<nanos>{10});
  CHECK(heap.min_when() == 20);
  CHECK(run(heap, 39) == std::vector<nanos>{20, 30});
  CHECK(run(heap, 40) == std::vector<nanos>{40});
  CHECK(heap.min_when() == never);
  for (auto& each : sleepers) CHECK(!timer_heap::cancel(each.cell));
}

TEST_CASE("a cancelled timer never fires", "[sched][timer]") {
  timer_heap heap;
  std::array<sleeper, 3> sleepers;
  for (int i = 0; i < 3; ++i) sleepers[static_cast<std::size_t>(i)].arm(heap, i);
  CHECK(timer_heap::cancel(sleepers[1].cell));
  CHECK(run(heap, end_of_time) == std::vector<nanos>{0, 2});
  CHECK(sleepers[1].expired == 0);
  CHECK(heap.size() == 0);
  CHECK(!timer_heap::cancel(sleepers[0].cell));
  CHECK(!timer_heap::cancel(sleepers[2].cell));
}

TEST_CASE("a timer that wakes nobody is fired all the same", "[sched][timer]") {
  timer_heap heap;
  sleeper lost;
  auto* const cell = heap.arm(1, sleeper::expire_without_winner, &lost);
  int sunk = 0;
  CHECK(heap.run_due(1, count_one, &sunk) == 1);
  CHECK(sunk == 0);
  CHECK(!timer_heap::cancel(cell));
  CHECK(lost.expired == 1);
}

TEST_CASE("when the sink is called its timer is fired and may be armed again", "[sched][timer]") {
  struct context {
    timer_heap& heap;
    int wakes;
  };

  timer_heap heap;
  sleeper again;
  again.arm(heap, 1);
  context rearm{heap, 0};
  const auto sink = [](void* raw, weft::detail::waiter* chain) {
    auto& self = *static_cast<context*>(raw);
    auto& owner = woken(chain);
    timer_heap::cancel(owner.cell);  // would wait for ever if the cell were still firing
    if (++self.wakes < 5) owner.arm(self.heap, owner.when + 1);
  };
  CHECK(heap.run_due(3, sink, &rearm) == 3);
  CHECK(heap.min_when() == 4);
  CHECK(heap.run_due(10, sink, &rearm) == 2);
  CHECK(rearm.wakes == 5);
  CHECK(heap.min_when() == never);
}

TEST_CASE("no more timers fire than there is room for, and those that do are the earliest",
          "[sched][timer]") {
  timer_heap heap;
  std::vector<sleeper> sleepers(200);
  for (std::size_t i = 0; i < sleepers.size(); ++i) sleepers[i].arm(heap, static_cast<nanos>(200 - i));
  std::vector<nanos> order;
  CHECK(heap.run_due(end_of_time, record_when, &order, 100) == 100);  // more than a batch
  CHECK(heap.min_when() == 101);
  CHECK(timer_heap::cancel(sleepers[99].cell));  // 101: a zombie takes no room
  CHECK(heap.try_run_due(end_of_time, record_when, &order, 1) == 1);
  CHECK(order.size() == 101);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(order.back() == 102);
  CHECK(heap.run_due(end_of_time, record_when, &order, 0) == 0);
  CHECK(run(heap, end_of_time).size() == 98);
  for (std::size_t i = 0; i < sleepers.size(); ++i)
    if (i != 99) CHECK(!timer_heap::cancel(sleepers[i].cell));
}

TEST_CASE("zombies are compacted, also when nobody arms or runs timers any more", "[sched][timer]") {
  constexpr std::size_t count = 10'000;
  timer_heap heap;
  weft::base::random numbers(5);
  std::vector<sleeper> sleepers(count);
  for (auto& each : sleepers) each.arm(heap, static_cast<nanos>(1 + numbers.below(1'000'000)));
  CHECK(heap.size() == count);

  std::size_t live = count;
  std::size_t most_zombies_in_16 = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 10 == 0) continue;
    timer_heap::cancel(sleepers[i].cell);
    --live;
    most_zombies_in_16 = std::max(most_zombies_in_16, (heap.size() - live) * 16 / heap.size());
  }
  CHECK(live == count / 10);
  CHECK(most_zombies_in_16 <= 4);

  const auto order = run(heap, end_of_time);
  CHECK(order.size() == live);
  CHECK(std::is_sorted(order.begin(), order.end()));
  for (std::size_t i = 0; i < count; i += 10) timer_heap::cancel(sleepers[i].cell);
}

TEST_CASE("a heap that has ended takes no timer that would fire at its end", "[sched][timer]") {
  timer_heap heap;
  sleeper one;
  heap.end();
  CHECK(heap.arm_until_end(5, sleeper::expire, &one) == nullptr);
  CHECK(heap.min_when() == never);
}

TEST_CASE("a cell whose timer has fired is its owner's until that has ended with it", "[sched][timer]") {
  timer_heap heap;
  sleeper first, second;
  first.arm(heap, 1);
  CHECK(run(heap, 1).size() == 1);
  second.arm(heap, 2);
  CHECK(first.cell != second.cell);
  timer_heap::cancel(first.cell);
  timer_heap::cancel(second.cell);
}

TEST_CASE("a heap of any size is in order after compaction", "[sched][timer]") {
  weft::base::random numbers(7);
  for (std::size_t kept = 1; kept < 40; ++kept) {
    for (int round = 0; round < 20; ++round) {
      timer_heap heap;
      std::vector<sleeper> sleepers(2 * kept + 40);  // the first `kept` stay
      for (auto& each : sleepers) each.arm(heap, static_cast<nanos>(1 + numbers.below(1'000)));
      for (std::size_t i = kept; i < sleepers.size(); ++i) timer_heap::cancel(sleepers[i].cell);
      REQUIRE(heap.size() < sleepers.size());
      const auto order = run(heap, end_of_time);
      REQUIRE(order.size() == kept);
      REQUIRE(std::is_sorted(order.begin(), order.end()));
      for (std::size_t i = 0; i < kept; ++i) timer_heap::cancel(sleepers[i].cell);
    }
  }
}

TEST_CASE("cancelling and arming again for ever keeps the heap small", "[sched][timer]") {
  timer_heap heap;
  sleeper impatient;
  std::size_t largest = 0;
  for (int i = 0; i < 10'000; ++i) {
    impatient.arm(heap, 30'000 + i);
    largest = std::max(largest, heap.size());
    timer_heap::cancel(impatient.cell);
  }
  CHECK(largest <= 32);
}

TEST_CASE("a cell is reused once its owner has ended with it", "[sched][timer]") {
  timer_heap heap;
  sleeper one;
  one.arm(heap, 1);
  auto* const first = one.cell;
  run(heap, 1);
  CHECK(first->state == timer_cell::fired);
  timer_heap::cancel(first);
  CHECK(first->state == timer_cell::free);

  std::vector<sleeper> many(5000);  // takes all cells that the heap has, the returned one among them
  bool reused = false;
  for (auto& each : many) {
    each.arm(heap, 2);
    reused = reused || each.cell == first;
  }
  CHECK(reused);
  for (auto& each : many) timer_heap::cancel(each.cell);
}

TEST_CASE("a thief runs what is due and nothing else", "[sched][timer]") {
  timer_heap heap;
  sleeper due;
  due.arm(heap, 5);
  int sunk = 0;
  CHECK(heap.try_run_due(4, count_one, &sunk) == 0);
  CHECK(heap.try_run_due(5, count_one, &sunk) == 1);
  CHECK(sunk == 1);
  CHECK(!timer_heap::cancel(due.cell));
}

TEST_CASE("a cancel that races with the expiry has exactly one outcome", "[sched][timer]") {
  constexpr int rounds = 2'000;
  timer_heap heap;
  std::atomic<bool> stop{false};
  std::atomic<int> sunk{0};
  const auto count = [](void* counter, weft::detail::waiter*) { ++*static_cast<std::atomic<int>*>(counter); };
  std::thread runner([&] {
    while (!stop) heap.run_due(end_of_time, count, &sunk);
  });
  std::thread thief([&] {
    while (!stop) heap.try_run_due(end_of_time, count, &sunk);
  });

  int fired = 0;
  int wrong = 0;
  for (int round = 0; round < rounds; ++round) {
    std::array<sleeper, 8> frame;  // gone after the round: late accesses show under ASan and TSan
    for (auto& each : frame) each.arm(heap, round);
    for (auto& each : frame) {
      const bool cancelled = timer_heap::cancel(each.cell);
      wrong += each.expired != (cancelled ? 0 : 1);
      fired += !cancelled;
    }
  }
  stop = true;
  runner.join();
  thief.join();
  CHECK(wrong == 0);
  CHECK(sunk == fired);
  run(heap, end_of_time);
  CHECK(heap.size() == 0);
}

TEST_CASE("a cancel that comes too late returns when the expiry has", "[sched][timer]") {
  struct slow {
    std::atomic<bool> begun{false}, cancels{false}, ended{false};

    static weft::detail::waiter* expire(void* self) noexcept {
      auto& me = *static_cast<slow*>(self);
      me.begun = true;
      while (!me.cancels) {
      }
      for (int i = 0; i < 100'000; ++i) (void)me.cancels.load();
      me.ended = true;
      return nullptr;
    }
  } target;

  timer_heap heap;
  timer_cell* const cell = heap.arm(1, &slow::expire, &target);
  std::thread runner([&] { run(heap, 1); });
  while (!target.begun) {
  }
  target.cancels = true;
  const bool cancelled = timer_heap::cancel(cell);
  const bool ended = target.ended;
  runner.join();
  REQUIRE_FALSE(cancelled);
  REQUIRE(ended);
}

TEST_CASE("threads that arm and cancel in one heap lose and double no timer", "[sched][timer]") {
  constexpr int threads = 3;
  constexpr int rounds = 3'000;
  timer_heap heap;
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  int sunk = 0;
  std::thread runner([&] {
    for (nanos now = 0; !stop; now += 50) heap.run_due(now, count_one, &sunk);
    heap.run_due(end_of_time, count_one, &sunk);
  });
  std::atomic<int> fired{0};
  std::vector<std::thread> owners;
  for (int t = 0; t < threads; ++t)
    owners.emplace_back([&, t] {
      weft::base::random numbers(static_cast<std::uint64_t>(t));
      std::array<sleeper, 16> frame;
      for (int i = 0; i < rounds; ++i) {
        auto& mine = frame.at(numbers.below(frame.size()));
        if (mine.cell) {
          const bool cancelled = timer_heap::cancel(mine.cell);
          wrong += mine.expired != (cancelled ? 0 : 1);
          fired += !cancelled;
        }
        mine.expired = 0;
        mine.arm(heap, static_cast<nanos>(numbers.below(100'000)));
      }
      for (auto& each : frame)
        if (each.cell && !timer_heap::cancel(each.cell)) ++fired;
    });
  for (auto& owner : owners) owner.join();
  stop = true;
  runner.join();
  CHECK(wrong == 0);
  CHECK(fired == sunk);
  CHECK(heap.size() == 0);
}

TEST_CASE("a heap's cells serve the next heap", "[sched][timer]") {
  std::vector<sleeper> sleepers(3000);
  std::vector<timer_cell*> cells[2];
  for (auto& used : cells) {
    timer_heap heap;
    for (auto& each : sleepers) {
      each.arm(heap, 1);
      used.push_back(each.cell);
    }
    for (std::size_t i = 0; i < sleepers.size(); i += 2) timer_heap::cancel(sleepers[i].cell);
    run(heap, 1);
    for (std::size_t i = 1; i < sleepers.size(); i += 2) timer_heap::cancel(sleepers[i].cell);
    std::sort(used.begin(), used.end());
    CHECK(std::unique(used.begin(), used.end()) == used.end());
  }
  std::vector<timer_cell*> both;
  std::set_intersection(cells[0].begin(), cells[0].end(), cells[1].begin(), cells[1].end(),
                        std::back_inserter(both));
  CHECK(both.size() > 1000);
}

TEST_CASE("two heaps take different cells of those that another gave back", "[sched][timer]") {
  std::vector<sleeper> sleepers(6000);
  {
    timer_heap before;
    for (auto& each : sleepers) each.arm(before, 1);
    for (auto& each : sleepers) timer_heap::cancel(each.cell);
  }
  timer_heap heaps[2];
  std::vector<timer_cell*> cells;
  for (std::size_t i = 0; i < sleepers.size(); ++i) {
    sleepers[i].arm(heaps[i % 2], 1);
    cells.push_back(sleepers[i].cell);
  }
  for (auto& each : sleepers) timer_heap::cancel(each.cell);
  std::sort(cells.begin(), cells.end());
  REQUIRE(std::unique(cells.begin(), cells.end()) == cells.end());
}

TEST_CASE("a million timers, most of them cancelled, fire in order", "[sched][timer]") {
  constexpr std::size_t count = very_many;

  struct record {
    std::size_t woken = 0;
    std::uintptr_t last = 0;
    bool in_order = true;
  };

  const auto sink = [](void* raw, weft::detail::waiter* chain) {
    auto& seen = *static_cast<record*>(raw);
    const auto when = reinterpret_cast<std::uintptr_t>(chain);
    seen.in_order = seen.in_order && when >= seen.last;
    seen.last = when;
    ++seen.woken;
  };
  const auto expire = [](void* when) noexcept { return static_cast<weft::detail::waiter*>(when); };

  timer_heap heap;
  weft::base::random numbers(9);
  std::vector<timer_cell*> cells(count);
  for (auto& cell : cells) {
    const auto when = 1 + numbers.below(60'000'000'000);
    cell = heap.arm(static_cast<nanos>(when), expire, reinterpret_cast<void*>(when));
  }
  std::size_t cancelled = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (i % 10 != 0 && timer_heap::cancel(cells[i])) ++cancelled;
  record seen;
  heap.run_due(end_of_time, sink, &seen);
  for (std::size_t i = 0; i < count; i += 10) timer_heap::cancel(cells[i]);
  CHECK(cancelled == count / 10 * 9);
  CHECK(seen.woken == count / 10);
  CHECK(seen.in_order);
}
