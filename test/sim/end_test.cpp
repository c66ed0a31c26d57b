// How runs end: well, and by a deadlock, a leak, an exception.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;
using Catch::Contains;

namespace {

weft::blocking::channel<int> blocking(const weft::channel<int>& ch) {
  return ch;
}

/// Waits in a cleanup that nobody cancels.
weft::routine<> shielded_for_ever() {
  weft::event never;
  const auto wait = [](weft::event& e) -> weft::routine<> { co_await e.wait(); };
  co_await weft::shield(wait(never));
}

/// True if a run with each of the seeds ends so.
template <typename F, typename Matcher>
void all_end(F f, const Matcher& report, std::uint64_t seeds = 20) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const auto r = weft::sim::run(seed, f);
    REQUIRE(!r.ok);
    REQUIRE_THAT(r.report, report);
    const auto again = weft::sim::run(seed, f);
    REQUIRE(again.hash == r.hash);
  }
}

}  // namespace

TEST_CASE("a run that ends well has no report", "[sim]") {
  const auto plain = weft::sim::run(0, [] { return 5; });
  REQUIRE(plain.ok);
  REQUIRE(plain.report == "");
  const auto coroutine =
      weft::sim::run(0, [p = std::make_unique<int>(7)]() -> weft::routine<int> { co_return *p; });
  REQUIRE(coroutine.ok);
  const auto other_seed = weft::sim::run(1, [] { return 5; });
  REQUIRE(other_seed.ok);
}

TEST_CASE("a detached routine that can still run ends before the run does", "[sim]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    int steps = 0;
    const auto r = weft::sim::run(seed, [&] {
      weft::go([&]() -> weft::routine<> {
        for (; steps < 100; ++steps) co_await weft::yield();
      });
    });
    REQUIRE(r.report == "");
    REQUIRE(steps == 100);
  }
}

TEST_CASE("a deadlock is reported with every routine, its name and what it waits for", "[sim]") {
  all_end(
      [] {
        weft::channel<int> left, right;
        const auto forwards = [](weft::channel<int> in, weft::channel<int> out) -> weft::routine<> {
          while (auto n = co_await in.recv()) co_await out.send(*n);
        };
        auto a = weft::go(weft::spawn_options{.name = "philosopher"}, forwards, left, right);
        auto b = weft::go(weft::spawn_options{.name = "scholar"}, forwards, right, left);
        a.join();
        b.join();
      },
      Contains("deadlock") && Contains("'philosopher'") && Contains("'scholar'") && Contains("recv") &&
          Contains("end_test.cpp") && Contains("thread 0 'main': blocks in join of routine"));
}

TEST_CASE("a deadlock of a coroutine main is reported and ends", "[sim]") {
  all_end(
      []() -> weft::routine<> {
        weft::mutex m;
        auto held = co_await m.scoped();
        auto again = co_await m.scoped();
      },
      Contains("deadlock") && Contains("'main'") && Contains("mutex"));
}

TEST_CASE("a deadlock in a facade call outside of routines is reported and ends", "[sim]") {
  bool cancelled = false;
  const auto r = weft::sim::run(0, [&] {
    weft::channel<int> never;
    try {
      blocking(never).recv();
    } catch (const weft::cancelled&) {
      cancelled = true;
      throw;
    }
  });
  REQUIRE(cancelled);
  REQUIRE_THAT(r.report, Contains("deadlock") && Contains("thread 0 'main': blocks in recv on channel"));
}

TEST_CASE("a deadlock comes only when no time limit is pending", "[sim]") {
  const auto r = weft::sim::run(0, [] {
    weft::channel<int> never;
    if (blocking(never).recv_for(1h).status != weft::recv_status::empty)
      throw std::runtime_error("not timed out");
    blocking(never).recv();
  });
  REQUIRE_THAT(r.report, Contains("at 3600.000000000 s: deadlock"));
}

TEST_CASE("a sleep beyond the clock's 146 years does not keep a deadlock from being told", "[sim]") {
  all_end([]() -> weft::routine<> { co_await weft::sleep_for(std::chrono::years(150)); },
          Contains("deadlock: nothing can run and no time limit ends within 146 years") && Contains("sleep"));
}

TEST_CASE("in a deadlock, scopes, plain callables and calls on the pool come to their end", "[sim]") {
  all_end(
      [] {
        weft::channel<int> never;
        weft::blocking::scope([&](weft::task_scope& s) {
          s.go(weft::spawn_options{.name = "plain"}, [never] { blocking(never).recv(); });
          s.go(weft::spawn_options{.name = "nested"}, [never]() -> weft::routine<> {
            auto both = [never](weft::task_scope& inner) -> weft::routine<> {
              inner.go([never]() -> weft::routine<> { co_await never.recv(); });
              co_await never.recv();
            };
            co_await weft::scope(both);
          });
          s.go(weft::spawn_options{.name = "pool"}, [never]() -> weft::routine<> {
            auto blocks = [never] { blocking(never).recv(); };
            co_await weft::block_on_io(blocks);
          });
        });
      },
      Contains("deadlock") && Contains("'plain'") && Contains("'nested'") && Contains("'pool'") &&
          Contains("'weft-io': blocks in recv"));
}

TEST_CASE("a program that swallows the cancellation of a deadlock comes to its end", "[sim]") {
  int swallowed = 0;
  const auto r = weft::sim::run(0, [&]() -> weft::routine<> {
    weft::channel<int> never;
    for (int i = 0; i < 10; ++i) {
      try {
        co_await never.recv();
      } catch (const weft::cancelled&) {
        ++swallowed;
      }
    }
  });
  REQUIRE(swallowed == 10);
  REQUIRE_THAT(r.report, Contains("deadlock"));
}

