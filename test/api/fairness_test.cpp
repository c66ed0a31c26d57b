// With k routines ready before it on its worker, a ready routine runs within 64(k+1) resumptions, whatever
// they do.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "api/fairness_parties.hpp"
#include "support/catch.hpp"
#include "support/only_worker.hpp"

using namespace std::chrono_literals;
using weft::test::waits_for_its_sibling;

namespace {

std::atomic<bool> enough{false};

weft::routine<> yields() {
  while (!enough) co_await weft::yield();
}

weft::routine<> sleeps_for_nothing() {
  while (!enough) co_await weft::sleep_for(0s);
}

weft::routine<> does_ready_operations() {
  weft::channel<int> ch(1);
  weft::mutex m;
  while (!enough) {
    co_await ch.send(1);
    co_await m.lock();
    co_await ch.recv();
    m.unlock();
    co_await weft::select(weft::on_recv(ch), weft::otherwise());
  }
}

weft::routine<int> leaf() {
  co_return 1;
}

weft::routine<> awaits_children() {
  while (!enough) (void)co_await leaf();
}

weft::routine<> forks() {
  while (!enough) co_await weft::all(leaf(), leaf());
}

weft::routine<> spawns_and_joins() {
  while (!enough) co_await weft::go(leaf);
}

weft::routine<> bounces(weft::channel<int> out, weft::channel<int> in) {
  while (!enough) {
    const auto sent = co_await out.send(1);
    const auto back = co_await in.recv();
    if (sent == weft::send_status::closed || !back) break;
  }
  out.close();
  in.close();
}

weft::routine<> returns(weft::channel<int> out, weft::channel<int> in) {
  while (auto v = co_await out.recv()) {
    const auto sent = co_await in.send(int{*v});
    if (sent == weft::send_status::closed) break;
  }
}

/// The longest wait of a routine that yields, in resumptions of its only worker.
weft::routine<std::uint64_t> longest_wait(weft::runtime& rt, int rounds) {
  std::uint64_t longest = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto before = rt.stats().dispatches;
    co_await weft::yield();
    longest = std::max(longest, rt.stats().dispatches - before);
  }
  enough = true;
  co_return longest;
}

template <typename Start>
std::uint64_t longest_beside(Start start) {
  enough = false;
  weft::runtime rt(weft::test::only_worker());
  std::vector<weft::join_handle<void>> others;
  auto all = rt.go([&]() -> weft::routine<std::uint64_t> {
    start(others);
    co_return co_await longest_wait(rt, 300);
  });
  const std::uint64_t longest = all.join();
  for (auto& h : others) h.join();
  return longest;
}

}  // namespace

TEST_CASE("a ready routine runs within 64 resumptions for each that is ready before it", "[api][fairness]") {
  using handles = std::vector<weft::join_handle<void>>;
  const auto several = [](handles& to, auto f, int n) {
    for (int i = 0; i < n; ++i) to.push_back(weft::go(f));
  };
  const int k = GENERATE(1, 2, 7);
  const auto bound = static_cast<std::uint64_t>(64 * (k + 1));
  CHECK(longest_beside([&](handles& to) { several(to, yields, k); }) <= bound);
  CHECK(longest_beside([&](handles& to) { several(to, sleeps_for_nothing, k); }) <= bound);
  CHECK(longest_beside([&](handles& to) { several(to, does_ready_operations, k); }) <= bound);
  CHECK(longest_beside([&](handles& to) { several(to, awaits_children, k); }) <= bound);
  CHECK(longest_beside([&](handles& to) { several(to, forks, k); }) <= bound);
  CHECK(longest_beside([&](handles& to) { several(to, spawns_and_joins, k); }) <= 2 * bound);  // each is two
}

