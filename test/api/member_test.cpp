// The routines of a scope: who has never waited, who starts whom, and when the scope has ended.

#include <weft/blocking.hpp>
#include <weft/dump.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<> count_one(std::atomic<int>* ended) {
  ended->fetch_add(1);
  co_return;
}

/// Starts `width` others of the next generation in the same scope, and ends.
weft::routine<> start_more(weft::task_scope* s, int depth, int width, std::atomic<int>* ended) {
  for (int i = 0; depth != 0 && i < width; ++i) s->go(start_more, s, depth - 1, width, ended);
  ended->fetch_add(1);
  co_return;
}

}  // namespace

TEST_CASE(
    "routines of a scope that have never waited are cancelled: before they begin, and where they first wait",
    "[api][scope][cancel]") {
  weft::runtime rt({.workers = 1});
  int began = 0;
  int cancelled = 0;
  weft::event never;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto waits = [&]() -> weft::routine<> {
      ++began;
      try {
        co_await never.wait();
      } catch (const weft::cancelled&) {
        ++cancelled;
        throw;
      }
    };
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      const auto cancels = [&]() -> weft::routine<> {
        ++began;
        s.cancel();
        try {
          co_await never.wait();  // its first
        } catch (const weft::cancelled&) {
          ++cancelled;
          throw;
        }
      };
      for (int i = 0; i < 3; ++i) s.go(waits);
      co_await weft::yield();
      co_await weft::yield();  // these three wait
      s.go(cancels);
      co_await weft::yield();
      for (int i = 0; i < 3; ++i) s.go(waits);  // these never begin
    };
    co_await weft::scope(body);
  });
  h.join();
  REQUIRE(began == 4);
  REQUIRE(cancelled == 4);
}

TEST_CASE(
    "a routine of a scope that waits first inside a limit of its own is reached there and outside of it",
    "[api][scope][cancel]") {
  weft::runtime rt({.workers = 1});
  const bool inside = GENERATE(true, false);
  bool cancelled = false;
  bool left = false;
  weft::event never;
  weft::event now;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto member = [&]() -> weft::routine<> {
      try {
        co_await weft::with_timeout(1h, (inside ? never : now).wait());
        left = true;
        co_await never.wait();
      } catch (const weft::cancelled&) {
        cancelled = true;
        throw;
      }
    };
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      s.go(member);
      for (int i = 0; i < 4; ++i) co_await weft::yield();
      now.set();
      for (int i = 0; i < 4; ++i) co_await weft::yield();
      s.cancel();
    };
    co_await weft::scope(body);
  });
  h.join();
  REQUIRE(cancelled);
  REQUIRE(left == !inside);
}

TEST_CASE("a plain callable of a scope whose first wait blocks its thread is cancelled",
          "[api][scope][cancel][facade]") {
  weft::runtime rt({.workers = 2});
  std::atomic<int> cancelled{0};
  weft::channel<int> nothing;
  weft::semaphore begun(0);
  auto h = rt.go([&]() -> weft::routine<> {
    const auto blocks = [&] {
      begun.release();
      try {
        (void)weft::blocking::channel<int>(nothing).recv();
      } catch (const weft::cancelled&) {
        ++cancelled;
        throw;
      }
    };
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < 5; ++i) s.go(blocks);
      for (int i = 0; i < 5; ++i) co_await begun.acquire();
      s.cancel();
    };
    co_await weft::scope(body);
  });
  h.join();
  REQUIRE(cancelled == 5);
}

TEST_CASE("a scope ends when the last of those has that its routines start in it", "[api][scope]") {
  weft::runtime rt({.workers = GENERATE(1U, 2U, 8U)});
  constexpr int width = 6;
  constexpr int depth = 4;  // 1 + 6 + 36 + 216 + 1296
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ended{0};
    int seen = 0;
    auto h = rt.go([&]() -> weft::routine<> {
      const auto body = [&](weft::task_scope& s) -> weft::routine<> {
        s.go(start_more, &s, depth, width, &ended);
        co_return;
      };
      co_await weft::scope(body);
      seen = ended.load();
    });
    h.join();
    REQUIRE(seen == 1 + 6 + 36 + 216 + 1296);
  }
}

TEST_CASE("body, children of all, routines and threads start routines in a scope at the same time",
          "[api][scope][all]") {
  weft::runtime rt({.workers = GENERATE(1U, 2U, 8U)});
  constexpr int each = 300;
  std::atomic<int> ended{0};
  int seen = 0;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      const auto starts = [&]() -> weft::routine<> {
        for (int i = 0; i < each; ++i) {
          s.go(count_one, &ended);
          if (i % 16 == 0) co_await weft::yield();
        }
      };
      const auto plain = [&] {
        for (int i = 0; i < each; ++i) s.go(count_one, &ended);
      };
      s.go(starts);
      s.go(plain);
      weft::event done;
      std::thread outside([&] {
        plain();
        done.set();
      });
      co_await weft::all(starts(), starts());
      co_await starts();
      co_await done.wait();
      outside.join();
    };
    co_await weft::scope(body);
    seen = ended.load();
  });
  h.join();
  REQUIRE(seen == 6 * each);
}

TEST_CASE("a scope of plain code on a thread and on a worker waits for all that is started in it",
          "[api][scope][facade]") {
  weft::runtime rt({.workers = 2});
  const bool on_worker = GENERATE(true, false);
  std::atomic<int> ended{0};
  const auto program = [&] {
    int seen = 0;
    for (int round = 0; round < 50; ++round) {
      weft::blocking::scope([&](weft::task_scope& s) {
        for (int i = 0; i < 20; ++i) s.go(start_more, &s, 1, 3, &ended);
      });
      seen = ended.load();
      if (seen != (round + 1) * 80) return false;
    }
    return true;
  };
  const bool all_waited_for = on_worker ? rt.go(program).join() : program();
  REQUIRE(all_waited_for);
}

TEST_CASE("a dump shows the routines of a scope that have never waited", "[api][dump][scope]") {
  weft::runtime rt({.workers = 1});
  std::string text;
  auto h = rt.go([&]() -> weft::routine<> {
    const auto nothing = []() -> weft::routine<> { co_return; };
    const auto body = [&](weft::task_scope& s) -> weft::routine<> {
      s.go(weft::spawn_options{.name = "a member"}, nothing);
      s.go(nothing);
      weft::dump(rt, [&](std::string_view piece) { text += piece; });
      co_return;
    };
    co_await weft::scope(body);
  });
  h.join();
  REQUIRE(text.find("'a member': is ready to run") != std::string::npos);
  REQUIRE(text.find("3 live routines") != std::string::npos);
}
