#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <memory>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<long> fib(int n) {
  if (n < 2) co_return n;
  auto [a, b] = co_await weft::all(fib(n - 1), fib(n - 2));
  co_return a + b;
}

weft::routine<int> later(int ms, int value) {
  co_await weft::sleep_for(std::chrono::milliseconds(ms));
  co_return value;
}

weft::routine<int> fails_after(int ms) {
  co_await weft::sleep_for(std::chrono::milliseconds(ms));
  throw std::runtime_error("boom");
}

}  // namespace

TEST_CASE("all forks and joins on any number of workers", "[api][all]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  REQUIRE(rt.go(fib, 18).join() == 2584);
}

TEST_CASE("the first failure of all cancels the others and is rethrown", "[api][all]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<> { co_await weft::all(later(3'600'000, 1), fails_after(1)); });
  REQUIRE_THROWS_AS(h.join(), std::runtime_error);
}

TEST_CASE("any gives the first success and ends the others", "[api][any]") {
  weft::runtime rt({.workers = 2});
  const auto first = rt.go([]() -> weft::routine<weft::any_result<int>> {
                         co_return co_await weft::any(later(3'600'000, 1), later(1, 2), fails_after(0));
                       }).join();
  REQUIRE(first.index == 1);
  REQUIRE(first.value == 2);
}

TEST_CASE("a scope ends when its routines have, and with the first exception", "[api][scope]") {
  weft::runtime rt({.workers = 2});
  auto adds = [](weft::task_scope& s) -> weft::routine<int> {
    weft::channel<int> results;
    for (int i = 1; i <= 10; ++i) {
      s.go([results, i]() -> weft::routine<> { co_await results.send(i); });
    }
    int sum = 0;
    for (int i = 0; i < 10; ++i) sum += *co_await results.recv();
    co_return sum;
  };
  REQUIRE(rt.go([&]() -> weft::routine<int> { co_return co_await weft::scope(adds); }).join() == 55);
  auto breaks = [](weft::task_scope& s) -> weft::routine<> {
    s.go(later, 3'600'000, 1);
    s.go(fails_after, 1);
    co_await weft::sleep_for(1h);
  };
  auto h = rt.go([&]() -> weft::routine<> { co_await weft::scope(breaks); });
  REQUIRE_THROWS_AS(h.join(), std::runtime_error);
}

TEST_CASE("after a timeout the handle is still the caller's", "[api][timeout]") {
  weft::runtime rt({.workers = 2});
  const int value = rt.go([]() -> weft::routine<int> {
                        weft::event gate;
                        auto h = weft::go([&gate]() -> weft::routine<int> {
                          co_await gate.wait();
                          co_return 9;
                        });
                        bool timed_out = false;
                        try {
                          co_await weft::with_timeout(1ms, std::move(h));
                        } catch (const weft::timeout_error&) {
                          timed_out = true;
                        }
                        gate.set();
                        const int got = co_await std::move(h);
                        co_return timed_out ? got : -1;
                      }).join();
  REQUIRE(value == 9);
}

TEST_CASE("a shielded routine is not cancelled", "[api][shield]") {
  weft::runtime rt({.workers = 2});
  weft::event inside, cancelled;
  int steps = 0;
  auto h = rt.go([&]() -> weft::routine<> {
    auto clean_up = [&]() -> weft::routine<> {
      inside.set();
      co_await cancelled.wait();
      ++steps;
    };
    co_await weft::shield(clean_up());
    ++steps;
    co_await weft::yield();
    ++steps;
  });
  weft::blocking::wait(inside.wait());
  h.cancel();
  cancelled.set();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(steps == 2);
}

TEST_CASE("all takes a time limit, a shield and a thread's wait like anything else", "[api][all]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<int> {
    auto [a, b] = co_await weft::shield(weft::all(later(0, 1), later(0, 2)));
    std::vector<weft::routine<int>> more;
    more.push_back(later(0, 3));
    const std::vector<int> c = co_await weft::with_timeout(1h, weft::all(std::move(more)));
    try {
      co_await weft::with_timeout(1ms, weft::all(later(3'600'000, 1), later(3'600'000, 2)));
    } catch (const weft::timeout_error&) {
      co_return a + b + c[0];
    }
    co_return 0;
  });
  REQUIRE(h.join() == 6);
  std::vector<weft::routine<int>> more;
  more.push_back(later(0, 3));
  REQUIRE(weft::blocking::wait(weft::all(std::move(more))) == std::vector<int>{3});
}

TEST_CASE("a value of any whose move throws is a failure", "[api][any]") {
  struct fragile {
    int moves_left;

    explicit fragile(int moves) : moves_left(moves) {}

    fragile(fragile&& other) : moves_left(other.moves_left - 1) {
      if (moves_left == 0) throw std::runtime_error("boom");
    }
  };

  int failed = 0;
  bool arrived = false;
  for (int moves = 1; !arrived; ++moves) {
    const auto make = [](int n) -> weft::routine<fragile> { co_return fragile(n); };
    const auto one = [&]() -> weft::routine<> { co_await weft::any(make(moves)); };
    try {
      weft::go(one).join();
      arrived = true;
    } catch (const std::runtime_error&) {
      ++failed;
    }
  }
  REQUIRE(failed > 2);
}

TEST_CASE("a scope gives the reference that its body returns, on both faces", "[api][scope][facade]") {
  weft::runtime rt({.workers = 2});
  int n = 0;
  auto body = [&n](weft::task_scope& s) -> weft::routine<int&> {
    s.go([&n] { n = 1; });
    co_return n;
  };
  auto asks = [&]() -> weft::routine<int&> { co_return co_await weft::scope(body); };
  REQUIRE(&rt.go(asks).join() == &n);
  REQUIRE(n == 1);
  const auto on_thread = [&n](weft::task_scope& s) -> int& {
    s.go([&n] { n = 2; });
    return n;
  };
  REQUIRE(&weft::blocking::scope(on_thread) == &n);
  REQUIRE(n == 2);
}

TEST_CASE("a scope gives the rvalue reference that its body returns, on both faces", "[api][scope][facade]") {
  weft::runtime rt({.workers = 2});
  std::unique_ptr<int> kept = std::make_unique<int>(1);
  auto body = [&kept](weft::task_scope&) -> weft::routine<std::unique_ptr<int>&&> {
    co_return std::move(kept);
  };
  auto asks = [&]() -> weft::routine<std::unique_ptr<int>&&> { co_return co_await weft::scope(body); };
  std::unique_ptr<int> got = rt.go(asks).join();
  REQUIRE(*got == 1);
  REQUIRE(kept == nullptr);
  kept = std::move(got);
  got = weft::blocking::wait(weft::scope(body));
  REQUIRE(*got == 1);
  REQUIRE(kept == nullptr);
}
