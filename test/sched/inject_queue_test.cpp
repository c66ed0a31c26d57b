#include "sched/inject_queue.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

struct item {
  std::uint32_t number = 0;
  item* next = nullptr;
};

using queue = weft::sched::inject_queue<item, &item::next>;

std::vector<item> numbered(std::uint32_t count) {
  std::vector<item> items(count);
  for (std::uint32_t i = 0; i < count; ++i) items[i].number = i;
  return items;
}

std::vector<std::uint32_t> pop_numbers(queue& from, std::uint32_t hint, std::uint32_t workers,
                                       std::uint32_t at_most = queue::max_batch) {
  std::vector<std::uint32_t> numbers;
  std::uint32_t count = 0;
  for (const item* each = from.pop_batch(hint, workers, at_most, count); each != nullptr; each = each->next) {
    numbers.push_back(each->number);
  }
  return count == numbers.size() ? numbers : std::vector<std::uint32_t>{0xDEAD};
}

}  // namespace

TEST_CASE("an inject queue has a power of two of shards, at least one per worker, at most 8",
          "[sched][inject_queue]") {
  REQUIRE(queue(0).shard_count() == 1);
  REQUIRE(queue(1).shard_count() == 1);
  REQUIRE(queue(2).shard_count() == 2);
  REQUIRE(queue(3).shard_count() == 4);
  REQUIRE(queue(8).shard_count() == 8);
  REQUIRE(queue(100).shard_count() == 8);
}

TEST_CASE("a shard of an inject queue is first in, first out", "[sched][inject_queue]") {
  queue injected(4);
  auto items = numbered(10);
  REQUIRE(injected.empty());
  REQUIRE(pop_numbers(injected, 0, 4).empty());
  for (auto& each : items) injected.push(&each, 7);
  REQUIRE_FALSE(injected.empty());
  REQUIRE(injected.size() == 10);
  std::vector<std::uint32_t> order;
  while (!injected.empty()) {
    for (const std::uint32_t number : pop_numbers(injected, 1, 4)) order.push_back(number);
  }
  REQUIRE(order == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  REQUIRE(injected.size() == 0);
}

TEST_CASE("a batch from an inject queue is a fair share, at most 128", "[sched][inject_queue]") {
  queue injected(1);
  auto items = numbered(1000);
  for (std::uint32_t i = 0; i + 1 < items.size(); ++i) items[i].next = &items[i + 1];
  injected.push_chain(&items.front(), &items.back(), 1000, 0);
  REQUIRE(pop_numbers(injected, 0, 1).size() == 128);
  REQUIRE(pop_numbers(injected, 0, 10).size() == 88);  // 872 / 10 + 1
  REQUIRE(injected.size() == 784);
  REQUIRE(pop_numbers(injected, 0, 784).size() == 2);
  REQUIRE(pop_numbers(injected, 0, 100'000).size() == 1);
}

TEST_CASE("a batch from an inject queue is no larger than the room for it", "[sched][inject_queue]") {
  queue injected(1);
  auto items = numbered(1000);
  for (std::uint32_t i = 0; i + 1 < items.size(); ++i) items[i].next = &items[i + 1];
  items[499].next = nullptr;
  injected.push_chain(&items.front(), &items[499], 500, 0);
  injected.push_overdue(&items[500], &items.back(), 500);
  REQUIRE(pop_numbers(injected, 0, 1, 30).size() == 30);
  REQUIRE(pop_numbers(injected, 0, 1, 7).size() == 7);
  REQUIRE(pop_numbers(injected, 0, 1, 1) == std::vector<std::uint32_t>{530});
  REQUIRE(pop_numbers(injected, 0, 1, 1) == std::vector<std::uint32_t>{7});
  REQUIRE(injected.size() == 961);
}

TEST_CASE("a chain is appended behind what a shard holds", "[sched][inject_queue]") {
  queue injected(1);
  auto items = numbered(4);
  items[1].next = &items[2];
  injected.push(&items[0], 0);
  injected.push_chain(&items[1], &items[2], 2, 0);
  injected.push(&items[3], 0);
  REQUIRE(pop_numbers(injected, 0, 1) == std::vector<std::uint32_t>{0, 1, 2, 3});
}

TEST_CASE("no shard starves behind those that are never empty", "[sched][inject_queue]") {
  queue injected(8);
  auto items = numbered(200);
  std::size_t next = 0;
  const auto fill = [&](std::uint32_t but) {
    for (std::uint32_t i = 0; i < 8; ++i) {
      if (i != but) injected.push(&items[next++ % 199], i);
    }
  };
  const std::uint32_t last = GENERATE(1U, 4U, 7U);
  injected.push(&items[199], last);
  std::uint32_t takes = 0;
  for (bool taken = false; !taken; ++takes) {
    REQUIRE(takes < 2 * 8);
    if (injected.size() < 8) fill(last);
    for (const std::uint32_t number : pop_numbers(injected, queue::shard_in_turn(0, takes), 1000)) {
      taken = taken || number == 199;
    }
  }
}

TEST_CASE("what workers gave up has every second turn, in order", "[sched][inject_queue]") {
  queue injected(1);
  auto items = numbered(7);
  for (std::size_t i = 0; i < 3; ++i) injected.push(&items[i], 0);
  for (std::size_t i = 3; i < 5; ++i) items[i].next = &items[i + 1];
  injected.push_given_up(&items[3], &items[5], 3);
  injected.push_given_up(&items[6], &items[6], 1);
  REQUIRE(injected.size() == 7);
  std::vector<std::uint32_t> order;
  while (!injected.empty()) {
    for (const std::uint32_t number : pop_numbers(injected, 0, 1000)) order.push_back(number);
  }
  REQUIRE(order == std::vector<std::uint32_t>{3, 0, 4, 1, 5, 2, 6});
  REQUIRE(injected.size() == 0);
}

TEST_CASE("a worker begins with the shard of its hint and finds every other", "[sched][inject_queue]") {
  queue injected(8);
  auto items = numbered(8);
  for (auto& each : items) injected.push(&each, each.number);
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < 8; ++i) order.push_back(pop_numbers(injected, 5, 1).at(0));
  REQUIRE(order == std::vector<std::uint32_t>{5, 6, 7, 0, 1, 2, 3, 4});
  REQUIRE(injected.empty());
}

TEST_CASE("two producers and two consumers pass each injected item exactly once", "[sched][inject_queue]") {
  constexpr std::uint32_t count = 20'000;
  auto items = numbered(2 * count);
  queue injected(2);
  std::atomic<std::uint32_t> left{2 * count};
  std::vector<std::uint32_t> taken[2];
  const auto produce = [&](std::uint32_t who) {
    for (std::uint32_t i = 0; i < count; ++i) injected.push(&items[who * count + i], who);
  };
  const auto consume = [&](std::uint32_t who) {
    while (left.load() != 0) {
      const auto numbers = pop_numbers(injected, who, 2);
      taken[who].insert(taken[who].end(), numbers.begin(), numbers.end());
      left.fetch_sub(static_cast<std::uint32_t>(numbers.size()));
    }
  };
  std::thread threads[] = {std::thread(produce, 0), std::thread(produce, 1), std::thread(consume, 0),
                           std::thread(consume, 1)};
  for (auto& each : threads) each.join();

  std::vector<int> times(items.size());
  for (const auto& each : taken) {
    for (const std::uint32_t number : each) ++times.at(number);
  }
  REQUIRE(times == std::vector<int>(items.size(), 1));
  REQUIRE(injected.empty());
}
