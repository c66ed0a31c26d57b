#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <system_error>
#include <vector>

#include <sched.h>
#include <sys/select.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

TEST_CASE("a thousand plain callables that block on one another finish on two workers", "[api][blocking]") {
  weft::runtime rt({.workers = 2});
  std::vector<weft::blocking::channel<int>> line;
  for (int i = 0; i <= 1'000; ++i) line.emplace_back();
  std::vector<weft::join_handle<void>> all;
  for (std::size_t i = 0; i < 1'000; ++i) {
    all.push_back(rt.go([in = line[i], out = line[i + 1]] { out.send(*in.recv() + 1); }));
  }
  line[0].send(0);
  REQUIRE(line[1'000].recv() == 1'000);
  for (auto& h : all) h.join();
}

namespace {

weft::routine<> send_after(weft::blocking::channel<int> out, std::chrono::milliseconds pause) {
  co_await weft::sleep_for(pause);
  out.send(1);
}

weft::routine<> block_beside_a_sleeper(weft::blocking::channel<int> ch) {
  auto sleeper = weft::go(send_after(ch, 100ms));
  for (int i = 0; i < 3; ++i) co_await weft::yield();  // so the timer is armed on this worker
  ch.recv();
}

}  // namespace

TEST_CASE("a timer of a worker that blocks is in time although the others sleep for longer",
          "[api][blocking]") {
  weft::runtime rt({.workers = 2});
  weft::blocking::channel<int> never(1), ch;
  auto longest = rt.go(send_after(never, 1h));
  while (rt.stats().idle_workers != 2) weft::blocking::sleep_for(1ms);
  const auto begin = std::chrono::steady_clock::now();
  rt.go(block_beside_a_sleeper(ch)).join();
  REQUIRE(std::chrono::steady_clock::now() - begin < 10s);
  longest.cancel();
}

TEST_CASE("spares that end at once are made anew for each call that blocks", "[api][blocking]") {
  weft::runtime rt({.workers = 1, .blocking_idle_timeout = 0ns});
  for (int i = 0; i < 100; ++i) {
    weft::blocking::channel<int> there, back;
    auto asks = rt.go([there, back] {
      there.send(1);
      return *back.recv();
    });
    auto answers = rt.go([there, back] { back.send(*there.recv() + 1); });
    REQUIRE(asks.join() == 2);
    answers.join();
  }
}

TEST_CASE("past max_threads a facade call throws", "[api][blocking]") {
  weft::runtime rt({.workers = 1, .max_threads = 1});
  weft::blocking::channel<int> never;
  auto h = rt.go([never] { never.recv(); });
  REQUIRE_THROWS_AS(h.join(), std::system_error);
}

TEST_CASE("blocking::scope waits for its routines and cancels them on an exception", "[api][blocking]") {
  const int got = weft::blocking::scope([](weft::task_scope& s) {
    weft::blocking::channel<int> ch;
    s.go([ch] { ch.send(3); });
    return *ch.recv();
  });
  REQUIRE(got == 3);
  REQUIRE_THROWS_AS(weft::blocking::scope([](weft::task_scope& s) {
                      s.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
                      throw std::runtime_error("boom");
                    }),
                    std::runtime_error);
}

TEST_CASE("blocking::with_timeout ends the waits inside", "[api][blocking]") {
  weft::blocking::channel<int> never;
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, [&] { never.recv(); }), weft::timeout_error);
}

TEST_CASE("block_on_io gives results and exceptions and queues beyond its threads", "[api][blocking]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 2});
  std::vector<weft::join_handle<int>> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(rt.go([i]() -> weft::routine<int> {
      auto doubled = [](int n) { return 2 * n; };
      co_return co_await weft::block_on_io(doubled, i);
    }));
  }
  long sum = 0;
  for (auto& h : all) sum += h.join();
  REQUIRE(sum == 199 * 200);
  REQUIRE(rt.stats().blocking_threads <= 2);
  auto bad = rt.go([]() -> weft::routine<> {
    auto throws = [] { throw std::runtime_error("boom"); };
    co_await weft::block_on_io(throws);
  });
  REQUIRE_THROWS_AS(bad.join(), std::runtime_error);
}

TEST_CASE("using namespace weft::blocking is not ambiguous beside the system's headers", "[api][blocking]") {
  using namespace weft::blocking;
  channel<int> a(1);
  REQUIRE(select(on_send(a, 1), otherwise()) == 0);
  REQUIRE(select(biased, on_recv(a), on_timeout(1s)) == 0);
}

TEST_CASE("a thread that gives up a wait has ended the routine that waited for it", "[api][blocking]") {
  weft::blocking::channel<int> ch;
  bool handled = false;
  const auto handler = [&](std::optional<int>) -> weft::routine<> {
    handled = true;
    co_return;
  };
  for (int i = 0; i < 20; ++i) {
    const auto waits = [&] { weft::blocking::select(weft::on_recv(ch, handler)); };
    REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, waits), weft::timeout_error);
    REQUIRE(ch.try_send(1) == weft::try_send_status::full);  // nobody waits any more
  }
  REQUIRE_FALSE(handled);

  bool ended = false;
  const auto runs = [](bool* done, weft::channel<int> never) -> weft::routine<> {
    bool cancelled = false;
    try {
      co_await never.recv();
    } catch (const weft::cancelled&) {
      cancelled = true;
    }
    co_await weft::shield(weft::sleep_for(1ms));
    *done = cancelled;
    co_await weft::yield();
  };
  const auto run = [&] { weft::blocking::run(runs(&ended, ch)); };
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, run), weft::timeout_error);
  REQUIRE(ended);
}

TEST_CASE("a thread that must wait for what it starts fails first if no spare worker is to be had",
          "[api][blocking]") {
  weft::runtime rt({.workers = 1, .max_threads = 1});
  bool began = false;
  auto h = rt.go([&] { weft::blocking::scope([&](weft::task_scope&) { began = true; }); });
  REQUIRE_THROWS_AS(h.join(), std::system_error);
  REQUIRE_FALSE(began);
  auto runs = rt.go([] { weft::blocking::run([]() -> weft::routine<> { co_return; }()); });
  REQUIRE_THROWS_AS(runs.join(), std::system_error);
}

TEST_CASE("block_on_io in a cancelled plain callable throws and does not call", "[api][blocking][cancel]") {
  weft::runtime rt({.workers = 2});
  weft::event inside;
  bool called = false, thrown = false;
  auto h = rt.go([&] {
    inside.set();
    {
      const weft::blocking_region waits;
      while (!weft::this_routine::cancelled()) ::sched_yield();
    }
    try {
      weft::blocking::block_on_io([&] { called = true; });
    } catch (const weft::cancelled&) {
      thrown = true;
    }
  });
  weft::blocking::wait(inside.wait());
  h.cancel();
  h.join();
  REQUIRE(thrown);
  REQUIRE_FALSE(called);
  called = thrown = false;
  weft::blocking::scope([&](weft::task_scope& s) {
    s.cancel();
    try {
      weft::blocking::block_on_io([&] { called = true; });
    } catch (const weft::cancelled&) {
      thrown = true;
    }
  });
  REQUIRE(thrown);
  REQUIRE_FALSE(called);
  weft::blocking::block_on_io([&] { called = true; });
  REQUIRE(called);
}
