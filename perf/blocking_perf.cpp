// blocking: routines that each sleep in a system call, which the runtime is told of or not, beside a ticker.

#include <weft/block_on_io.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>
#include <weft/stats.hpp>
#include <weft/time.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "harness.hpp"

namespace perf {

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

void sleep_in_the_kernel() {
  timespec left{0, 10'000'000};
  while (::nanosleep(&left, &left) != 0) {
  }
}

weft::routine<> block_once(bool is_announced) {
  if (is_announced) {
    const weft::blocking_region here;
    sleep_in_the_kernel();
  } else {
    sleep_in_the_kernel();
  }
  co_return;
}

/// How late it wakes from each sleep of a millisecond, until it is told to end.
weft::routine<> tick(const bool* ends, std::vector<nanoseconds>* late) {
  while (!__atomic_load_n(ends, __ATOMIC_RELAXED)) {
    const auto due = steady_clock::now() + 1ms;
    co_await weft::sleep_until(due);
    late->push_back(steady_clock::now() - due);
  }
}

weft::routine<result> block_all(weft::runtime* rt, std::uint64_t n, bool is_announced) {
  std::vector<nanoseconds> late;
  bool ends = false;
  auto ticker = weft::go(tick, &ends, &late);
  co_await weft::sleep_for(5ms);
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < n; ++i) s.go(block_once, is_announced);
    co_return;
  });
  const double seconds = clock.seconds();
  const unsigned threads = rt->stats().threads;
  __atomic_store_n(&ends, true, __ATOMIC_RELAXED);
  co_await std::move(ticker);

  std::sort(late.begin(), late.end());
  const auto micros = [](nanoseconds t) { return std::chrono::duration<double, std::micro>(t).count(); };
  co_return result{n, seconds, !late.empty() && late.front() >= 0ns,
                   field("total_s", seconds) + field("threads", threads) +
                       field("ticks", static_cast<double>(late.size())) +
                       field("late_p50_us", micros(percentile(late, 50))) +
                       field("late_p99_us", micros(percentile(late, 99))) +
                       field("late_max_us", micros(late.back()))};
}

result blocking(weft::runtime& rt, std::uint64_t n) {
  return rt.go(block_all, &rt, n, false).join();
}

result announced(weft::runtime& rt, std::uint64_t n) {
  return rt.go(block_all, &rt, n, true).join();
}

constexpr bench list[] = {{.name = "blocking",
                           .default_n = 1'000,
                           .default_workers = 2,
                           .run = blocking,
                           .run_announced = announced}};

}  // namespace

std::span<const bench> blocking_benches() {
  return list;
}

}  // namespace perf
