// Faults by the seed: memory, threads, late and spurious wakes; threads that are none of weft's.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <cstdlib>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "support/catch.hpp"

namespace {

/// What weft sends, everybody receives: a bit of each operation that waits.
weft::routine<int> pass_through(int n) {
  weft::channel<int> in, out(2);
  auto stage = weft::go([=]() mutable -> weft::routine<> {
    while (auto v = co_await in.recv()) co_await out.send(*v + 1);
    out.close();
  });
  auto feed = weft::go([=]() mutable -> weft::routine<> {
    for (int i = 0; i < n; ++i) co_await in.send(i);
    in.close();
  });
  int sum = 0;
  while (auto v = co_await out.recv()) sum += *v;
  co_await std::move(stage);
  co_await std::move(feed);
  co_return sum;
}

}  // namespace

TEST_CASE("late and spurious wakes change nothing but the order", "[sim]") {
  const auto program = []() -> weft::routine<> {
    if (co_await pass_through(5) != 15) throw std::runtime_error("another sum");
    weft::mutex guard;
    int count = 0;
    auto plain = weft::go([&] {
      for (int i = 0; i < 3; ++i) {
        auto held = weft::blocking::wait(guard.scoped());
        ++count;
      }
    });
    for (int i = 0; i < 3; ++i) {
      auto held = co_await guard.scoped();
      ++count;
      co_await weft::sleep_for(std::chrono::microseconds(1));
    }
    co_await std::move(plain);
    if (count != 6) throw std::runtime_error("another count");
  };
  const auto r = weft::sim::for_each_seed(
      1'000, program, {.schedule = weft::sim::strategy::mixed, .delayed_wakes = 300, .spurious_wakes = 300});
  INFO(r.report);
  REQUIRE(r.ok);
}

TEST_CASE("late wakes take no virtual time", "[sim]") {
  const auto program = []() -> weft::routine<> {
    const auto begin = weft::now();
    (void)co_await pass_through(5);
    if (weft::now() != begin) throw std::runtime_error("time has passed");
  };
  const auto r = weft::sim::for_each_seed(200, program, {.delayed_wakes = 1'000});
  INFO(r.report);
  REQUIRE(r.ok);
}

TEST_CASE("an operation that finds no memory throws bad_alloc, and the run goes on", "[sim]") {
  int failed = 0, passed = 0;
  const auto program = [&]() -> weft::routine<> {
    try {
      weft::channel<int> ch = weft::channel<int>::unbounded();
      for (int i = 0; i < 200; ++i) co_await ch.send(i);
      auto child = weft::go([ch]() mutable -> weft::routine<int> { co_return *co_await ch.recv(); });
      if (co_await std::move(child) != 0) throw std::runtime_error("another value");
      co_await weft::sleep_for(std::chrono::seconds(1));
      ++passed;
    } catch (const std::bad_alloc&) {
      ++failed;
    }
  };
  const auto r = weft::sim::for_each_seed(1'000, program, {.failing_allocations = 100});
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(failed > 100);
  REQUIRE(passed > 10);
}

TEST_CASE("exploration lets each allocation fail in its turn", "[sim]") {
  std::set<std::string> ends;
  const auto program = [&]() -> weft::routine<> {
    std::string at = "channel";
    try {
      weft::channel<int> ch(1);
      at = "go";
      auto child = weft::go([ch]() mutable -> weft::routine<> { co_await ch.send(1); });
      at = "join";
      co_await std::move(child);
      at = "end";
    } catch (const std::bad_alloc&) {
    }
    ends.insert(at);
  };
  const auto r = weft::sim::explore(program, {.preemptions = 0}, {.failing_allocations = 1});
  INFO(r.failure.report);
  REQUIRE(r.complete);
  REQUIRE(ends == std::set<std::string>{"channel", "go", "end"});
}

TEST_CASE("a thread that cannot be had is an error of the call that wants it", "[sim]") {
  int refused = 0, ran = 0;
  const auto program = [&]() -> weft::routine<> {
    try {
      co_await weft::block_on_io([&] { ++ran; });
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::resource_unavailable_try_again) throw;
      ++refused;
    }
  };
  const auto r = weft::sim::for_each_seed(500, program, {.failing_threads = 500});
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(ran > 50);
  REQUIRE(refused + ran == 500);
}

TEST_CASE("threads that are none of weft's are threads of the run", "[sim]") {
  const auto program = [] {
    weft::channel<int> ch;
    weft::event go_on;
    weft::sim::thread sender([&]() noexcept {
      weft::blocking::wait(go_on.wait());
      weft::blocking::channel<int>(ch).send(42);
    });
    auto reader = weft::go([&]() -> weft::routine<int> {
      go_on.set();
      co_return *co_await ch.recv();
    });
    if (reader.join() != 42) throw std::runtime_error("another value");
  };
  const auto r = weft::sim::for_each_seed(500, program, {.delayed_wakes = 200});
  INFO(r.report);
  REQUIRE(r.ok);
}

TEST_CASE("allocation_fails() is false outside of a run and where no faults were asked for", "[sim]") {
  REQUIRE(!weft::sim::allocation_fails());
  bool failed = false;
  REQUIRE(weft::sim::run(1, [&] { failed = weft::sim::allocation_fails(); }).ok);
  REQUIRE(!failed);
}

TEST_CASE("a thread wakes for no reason at most every second time, so that all runs end", "[sim]") {
  const auto program = [] {
    weft::event go_on;
    weft::sim::thread waits([&]() noexcept { weft::blocking::wait(go_on.wait()); });
    weft::go([&]() -> weft::routine<> {
      if (co_await pass_through(3) != 6) throw std::runtime_error("another sum");
      co_await weft::sleep_for(std::chrono::seconds(1));
      go_on.set();
    }).join();
  };
  const auto r = weft::sim::for_each_seed(100, program, {.spurious_wakes = 1'000});
  INFO(r.report);
  REQUIRE(r.ok);
  const auto stuck = weft::sim::run(1, [] { weft::blocking::wait(weft::event().wait()); },
                                    {.delayed_wakes = 1'000, .spurious_wakes = 1'000});
  REQUIRE(stuck.report.find("deadlock") != std::string::npos);
}

TEST_CASE("what earlier runs have left does not decide which allocation fails", "[sim]") {
  // So many timers that no earlier test has left as many cells.
  const auto program = []() -> weft::routine<> {
    std::vector<weft::join_handle<>> all;
    try {
      for (int i = 0; i < 2'000; ++i)
        all.push_back(weft::go([]() -> weft::routine<> {
          try {
            co_await weft::sleep_for(std::chrono::seconds(1));
          } catch (const std::bad_alloc&) {
          }
        }));
    } catch (const std::bad_alloc&) {
    }
    for (auto& h : all) co_await std::move(h);
  };
  const weft::sim::options how{.failing_allocations = 1};
  const auto first = weft::sim::run(3, program, how), second = weft::sim::run(3, program, how);
  REQUIRE(first.hash == second.hash);
}

TEST_CASE("a run that asks for no workers has one", "[sim]") {
  const auto r = weft::sim::run(
      1, [] { weft::go([]() -> weft::routine<> { co_await weft::yield(); }).join(); }, {.workers = 0});
  INFO(r.report);
  REQUIRE(r.ok);
}
