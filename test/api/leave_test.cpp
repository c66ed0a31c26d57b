// What a worker has queued or taken runs elsewhere when its thread blocks, whatever the others do.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <optional>
#include <vector>

#include "support/catch.hpp"
#include "support/only_worker.hpp"

namespace {

std::atomic<bool> enough{false};

weft::routine<> yields() {
  while (!enough) co_await weft::yield();
}

}  // namespace

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

TEST_CASE("what a worker has taken from outside runs though it blocks", "[api][fairness]") {
  constexpr int many = 100;
  const bool announced = GENERATE(false, true);
  enough = false;
  weft::runtime rt(announced ? weft::test::only_worker() : weft::runtime_options{.workers = 1});
  std::atomic<bool> holds{false}, queued{false};
  auto hold = rt.go([&] {
    holds = true;
    while (!queued) continue;
  });
  while (!holds) continue;
  std::atomic<int> came{0};
  auto first = rt.go([&] {
    std::optional<weft::blocking_region> region;
    if (announced) region.emplace();
    for (int now = came; now < many; now = came) came.wait(now);
  });
  auto a = rt.go(yields), b = rt.go(yields);  // who stands in has always something to do
  for (int i = 0; i < many; ++i)
    (void)rt.go([&] {
      ++came;
      came.notify_one();
    });
  queued = true;
  first.join();
  hold.join();
  enough = true;
  a.join();
  b.join();
  REQUIRE(came == many);
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
