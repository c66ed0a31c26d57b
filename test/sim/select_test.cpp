// select and time limits, in many schedules and at the nanosecond.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <utility>

#include "support/catch.hpp"

using namespace std::chrono_literals;

TEST_CASE("select with otherwise is atomic in every schedule", "[sim]") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    bool found_none = false;
    const auto program = [&]() -> weft::routine<> {
      weft::channel<int> a(1), b(1);
      (void)a.try_send(1);
      auto moves = weft::go([&]() -> weft::routine<> {  // there is always something in one of them
        (void)b.try_send(1);
        (void)a.try_recv();
        co_return;
      });
      const auto which = co_await weft::select(weft::on_recv(a), weft::on_recv(b), weft::otherwise());
      if (which == 2) found_none = true;
      co_await std::move(moves);
    };
    const auto result = weft::sim::run(seed, program);
    INFO(result.report);
    REQUIRE(result.ok);
    REQUIRE_FALSE(found_none);
  }
}

TEST_CASE("the limit of a wait that has ended ends no later one", "[sim]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    int got = 0;
    const auto program = [&]() -> weft::routine<> {
      weft::channel<int> in;
      auto sends = weft::go([&]() -> weft::routine<> {
        for (int i = 1; i <= 6; ++i) {
          co_await weft::sleep_for(10ms);
          co_await in.send(i);
        }
      });
      if (co_await weft::select(weft::on_recv(in), weft::on_timeout(11ms)) == 0) ++got;
      got += co_await in.recv() == 2;
      const auto third = co_await in.recv_for(11ms);
      got += third && *third == 3;
      got += co_await in.recv() == 4;
      got += co_await weft::with_timeout(11ms, in.recv()) == 5;
      got += co_await weft::with_timeout(1h, in.recv()) == 6;  // its context may stand where the last one did
      co_await std::move(sends);
    };
    const auto result = weft::sim::run(seed, program);
    INFO(result.report);
    REQUIRE(result.ok);
    REQUIRE(got == 6);
  }
}

TEST_CASE("a limit in a shield counts though a shorter one outside of it has passed", "[sim]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    bool timed_out = false;
    const auto program = [&]() -> weft::routine<> {
      weft::event never;
      try {
        co_await weft::with_timeout(1ms, weft::shield(weft::with_timeout(20ms, never.wait())));
      } catch (const weft::timeout_error&) {
        timed_out = true;
      }
    };
    const auto result = weft::sim::run(seed, program);
    INFO(result.report);
    REQUIRE(result.ok);
    REQUIRE(timed_out);
  }
}
