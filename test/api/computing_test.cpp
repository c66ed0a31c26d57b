// A routine computes and lets nobody run; what is queued on its worker, and its timers, are others' to take.

#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <utility>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Computes until `so_many` have come; false: they have not for ten seconds.
bool compute_until(const std::atomic<int>& came, int so_many) {
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (came.load() < so_many) {
    if (std::chrono::steady_clock::now() > until) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("what a routine has started runs elsewhere while it computes", "[api][fairness]") {
  const int many = GENERATE(1, 2, 3, 300);
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> came{0};
    auto h = rt.go([&]() -> weft::routine<bool> {
      for (int i = 0; i < many; ++i) {
        weft::go(weft::spawn_options{.detached = true}, [&came]() -> weft::routine<> {
          ++came;
          co_return;
        });
      }
      co_return compute_until(came, many);
    });
    REQUIRE(h.join());
  }
}

TEST_CASE("one that has yielded runs elsewhere while the next computes", "[api][fairness]") {
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> came{0};
    auto yields = rt.go([&]() -> weft::routine<bool> {
      auto next = weft::go([&] { return compute_until(came, 1); });
      co_await weft::yield();
      ++came;
      co_return co_await std::move(next);
    });
    REQUIRE(yields.join());
  }
}

TEST_CASE("what a worker has taken from outside runs elsewhere while it computes", "[api][fairness]") {
  constexpr int many = 100;
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> held{0}, may_go_on{0}, came{0};
    std::atomic<bool> computes{false};
    const auto hold = [&](int i) {
      ++held;
      while (may_go_on <= i) continue;
    };
    auto one = rt.go(hold, 0), other = rt.go(hold, 1);
    while (held < 2) continue;
    auto first = rt.go([&] {
      computes = true;
      return compute_until(came, many);
    });
    for (int i = 0; i < many; ++i) (void)rt.go([&] { ++came; });
    may_go_on = 1;  // its worker takes a half of them, and the first computes
    while (!computes) continue;
    may_go_on = 2;
    REQUIRE(first.join());
    one.join();
    other.join();
  }
}

TEST_CASE("who sleeps wakes elsewhere while a routine computes", "[api][fairness][time]") {
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> came{0};
    auto h = rt.go([&]() -> weft::routine<bool> {
      const auto sleeps = [&came]() -> weft::routine<> {
        co_await weft::sleep_for(2ms);
        ++came;
      };
      auto first = weft::go(sleeps);
      auto second = weft::go(sleeps);
      co_await weft::yield();
      const bool in_time = compute_until(came, 2);
      co_await std::move(first);
      co_await std::move(second);
      co_return in_time;
    });
    REQUIRE(h.join());
  }
}

TEST_CASE("what a routine wakes when it has computed for long runs elsewhere", "[api][fairness]") {
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> came{0};
    weft::event go_on;
    auto waits = rt.go([&]() -> weft::routine<> {
      co_await go_on.wait();
      ++came;
    });
    auto h = rt.go([&]() -> weft::routine<bool> {
      const auto until = weft::now() + 20ms;  // the monitor has looked, more than once
      while (weft::now() < until) {
      }
      go_on.set();
      co_return compute_until(came, 1);
    });
    REQUIRE(h.join());
    waits.join();
  }
}

TEST_CASE("who sleeps wakes elsewhere while the one computes that slept for all", "[api][fairness][time]") {
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> came{0};
    auto later = rt.go([&]() -> weft::routine<> {
      co_await weft::sleep_for(4ms);
      ++came;
    });
    auto sooner = rt.go([&]() -> weft::routine<bool> {
      co_await weft::sleep_for(1ms);
      co_return compute_until(came, 1);
    });
    REQUIRE(sooner.join());
    later.join();
  }
}

TEST_CASE("a timer counts as fired though all workers compute", "[api][fairness][time]") {
  weft::runtime rt({.workers = 1});
  auto computes = rt.go([&]() -> weft::routine<bool> {
    auto sleeps = weft::go([]() -> weft::routine<> { co_await weft::sleep_for(1ms); });
    co_await weft::yield();
    const auto limit = std::chrono::steady_clock::now() + 10s;
    bool fired = false;
    while (!fired && std::chrono::steady_clock::now() < limit) fired = rt.stats().timers_fired == 1;
    co_await std::move(sleeps);
    co_return fired;
  });
  REQUIRE(computes.join());
}

TEST_CASE("what comes from outside runs beside routines that yield for ever", "[api][fairness]") {
  weft::runtime rt({.workers = 1});
  std::atomic<bool> enough{false};
  const auto yields = [&]() -> weft::routine<> {
    while (!enough.load()) co_await weft::yield();
  };
  auto a = rt.go(yields);
  auto b = rt.go(yields);
  int came = 0;
  for (int i = 0; i < 100; ++i) came += rt.go([]() -> weft::routine<int> { co_return 1; }).join();
  enough = true;
  a.join();
  b.join();
  REQUIRE(came == 100);
}
