// Weft's own versions of what crossbeam-deque's tests check (facts only): one owner and eight thieves.
//
//   fifo, lifo    spsc, stampede, stress, no_starvation, destructors     run_queue, fork_deque
//   injector      spsc, mpmc, stampede, stress, no_starvation            inject_queue
//   smoke, is_empty, steal, steal_batch, steal_batch_and_pop             the queues' own test files
//
// Not for weft: destructors as such (the queues hold pointers and own nothing: here, what thieves left is
// still there, in order), stack_overflow (no blocks), batches between queues of two kinds.

#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "sched/fork_deque.hpp"
#include "sched/inject_queue.hpp"
#include "sched/run_queue.hpp"
#include "support/catch.hpp"

namespace {

struct item {
  std::uint32_t number = 0;
  item* next = nullptr;
};

using numbers = std::vector<std::uint32_t>;

constexpr std::uint32_t thieves = 8;
constexpr std::uint32_t count = 50'000;

/// The owner pops the oldest, thieves take half.
struct fifo {
  using queue = weft::sched::run_queue<item, 65'536>;

  static constexpr bool owner_pops_oldest = true;

  fifo() : ring(std::make_unique<queue>(0xFFFFFFF0)) {}

  void put(item* each) {
    while (!ring->push(each)) continue;  // there is room for all that a test puts
  }

  bool own(numbers& taken) {
    const item* got = ring->pop();
    if (got != nullptr) taken.push_back(got->number);
    return got != nullptr;
  }

  bool empty() const { return ring->empty(); }

  struct thief {
    explicit thief(fifo& all) : from(all.ring.get()), mine(std::make_unique<queue>(0xFFFFFFFE)) {}

    bool take(numbers& taken) {
      const item* got = from->steal_into(*mine);
      const bool any = got != nullptr;
      for (; got != nullptr; got = mine->pop()) taken.push_back(got->number);
      return any;
    }

    queue* from;
    std::unique_ptr<queue> mine;
  };

  std::unique_ptr<queue> ring;
};

/// The owner pops the newest, thieves take the oldest.
struct lifo {
  static constexpr bool owner_pops_oldest = false;

  void put(item* each) { forks.push(each); }

  bool own(numbers& taken) {
    const item* got = forks.pop();
    if (got != nullptr) taken.push_back(got->number);
    return got != nullptr;
  }

  bool empty() const { return forks.empty(); }

  struct thief {
    explicit thief(lifo& all) : from(&all) {}

    bool take(numbers& taken) {
      const item* got = from->forks.steal().item;
      if (got != nullptr) taken.push_back(got->number);
      return got != nullptr;
    }

    lifo* from;
  };

  weft::sched::fork_deque<item> forks;
};

/// Everybody puts and takes.
struct injector {
  static constexpr bool owner_pops_oldest = true;

  void put(item* each, std::uint32_t hint = 0) { queue.push(each, hint); }

  bool own(numbers& taken, std::uint32_t hint = 0) {
    std::uint32_t many = 0;
    const item* got = queue.pop_batch(hint, thieves, queue.max_batch, many);
    const bool any = got != nullptr;
    for (; got != nullptr; got = got->next) taken.push_back(got->number);
    return any;
  }

  bool empty() const { return queue.empty(); }

  struct thief {
    explicit thief(injector& all) : from(&all) {}

    bool take(numbers& taken) { return from->own(taken); }

    injector* from;
  };

  weft::sched::inject_queue<item, &item::next> queue{1};
};

std::vector<item> numbered(std::uint32_t many) {
  std::vector<item> items(many);
  for (std::uint32_t i = 0; i < many; ++i) items[i].number = i;
  return items;
}

bool rising(const numbers& taken) {
  for (std::size_t i = 1; i < taken.size(); ++i) {
    if (taken[i - 1] >= taken[i]) return false;
  }
  return true;
}

/// How often each number was taken.
std::vector<int> times_of(const std::vector<numbers>& taken, std::uint32_t many) {
  std::vector<int> times(many);
  for (const auto& each : taken) {
    for (const std::uint32_t number : each) ++times.at(number);
  }
  return times;
}

/// Eight thieves beside `owner(taken)`; they end when it has returned and nothing is left.  What each took,
/// the owner's last.
template <typename Queue, typename Owner>
std::vector<numbers> beside_thieves(Queue& queue, Owner owner) {
  std::vector<numbers> taken(thieves + 1);
  std::atomic<bool> ended{false};
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < thieves; ++i) {
    threads.emplace_back([&, i] {
      typename Queue::thief me(queue);
      for (;;) {
        const bool last_round = ended.load();
        if (!me.take(taken[i]) && last_round && queue.empty()) return;
      }
    });
  }
  owner(taken[thieves]);
  ended.store(true);
  for (auto& each : threads) each.join();
  return taken;
}

}  // namespace

TEMPLATE_TEST_CASE("one thief takes all that the owner puts, in its order", "[sched][crossbeam]", fifo, lifo,
                   injector) {
  auto items = numbered(count);
  TestType queue;
  numbers taken;
  std::thread alone([&] {
    typename TestType::thief me(queue);
    while (taken.size() < count) (void)me.take(taken);
  });
  for (auto& each : items) queue.put(&each);
  alone.join();
  numbers all(count);
  std::iota(all.begin(), all.end(), 0U);
  REQUIRE(taken == all);
  REQUIRE(queue.empty());
}

