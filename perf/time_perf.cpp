// time: many routines that sleep once - what it costs, and how late they wake - and one timer, armed again
// and again.

#include <weft/go.hpp>
#include <weft/scope.hpp>
#include <weft/time.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "harness.hpp"

namespace perf {

namespace {

using nanoseconds = std::chrono::nanoseconds;

weft::routine<> sleep_once(nanoseconds how_long, nanoseconds* lateness) {
  const auto deadline = std::chrono::steady_clock::now() + how_long;
  co_await weft::sleep_until(deadline);
  *lateness = std::chrono::steady_clock::now() - deadline;
}

double micros(nanoseconds t) {
  return std::chrono::duration<double, std::micro>(t).count();
}

weft::routine<result> sleepers(std::uint64_t n) {
  std::minstd_rand random(1);
  std::uniform_int_distribution<int> millis(1, 1000);
  std::vector<nanoseconds> late(n);
  const double cpu_before = cpu_seconds();
  const stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (nanoseconds& l : late) {
      s.go(sleep_once, nanoseconds(std::chrono::milliseconds(millis(random))), &l);
    }
    co_return;
  });
  const double seconds = clock.seconds();
  const double cpu = cpu_seconds() - cpu_before;

  std::sort(late.begin(), late.end());
  const bool none_early = late.front() >= nanoseconds::zero();
  const std::string more =
      field("total_s", seconds) + field("cpu_s", cpu) + field("late_p50_us", micros(percentile(late, 50))) +
      field("late_p99_us", micros(percentile(late, 99))) + field("late_max_us", micros(late.back()));
  co_return result{n, seconds, none_early, more};
}

result timers(weft::runtime& rt, std::uint64_t n) {
  return rt.go(sleepers, n).join();
}

// --- rearm: a timer that is armed and disarmed, and never due ---

weft::routine<result> arm_often(std::uint64_t n) {
  std::uint64_t early = 0;
  const stopwatch clock;
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto later = weft::after(std::chrono::hours(1) + nanoseconds(i));
    if (later.is_set()) ++early;
  }
  co_return result{n, clock.seconds(), early == 0};
}

result rearm(weft::runtime& rt, std::uint64_t n) {
  return rt.go(arm_often, n).join();
}

constexpr bench list[] = {
    {"timers", 1'000'000, 0, timers},
    {"rearm", 10'000'000, 0, rearm},
};

}  // namespace

std::span<const bench> time_benches() {
  return list;
}

}  // namespace perf
