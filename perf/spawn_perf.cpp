// spawn: what it costs to start a routine, to give way to another one, and to have many that wait.

#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>

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

// --- parked: memory of n routines that wait on a channel ---

struct parking_lot {
  weft::channel<int> never;
  std::atomic<std::uint64_t> waiting = 0;
};

// A pointer, not a reference: go() keeps what is borrowed by reference in a block of its own.
weft::routine<> wait_for_close(parking_lot* lot) {
  lot->waiting.fetch_add(1, std::memory_order_relaxed);
  co_await lot->never.recv();
}

weft::routine<result> park_many(std::uint64_t n) {
  parking_lot lot;
  const std::size_t before = resident_bytes();
  const stopwatch clock;
  co_return co_await weft::scope([&](weft::task_scope& s) -> weft::routine<result> {
    for (std::uint64_t i = 0; i < n; ++i) s.go(wait_for_close, &lot);
    while (lot.waiting.load(std::memory_order_relaxed) < n) co_await weft::yield();
    const double seconds = clock.seconds();
    const auto bytes = static_cast<double>(resident_bytes() - before);
    lot.never.close();
    co_return result{n, seconds, true, field("bytes_per_routine", bytes / static_cast<double>(n))};
  });
}

result parked(weft::runtime& rt, std::uint64_t n) {
  return rt.go(park_many, n).join();
}

constexpr bench list[] = {
    {"spawn_join", 1'000'000, 0, spawn_join, blocking_spawn_join},
    {"yield", 5'000'000, 1, yield},
    {"parked", 1'000'000, 0, parked},
};

}  // namespace

std::span<const bench> spawn_benches() {
  return list;
}

}  // namespace perf
