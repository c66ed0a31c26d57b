// Many runs of one program: seeds, strategies, replay, shrinking, all orders.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

#include "support/catch.hpp"

using weft::sim::strategy;

namespace {

/// Two that add without a lock: wrong only if one is interrupted between its look and its store.
weft::routine<> lose_an_update() {
  int shared = 0;
  const auto adds = [&](int times) -> weft::routine<> {
    for (int i = 0; i < times; ++i) {
      const int before = shared;
      co_await weft::yield();
      shared = before + 1;
    }
  };
  auto a = weft::go(adds, 2), b = weft::go(adds, 2);
  co_await std::move(a);
  co_await std::move(b);
  if (shared != 4) throw std::runtime_error("an update was lost");
}

/// Wrong in one order of the routines: `wanted`.
weft::routine<> need_an_order(std::string& seen, std::string wanted) {
  seen.clear();
  weft::mutex guard;
  weft::wait_group all(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    (void)weft::go([&, i]() -> weft::routine<> {
      {
        auto held = co_await guard.scoped();
        seen += static_cast<char>('a' + i);
      }
      all.done();
    });
  }
  co_await all.wait();
  if (seen == wanted) throw std::runtime_error("that order");
}

std::size_t deviations(const std::string& schedule) {
  return static_cast<std::size_t>(std::count(schedule.begin(), schedule.end(), '='));
}

}  // namespace

TEST_CASE("every strategy is decided by its seed, and finds a lost update", "[sim]") {
  for (const auto how : {strategy::uniform, strategy::pct, strategy::round_robin, strategy::mixed}) {
    std::set<bool> found;
    std::set<std::uint64_t> hashes;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      const auto once = weft::sim::run(seed, &lose_an_update, {.schedule = how});
      const auto again = weft::sim::run(seed, &lose_an_update, {.schedule = how});
      REQUIRE(once.hash == again.hash);
      REQUIRE(once.report == again.report);
      found.insert(once.ok);
      hashes.insert(once.hash);
    }
    INFO("strategy " << static_cast<int>(how));
    REQUIRE(found.count(false) == 1);
    REQUIRE(hashes.size() >= 4);
  }
}

