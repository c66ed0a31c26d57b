// A routine runs once, a handle has one owner: what is used again, or taken away under a wait, aborts with
// one sentence that names the routine.

#include <weft/all_range.hpp>
#include <weft/weft.hpp>

#include <memory>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;

namespace {

constexpr weft::spawn_options culprit{.name = "culprit"};

/// Runs `act` in a routine of its own and never comes back.
template <typename F>
[[noreturn]] void commit_in_routine(F act) {
  weft::runtime rt({.workers = 2});
  weft::event never;
  auto h = rt.go(culprit, act);
  weft::blocking::wait(never.wait());
  std::_Exit(0);
}

void is_told(const weft::test::death& d, const char* sentence) {
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.said.rfind("weft: misuse: ", 0) == 0);
  REQUIRE(d.mentions(sentence));
  REQUIRE(d.mentions("'culprit'"));
  REQUIRE(d.mentions("once_test.cpp:"));
}

constexpr const char* started_again = "a routine is started that is empty: it was awaited or started already";

weft::routine<int> gives(int n) {
  co_return n;
}

weft::routine<> sleeps(std::chrono::milliseconds d) {
  co_await weft::sleep_for(d);
}

}  // namespace

TEST_CASE("awaiting a routine that was awaited aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              auto r = gives(1);
              co_await std::move(r);
              co_await std::move(r);
            });
          }),
          started_again);
}

TEST_CASE("retrying a routine that timed out aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              auto r = sleeps(1h);
              for (int i = 0; i < 2; ++i) {
                try {
                  co_await weft::with_timeout(1ms, std::move(r));
                } catch (const weft::timeout_error&) {
                }
              }
            });
          }),
          started_again);
}

TEST_CASE("go of a routine that was awaited aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              auto r = gives(1);
              co_await std::move(r);
              weft::go(std::move(r));
            });
          }),
          started_again);
}

TEST_CASE("all of a routine that was awaited aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              auto r = gives(1);
              co_await std::move(r);
              co_await weft::all(gives(2), std::move(r));
            });
          }),
          started_again);
}

TEST_CASE("all of a range with a routine that was awaited aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              std::vector<weft::routine<int>> rs;
              rs.push_back(gives(1));
              co_await std::move(rs[0]);
              co_await weft::all(rs);
            });
          }),
          started_again);
}

TEST_CASE("awaiting all() twice aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              auto both = weft::all(gives(1), gives(2));
              co_await std::move(both);
              co_await std::move(both);
            });
          }),
          started_again);
}

TEST_CASE("any of a routine that was awaited aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      auto r = gives(1);
      co_await std::move(r);
      co_await weft::any(std::move(r));
    });
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions(started_again));
}

namespace {

weft::routine<> awaits_itself(weft::routine<>& self) {
  co_await std::move(self);
}

}  // namespace

TEST_CASE("a routine that awaits itself aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine([]() -> weft::routine<> {
              weft::routine<> r;
              r = awaits_itself(r);
              co_await std::move(r);
            });
          }),
          started_again);
}

TEST_CASE("a routine that was not started before its awaiter was cancelled may be awaited again",
          "[api][routine]") {
  weft::runtime rt({.workers = 1});
  int ran = 0;
  auto h = rt.go([&]() -> weft::routine<> {
    auto both = weft::all(gives(1), gives(2));
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      s.cancel();
      try {
        co_await std::move(both);
      } catch (const weft::cancelled&) {
        ++ran;
      }
    });
    const auto [one, two] = co_await std::move(both);
    ran += one + two;
  });
  h.join();
  REQUIRE(ran == 4);
}

// --- handles ---

