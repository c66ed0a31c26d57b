// Scopes, limits and groups one inside another and side by side: who is reached, and when each has ended.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<> let_others_run() {
  for (int i = 0; i < 8; ++i) co_await weft::yield();
}

/// As an argument of a routine: takes its time to go.
class slow_to_go {
 public:
  explicit slow_to_go(std::atomic<bool>* gone) : gone_(gone, &leave) {}

 private:
  static void leave(std::atomic<bool>* gone) {
    const auto until = std::chrono::steady_clock::now() + 2ms;
    while (std::chrono::steady_clock::now() < until) {
    }
    gone->store(true);
  }

  std::unique_ptr<std::atomic<bool>, void (*)(std::atomic<bool>*)> gone_;
};

}  // namespace

TEST_CASE("cancelling a scope reaches what each of its routines has opened", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 1});
  weft::event never;
  int cancelled = 0;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto limited = [&]() -> weft::routine<> {
      try {
        co_await weft::with_timeout(1h, never.wait());
      } catch (const weft::cancelled&) {
        ++cancelled;
        throw;
      }
    };
    const auto short_one = [&]() -> weft::routine<> { co_await weft::with_timeout(1h, let_others_run()); };
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < 3; ++i) {  // of what is open the first, the last and one between go
        s.go(short_one);
        s.go(limited);
      }
      co_await let_others_run();
      co_await let_others_run();
      s.cancel();
      co_await never.wait();
    };
    co_await weft::scope(body);
  });
  h.join();
  REQUIRE(cancelled == 3);
}

TEST_CASE("a cancellation does not reach what stands where something of it stood", "[api][scope][cancel]") {
  using inner = weft::routine<> (*)(weft::event*);
  const auto limited = [](weft::event* e) -> weft::routine<> { co_await weft::with_timeout(1h, e->wait()); };
  const auto scoped = [](weft::event* e) -> weft::routine<> {
    const auto body = [e](weft::task_scope&) -> weft::routine<> { co_await e->wait(); };
    co_await weft::scope(body);
  };
  const auto forked = [](weft::event* e) -> weft::routine<> {
    const auto child = [](weft::event* c) -> weft::routine<> { co_await c->wait(); };
    co_await weft::all(child(e), child(e));
  };
  const inner opens = GENERATE_COPY(as<inner>{}, limited, scoped, forked);
  weft::runtime rt({.workers = 1});
  const auto program = [&]() -> weft::routine<bool> {
    weft::event soon, later, never;
    auto outer = weft::go([&]() -> weft::routine<> {
      const auto body = [&](weft::task_scope&) -> weft::routine<> {
        co_await opens(&soon);
        co_await never.wait();
      };
      co_await weft::scope(body);
    });
    co_await let_others_run();
    soon.set();
    co_await let_others_run();
    // Memory that was freed last is given out first.
    auto other = weft::go([&]() -> weft::routine<> { co_await opens(&later); });
    co_await let_others_run();
    outer.cancel();
    co_await let_others_run();
    const bool untouched = outer.done() && !other.done();
    later.set();
    co_await std::move(other);
    co_return untouched;
  };
  REQUIRE(rt.go(program).join());
}

TEST_CASE("a scope forgets routines that have ended and what they opened, in whatever order",
          "[api][scope][cancel]") {
  const auto [first, second, last] =
      GENERATE(table<int, int, int>({{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}));
  const bool opens = GENERATE(false, true);
  weft::runtime rt({.workers = 1});
  const std::array order{first, second, last};
  const auto program = [&]() -> weft::routine<bool> {
    std::array<weft::event, 3> go_on;
    std::array<bool, 3> cancelled{};
    weft::event never, later;
    const auto waits = [opens](weft::event* e, bool* was_cancelled) -> weft::routine<> {
      try {
        if (opens) {
          co_await weft::with_timeout(1h, e->wait());
        } else {
          co_await e->wait();
        }
      } catch (const weft::cancelled&) {
        *was_cancelled = true;
        throw;
      }
    };
    auto outer = weft::go([&]() -> weft::routine<> {
      const auto body = [&](weft::task_scope& s) -> weft::routine<> {
        for (std::size_t i = 0; i < 3; ++i) s.go(waits, &go_on[i], &cancelled[i]);
        co_await never.wait();
      };
      co_await weft::scope(body);
    });
    co_await let_others_run();
    for (int i = 0; i < 2; ++i) {
      go_on[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])].set();
      co_await let_others_run();
    }
    bool others_cancelled = false;  // they may stand where the ended ones stood
    auto a = weft::go(waits, &later, &others_cancelled);
    auto b = weft::go(waits, &later, &others_cancelled);
    co_await let_others_run();
    outer.cancel();
    co_await let_others_run();
    const bool ended = outer.done();
    later.set();
    co_await std::move(a);
    co_await std::move(b);
    const auto left = static_cast<std::size_t>(order[2]);
    co_return ended&& cancelled[left] && !others_cancelled;
  };
  REQUIRE(rt.go(program).join());
}

