// A scope that cancels itself ends there; a cancellation from outside passes through it.

#include <weft/weft.hpp>

#include <stdexcept>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace wb = weft::blocking;

namespace {

/// A body that waits until `cancels`, a routine of its scope, has cancelled that.
weft::routine<> is_cancelled_by_member(weft::task_scope& s) {
  s.go([&s]() -> weft::routine<> {
    co_await weft::yield();
    s.cancel();
  });
  co_await weft::sleep_for(1h);
}

}  // namespace

TEST_CASE("a scope that a routine of it cancels returns when all have ended", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  bool went_on = false;
  auto h = rt.go([&]() -> weft::routine<> {
    co_await weft::scope(is_cancelled_by_member);
    co_await weft::yield();  // the routine itself is not cancelled
    went_on = true;
  });
  h.join();
  REQUIRE(went_on);
}

TEST_CASE("a scope whose body cancels it returns", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  int ended = 0;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      s.go([&]() -> weft::routine<> {
        try {
          co_await weft::sleep_for(1h);
        } catch (const weft::cancelled&) {
          ++ended;
          throw;
        }
      });
      co_await weft::yield();
      s.cancel();
      co_await weft::sleep_for(1h);
    };
    co_await weft::scope(body);
    ++ended;
  });
  h.join();
  REQUIRE(ended >= 1);
  REQUIRE(ended <= 2);  // one that was cancelled before it began never begins
}

TEST_CASE("a scope of plain code that cancels itself returns", "[api][scope][cancel][facade]") {
  weft::event never;
  const auto body = [&never](weft::task_scope& s) {
    s.go([&s] { s.cancel(); });
    wb::wait(never.wait());
  };
  wb::scope(body);
  weft::runtime rt({.workers = 2});
  rt.go([&] {
      wb::scope(body);
      wb::wait(weft::yield());
    }).join();
}

TEST_CASE("cancelled leaves a scope that cancels itself if its body is to give a value",
          "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<int> {
    const auto body = [](weft::task_scope& s) -> weft::routine<int> {
      co_await is_cancelled_by_member(s);
      co_return 1;
    };
    int got = 0;
    try {
      got = co_await weft::scope(body);
    } catch (const weft::cancelled&) {
      got = 2;
    }
    co_return got;
  });
  REQUIRE(h.join() == 2);
}

TEST_CASE("cancelled of a routine passes through its scopes, also through one that cancels itself",
          "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  weft::event begun;
  bool went_on = false;
  const bool cancels_itself = GENERATE(false, true);
  auto h = rt.go([&]() -> weft::routine<> {
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      begun.set();
      try {
        co_await weft::sleep_for(1h);
      } catch (const weft::cancelled&) {
        if (cancels_itself) s.cancel();
        throw;
      }
    };
    co_await weft::scope(body);
    went_on = true;
  });
  wb::wait(begun.wait());
  h.cancel();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE_FALSE(went_on);
}

TEST_CASE("stop passes through scopes, also through one that cancels itself", "[api][scope][cancel][stop]") {
  bool went_on = false, began = false;
  {
    weft::runtime rt({.workers = 2});
    weft::event begun;
    auto h = rt.go([&]() -> weft::routine<> {
      const auto body = [&](weft::task_scope& s) -> weft::routine<> {
        began = true;
        begun.set();
        try {
          co_await weft::sleep_for(1h);
        } catch (const weft::cancelled&) {
          s.cancel();
          throw;
        }
      };
      co_await weft::scope(body);
      went_on = true;
    });
    wb::wait(begun.wait());
    rt.stop();
    REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  }
  REQUIRE(began);
  REQUIRE_FALSE(went_on);
}

TEST_CASE("a deadline passes through a scope", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  bool went_on = false;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto inner = [&]() -> weft::routine<> {
      const auto body = [](weft::task_scope&) -> weft::routine<> { co_await weft::sleep_for(1h); };
      co_await weft::scope(body);
      went_on = true;
    };
    co_await weft::with_timeout(1ms, inner());
  });
  REQUIRE_THROWS_AS(h.join(), weft::timeout_error);
  REQUIRE_FALSE(went_on);
}

TEST_CASE("the outer of two scopes cancels both, the inner one only itself", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  const bool outer_one = GENERATE(false, true);
  bool after_inner = false, after_outer = false;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto outer = [&](weft::task_scope& o) -> weft::routine<> {
      const auto inner = [&](weft::task_scope& i) -> weft::routine<> {
        (outer_one ? o : i).cancel();
        co_await weft::sleep_for(1h);
      };
      co_await weft::scope(inner);
      after_inner = true;
    };
    co_await weft::scope(outer);
    after_outer = true;
  });
  h.join();
  REQUIRE(after_inner == !outer_one);
  REQUIRE(after_outer);
}

TEST_CASE("a failure in a scope that cancels itself is rethrown", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<> {
    const auto body = [](weft::task_scope& s) -> weft::routine<> {
      s.go([&s]() -> weft::routine<> {
        s.cancel();
        throw std::runtime_error("boom");
        co_return;
      });
      co_await weft::sleep_for(1h);
    };
    co_await weft::scope(body);
  });
  REQUIRE_THROWS_WITH(h.join(), "boom");
}

TEST_CASE("cancelled that a body throws by itself leaves the scope", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<> {
    const auto body = [](weft::task_scope&) -> weft::routine<> {
      throw weft::cancelled();
      co_return;
    };
    co_await weft::scope(body);
  });
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
}
