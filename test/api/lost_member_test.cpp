// A cancellation from around a scope that has ended a routine of it is not lost with that one, though the
// body has given its value.

#include <weft/weft.hpp>

#include <functional>
#include <stdexcept>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace wb = weft::blocking;

namespace {

/// A scope of two routines that wait for long; then `n`.
weft::routine<int> gather(weft::event& begun, int& n) {
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    s.go([&]() -> weft::routine<> {
      begun.set();
      co_await weft::sleep_for(1h);
    });
    s.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
    co_return;
  });
  n = 1;
  co_return 7;
}

int gather_here(weft::event& begun, int& n) {
  const int got = wb::scope([&](weft::task_scope& s) {
    s.go([&]() -> weft::routine<> {
      begun.set();
      co_await weft::sleep_for(1h);
    });
    return 7;
  });
  n = 1;
  return got;
}

}  // namespace

TEST_CASE("a time limit that ends a scope's routines leaves it, though its body has ended",
          "[api][scope][deadline]") {
  const unsigned workers = GENERATE(1U, 2U);
  const auto limit = GENERATE(0ms, 2ms);
  weft::runtime rt({.workers = workers});
  weft::event begun;
  int n = 0;
  auto in_a_routine =
      rt.go([&]() -> weft::routine<int> { co_return co_await weft::with_timeout(limit, gather(begun, n)); });
  REQUIRE_THROWS_AS(in_a_routine.join(), weft::timeout_error);
  auto on_a_worker = rt.go([&] { return wb::with_timeout(limit, [&] { return gather_here(begun, n); }); });
  REQUIRE_THROWS_AS(on_a_worker.join(), weft::timeout_error);
  REQUIRE_THROWS_AS(wb::with_timeout(limit, [&] { return gather_here(begun, n); }), weft::timeout_error);
  REQUIRE(n == 0);
}

TEST_CASE("a routine that is cancelled while its scope waits ends cancelled", "[api][scope][cancel]") {
  const unsigned workers = GENERATE(1U, 2U);
  weft::runtime rt({.workers = workers});
  int n = 0;
  for (const bool plain : {false, true}) {
    weft::event begun;
    auto h = plain ? rt.go(gather_here, std::ref(begun), std::ref(n))
                   : rt.go(gather, std::ref(begun), std::ref(n));
    wb::wait(begun.wait());
    h.cancel();
    REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  }
  REQUIRE(n == 0);
}

TEST_CASE("a routine whose scope waits when its runtime stops ends cancelled", "[api][scope][cancel][stop]") {
  const bool plain = GENERATE(false, true);
  weft::runtime rt({.workers = 2});
  int n = 0;
  weft::event begun;
  auto h =
      plain ? rt.go(gather_here, std::ref(begun), std::ref(n)) : rt.go(gather, std::ref(begun), std::ref(n));
  wb::wait(begun.wait());
  rt.stop();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(n == 0);
}

TEST_CASE("a failure beside a scope whose body has ended cancels what comes behind it",
          "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  int n = 0;
  weft::event begun;
  auto h = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      s.go([&]() -> weft::routine<> {
        co_await begun.wait();
        throw std::runtime_error("beside");
      });
      co_await gather(begun, n);
    });
  });
  REQUIRE_THROWS_WITH(h.join(), "beside");
  REQUIRE(n == 0);
}

TEST_CASE("in a cancelled routine a scope that starts another ends as any wait", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 1});
  bool returned = false;
  weft::event begun;
  auto h = rt.go([&]() -> weft::routine<> {
    begun.set();
    try {
      co_await weft::sleep_for(1h);
    } catch (const weft::cancelled&) {
    }
    co_await weft::scope([](weft::task_scope& s) -> weft::routine<> {
      s.go([] {});
      co_return;
    });
    returned = true;
  });
  wb::wait(begun.wait());
  h.cancel();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE_FALSE(returned);
}

TEST_CASE("a scope whose routines have all done their work returns, though a limit has passed meanwhile",
          "[api][scope][deadline]") {
  weft::runtime rt({.workers = 2});
  const auto in_peace = []() -> weft::routine<> { co_await weft::shield(weft::sleep_for(5ms)); };
  auto h = rt.go([&]() -> weft::routine<int> {
    co_return co_await weft::with_timeout(
        10ms, weft::scope([&](weft::task_scope& s) -> weft::routine<int> {
          s.go([&]() -> weft::routine<> {
            while (weft::this_routine::deadline() > std::chrono::steady_clock::now()) co_await in_peace();
          });
          co_await weft::yield();
          co_return 7;
        }));
  });
  REQUIRE(h.join() == 7);
}

TEST_CASE("a scope that has cancelled its routines itself keeps its value, though it is cancelled afterwards",
          "[api][scope][cancel]") {
  const unsigned workers = GENERATE(1U, 2U);
  weft::runtime rt({.workers = workers});
  weft::event cleaning_up, go_on;
  auto h = rt.go([&]() -> weft::routine<int> {
    co_return co_await weft::scope([&](weft::task_scope& s) -> weft::routine<int> {
      s.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
      s.go([]() -> weft::routine<> {
        throw weft::cancelled();
        co_return;
      });
      s.cancel();
      while (rt.stats().live > 1) co_await weft::shield(weft::yield());
      cleaning_up.set();
      co_await weft::shield(go_on.wait());
      co_return 7;
    });
  });
  wb::wait(cleaning_up.wait());
  h.cancel();
  go_on.set();
  REQUIRE(h.join() == 7);
}