TEST_CASE("of more routines than a worker's ring holds each has a fifth of its share at least",
          "[api][fairness]") {
  // At some of these numbers what came from the inject queue went back there each time, before it had run.
  const int n = GENERATE(258, 322, 385, 514, 643, 1000);
  constexpr int before = 200, measured = 200;
  std::vector<int> turns(static_cast<std::size_t>(n)), then, now;
  int all = 0;
  const auto ends = [&](int i) {
    ++turns[static_cast<std::size_t>(i)];
    if (++all == before * n) then = turns;
    if (all == (before + measured) * n) now = turns;
    return all >= (before + measured) * n;
  };
  const auto yields = [&](int i) -> weft::routine<> {
    while (!ends(i)) co_await weft::yield();
  };
  const auto joins = [&](int i) -> weft::routine<> {
    while (!ends(i)) (void)co_await weft::go(leaf);
  };
  const auto bounces = [&](int i) -> weft::routine<> {
    weft::channel<int> there, back;
    auto other = weft::go(returns, there, back);
    while (!ends(i)) {
      co_await there.send(1);
      co_await back.recv();
    }
    there.close();
    co_await std::move(other);
  };
  const auto replaces = [&](int i, weft::task_scope* s, auto self) -> weft::routine<> {
    if (!ends(i)) s->go(self, i, s, self);
    co_return;
  };
  const std::string what = GENERATE("yields", "joins", "bounces", "replaces");
  CAPTURE(n, what);
  weft::runtime rt(weft::test::only_worker());
  rt.go([&]() -> weft::routine<> {
      co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
        for (int i = 0; i < n; ++i) {
          if (what == "yields") s.go(yields, i);
          if (what == "joins") s.go(joins, i);
          if (what == "bounces") s.go(bounces, i);
          if (what == "replaces") s.go(replaces, i, &s, replaces);
        }
        co_return;
      });
    }).join();
  int fewest = measured;
  for (std::size_t i = 0; i < turns.size(); ++i) fewest = std::min(fewest, now[i] - then[i]);
  CHECK(fewest >= measured / 5);
}

TEST_CASE("LIFO hand-offs do not starve a ready routine", "[api][fairness]") {
  using handles = std::vector<weft::join_handle<void>>;
  const int pairs = GENERATE(1, 4);
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{1});
  const auto longest = longest_beside([&](handles& to) {
    for (int i = 0; i < pairs; ++i) {
      weft::channel<int> there(capacity), back(capacity);
      to.push_back(weft::go(bounces, there, back));
      to.push_back(weft::go(returns, there, back));
    }
  });
  REQUIRE(longest <= static_cast<std::uint64_t>(64 * (2 * pairs + 1)));
}

TEST_CASE("the next child of all() starts though the one before waits for it beside routines that yield",
          "[api][fairness]") {
  const int k = GENERATE(1, 2, 7);
  enough = false;
  weft::runtime rt(weft::test::only_worker());
  std::vector<weft::join_handle<void>> others;
  auto longest = rt.go([&]() -> weft::routine<std::uint64_t> {
    for (int i = 0; i < k; ++i) others.push_back(weft::go(yields));
    std::uint64_t most = 0;
    for (int i = 0; i < 100; ++i) {
      const auto before = rt.stats().dispatches;
      co_await waits_for_its_sibling();
      most = std::max(most, rt.stats().dispatches - before);
    }
    enough = true;
    co_return most;
  });
  // The continuation, the child that was waiting and the parent: each may be last in its turn.
  CHECK(longest.join() <= static_cast<std::uint64_t>(3 * 64 * (k + 1)));
  for (auto& h : others) h.join();
}

TEST_CASE("what comes from outside runs though the worker always has something ready", "[api][fairness]") {
  enough = false;
  weft::runtime rt({.workers = 1});
  auto a = rt.go(yields), b = rt.go(does_ready_operations), c = rt.go(awaits_children);
  for (int i = 0; i < 200; ++i) rt.go([] {}).join();
  rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1us); }).join();  // and timers
  enough = true;
  a.join();
  b.join();
  c.join();
}

TEST_CASE("one that starts more than a ring holds and yields lets them run first", "[api][fairness]") {
  constexpr int rounds = 100;
  const int burst = GENERATE(270, 1'000);
  weft::runtime rt(weft::test::only_worker());
  int ran = 0, most = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    enough = false;
    auto other = weft::go(yields);
    for (int i = 1; i <= rounds; ++i) {
      for (int j = 0; j < burst; ++j) {
        weft::go(weft::spawn_options{.detached = true}, [&]() -> weft::routine<> {
          ++ran;
          co_return;
        });
      }
      co_await weft::yield();
      most = std::max(most, i * burst - ran);
    }
    enough = true;
    co_await std::move(other);
  });
  all.join();
  CHECK(most <= 2 * burst);
}

TEST_CASE("children of all() that never wait have their turns beside others of their kind",
          "[api][fairness]") {
  const int n = GENERATE(2, 3, 100);
  constexpr int turns = 100'000;
  std::vector<int> each(static_cast<std::size_t>(n));
  int all = 0;
  weft::runtime rt(weft::test::only_worker());
  rt.go([&]() -> weft::routine<> {
      co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
        for (int& mine : each) {
          s.go([&]() -> weft::routine<> {
            const auto child = []() -> weft::routine<> { co_await weft::yield(); };
            for (; all < turns; ++all, ++mine) co_await weft::all(child(), child());
          });
        }
        co_return;
      });
    }).join();
  CHECK(*std::min_element(each.begin(), each.end()) >= turns / n / 64);
}

