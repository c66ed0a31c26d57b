#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/only_worker.hpp"
#include "support/sanitizers.hpp"

namespace {

/// 128 ready operations to a resumption, 64 resumptions before another routine that is ready.
constexpr int most = 128 * 64 * 2;

/// How many operations a routine gets done on the only worker before another one that is ready runs.
template <typename Op>
int before_another_runs(Op op) {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([&]() -> weft::routine<int> {
    bool other_ran = false;
    auto other = weft::go([&]() -> weft::routine<> {
      other_ran = true;
      co_return;
    });
    int done = 0;
    while (!other_ran && done <= most) {
      co_await op();
      ++done;
    }
    co_await std::move(other);
    co_return done;
  });
  return h.join();
}

}  // namespace

TEST_CASE("operations that are ready at once do not keep the worker from others", "[api][fairness]") {
  SECTION("a channel's") {
    weft::channel<int> ch(1);
    const int n = before_another_runs([&]() -> weft::routine<> {
      co_await ch.send(1);
      co_await ch.recv();
    });
    REQUIRE(n <= most);
  }
  SECTION("select's") {
    weft::channel<void> ch(1);
    const int n = before_another_runs(
        [&]() -> weft::routine<> { co_await weft::select(weft::on_send(ch), weft::on_recv(ch)); });
    REQUIRE(n <= most);
  }
  SECTION("a mutex's") {
    weft::mutex m;
    const int n = before_another_runs([&]() -> weft::routine<> {
      co_await m.lock();
      m.unlock();
    });
    REQUIRE(n <= most);
  }
  SECTION("a semaphore's") {
    weft::semaphore s(1);
    const int n = before_another_runs([&]() -> weft::routine<> {
      co_await s.acquire();
      s.release();
    });
    REQUIRE(n <= most);
  }
  SECTION("an event's") {
    weft::event e;
    e.set();
    const int n = before_another_runs([&]() -> weft::routine<> { co_await e.wait(); });
    REQUIRE(n <= most);
  }
  SECTION("a wait group's") {
    weft::wait_group g;
    const int n = before_another_runs([&]() -> weft::routine<> { co_await g.wait(); });
    REQUIRE(n <= most);
  }
  SECTION("the awaits of routines that never wait") {
    const int n = before_another_runs([]() -> weft::routine<> { co_return; });
    REQUIRE(n <= most);
  }
}

TEST_CASE("operations that are ready at once go on a hundred times without a resumption", "[api][fairness]") {
  weft::runtime rt({.workers = 1});
  constexpr std::uint64_t n = 12'800;
  const auto before = rt.stats().dispatches;
  rt.go([]() -> weft::routine<> {
      weft::channel<int> ch(1);
      for (std::uint64_t i = 0; i < n / 2; ++i) {
        co_await ch.send(1);
        co_await ch.recv();
      }
    }).join();
  REQUIRE(rt.stats().dispatches - before <= n / 100 + 10);
}

TEST_CASE("a yield ends within 64 resumptions for each that is ready, though work streams in from outside",
          "[api][fairness]") {
  const auto [yielders, streaming] = GENERATE(std::pair(20U, 50U), std::pair(31U, 2U), std::pair(200U, 4U));
  weft::runtime rt(weft::test::only_worker());
  std::atomic<bool> over{false};
  weft::channel<int> there, back;
  const auto ping = [&]() -> weft::routine<> {
    while (!over.load()) {
      co_await there.send(1);
      co_await back.recv();
    }
    there.close();
  };
  const auto pong = [&]() -> weft::routine<> {
    while (co_await there.recv()) co_await back.send(1);
  };
  const auto yielder = [&]() -> weft::routine<> {
    while (!over.load()) co_await weft::yield();
  };
  const auto watch = [&]() -> weft::routine<std::uint64_t> {
    std::uint64_t worst = 0;
    for (int i = 0; i < weft::test::unless_sanitized(1'000, 300); ++i) {
      const auto before = rt.stats().dispatches;
      co_await weft::yield();
      worst = std::max(worst, rt.stats().dispatches - before);
    }
    over.store(true);
    co_return worst;
  };
  std::vector<weft::join_handle<>> all;
  all.push_back(rt.go(ping));
  all.push_back(rt.go(pong));
  for (unsigned i = 0; i < yielders; ++i) all.push_back(rt.go(yielder));
  auto watching = rt.go(watch);
  std::atomic<unsigned> streams{0};
  const auto small = [&]() -> weft::routine<> {
    streams.fetch_sub(1);
    co_return;
  };
  while (!over.load()) {
    if (streams.load() >= streaming) continue;
    streams.fetch_add(1);
    (void)rt.go(small);
  }
  for (auto& each : all) each.join();
  REQUIRE(watching.join() <= 64 * (yielders + 1 + streaming + 1));  // and the one in the slot
}