namespace {

/// Somebody waits through a handle, and `act` is done to it by another.
template <typename Act>
[[noreturn]] void disturb_a_join(Act act) {
  weft::runtime rt({.workers = 1});
  weft::event begun, never, ends;
  auto h = std::make_unique<weft::join_handle<int>>(rt.go([&]() -> weft::routine<int> {
    co_await ends.wait();
    co_return 5;
  }));
  auto joins = rt.go(culprit, [&]() -> weft::routine<> {
    begun.set();
    co_await std::move(*h);
  });
  auto disturbs = rt.go(culprit, [&]() -> weft::routine<> {
    co_await begun.wait();  // one worker: the other waits by now
    act(h);
    ends.set();
  });
  weft::blocking::wait(never.wait());
  std::_Exit(0);
}

}  // namespace

TEST_CASE("destroying a handle that somebody joins aborts and names both routines", "[api][misuse]") {
  const auto d = weft::test::last_words([] { disturb_a_join([](auto& h) { h.reset(); }); });
  is_told(d, "a join_handle is destroyed while somebody waits through it");
  REQUIRE(d.mentions("  of routine "));
}

TEST_CASE("overwriting a handle that somebody joins aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] { disturb_a_join([](auto& h) { *h = {}; }); }),
          "a join_handle is destroyed while somebody waits through it");
}

TEST_CASE("moving a handle while somebody joins it aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words(
              [] { disturb_a_join([](auto& h) { *new weft::join_handle<int> = std::move(*h); }); }),
          "a join_handle is used that is empty");
}

TEST_CASE("destroying a handle that a select waits on aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            weft::runtime rt({.workers = 1});
            weft::event begun, never;
            auto h = std::make_unique<weft::join_handle<>>(
                rt.go([&]() -> weft::routine<> { co_await never.wait(); }));
            auto selects = rt.go(culprit, [&]() -> weft::routine<> {
              begun.set();
              co_await weft::select(weft::on_join(*h), weft::on_event(never));
            });
            auto drops = rt.go(culprit, [&]() -> weft::routine<> {
              co_await begun.wait();
              h.reset();
            });
            weft::blocking::wait(never.wait());
          }),
          "a join_handle is destroyed while somebody waits through it");
}

TEST_CASE("a handle may be dropped after a wait through it was cancelled or lost", "[api][routine]") {
  weft::runtime rt({.workers = 2});
  weft::event never;
  auto h = rt.go([&]() -> weft::routine<> {
    auto waits = weft::go([&]() -> weft::routine<> { co_await never.wait(); });
    co_await weft::select(weft::on_join(waits), weft::on_timeout(1ms));
    try {
      co_await weft::with_timeout(1ms, std::move(waits));
    } catch (const weft::timeout_error&) {
    }
    if (waits.join_for(1ms)) co_return;
    waits = {};
    never.set();
  });
  h.join();
  REQUIRE(never.is_set());
}

TEST_CASE("two joiners outside of routines are told whose end they wait for", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            weft::runtime rt({.workers = 1});
            weft::event begun, never;
            auto h = rt.go(culprit, [&]() -> weft::routine<> { co_await never.wait(); });
            auto joins = rt.go([&]() -> weft::routine<> {
              begun.set();
              co_await std::move(h);
            });
            auto joins_by_now = rt.go([&]() -> weft::routine<> { co_await begun.wait(); });
            joins_by_now.join();
            h.join();
          }),
          "two waits for the end of one routine");
}

// --- the end of a routine ---

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wreturn-type"

namespace {

weft::routine<int> runs_off_its_end() {
  co_await weft::yield();
}

}  // namespace

#pragma GCC diagnostic pop

TEST_CASE("a routine that ends without its result aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] { commit_in_routine(runs_off_its_end); }),
          "a routine with a result ended without co_return");
}

TEST_CASE("a child of all() that ends without its result aborts and names the routine", "[api][misuse]") {
  is_told(weft::test::last_words([] {
            commit_in_routine(
                []() -> weft::routine<> { co_await weft::all(runs_off_its_end(), runs_off_its_end()); });
          }),
          "a routine with a result ended without co_return");
}

TEST_CASE("posting an empty coroutine handle aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    rt.post({});
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("post() was given a coroutine handle that is empty"));
}
