// With k routines ready before it on its worker, a ready routine runs within 64(k+1) resumptions, whatever
// they do.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/only_worker.hpp"

using namespace std::chrono_literals;

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

weft::routine<> waits_for_its_sibling() {
  weft::event e;
  const auto waits = [](weft::event* of) -> weft::routine<> { co_await of->wait(); };
  const auto sets = [](weft::event* of) -> weft::routine<> {
    of->set();
    co_return;
  };
  co_await weft::all(waits(&e), sets(&e));
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

TEST_CASE("what comes from outside is not served more slowly than it need be, however many yield",
          "[api][fairness]") {
  constexpr int others = 20'000;
  const int yielders = GENERATE(1, 100, 250);
  weft::runtime rt(weft::test::only_worker());
  std::atomic<bool> holds{false}, queued{false};
  std::uint64_t yields = 0, ran = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < yielders; ++i) {
        s.go([&]() -> weft::routine<> {
          for (; ran < others; ++yields) co_await weft::yield();
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
  // One that yields has a turn for each take of what is queued, 100 share the turns, 250 fill the ring.
  const int most = yielders == 1 ? others / 10 : yielders == 100 ? others : 2 * others;
  CHECK(yields < static_cast<std::uint64_t>(most));
}

TEST_CASE("sleepers whose time has come are woken though as many yield as a worker's ring holds",
          "[api][fairness]") {
  constexpr int sleepers = 1000, yielders = 245;
  weft::runtime rt(weft::test::only_worker());
  int asleep = 0, woken = 0;
  std::uint64_t yields = 0, before = 0;
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
          for (; woken < sleepers; ++yields) co_await weft::yield();
        });
      }
      for (int i = 0; i < 50; ++i) co_await weft::yield();  // all are in the ring again
      while (std::chrono::steady_clock::now() < due) continue;
      before = yields;
    });
  });
  all.join();
  CHECK(yields - before < 3 * sleepers + 300);  // one timer for two turns, and a ring
}

TEST_CASE("sleepers whose time has come do not wait behind all that is queued", "[api][fairness]") {
  constexpr int sleepers = 1000, others = 20'000;
  weft::runtime rt(weft::test::only_worker());
  int asleep = 0, woken = 0, before = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < sleepers; ++i) {
        s.go([&]() -> weft::routine<> {
          ++asleep;
          co_await weft::sleep_for(1ms);
          ++woken;
        });
      }
      while (asleep < sleepers) co_await weft::yield();
      const auto due = std::chrono::steady_clock::now() + 2ms;
      while (std::chrono::steady_clock::now() < due) continue;
      for (int i = 0; i < others; ++i) {
        s.go([&]() -> weft::routine<> {
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

TEST_CASE("what a worker has queued when it blocks runs though callables that block come from outside",
          "[api][fairness][facade]") {
  weft::runtime rt({.workers = 1});
  const weft::channel<int> go_on;
  const weft::blocking::channel<int> plain(go_on);
  std::atomic<int> running{-1}, may_block{-1};
  std::atomic<bool> ran{false};
  const auto blocks = [&](int i) {
    running = i;
    running.notify_all();
    for (int now = may_block; now < i; now = may_block) may_block.wait(now);
    (void)plain.recv();
  };
  std::vector<weft::join_handle<void>> all;
  all.push_back(rt.go([&] {
    (void)weft::go([&]() -> weft::routine<> {
      ran = true;
      co_return;
    });
    blocks(0);
  }));
  int i = 0;
  for (; i < 100 && !ran; ++i) {  // the next is there before this one blocks
    for (int now = running; now < i; now = running) running.wait(now);
    all.push_back(rt.go([&blocks, next = i + 1] { blocks(next); }));
    may_block = i;
    may_block.notify_all();
  }
  may_block = 1000;
  may_block.notify_all();
  const bool in_time = ran;
  const weft::channel<int> end = go_on;
  end.close();
  for (auto& h : all) h.join();
  REQUIRE(in_time);
}

TEST_CASE("what a worker has queued when it blocks runs though the others always have something ready",
          "[api][fairness][facade]") {
  const unsigned workers = GENERATE(1U, 2U);
  enough = false;
  weft::runtime rt({.workers = workers});
  std::vector<weft::join_handle<void>> others;
  for (unsigned i = 0; i < 2 * workers; ++i) others.push_back(rt.go(yields));
  const weft::channel<int> ch;
  const weft::blocking::channel<int> plain(ch);
  SECTION("routines that it has started") {
    for (int round = 0; round < 20; ++round) {
      auto h = rt.go([&] {
        for (int i = 0; i < 10; ++i) (void)weft::go([ch]() -> weft::routine<> { co_await ch.send(1); });
        int sum = 0;
        for (int i = 0; i < 10; ++i) sum += *plain.recv();  // each is sent by one of them
        return sum;
      });
      REQUIRE(h.join() == 10);
    }
  }
  SECTION("the next children of all()") {
    for (int round = 0; round < 20; ++round) {
      auto blocks = [&]() -> weft::routine<int> { co_return plain.recv().value_or(0); };
      auto sends = [&]() -> weft::routine<int> {
        co_await ch.send(1);
        co_return 1;
      };
      auto both = rt.go([&]() -> weft::routine<int> {
        auto [a, b] = co_await weft::all(blocks(), sends());
        co_return a + b;
      });
      REQUIRE(both.join() == 2);
    }
  }
  enough = true;
  for (auto& h : others) h.join();
}