TEST_CASE("what comes from outside at the same time runs beside one that never waits", "[api][fairness]") {
  const auto beside = [](auto never_waits) {
    enough = false;
    weft::runtime rt(weft::test::only_worker());
    std::atomic<bool> holds{false}, queued{false};
    auto one = rt.go([&]() -> weft::routine<> {
      holds = true;
      holds.notify_one();
      queued.wait(false);
      co_await never_waits();
    });
    holds.wait(false);
    std::vector<weft::join_handle<int>> others;
    for (int i = 0; i < 300; ++i) others.push_back(rt.go([] { return 1; }));
    queued = true;
    queued.notify_one();
    int ran = 0;
    for (auto& each : others) ran += each.join();
    enough = true;
    one.join();
    return ran;
  };
  REQUIRE(beside(yields) == 300);
  REQUIRE(beside(does_ready_operations) == 300);
  REQUIRE(beside(awaits_children) == 300);
  REQUIRE(beside(forks) == 300);
  REQUIRE(beside(spawns_and_joins) == 300);
}

TEST_CASE("what comes from outside is not served more slowly than it need be, however many yield",
          "[api][fairness]") {
  constexpr int others = 20'000;
  const int yielders = GENERATE(1, 100, 250, 512);
  weft::runtime rt(weft::test::only_worker());
  std::atomic<bool> holds{false}, queued{false};
  std::uint64_t yields = 0, ran = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < yielders; ++i) {
        s.go([&]() -> weft::routine<> {
          while (ran < others) {
            ++yields;
            co_await weft::yield();
          }
        });
      }
      holds = true;
      holds.notify_one();
      queued.wait(false);
      co_return;
    });
  });
  holds.wait(false);
  std::vector<weft::join_handle<void>> started;
  for (int i = 0; i < others; ++i) {
    started.push_back(rt.go([&]() -> weft::routine<> {
      ++ran;
      co_return;
    }));
  }
  queued = true;
  queued.notify_one();
  all.join();
  for (auto& each : started) each.join();
  // One that yields has the turns of one round of the loop for each take of what is queued, more share the
  // turns.
  const int most = yielders == 1 ? others / 5 : 2 * others;
  CHECK(yields < static_cast<std::uint64_t>(most));
}

TEST_CASE("sleepers whose time has come are woken though as many yield as a worker's ring holds",
          "[api][fairness]") {
  constexpr int sleepers = 1000, yielders = 245;
  weft::runtime rt(weft::test::only_worker());
  int asleep = 0, woken = 0;
  std::uint64_t yields = 0, before = 0, left = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    const auto due = std::chrono::steady_clock::now() + 100ms;
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < sleepers; ++i) {
        s.go([&]() -> weft::routine<> {
          ++asleep;
          co_await weft::sleep_until(due);
          ++woken;
        });
      }
      while (asleep < sleepers) co_await weft::yield();
      for (int i = 0; i < yielders; ++i) {
        s.go([&]() -> weft::routine<> {
          while (woken < sleepers) {
            ++yields;
            co_await weft::yield();
          }
        });
      }
      for (int i = 0; i < 50; ++i) co_await weft::yield();  // all are in the ring again
      while (std::chrono::steady_clock::now() < due) continue;
      before = yields;
      left = static_cast<std::uint64_t>(sleepers - woken);
    });
  });
  all.join();
  CHECK(yields - before < 3 * sleepers + 300);  // one timer for two turns, and a ring
  CHECK(yields - before >= left / 2);           // and one turn of another for each timer
}

TEST_CASE("sleepers whose time has come do not wait behind all that is queued", "[api][fairness]") {
  constexpr int sleepers = 1000, others = 20'000;
  const int first = GENERATE(0, 200);  // so many of the others run before
  weft::runtime rt(weft::test::only_worker());
  const auto due = std::chrono::steady_clock::now() + 20ms;
  const auto until_due = [&] {
    while (std::chrono::steady_clock::now() < due) continue;
  };
  int asleep = 0, woken = 0, ran = 0, before = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < sleepers; ++i) {
        s.go([&]() -> weft::routine<> {
          ++asleep;
          co_await weft::sleep_until(due);
          ++woken;
        });
      }
      while (asleep < sleepers) co_await weft::yield();
      if (first == 0) until_due();
      for (int i = 0; i < others; ++i) {
        s.go([&]() -> weft::routine<> {
          if (++ran == first) until_due();
          if (woken < sleepers) ++before;
          co_return;
        });
      }
    });
  });
  all.join();
  CHECK(woken == sleepers);
  CHECK(before > 0);  // nor do the others wait for all sleepers
  CHECK(before < others / 4);
}
