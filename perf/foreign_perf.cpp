// foreign: what a plain thread, not one of the runtime's, pays to start routines and to wake one.

#include <weft/blocking.hpp>
#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/stats.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "harness.hpp"

namespace perf {

namespace {

// --- spawn_foreign: n empty routines, started one by one by this thread, and waited for ---

weft::routine<> empty() {
  co_return;
}

result spawn_foreign(weft::runtime& rt, std::uint64_t n) {
  std::vector<weft::join_handle<>> handles;
  handles.reserve(n);
  const stopwatch clock;
  for (std::uint64_t i = 0; i < n; ++i) handles.push_back(rt.go(empty));
  for (auto& h : handles) h.join();
  const double seconds = clock.seconds();
  return {n, seconds, rt.stats().spawned >= n};
}

// --- wake_latency: this thread sends the time to a routine that waits on a runtime that sleeps ---

constexpr auto idle_time = std::chrono::microseconds(200);

std::int64_t nanos_now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

struct latencies {
  std::vector<std::int64_t> nanos;
  std::atomic<std::uint64_t> count{0};
};

weft::routine<> note_latencies(weft::channel<std::int64_t> from, latencies* noted) {
  while (auto sent = co_await from.recv()) {
    noted->nanos.push_back(nanos_now() - *sent);
    noted->count.fetch_add(1, std::memory_order_relaxed);
  }
}

void spin(std::chrono::nanoseconds how_long) {
  const std::int64_t end = nanos_now() + how_long.count();
  while (nanos_now() < end) continue;
}

result wake_latency(weft::runtime& rt, std::uint64_t n) {
  weft::blocking::channel<std::int64_t> to;
  latencies noted;
  noted.nanos.reserve(n);
  auto listener = rt.go(note_latencies, to, &noted);
  const stopwatch clock;
  for (std::uint64_t i = 0; i < n; ++i) {
    spin(idle_time);
    to.send(nanos_now());
    while (noted.count.load(std::memory_order_relaxed) <= i) continue;
  }
  const double seconds = clock.seconds();
  to.close();
  listener.join();

  auto& nanos = noted.nanos;
  std::sort(nanos.begin(), nanos.end());
  const auto micros = [&nanos](unsigned p) { return static_cast<double>(percentile(nanos, p)) / 1e3; };
  return {n, seconds, nanos.size() == n && nanos.front() >= 0,
          field("wake_p50_us", micros(50)) + field("wake_p99_us", micros(99))};
}

constexpr bench list[] = {
    {"spawn_foreign", 1'000'000, 0, spawn_foreign},
    {"wake_latency", 5'000, 0, wake_latency},
};

}  // namespace

std::span<const bench> foreign_benches() {
  return list;
}

}  // namespace perf
