// Who gets a mutex, and that one who yields does not take it along.

#include <weft/scope.hpp>
#include <weft/select.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <cstdint>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int routines = 8;

template <typename Step>
void let_eight_count(weft::runtime& rt, Step step) {
  auto h = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < routines; ++i) s.go(step);
      co_return;
    });
  });
  h.join();
}

}  // namespace

TEST_CASE("who has looked for a mutex in vain is handed it by the next unlock", "[api][mutex]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<bool> {
    weft::mutex m;
    weft::event begun;
    bool has_it = false;
    co_await m.lock();
    auto waits = weft::go([&]() -> weft::routine<> {
      begun.set();
      co_await m.lock();
      has_it = true;
    });
    co_await begun.wait();
    m.unlock();
    const bool passed = m.try_lock();
    for (int i = 0; i < 10; ++i) co_await weft::yield();  // it looks, in vain
    const bool waited = !has_it;
    m.unlock();
    const bool passed_again = m.try_lock();
    co_await std::move(waits);
    const bool held_by_it = has_it && !m.try_lock();
    m.unlock();
    co_return passed&& waited && !passed_again && held_by_it;
  });
  REQUIRE(h.join());
}

TEST_CASE("who has looked for a mutex in vain stays before those who came later", "[api][mutex]") {
  weft::runtime rt({.workers = 1});
  const auto program = []() -> weft::routine<std::vector<int>> {
    weft::mutex m;
    std::vector<int> order;
    const auto locks = [&](int i) -> weft::routine<> {
      co_await m.lock();
      order.push_back(i);
      m.unlock();
    };
    const auto let_run = []() -> weft::routine<> {
      for (int i = 0; i < 10; ++i) co_await weft::yield();
    };
    co_await m.lock();
    auto first = weft::go(locks, 1);
    co_await let_run();
    auto second = weft::go(locks, 2);
    co_await let_run();
    auto third = weft::go(locks, 3);
    co_await let_run();
    m.unlock();  // calls the first
    const bool passed = m.try_lock();
    co_await let_run();  // it looks, in vain
    if (passed) m.unlock();
    co_await std::move(first);
    co_await std::move(second);
    co_await std::move(third);
    co_return order;
  };
  REQUIRE(rt.go(program).join() == std::vector<int>{1, 2, 3});
}

TEST_CASE("eight routines that lock and unlock one mutex switch once in a hundred times or less",
          "[api][mutex]") {
  constexpr int rounds = 20'000;
  weft::runtime rt({.workers = 1});
  weft::mutex m;
  int counter = 0;
  const auto before = rt.stats();
  let_eight_count(rt, [&]() -> weft::routine<> {
    for (int i = 0; i < rounds; ++i) {
      co_await m.lock();
      ++counter;
      m.unlock();
    }
  });
  const auto switches = rt.stats().dispatches - before.dispatches;
  REQUIRE(counter == routines * rounds);
  REQUIRE(switches < routines * rounds / 100);
}

TEST_CASE("eight routines that take and give back one permit switch once in a hundred times or less",
          "[api][mutex]") {
  constexpr int rounds = 20'000;
  weft::runtime rt({.workers = 1});
  weft::semaphore s(1);
  const auto before = rt.stats();
  let_eight_count(rt, [&]() -> weft::routine<> {
    for (int i = 0; i < rounds; ++i) {
      co_await s.acquire();
      s.release();
    }
  });
  REQUIRE(rt.stats().dispatches - before.dispatches < routines * rounds / 100);
  REQUIRE(s.available() == 1);
}

TEST_CASE(
    "a mutex keeps one at a time inside, held over suspensions, with waiters cancelled and threads among "
    "them",
    "[api][mutex][race]") {
  constexpr int rounds = 10'000;
  const unsigned workers = GENERATE(1u, 2u, 16u);
  weft::runtime rt({.workers = workers});
  weft::mutex m;
  std::int64_t counter = 0;  // the mutex protects it
  std::vector<weft::join_handle<std::int64_t>> all;
  for (int r = 0; r < routines; ++r) {
    all.push_back(rt.go([&, r]() -> weft::routine<std::int64_t> {
      std::int64_t mine = 0;
      for (int i = 0; i < rounds; ++i) {
        try {
          co_await weft::with_timeout(i % 3 == 0 ? 20us : 1h, m.lock());
        } catch (const weft::timeout_error&) {
          continue;
        }
        const std::int64_t seen = counter;
        if ((i + r) % 4 == 0) co_await weft::yield();
        counter = seen + 1;
        ++mine;
        m.unlock();
      }
      co_return mine;
    }));
  }
  auto plain = rt.go([&] {
    std::int64_t mine = 0;
    for (int i = 0; i < rounds; ++i) {
      weft::blocking::wait(m.lock());
      ++counter;
      ++mine;
      m.unlock();
    }
    return mine;
  });
  std::int64_t expected = plain.join();
  for (auto& each : all) expected += each.join();
  REQUIRE(counter == expected);
  REQUIRE(m.try_lock());
  m.unlock();
}

TEST_CASE("a mutex that one worker has taken a thousand times in a row is there for every thread",
          "[api][mutex]") {
  weft::runtime rt({.workers = 2});
  weft::mutex m;
  const auto thousand = [&](bool keep) -> weft::routine<> {
    for (int i = 0; i < 1000; ++i) {
      co_await m.lock();
      m.unlock();
    }
    if (keep) co_await m.lock();
  };
  rt.go(thousand, false).join();
  REQUIRE(m.try_lock());
  REQUIRE(!m.try_lock());
  m.unlock();
  rt.go(thousand, false).join();
  weft::blocking::wait(m.lock());
  REQUIRE(!m.try_lock());
  m.unlock();
  rt.go(thousand, true).join();
  REQUIRE(!m.try_lock());
  auto waits = rt.go([&]() -> weft::routine<> {
    co_await m.lock();
    m.unlock();
  });
  m.unlock();  // for the routine that kept it
  waits.join();
  REQUIRE(m.try_lock());
  m.unlock();
  rt.go(thousand, false).join();  // and goes while it is reserved
}

TEST_CASE("a mutex that is reserved now for one and now for another keeps one at a time inside",
          "[api][mutex][race]") {
  constexpr int bursts = 20, burst = 400;
  const unsigned workers = GENERATE(1u, 2u, 16u);
  weft::runtime rt({.workers = workers});
  weft::mutex m;
  std::int64_t counter = 0;  // the mutex protects it
  std::vector<weft::join_handle<void>> all;
  for (int r = 0; r < routines; ++r) {
    all.push_back(rt.go([&, r]() -> weft::routine<> {
      for (int i = 0; i < bursts * burst; ++i) {
        co_await m.lock();
        const std::int64_t seen = counter;
        if (i % burst == r) co_await weft::yield();
        counter = seen + 1;
        m.unlock();
        if (i % burst == 0) co_await weft::sleep_for(20us);
      }
    }));
  }
  std::int64_t here = 0;
  for (int i = 0; i < bursts * burst; ++i) {
    if (i % 2 == 0) {
      weft::blocking::wait(m.lock());
    } else if (!m.try_lock()) {
      continue;
    }
    ++counter;
    ++here;
    m.unlock();
  }
  for (auto& each : all) each.join();
  REQUIRE(counter == here + std::int64_t{routines} * bursts * burst);
}
