// all() asks whether its routine was cancelled: each time, though most of the time it need not look.

#include <weft/all.hpp>
#include <weft/weft.hpp>

#include <atomic>

#include "support/catch.hpp"

namespace {

weft::routine<> counted(int& n) {
  ++n;
  co_return;
}

weft::routine<> does_nothing() {
  co_return;
}

}  // namespace

TEST_CASE("a child of all that was cancelled between two forks starts nothing more", "[api][all][cancel]") {
  weft::runtime rt({.workers = 1});
  weft::event begin;
  weft::join_handle<> h;
  int before = 0;
  int after = 0;
  bool thrown = false;
  const auto child = [&]() -> weft::routine<> {
    co_await weft::all(counted(before), counted(before));
    co_await weft::all(counted(before), counted(before));
    h.cancel();
    try {
      co_await weft::all(counted(after), counted(after));
    } catch (const weft::cancelled&) {
      thrown = true;
      throw;
    }
  };
  h = rt.go([&]() -> weft::routine<> {
    co_await begin.wait();
    co_await weft::all(child(), does_nothing());
  });
  begin.set();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(before == 4);
  REQUIRE(after == 0);
  REQUIRE(thrown);
}

TEST_CASE("stop ends children of all that fork for ever and wait for nothing", "[api][all][stop]") {
  for (const unsigned workers : {1U, 2U}) {
    weft::runtime rt({.workers = workers});
    weft::event begun;
    std::atomic<int> ended{0};
    const auto child = [&]() -> weft::routine<> {
      begun.set();
      try {
        for (;;) co_await weft::all(does_nothing(), does_nothing());
      } catch (const weft::cancelled&) {
        ++ended;
        throw;
      }
    };
    auto h = rt.go([&]() -> weft::routine<> { co_await weft::all(child(), child()); });
    weft::blocking::wait(begun.wait());
    rt.stop();
    REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
    REQUIRE(ended >= 1);
  }
}

TEST_CASE("what comes from outside runs beside a routine that awaits or forks for ever and never waits",
          "[api][all][fairness]") {
  for (const bool forks : {false, true}) {
    weft::runtime rt({.workers = 1});
    weft::event begun;
    std::atomic<bool> enough{false};
    auto busy = rt.go([&]() -> weft::routine<> {
      begun.set();
      while (!enough) {
        if (forks) co_await weft::all(does_nothing(), does_nothing());
        if (!forks) co_await does_nothing();
      }
    });
    weft::blocking::wait(begun.wait());
    rt.go([&] { enough = true; }).join();
    busy.join();
  }
}
