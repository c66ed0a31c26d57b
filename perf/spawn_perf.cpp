// spawn: what it costs to start a routine, to give way to another one, to have many that wait, and to share
// out what one worker has.

#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace perf {

namespace {

// --- spawn_join: n empty routines, started one by one by one routine, and waited for ---

weft::routine<> empty() {
  co_return;
}

weft::routine<result> spawn_and_join(std::uint64_t n) {
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < n; ++i) s.go(empty);
    co_return;
  });
  co_return result{n, clock.seconds()};
}

result spawn_join(weft::runtime& rt, std::uint64_t n) {
  return rt.go(spawn_and_join, n).join();
}

result blocking_spawn_join(weft::runtime& rt, std::uint64_t n) {
  return rt
      .go([n] {
        const stopwatch clock;
        std::vector<weft::join_handle<>> handles;
        handles.reserve(n);
        for (std::uint64_t i = 0; i < n; ++i) handles.push_back(weft::go([] {}));
        for (auto& h : handles) h.join();
        return result{n, clock.seconds()};
      })
      .join();
}

// --- yield: two routines that give way to one another ---

weft::routine<> yield_often(std::uint64_t times) {
  for (std::uint64_t i = 0; i < times; ++i) co_await weft::yield();
}

weft::routine<result> two_that_yield(std::uint64_t n) {
  const std::uint64_t each = n / 2 + n % 2;
  const stopwatch clock;
  auto a = weft::go(yield_often, each);
  auto b = weft::go(yield_often, each);
  co_await std::move(a);
  co_await std::move(b);
  co_return result{2 * each, clock.seconds()};
}

result yield(weft::runtime& rt, std::uint64_t n) {
  return rt.go(two_that_yield, n).join();
}

// --- parked: memory of n routines that wait on a channel, each with a handle of its own to it ---

// Here and not in the routines: what a routine holds is what is measured.
std::atomic<std::uint64_t> began{0};
std::atomic<std::uint64_t> ended{0};

weft::routine<> take_all(weft::channel<std::uint64_t> from) {
  began.fetch_add(1, std::memory_order_relaxed);
  while (auto v = co_await from.recv()) began.fetch_add(*v, std::memory_order_relaxed);
  ended.fetch_add(1, std::memory_order_relaxed);
}

weft::routine<result> park_many(std::uint64_t n) {
  weft::channel<std::uint64_t> never;
  double seconds = 0;
  double bytes = 0;
  const std::size_t before = resident_bytes();
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < n; ++i) s.go(take_all, never);
    while (began.load(std::memory_order_relaxed) < n) co_await weft::yield();
    seconds = clock.seconds();
    bytes = static_cast<double>(resident_bytes() - before);
    never.close();
  });
  const bool is_right =
      began.load(std::memory_order_relaxed) == n && ended.load(std::memory_order_relaxed) == n;
  co_return result{n, seconds, is_right, field("bytes_per_routine", bytes / static_cast<double>(n))};
}

result parked(weft::runtime& rt, std::uint64_t n) {
  return rt.go(park_many, n).join();
}

// --- imbalance: one worker has all the work, and some of it is fifty times as long ---

constexpr std::uint64_t long_one = 100;  // every so many-th
constexpr std::uint64_t long_factor = 50;

// xorshift: never 0, and no step can be left out.
std::uint64_t compute(std::uint64_t seed, std::uint64_t steps) {
  std::uint64_t x = seed + 1;
  for (std::uint64_t i = 0; i < steps; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  return x;
}

// The quickest of some tries: one that was interrupted says nothing.
std::uint64_t steps_a_microsecond() {
  constexpr std::uint64_t steps = 1'000'000;
  double best = 1;
  for (std::uint64_t i = 0; i < 10; ++i) {
    const stopwatch clock;
    const std::uint64_t x = compute(i, steps);
    if (x != 0) best = std::min(best, clock.seconds());
  }
  return static_cast<std::uint64_t>(static_cast<double>(steps) / (best * 1e6)) + 1;
}

weft::routine<> compute_for_long(std::uint64_t seed, std::uint64_t steps, std::uint64_t* out) {
  *out = compute(seed, steps);
  co_return;
}

weft::routine<result> spawn_unequal(std::uint64_t n) {
  const std::uint64_t steps = steps_a_microsecond();
  const auto steps_of = [steps](std::uint64_t i) { return i % long_one == 0 ? steps * long_factor : steps; };
  std::vector<std::uint64_t> computed(n);
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < n; ++i) s.go(compute_for_long, i, steps_of(i), &computed[i]);
    co_return;
  });
  const double seconds = clock.seconds();
  bool is_right = true;
  for (std::uint64_t i = 0; i < n; ++i) is_right &= computed[i] == compute(i, steps_of(i));
  co_return result{n, seconds, is_right};
}

result imbalance(weft::runtime& rt, std::uint64_t n) {
  return rt.go(spawn_unequal, n).join();
}

constexpr bench list[] = {
    {"spawn_join", 1'000'000, 0, spawn_join, blocking_spawn_join},
    {"yield", 5'000'000, 1, yield},
    {"parked", 1'000'000, 0, parked},
    {"imbalance", 100'000, 0, imbalance},
};

}  // namespace

std::span<const bench> spawn_benches() {
  return list;
}

}  // namespace perf
