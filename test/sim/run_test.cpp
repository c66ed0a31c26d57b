// One run: the seed decides, and nothing else.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Of the program that everything() is, with seed 1.  It changes when the scheduler or an operation takes
/// another decision than before; never by the compiler, the build type or the run.  Printed by the test that
/// compares.
constexpr std::uint64_t known_hash = 0xf87d8275b63cda0d;

/// A bit of everything, on both faces; what happens is written down.
std::string everything() {
  std::string seen;
  weft::channel<int> numbers, results(3);
  weft::mutex guard;
  weft::event go_on;
  weft::semaphore two(2);

  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(weft::go([&, i]() -> weft::routine<> {
      co_await go_on.wait();
      for (int n = 0; n < 4; ++n) co_await numbers.send(10 * i + n);
    }));
    all.push_back(weft::go([&]() -> weft::routine<> {
      while (auto n = co_await numbers.recv()) {
        co_await two.acquire();
        if (*n % 3 == 0) co_await weft::sleep_for(std::chrono::milliseconds(*n));
        co_await results.send(*n);
        two.release();
      }
    }));
  }
  auto plain = weft::go([&] {
    int sum = 0;
    weft::blocking::channel<int> in(results);
    for (int i = 0; i < 12; ++i) sum += *in.recv();
    numbers.close();
    return sum;
  });
  auto selects = weft::go([&]() -> weft::routine<> {
    weft::channel<int> a(8), b(8);
    for (int i = 0; i < 8; ++i) {
      (void)a.try_send(i);
      (void)b.try_send(i);
    }
    for (int i = 0; i < 8; ++i) {
      const std::size_t which =
          co_await weft::select(weft::on_recv(a), weft::on_recv(b), weft::on_timeout(1ms));
      auto held = co_await guard.scoped();
      seen += static_cast<char>('A' + which);
    }
  });
  auto forks = weft::go([&]() -> weft::routine<> {
    const auto leaf = [](weft::mutex& m, std::string& to, char c) -> weft::routine<int> {
      auto held = co_await m.scoped();
      co_await weft::yield();
      to += c;
      co_return 1;
    };
    auto [x, y, z] =
        co_await weft::all(leaf(guard, seen, 'x'), leaf(guard, seen, 'y'), leaf(guard, seen, 'z'));
    auto doubled = [](int n) { return 2 * n; };
    seen += std::to_string(co_await weft::block_on_io(doubled, x + y + z));
  });
  weft::blocking::sleep_for(1s);
  go_on.set();
  seen += std::to_string(plain.join());
  selects.join();
  forks.join();
  for (auto& h : all) h.join();
  return seen;
}

/// `f(order)` writes down what happens; the orders that `seeds` seeds come to.
template <typename F>
std::set<std::string> orders(std::uint64_t seeds, F f) {
  std::set<std::string> all;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    std::string order;
    const auto r = weft::sim::run(seed, [&] { return f(order); });
    INFO(r.report);
    REQUIRE(r.ok);
    all.insert(order);
  }
  return all;
}

}  // namespace

TEST_CASE("the same seed is the same run, another seed usually another", "[sim]") {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::string first, second;
    const auto a = weft::sim::run(seed, [&] { first = everything(); });
    const auto b = weft::sim::run(seed, [&] { second = everything(); });
    INFO("seed " << seed << "\n" << a.report);
    REQUIRE(a.ok);
    REQUIRE(first == second);
    REQUIRE(a.hash == b.hash);
    hashes.insert(a.hash);
  }
  REQUIRE(hashes.size() > 95);
}

TEST_CASE("the hash of a run is the same in every process and for every compiler", "[sim]") {
  const auto r = weft::sim::run(1, [] { everything(); });
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(r.hash == known_hash);
}

TEST_CASE("a run is not disturbed by real runtimes beside it", "[sim]") {
  const auto alone = weft::sim::run(7, [] { everything(); });
  weft::runtime rt({.workers = 2});
  weft::event stop;
  auto noise = rt.go([&]() -> weft::routine<> {
    weft::channel<int> ch(1);
    while (!stop.is_set()) {
      auto other = weft::go([ch]() -> weft::routine<> { co_await ch.send(1); });
      co_await ch.recv();
      co_await std::move(other);
    }
  });
  for (int i = 0; i < 20; ++i) REQUIRE(weft::sim::run(7, [] { everything(); }).hash == alone.hash);
  stop.set();
  noise.join();
}

TEST_CASE("an hour of sleeps takes no time, and timers fire in the order of their deadlines", "[sim]") {
  std::vector<int> order;
  std::vector<std::chrono::nanoseconds> late;
  const auto r = weft::sim::run(3, [&]() -> weft::routine<> {
    const auto begin = weft::now();
    std::vector<weft::join_handle<>> all;
    for (const int minutes : {60, 1, 30, 2, 59, 15}) {
      all.push_back(weft::go([&, begin, minutes]() -> weft::routine<> {
        co_await weft::sleep_for(std::chrono::minutes(minutes));
        order.push_back(minutes);
        late.push_back(weft::now() - begin - std::chrono::minutes(minutes));
      }));
    }
    for (auto& h : all) co_await std::move(h);
  });
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(order == std::vector{1, 2, 15, 30, 59, 60});
  REQUIRE(std::all_of(late.begin(), late.end(), [](auto d) { return d == 0ns; }));
}

