// mutex: 8 routines that lock and unlock the same one.

#include <weft/go.hpp>
#include <weft/scope.hpp>
#include <weft/sync/mutex.hpp>

#include <cstdint>
#include <functional>

#include "harness.hpp"

namespace perf {

namespace {

constexpr std::uint64_t routines = 8;

weft::routine<> count_up(weft::mutex& m, std::uint64_t& counter, std::uint64_t times) {
  for (std::uint64_t i = 0; i < times; ++i) {
    co_await m.lock();
    ++counter;
    m.unlock();
  }
}

weft::routine<result> contend(std::uint64_t n) {
  const std::uint64_t each = n / routines > 0 ? n / routines : 1;
  weft::mutex m;
  std::uint64_t counter = 0;
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < routines; ++i) s.go(count_up, std::ref(m), std::ref(counter), each);
    co_return;
  });
  co_return result{routines * each, clock.seconds(), counter == routines * each};
}

result mutex(weft::runtime& rt, std::uint64_t n) {
  return rt.go(contend, n).join();
}

constexpr bench list[] = {{"mutex", 8'000'000, 0, mutex}};

}  // namespace

std::span<const bench> mutex_benches() {
  return list;
}

}  // namespace perf