TEST_CASE("a scope that is cancelled while it waits for its routines waits on", "[api][scope][cancel]") {
  weft::runtime rt({.workers = 1});
  weft::event waits, never;
  bool member_ended = false, in_time = false;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto member = [&]() -> weft::routine<> {
      waits.set();
      try {
        co_await never.wait();
      } catch (const weft::cancelled&) {
      }
      co_await weft::shield(let_others_run());
      member_ended = true;
    };
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      s.go(member);
      co_return;
    };
    try {
      co_await weft::scope(body);
    } catch (const weft::cancelled&) {
    }
    in_time = member_ended;
  });
  auto canceller = rt.go([&]() -> weft::routine<> {
    co_await waits.wait();
    co_await let_others_run();
    h.cancel();
  });
  canceller.join();
  try {
    h.join();
  } catch (const weft::routine_cancelled&) {
  }
  REQUIRE(in_time);
}

TEST_CASE("what a child of all opens after its routine was cancelled is cancelled", "[api][all][cancel]") {
  weft::runtime rt({.workers = 1});
  weft::event begin, never;
  weft::join_handle<> h;
  bool reached = false;
  const auto child = [&]() -> weft::routine<> {
    h.cancel();
    const auto body = [&](weft::task_scope&) -> weft::routine<> { co_await never.wait(); };
    try {
      co_await weft::scope(body);
    } catch (const weft::cancelled&) {
      reached = true;
      throw;
    }
  };
  const auto other = [&]() -> weft::routine<> { co_await never.wait(); };
  h = rt.go([&]() -> weft::routine<> {
    co_await begin.wait();
    co_await weft::all(child(), other());
  });
  begin.set();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(reached);
}

TEST_CASE("all rethrows what failed first though the others fail when they are cancelled", "[api][all]") {
  weft::runtime rt({.workers = 1});
  weft::event never;
  const auto body = [&]() -> weft::routine<std::string> {
    const auto second = [&]() -> weft::routine<> {
      try {
        co_await never.wait();
      } catch (const weft::cancelled&) {
      }
      throw std::runtime_error("second");
    };
    const auto first = []() -> weft::routine<> {
      co_await let_others_run();
      throw std::runtime_error("first");
    };
    try {
      co_await weft::all(second(), first(), second());
    } catch (const std::runtime_error& e) {
      co_return e.what();
    }
    co_return "";
  };
  REQUIRE(rt.go(body).join() == "first");
}

TEST_CASE("a scope has ended when what its routines were given is gone", "[api][scope]") {
  weft::runtime rt({.workers = 2});
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> gone{false};
    auto in_time = rt.go([&] {
      weft::blocking::scope([&](weft::task_scope& s) { s.go([kept = slow_to_go(&gone)] {}); });
      return gone.load();
    });
    REQUIRE(in_time.join());
  }
}

TEST_CASE("a routine has ended when what it was given is gone", "[api][go]") {
  weft::runtime rt({.workers = 2});
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> gone{false};
    auto h = rt.go([kept = slow_to_go(&gone)] {});
    while (!h.done()) {
    }
    REQUIRE(gone);
    h.join();
  }
}

TEST_CASE("a thread's time limit ends its routines though the thread computes", "[api][facade]") {
  std::atomic<bool> gone{false};
  weft::event never;
  const auto waits = [](slow_to_go, weft::event* e) -> weft::routine<> { co_await e->wait(); };
  const auto inside = [&] {
    weft::blocking::scope([&](weft::task_scope& s) {
      s.go(waits, slow_to_go(&gone), &never);
      const auto until = std::chrono::steady_clock::now() + 10s;
      while (!gone && std::chrono::steady_clock::now() < until) {
      }
    });
  };
  try {
    weft::blocking::with_timeout(20ms, inside);
  } catch (const weft::timeout_error&) {
  }
  REQUIRE(gone);
}
