// Many routines on one channel: workers that would only wait for one another rest, for as long as that is so.

#include <weft/runtime.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include <sched.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// What all want at the same time, until it is stopped.
class crowd {
 public:
  explicit crowd(weft::runtime& rt) {
    for (int i = 0; i < 4; ++i) {
      producers_.push_back(rt.go([this]() -> weft::routine<std::uint64_t> {
        std::uint64_t n = 0;
        for (; !over_; ++n) co_await line_.send(n);
        co_return n;
      }));
      consumers_.push_back(rt.go([this]() -> weft::routine<std::uint64_t> {
        std::uint64_t n = 0;
        for (; co_await line_.recv(); ++n) came_.fetch_add(1, std::memory_order_relaxed);
        co_return n;
      }));
    }
  }

  /// Computes until something has come.
  bool gets_on() const {
    const std::uint64_t before = came_;
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (came_ < before + 1'000) {
      if (std::chrono::steady_clock::now() > until) return false;
    }
    return true;
  }

  /// All that was sent has come.
  bool ends_well() {
    over_ = true;
    std::uint64_t sent = 0, came = 0;
    for (auto& p : producers_) sent += p.join();
    line_.close();
    for (auto& c : consumers_) came += c.join();
    return sent == came;
  }

 private:
  weft::channel<std::uint64_t> line_{128};
  std::atomic<bool> over_{false};
  std::atomic<std::uint64_t> came_{0};
  std::vector<weft::join_handle<std::uint64_t>> producers_, consumers_;
};

void wait_until_one_rests(const weft::runtime& rt) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (rt.stats().resting_workers == 0) {
    if (std::chrono::steady_clock::now() > until) FAIL("nobody rests");
    ::sched_yield();
  }
}

void wait_until_none_rests(const weft::runtime& rt) {
  while (rt.stats().resting_workers != 0) ::sched_yield();
}

/// As many as there are workers, each of which computes until all do.
bool all_compute_at_once(weft::runtime& rt) {
  std::atomic<unsigned> here{0};
  std::vector<weft::join_handle<bool>> all;
  for (unsigned i = 0; i < rt.workers(); ++i) {
    all.push_back(rt.go([&]() -> weft::routine<bool> {
      const auto until = std::chrono::steady_clock::now() + 10s;
      ++here;
      while (here < rt.workers()) {
        if (std::chrono::steady_clock::now() > until) co_return false;
      }
      co_return true;
    }));
  }
  bool came = true;
  for (auto& h : all) came = h.join() && came;
  return came;
}

/// Then nobody waits for others.
bool has_one_processor() {
  const bool one = weft::runtime().workers() == 1;
  if (one) WARN("skipped: on one processor nobody waits for others");
  return one;
}

}  // namespace

TEST_CASE("workers that would only wait for one another rest, and none does when that is over",
          "[api][contention]") {
  if (has_one_processor()) return;
  weft::runtime rt({.workers = 2});
  crowd many(rt);
  for (int rests = 0; rests < 3; ++rests) {  // the third is longer than the monitor stays awake
    wait_until_one_rests(rt);
    if (rests < 2) wait_until_none_rests(rt);
  }
  REQUIRE(many.ends_well());
  wait_until_none_rests(rt);
  REQUIRE(all_compute_at_once(rt));
}

TEST_CASE("what waits behind a routine that computes is run by a worker that rested", "[api][contention]") {
  if (has_one_processor()) return;
  weft::runtime rt({.workers = 2});
  crowd many(rt);
  for (int round = 0; round < 5; ++round) {
    wait_until_one_rests(rt);
    REQUIRE(rt.go([&many]() -> weft::routine<bool> { co_return many.gets_on(); }).join());
  }
  REQUIRE(many.ends_well());
}

TEST_CASE("a worker that rests stands in for one that blocks", "[api][contention]") {
  if (has_one_processor()) return;
  weft::runtime rt({.workers = 2});
  crowd many(rt);
  wait_until_one_rests(rt);
  weft::blocking::channel<int> to, from;
  auto echo = rt.go([&] { from.send(to.recv().value_or(0)); });
  to.send(7);
  REQUIRE(from.recv() == 7);
  echo.join();
  REQUIRE(many.ends_well());
}

TEST_CASE("a runtime that has let workers rest ends as any other", "[api][contention]") {
  if (has_one_processor()) return;
  weft::runtime rt({.workers = 4, .blocking_idle_timeout = 1ms});
  crowd many(rt);
  wait_until_one_rests(rt);
  REQUIRE(many.ends_well());
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}