TEST_CASE("a program that fails in one order of two dozen is found by seeds", "[sim]") {
  std::string seen;
  const auto found = weft::sim::for_each_seed(100'000, [&] { return need_an_order(seen, "dcba"); });
  REQUIRE(!found.ok);
  REQUIRE(found.report.find("that order") != std::string::npos);
}

TEST_CASE("a failure is shrunk to the decisions it needs, says where they are, and replays", "[sim]") {
  const auto found = weft::sim::for_each_seed(1'000, &lose_an_update);
  REQUIRE(!found.ok);
  INFO(found.report);
  // By default two routines that yield take turns: they need to be let through.
  REQUIRE(deviations(found.schedule) <= 2);
  REQUIRE(found.report.find("WEFT_SIM_REPLAY=" + found.schedule) != std::string::npos);

  const auto again = weft::sim::replay(found.schedule, &lose_an_update);
  REQUIRE(!again.ok);
  REQUIRE(again.hash == found.hash);
}

TEST_CASE("what a shrunk failure decided is told with the routine it happened in", "[sim]") {
  std::string seen;
  const auto found = weft::sim::for_each_seed(100'000, [&] { return need_an_order(seen, "cab"); });
  REQUIRE(!found.ok);
  INFO(found.report);
  REQUIRE(deviations(found.schedule) >= 1);
  REQUIRE(found.report.find("  step ") != std::string::npos);
}

TEST_CASE("the environment replays one schedule, and asks for more seeds", "[sim]") {
  const auto first = weft::sim::for_each_seed(1'000, &lose_an_update);
  REQUIRE(!first.ok);
  int runs = 0;
  const auto counted = [&] { ++runs; };
  ::setenv("WEFT_SIM_REPLAY", "5", 1);
  const auto one = weft::sim::for_each_seed(1'000, counted);
  ::unsetenv("WEFT_SIM_REPLAY");
  REQUIRE(runs == 1);
  REQUIRE(one.schedule == "5");

  runs = 0;
  ::setenv("WEFT_SIM_SEEDS", "30", 1);
  REQUIRE(weft::sim::for_each_seed(10, counted).ok);
  ::unsetenv("WEFT_SIM_SEEDS");
  REQUIRE(runs == 30);
}

TEST_CASE("a schedule that is none is refused", "[sim]") {
  for (const char* text :
       {"", "x", "1:", "1:2", "1:2=", "1:2=1,", "1:2=1,2=1", "explore:a", "1 ", "99999999999999999999"}) {
    INFO(text);
    if (std::string_view(text) == "1:") continue;  // seed 1, and no deviation
    REQUIRE_THROWS_AS(weft::sim::replay(text, [] {}), std::invalid_argument);
  }
}

TEST_CASE("a program that depends on more than its seed is told so", "[sim]") {
  int calls = 0;
  const auto changes = [&]() -> weft::routine<> {
    ++calls;
    for (int i = 0; i < calls; ++i) co_await weft::yield();
    throw std::runtime_error("always");
  };
  const auto found = weft::sim::for_each_seed(1, changes);
  REQUIRE(!found.ok);
  REQUIRE(found.report.find("the same seed came to another run") != std::string::npos);
}

TEST_CASE("all orders of four routines at a mutex are seen", "[sim]") {
  std::set<std::string> orders;
  std::string seen;
  std::size_t again = 0;  // other decisions that come to the same order
  const auto r = weft::sim::explore(
      [&]() -> weft::routine<> {
        co_await need_an_order(seen, "....");
        if (!orders.insert(seen).second) ++again;
      },
      {.preemptions = 0}, {.workers = 1});
  INFO(r.failure.report);
  REQUIRE(r.complete);
  REQUIRE(orders.size() == 24);
  REQUIRE(r.runs == 24 + again);
}

TEST_CASE("exploration finds what one preemption does, and nothing without it", "[sim]") {
  weft::event* shared = nullptr;
  // set() between the look and the wait is kept by the event; a flag of one's own is not.
  const auto look_then_act = [&] {
    weft::event done;
    shared = &done;
    bool taken = false;
    const auto takes = [&] {
      if (!done.is_set()) {
        if (taken) throw std::runtime_error("taken twice");
        taken = true;
        done.set();
        taken = false;
      }
    };
    weft::sim::thread other([&]() noexcept { done.set(); });
    takes();
    other.join();
  };
  const auto none = weft::sim::explore(look_then_act, {.preemptions = 3});
  INFO(none.failure.report);
  REQUIRE(none.ok);
  REQUIRE(none.complete);
  REQUIRE(none.runs > 5);

  const auto check_then_act = [] {
    weft::channel<int> ch(1);
    weft::sim::thread other([&]() noexcept { (void)ch.try_send(1); });
    if (ch.size() == 0 && ch.try_send(2) == weft::try_send_status::full)
      throw std::runtime_error("somebody came in between");
    other.join();
  };
  REQUIRE(weft::sim::explore(check_then_act, {.preemptions = 0}).ok);
  const auto found = weft::sim::explore(check_then_act, {.preemptions = 1});
  REQUIRE(!found.ok);
  INFO(found.failure.report);
  REQUIRE(deviations(found.failure.schedule) <= 2);
  REQUIRE(!weft::sim::replay(found.failure.schedule, check_then_act).ok);
}

TEST_CASE("exploration looks at each ready case of a select", "[sim]") {
  std::set<std::size_t> chosen;
  const auto r = weft::sim::explore(
      [&]() -> weft::routine<> {
        weft::channel<int> a(1), b(1), c(1), empty(1);
        (void)a.try_send(1);
        (void)b.try_send(1);
        (void)c.try_send(1);
        chosen.insert(co_await weft::select(weft::on_recv(a), weft::on_recv(empty), weft::on_recv(b),
                                            weft::on_recv(c)));
      },
      {.preemptions = 0});
  REQUIRE(r.complete);
  REQUIRE(chosen == std::set<std::size_t>{0, 2, 3});
}

TEST_CASE("exploration ends with its bound of runs, and says that it was not all", "[sim]") {
  const auto r = weft::sim::explore(&lose_an_update, {.runs = 0});
  REQUIRE(r.ok);
  REQUIRE(!r.complete);
  REQUIRE(r.runs == 0);
}

TEST_CASE("a program that never ends is ended by its steps, with a report", "[sim]") {
  const auto r = weft::sim::run(1,
                                []() -> weft::routine<> {
                                  for (;;) co_await weft::yield();
                                },
                                {.max_steps = 5'000});
  REQUIRE(!r.ok);
  REQUIRE(r.report.find("has not ended after 5000 steps") != std::string::npos);
  REQUIRE(r.report.find("routine 1 'main'") != std::string::npos);
  const auto plain = weft::sim::run(1,
                                    [] {
                                      for (;;) weft::blocking::wait(weft::yield());
                                    },
                                    {.max_steps = 5'000});
  REQUIRE(plain.report.find("has not ended after 5000 steps") != std::string::npos);
  for (const auto& each : {r, plain}) REQUIRE(each.report.find("cannot be ended") == std::string::npos);
}

TEST_CASE("exploration of a program that depends on more than its schedule fails, and says so", "[sim]") {
  int calls = 0;
  const auto changes = [&]() -> weft::routine<> {
    ++calls;
    for (int i = 0; i < calls % 3; ++i) co_await weft::yield();
    auto other = weft::go([]() -> weft::routine<> { co_await weft::yield(); });
    co_await std::move(other);
  };
  const auto r = weft::sim::explore(changes, {.preemptions = 1});
  REQUIRE(!r.ok);
  REQUIRE(!r.complete);
  REQUIRE(r.failure.report.find("came to another run") != std::string::npos);
}

TEST_CASE("a failure that leaves threads is not shrunk and replays all the same", "[sim]") {
  const auto stuck = []() -> weft::routine<> {
    weft::event never;
    const auto wait = [](weft::event& e) -> weft::routine<> { co_await e.wait(); };
    co_await weft::shield(wait(never));
  };
  const auto program = [&] {
    int shared = 0;
    weft::wait_group all(4);
    for (int i = 0; i < 4; ++i) {
      weft::go([&]() -> weft::routine<> {
        const int before = shared;
        co_await weft::yield();
        shared = before + 1;
        all.done();
      });
    }
    weft::blocking::wait(all.wait());
    if (shared == 3) weft::go(stuck).join();
  };
  const auto found = weft::sim::for_each_seed(1'000, program);
  REQUIRE(!found.ok);
  INFO(found.schedule);
  const auto again = weft::sim::replay(found.schedule, program);
  REQUIRE(!again.ok);
  REQUIRE(again.hash == found.hash);
}

TEST_CASE("two locks in two orders are found, and the run unwinds what it has locked", "[sim]") {
  const auto in_two_orders = []() -> weft::routine<> {
    weft::mutex a, b;
    const auto both = [](weft::mutex& first, weft::mutex& second) -> weft::routine<> {
      auto one = co_await first.scoped();
      auto two = co_await second.scoped();
    };
    auto x = weft::go(both, std::ref(a), std::ref(b)), y = weft::go(both, std::ref(b), std::ref(a));
    co_await std::move(x);
    co_await std::move(y);
  };
  const auto found = weft::sim::for_each_seed(1'000, in_two_orders);
  REQUIRE(!found.ok);
  INFO(found.report);
  REQUIRE(found.report.find("deadlock") != std::string::npos);
  REQUIRE(found.report.find("WEFT_SIM_REPLAY=") != std::string::npos);
  REQUIRE(deviations(found.schedule) <= 3);

  const auto plain = [] {
    weft::mutex a, b;
    const auto both = [](weft::mutex& first, weft::mutex& second) {
      auto one = weft::blocking::wait(first.scoped());
      auto two = weft::blocking::wait(second.scoped());
    };
    auto x = weft::go(both, std::ref(a), std::ref(b)), y = weft::go(both, std::ref(b), std::ref(a));
    x.join();
    y.join();
  };
  REQUIRE(weft::sim::for_each_seed(1'000, plain).report.find("deadlock") != std::string::npos);
}