TEMPLATE_TEST_CASE("a stampede of eight thieves on a full queue takes each once, and nobody goes backwards",
                   "[sched][crossbeam]", fifo, lifo, injector) {
  auto items = numbered(count);
  TestType queue;
  for (auto& each : items) queue.put(&each);
  const auto taken = beside_thieves(queue, [&](numbers& mine) {
    while (queue.own(mine)) continue;
  });
  for (std::uint32_t i = 0; i < thieves; ++i) REQUIRE(rising(taken[i]));
  const auto& own = taken[thieves];
  REQUIRE(rising(TestType::owner_pops_oldest ? own : numbers(own.rbegin(), own.rend())));
  REQUIRE(times_of(taken, count) == std::vector<int>(count, 1));
}

TEMPLATE_TEST_CASE("an owner that puts and drains by turns loses and doubles nothing to eight thieves",
                   "[sched][crossbeam]", fifo, lifo, injector) {
  auto items = numbered(count);
  TestType queue;
  std::uint32_t dice = 1;
  const auto taken = beside_thieves(queue, [&](numbers& mine) {
    for (auto& each : items) {
      queue.put(&each);
      dice = dice * 1664525U + 1013904223U;
      if ((dice >> 8) % 3 != 0) continue;
      while (queue.own(mine)) continue;
    }
  });
  REQUIRE(times_of(taken, count) == std::vector<int>(count, 1));
  REQUIRE(queue.empty());
}

TEMPLATE_TEST_CASE("each of eight thieves gets something from an owner that takes as well",
                   "[sched][crossbeam]", fifo, lifo, injector) {
  constexpr std::uint32_t many = 4'096;
  auto items = numbered(many);
  std::vector<std::atomic<bool>> inside(many);  // an item is put again when who took it has done with it
  TestType queue;
  std::atomic<std::uint32_t> hungry{thieves};
  std::vector<std::thread> threads;
  std::atomic<bool> ended{false};
  for (std::uint32_t i = 0; i < thieves; ++i) {
    threads.emplace_back([&] {
      typename TestType::thief me(queue);
      numbers taken;
      bool fed = false;
      while (!ended.load()) {
        if (!me.take(taken)) continue;
        for (const std::uint32_t number : taken) inside[number].store(false);
        taken.clear();
        if (!std::exchange(fed, true)) --hungry;
      }
    });
  }
  numbers mine;
  bool fed = false;
  for (std::uint32_t i = 0; hungry.load() != 0 || !fed; ++i) {
    if (!inside[i % many].exchange(true)) queue.put(&items[i % many]);
    if (i % 4 != 0 || !queue.own(mine)) continue;
    fed = true;
    for (const std::uint32_t number : mine) inside[number].store(false);
    mine.clear();
  }
  ended.store(true);
  for (auto& each : threads) each.join();
  REQUIRE(hungry.load() == 0);
}

TEMPLATE_TEST_CASE("what thieves that give up have left is still there, in order, and nothing else",
                   "[sched][crossbeam]", fifo, lifo, injector) {
  constexpr std::uint32_t few = 1'000;  // each taker gives up behind it
  auto items = numbered(count);
  TestType queue;
  for (auto& each : items) queue.put(&each);
  std::vector<numbers> taken(thieves + 2);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < thieves; ++i) {
    threads.emplace_back([&, i] {
      typename TestType::thief me(queue);
      while (taken[i].size() < few && !queue.empty()) (void)me.take(taken[i]);
    });
  }
  for (std::uint32_t i = 0; i < few; ++i) (void)queue.own(taken[thieves]);
  for (auto& each : threads) each.join();
  numbers& left = taken.back();
  while (queue.own(left)) continue;
  REQUIRE(rising(TestType::owner_pops_oldest ? left : numbers(left.rbegin(), left.rend())));
  REQUIRE(times_of(taken, count) == std::vector<int>(count, 1));
}

TEST_CASE("four threads that put and four that take pass each injected item once over every shard",
          "[sched][crossbeam][inject_queue]") {
  constexpr std::uint32_t each_puts = 25'000;
  auto items = numbered(4 * each_puts);
  weft::sched::inject_queue<item, &item::next> queue{8};
  std::vector<numbers> taken(4);
  std::atomic<std::uint32_t> left{4 * each_puts};
  std::vector<std::thread> threads;
  for (std::uint32_t who = 0; who < 4; ++who) {
    threads.emplace_back([&, who] {
      for (std::uint32_t i = 0; i < each_puts; ++i) queue.push(&items[who * each_puts + i], i);
    });
    threads.emplace_back([&, who] {
      while (left.load() != 0) {
        std::uint32_t many = 0;
        for (const item* got = queue.pop_batch(who, 4, queue.max_batch, many); got != nullptr;
             got = got->next) {
          taken[who].push_back(got->number);
        }
        left -= many;
      }
    });
  }
  for (auto& each : threads) each.join();
  REQUIRE(times_of(taken, 4 * each_puts) == std::vector<int>(std::size_t{4} * each_puts, 1));
  REQUIRE(queue.empty());
}