TEST_CASE("routines that are left when the program has returned are reported", "[sim]") {
  all_end([] { weft::go(weft::spawn_options{.name = "forgotten"}, [] { weft::blocking::sleep_for(1h); }); },
          Contains("have not ended") && Contains("'forgotten'") && Contains("sleep"));
  all_end(
      [] {
        weft::channel<int> never;
        weft::go(weft::spawn_options{.name = "waits"},
                 [never]() -> weft::routine<> { co_await never.recv(); });
        weft::go(weft::spawn_options{.name = "spins"}, []() -> weft::routine<> {
          for (;;) co_await weft::yield();
        });
      },
      Contains("'waits'") && Contains("'spins'"), 1);
}

TEST_CASE("what the program throws is reported", "[sim]") {
  all_end([] { throw std::runtime_error("boom"); }, Contains("the program threw: boom"), 1);
  all_end([] { throw 1; }, Contains("no std::exception"), 1);
  all_end(
      []() -> weft::routine<> {
        throw std::logic_error("bang");
        co_return;
      },
      Contains("the program threw: bang"), 1);
}

TEST_CASE("an exception that is joined by nobody is reported and does not abort", "[sim]") {
  all_end(
      [] {
        weft::runtime rt({.workers = 1});
        rt.go(weft::spawn_options{.name = "loose", .detached = true},
              [] { throw std::runtime_error("boom"); });
        weft::go(weft::spawn_options{.name = "dropped"}, [] { throw std::runtime_error("bang"); });
        weft::blocking::sleep_for(1ms);
      },
      Contains("'loose'") && Contains("boom") && Contains("'dropped'") && Contains("bang"));
}

TEST_CASE("a run that cannot be ended is given up, with a report", "[sim]") {
  const auto stuck =
      weft::sim::run(0, [] { weft::go(weft::spawn_options{.name = "stubborn"}, shielded_for_ever).join(); });
  REQUIRE_THAT(stuck.report, Contains("deadlock") && Contains("cannot be ended") && Contains("'stubborn'"));
  const auto left =
      weft::sim::run(0, [] { weft::go(weft::spawn_options{.name = "stubborn"}, shielded_for_ever); });
  REQUIRE_THAT(left.report,
               Contains("have not ended") && Contains("cannot be ended") && Contains("'stubborn'"));
  const auto in_destructor = weft::sim::run(0, [] {
    weft::runtime rt({.workers = 1});
    rt.go(weft::spawn_options{.name = "stubborn"}, shielded_for_ever);
    weft::blocking::sleep_for(1s);
  });
  REQUIRE_THAT(in_destructor.report, Contains("cannot be ended") && Contains("'stubborn'"));
  static weft::runtime* forgotten = nullptr;  // reachable for leak checkers
  const auto kept = weft::sim::run(0, [] { forgotten = new weft::runtime({.workers = 1}); });
  REQUIRE(forgotten != nullptr);
  REQUIRE_THAT(kept.report, Contains("left a runtime"));
  REQUIRE(weft::sim::run(0, [] {}).ok);
}

TEST_CASE("misuse in a run aborts with its seed", "[sim]") {
  const auto d = weft::test::last_words([] {
    (void)weft::sim::run(4711, [] {
      weft::mutex m;
      m.unlock();
    });
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("in simulation with seed 4711\n"));
}

TEST_CASE("a deadlock whose unwinding is misuse is reported all the same", "[sim]") {
  const auto d = weft::test::last_words([] {
    (void)weft::sim::run(4711, []() -> weft::routine<> {
      weft::mutex m;
      co_await m.lock();
      co_await m.lock();
    });
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("a mutex is destroyed while it is locked"));
  REQUIRE(d.mentions("in simulation with seed 4711, whose report until then is\n"));
  REQUIRE(d.mentions("deadlock: nothing can run"));
  REQUIRE(d.mentions("waits in mutex"));
}

TEST_CASE("a foreign thread that nobody joins is reported and joining it behind the run is misuse", "[sim]") {
  static std::optional<weft::sim::thread> ended, waits;  // reachable for leak checkers
  const auto d = weft::test::last_words([] {
    const auto done = weft::sim::run(0, [] { ended.emplace([]() noexcept {}); });
    if (done.ok || done.report.find("sim::thread that nobody has joined") == std::string::npos) return;
    const auto stuck = weft::sim::run(0, [] {
      auto* never = new weft::event;
      waits.emplace([never]() noexcept { weft::blocking::wait(never->wait()); });
    });
    if (stuck.ok || stuck.report.find("'foreign': blocks in event") == std::string::npos) return;
    ended.reset();
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("a sim::thread is joined outside of its run"));
}

TEST_CASE("in a deadlock that only main notices, the routines are cancelled before it waits again", "[sim]") {
  all_end(
      [] {
        weft::channel<int> never;
        weft::blocking::scope([&](weft::task_scope& s) {
          s.go([never]() -> weft::routine<> { co_await never.recv(); });
          weft::blocking::sleep_for(1h);  // all workers sleep
        });
      },
      Contains("deadlock") && !Contains("cannot be ended"));
}

TEST_CASE("a deadlock of a thread that is none of weft's is reported, and the thread ends", "[sim]") {
  bool ended = false;
  const auto r = weft::sim::run(1, [&] {
    weft::blocking::channel<int> nobody_sends;
    weft::sim::thread waits([&] {
      const auto end = [&ended](void*) { ended = true; };
      const std::unique_ptr<void, decltype(end)> at_the_end(&ended, end);
      (void)nobody_sends.recv();
    });
    waits.join();
  });
  REQUIRE(r.report.find("deadlock") != std::string::npos);
  REQUIRE(ended);
}
