#include "sched/run_queue.hpp"

#include <atomic>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

struct item {
  std::uint32_t number = 0;
};

using queue = weft::sched::run_queue<item>;

constexpr std::uint32_t capacity = 256;

std::vector<item> numbered(std::uint32_t count) {
  std::vector<item> items(count);
  for (std::uint32_t i = 0; i < count; ++i) items[i].number = i;
  return items;
}

std::vector<std::uint32_t> drain(queue& from) {
  std::vector<std::uint32_t> order;
  while (const item* each = from.pop()) order.push_back(each->number);
  return order;
}

std::vector<std::uint32_t> range(std::uint32_t first, std::uint32_t end) {
  std::vector<std::uint32_t> numbers(end - first);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

}  // namespace

TEST_CASE("a run queue gives items back in the order they came, over a wrap of its indices",
          "[sched][run_queue]") {
  queue ring(0xFFFFFFFD);
  auto items = numbered(1000);
  REQUIRE(ring.empty());
  std::vector<std::uint32_t> order;
  for (auto& each : items) {
    REQUIRE((each.number % 2 == 0 ? ring.push(&each) : ring.push_quietly(&each)));
    if (ring.size() == 7) order.push_back(ring.pop()->number);
  }
  for (const std::uint32_t number : drain(ring)) order.push_back(number);
  REQUIRE(order == range(0, 1000));
  REQUIRE(ring.empty());
}

TEST_CASE("a full run queue refuses, and its older half makes room", "[sched][run_queue]") {
  queue ring(0xFFFFFFFD);
  auto items = numbered(capacity + 1);
  for (std::uint32_t i = 0; i < capacity; ++i) REQUIRE(ring.push(&items[i]));
  REQUIRE_FALSE(ring.push(&items[capacity]));
  REQUIRE_FALSE(ring.push_quietly(&items[capacity]));
  REQUIRE(ring.size() == capacity);

  item* half[capacity / 2];
  REQUIRE(ring.pop_half(half) == capacity / 2);
  REQUIRE(half[0]->number == 0);
  REQUIRE(half[capacity / 2 - 1]->number == capacity / 2 - 1);
  REQUIRE(ring.push(&items[capacity]));
  REQUIRE(drain(ring) == range(capacity / 2, capacity + 1));
  REQUIRE(ring.pop_half(half) == 0);
}

TEST_CASE("a thief takes the older half, rounded up", "[sched][run_queue]") {
  const std::uint32_t start = GENERATE(0U, 0xFFFFFFFDU);
  const std::uint32_t count = GENERATE(1U, 2U, 3U, 100U, 255U, 256U);
  queue ring(start);
  queue mine(start + 100);
  auto items = numbered(count);
  for (auto& each : items) REQUIRE(ring.push(&each));

  const item* first = ring.steal_into(mine);
  const std::uint32_t taken = count - count / 2;
  REQUIRE(first == &items[0]);
  REQUIRE(mine.size() == taken - 1);
  REQUIRE(drain(mine) == range(1, taken));
  REQUIRE(drain(ring) == range(taken, count));
}

TEST_CASE("a thief of an empty run queue gets nothing", "[sched][run_queue]") {
  queue ring;
  queue mine;
  REQUIRE(ring.steal_into(mine) == nullptr);
  REQUIRE(mine.empty());
}

TEST_CASE("an owner and two thieves take each item of a run queue exactly once", "[sched][run_queue]") {
  constexpr std::uint32_t count = 60'000;
  auto items = numbered(count);
  queue ring(0xFFFFFFF0);
  std::atomic<bool> pushed_all{false};
  std::vector<std::uint32_t> taken[3];

  const auto steal = [&](std::vector<std::uint32_t>& mine_taken) {
    queue mine(0xFFFFFFFE);
    for (;;) {
      const bool last_round = pushed_all.load();
      const item* got = ring.steal_into(mine);
      if (got == nullptr && last_round) break;
      for (; got != nullptr; got = mine.pop()) mine_taken.push_back(got->number);
    }
  };
  std::thread first([&] { steal(taken[1]); });
  std::thread second([&] { steal(taken[2]); });
  for (std::uint32_t i = 0; i < count; ++i) {
    while (!ring.push(&items[i])) {
      item* half[capacity / 2];
      const std::uint32_t popped = ring.pop_half(half);
      for (std::uint32_t k = 0; k < popped; ++k) taken[0].push_back(half[k]->number);
    }
    if (i % 3 == 0) {
      if (const item* got = ring.pop()) taken[0].push_back(got->number);
    }
  }
  for (const std::uint32_t number : drain(ring)) taken[0].push_back(number);
  pushed_all.store(true);
  first.join();
  second.join();

  std::vector<int> times(count);
  for (const auto& each : taken) {
    for (const std::uint32_t number : each) ++times[number];
  }
  REQUIRE(times == std::vector<int>(count, 1));
}
