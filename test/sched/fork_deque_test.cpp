#include "sched/fork_deque.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

struct item {
  std::uint32_t number = 0;
};

using deque = weft::sched::fork_deque<item>;

std::vector<item> numbered(std::uint32_t count) {
  std::vector<item> items(count);
  for (std::uint32_t i = 0; i < count; ++i) items[i].number = i;
  return items;
}

/// Steals until the owner has set `ended` and nothing is left.
template <typename Deque>
void steal_all(Deque& from, const std::atomic<bool>& ended, std::vector<std::uint32_t>& taken) {
  for (;;) {
    const bool last_round = ended.load();
    const auto [got, lost] = from.steal();
    if (got != nullptr) taken.push_back(got->number);
    if (got == nullptr && !lost && last_round) return;
  }
}

}  // namespace

TEST_CASE("the owner of a fork deque pops the newest, a thief steals the oldest", "[sched][fork_deque]") {
  deque forks;
  auto items = numbered(4);
  REQUIRE(forks.empty());
  REQUIRE(forks.pop() == nullptr);
  for (auto& each : items) forks.push(&each);
  REQUIRE_FALSE(forks.empty());
  REQUIRE(forks.pop() == &items[3]);
  REQUIRE(forks.steal().item == &items[0]);
  REQUIRE(forks.pop() == &items[2]);
  REQUIRE(forks.pop() == &items[1]);
  REQUIRE(forks.pop() == nullptr);
  const auto [item, lost] = forks.steal();
  REQUIRE(item == nullptr);
  REQUIRE_FALSE(lost);
  REQUIRE(forks.empty());
}

TEST_CASE("pop_if pops the item it names and leaves any other", "[sched][fork_deque]") {
  deque forks;
  auto items = numbered(2);
  REQUIRE(forks.pop_if(&items[0]) == nullptr);
  forks.push(&items[0]);
  forks.push(&items[1]);
  REQUIRE(forks.pop_if(&items[0]) == nullptr);
  REQUIRE(forks.pop_if(&items[1]) == &items[1]);
  REQUIRE(forks.steal().item == &items[0]);
  REQUIRE(forks.pop_if(&items[0]) == nullptr);  // its slot still holds it, but it is gone
  REQUIRE(forks.empty());
}

TEST_CASE("a fork deque grows and keeps its order", "[sched][fork_deque]") {
  weft::sched::fork_deque<item, 2> forks;
  auto items = numbered(1000);
  std::size_t stolen = 0;
  for (auto& each : items) {
    forks.push(&each);
    if (each.number % 10 == 0) REQUIRE(forks.steal().item == &items[stolen++]);
  }
  for (std::size_t i = items.size(); i-- > stolen;) REQUIRE(forks.pop() == &items[i]);
  REQUIRE(forks.empty());
}

TEST_CASE("an owner and two thieves take each item of a fork deque exactly once", "[sched][fork_deque]") {
  constexpr std::uint32_t count = 60'000;
  auto items = numbered(count);
  deque forks;
  std::atomic<bool> ended{false};
  std::vector<std::uint32_t> taken[3];
  std::thread first([&] { steal_all(forks, ended, taken[1]); });
  std::thread second([&] { steal_all(forks, ended, taken[2]); });
  for (std::uint32_t i = 0; i < count; ++i) {
    forks.push(&items[i]);
    const item* got = i % 2 == 0 ? nullptr : i % 3 == 0 ? forks.pop() : forks.pop_if(&items[i]);
    if (got != nullptr) taken[0].push_back(got->number);
  }
  while (const item* got = forks.pop()) taken[0].push_back(got->number);
  ended.store(true);
  first.join();
  second.join();

  std::vector<int> times(count);
  for (const auto& each : taken) {
    for (const std::uint32_t number : each) ++times[number];
  }
  REQUIRE(times == std::vector<int>(count, 1));
}

TEST_CASE("a fork deque that grows under thieves loses and doubles nothing", "[sched][fork_deque]") {
  constexpr std::uint32_t rounds = 200;
  constexpr std::uint32_t burst = 100;  // 2 -> 128 in every round
  auto items = numbered(rounds * burst);
  std::vector<int> times(items.size());
  for (std::uint32_t round = 0; round < rounds; ++round) {
    weft::sched::fork_deque<item, 2> forks;
    std::atomic<bool> ended{false};
    std::vector<std::uint32_t> taken;
    std::thread thief([&] { steal_all(forks, ended, taken); });
    for (std::uint32_t i = 0; i < burst; ++i) forks.push(&items[round * burst + i]);
    while (const item* got = forks.pop()) ++times[got->number];
    ended.store(true);
    thief.join();
    for (const std::uint32_t number : taken) ++times[number];
  }
  REQUIRE(times == std::vector<int>(times.size(), 1));
}