TEST_CASE("time stands still while something can run", "[sim]") {
  const auto r = weft::sim::run(0, []() -> weft::routine<> {
    const auto begin = weft::now();
    auto sleeper = weft::go([]() -> weft::routine<> { co_await weft::sleep_for(1ns); });
    for (int i = 0; i < 1'000; ++i) co_await weft::yield();
    if (weft::now() != begin) throw std::runtime_error("time has passed");
    co_await std::move(sleeper);
    if (weft::now() != begin + 1ns) throw std::runtime_error("not one nanosecond later");
  });
  REQUIRE(r.report == "");
}

TEST_CASE("a loop that only yields lets time pass in the end", "[sim]") {
  const auto r = weft::sim::run(0, [] {
    weft::event done;
    auto sleeper = weft::go([&]() -> weft::routine<> {
      co_await weft::sleep_for(1h);
      done.set();
    });
    while (!done.is_set()) weft::blocking::wait(weft::yield());
    sleeper.join();
  });
  REQUIRE(r.report == "");
}

TEST_CASE("two writers that race come out both ways", "[sim]") {
  const auto outcomes = orders(200, [](std::string& order) -> weft::routine<> {
    int shared = 0;
    const auto adds = [&]() -> weft::routine<> {
      const int before = shared;
      co_await weft::yield();
      shared = before + 1;
    };
    auto a = weft::go(adds), b = weft::go(adds);
    co_await std::move(a);
    co_await std::move(b);
    order = std::to_string(shared);
  });
  REQUIRE(outcomes == std::set<std::string>{"1", "2"});
}

TEST_CASE("plain code is interleaved at every operation", "[sim]") {
  const auto outcomes = orders(200, [](std::string& order) {
    weft::event flags[2];
    char seen[2];
    const auto party = [&](int me) {
      flags[me].set();
      seen[me] = flags[1 - me].is_set() ? '1' : '0';
    };
    auto a = weft::go(party, 0), b = weft::go(party, 1);
    a.join();
    b.join();
    order.assign(seen, 2);
  });
  REQUIRE(outcomes == std::set<std::string>{"01", "10", "11"});
}

TEST_CASE("three routines run in all six orders", "[sim]") {
  const auto outcomes = orders(300, [](std::string& order) -> weft::routine<> {
    weft::wait_group done;
    done.add(3);
    for (const char c : {'a', 'b', 'c'}) {
      weft::go([&, c]() -> weft::routine<> {
        order += c;
        done.done();
        co_return;
      });
    }
    co_await done.wait();
  });
  REQUIRE(outcomes.size() == 6);
}

TEST_CASE("timers of the same instant fire in all six orders", "[sim]") {
  const auto outcomes = orders(300, [](std::string& order) -> weft::routine<> {
    std::vector<weft::join_handle<>> all;
    const auto instant = weft::now() + 1s;
    for (const char c : {'a', 'b', 'c'}) {
      all.push_back(weft::go([&, c]() -> weft::routine<> {
        co_await weft::sleep_until(instant);
        order += c;
      }));
    }
    for (auto& h : all) co_await std::move(h);
  });
  REQUIRE(outcomes.size() == 6);
}

TEST_CASE("the seed decides which ready case a select takes", "[sim]") {
  const auto outcomes = orders(100, [](std::string& order) -> weft::routine<> {
    weft::channel<int> a(1), b(1), c(1);
    (void)a.try_send(1);
    (void)b.try_send(1);
    (void)c.try_send(1);
    order = std::to_string(co_await weft::select(weft::on_recv(a), weft::on_recv(b), weft::on_recv(c)));
  });
  REQUIRE(outcomes == std::set<std::string>{"0", "1", "2"});
}

TEST_CASE("a lost wake-up is found", "[sim]") {
  // A waiter that looks at a flag and then waits on a channel that is told only those who wait already.
  std::uint64_t found_at = 1'000;
  std::string report;
  for (std::uint64_t seed = 0; seed < found_at; ++seed) {
    const auto r = weft::sim::run(seed, []() -> weft::routine<> {
      bool flag = false;
      weft::channel<int> told;
      auto waiter = weft::go([&]() -> weft::routine<> {
        if (flag) co_return;
        co_await told.recv();
      });
      flag = true;
      (void)told.try_send(1);
      co_await std::move(waiter);
    });
    if (r.ok) continue;
    found_at = seed;
    report = r.report;
  }
  REQUIRE(found_at < 1'000);
  REQUIRE_THAT(report, Catch::Contains("deadlock") && Catch::Contains("recv"));
}
