// Threads under simulation: blocked callables, the pool, timeouts, locks, runtimes that the program makes.

#include <weft/sim.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

weft::blocking::channel<int> blocking(const weft::channel<int>& ch) {
  return ch;
}

// ThreadSanitizer's clocks grow with the threads: a thousand of them take it a minute.
constexpr int parties = weft::test::under_tsan ? 200 : 1'000;

void demand(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

/// Runs it with `seeds` seeds, each twice: all must be ok, and the same.
template <typename F>
void runs_well(std::uint64_t seeds, F f) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const auto r = weft::sim::run(seed, f);
    INFO(r.report);
    REQUIRE(r.ok);
    REQUIRE(weft::sim::run(seed, f).hash == r.hash);
  }
}

}  // namespace

TEST_CASE("a thousand plain callables that block on one another finish in a simulation", "[sim]") {
  const auto r = weft::sim::run(1, [] {
    std::vector<weft::blocking::channel<int>> line(std::size_t{parties} + 1);
    std::vector<weft::join_handle<>> all;
    for (std::size_t i = 0; i < std::size_t{parties}; ++i) {
      all.push_back(weft::go([in = line[i], out = line[i + 1]] { out.send(*in.recv() + 1); }));
    }
    line[0].send(0);
    demand(line.back().recv() == parties, "not all have passed it on");
    for (auto& h : all) h.join();
  });
  REQUIRE(r.report == "");
}

TEST_CASE("a worker that retires leaves no work behind", "[sim]") {
  // Every callable blocks and comes back, so workers retire all the time; there is no monitor to help out.
  runs_well(40, [] {
    constexpr std::size_t count = 100;
    std::vector<weft::blocking::channel<int>> line(count + 1);
    std::vector<weft::join_handle<>> all;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(weft::go([in = line[i], out = line[i + 1]] { out.send(*in.recv()); }));
    }
    line[0].send(1);
    line[count].recv();
    for (auto& h : all) h.join();
  });
}

TEST_CASE("a fork whose turn is over when its worker retires runs elsewhere", "[sim]") {
  // Children of all() that hand over to one another, beside callables whose return makes workers retire.
  runs_well(200, [] {
    constexpr int calls = 10;
    std::vector<weft::blocking::channel<int>> line(calls + 1);
    std::vector<weft::join_handle<>> all;
    const auto forks = []() -> weft::routine<int> {
      const auto child = [](int n) -> weft::routine<int> { co_return n; };
      int sum = 0;
      for (int i = 0; i < 10; ++i) {
        const auto [a, b, c] = co_await weft::all(child(1), child(2), child(3));
        sum += a + b + c;
        co_await weft::yield();
      }
      co_return sum;
    };
    auto first = weft::go(forks), second = weft::go(forks);
    for (std::size_t i = 0; i < calls; ++i) {
      all.push_back(weft::go([in = line[i], out = line[i + 1]] { out.send(*in.recv()); }));
    }
    line.front().send(1);
    demand(line.back().recv() == 1, "another value");
    for (auto& h : all) h.join();
    demand(first.join() == 60 && second.join() == 60, "another sum");
  });
}

TEST_CASE("what is woken inside a blocking region runs while the region blocks", "[sim]") {
  runs_well(100, [] {
    weft::channel<int> asks(1), answers(1);
    auto echo = weft::go([=]() -> weft::routine<> { co_await answers.send(*co_await asks.recv()); });
    auto region = weft::go([=] {
      const weft::blocking_region here;
      (void)asks.try_send(7);  // wakes who waits; nobody looks at this worker's queues any more
      return blocking(answers).recv().value_or(0);
    });
    demand(region.join() == 7, "another value");
    echo.join();
  });
}

TEST_CASE("threads that wait for one mutex in a line all get it", "[sim]") {
  runs_well(100, [] {
    weft::mutex m;
    int counter = 0;
    const auto counts = [&] {
      for (int i = 0; i < 3; ++i) {
        weft::blocking::wait(m.lock());
        ++counter;
        m.unlock();
      }
    };
    {
      weft::sim::thread a(counts), b(counts), c(counts), d(counts);
      for (auto* each : {&a, &b, &c, &d}) each->join();
    }
    demand(counter == 12, "one was forgotten");
  });
}

TEST_CASE("a stop reaches a call on the pool that is just beginning", "[sim][stop]") {
  const auto program = [] {
    weft::event never;
    weft::runtime rt({.workers = 1});
    auto h = rt.go([&]() -> weft::routine<> {
      const auto call = [&never] { weft::blocking::wait(never.wait()); };
      co_await weft::block_on_io(call);
    });
    rt.stop();
    demand(h.done(), "left behind");
  };
  const auto r = weft::sim::explore(program, {.preemptions = 3});
  INFO(r.failure.report);
  REQUIRE(r.ok);
  REQUIRE(r.complete);
}

TEST_CASE("a stop does not end what waits in a shield, in whatever way it waits", "[sim][stop][shield]") {
  const int kind = GENERATE(0, 1, 2, 3);
  const auto program = [kind] {
    weft::event go_on;
    const weft::channel<int> numbers(1);
    bool begun = false, cleaned = false;
    weft::runtime rt({.workers = 1});
    const auto clean_up = [&]() -> weft::routine<> {
      if (kind == 0) co_await go_on.wait();
      if (kind == 1) (void)co_await weft::select(weft::on_event(go_on), weft::on_timeout(1h));
      if (kind == 2) (void)co_await numbers.recv_for(1h);
      if (kind == 3) co_await weft::go([&]() -> weft::routine<> { co_await go_on.wait(); });
      cleaned = true;
    };
    auto h = rt.go([&]() -> weft::routine<> {
      begun = true;
      co_await weft::shield(clean_up());
    });
    weft::sim::thread other([&] {
      (void)numbers.try_send(1);
      go_on.set();
    });
    rt.stop();
    other.join();
    demand(begun == cleaned, "not protected");
  };
  const auto r = weft::sim::explore(program, {.preemptions = 3, .runs = 5'000});
  INFO(r.failure.report);
  REQUIRE(r.ok);
}

TEST_CASE("the timers of a worker that blocks are not late", "[sim]") {
  runs_well(100, [] {
    const auto begin = weft::now();
    auto late = weft::go([]() -> weft::routine<> { co_await weft::sleep_for(10s); });
    weft::blocking::sleep_for(1ms);  // somebody sleeps for the ten seconds
    weft::channel<int> ch;
    auto blocks = weft::go([ch]() -> weft::routine<> {
      auto early = weft::go([ch]() -> weft::routine<> {
        co_await weft::sleep_for(1s);
        co_await ch.send(1);
      });
      for (int i = 0; i < 3; ++i) co_await weft::yield();
      blocking(ch).recv();
      early.join();
    });
    blocks.join();
    demand(weft::now() == begin + 1s + 1ms, "late");
    late.join();
  });
}

TEST_CASE("ten thousand routines that are ready at once all run in a simulation", "[sim]") {
  runs_well(1, [] {
    int ran = 0;
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < 10'000; ++i) {
      all.push_back(weft::go([&]() -> weft::routine<> {
        ++ran;
        co_return;
      }));
    }
    for (auto& h : all) h.join();
    demand(ran == 10'000, "not all have run");
  });
}

TEST_CASE("block_on_io is simulated: results, exceptions, queueing, calls that block", "[sim]") {
  runs_well(20, [] {
    weft::runtime rt({.workers = 2, .max_blocking_threads = 2});
    weft::channel<int> ch;
    std::vector<weft::join_handle<int>> all;
    for (int i = 0; i < 10; ++i) {
      all.push_back(rt.go([i, ch]() -> weft::routine<int> {
        auto receives = [](int n, weft::channel<int> from) { return n * *blocking(from).recv(); };
        co_return co_await weft::block_on_io(receives, i, ch);
      }));
    }
    auto sends = rt.go([ch]() -> weft::routine<> {
      for (int i = 0; i < 10; ++i) co_await ch.send(1);
    });
    int sum = 0;
    for (auto& h : all) sum += h.join();
    sends.join();
    demand(sum == 45, "a result is wrong");
    auto bad = rt.go([]() -> weft::routine<> {
      auto throws = [] { throw std::runtime_error("boom"); };
      co_await weft::block_on_io(throws);
    });
    try {
      bad.join();
    } catch (const std::runtime_error&) {
      return;
    }
    demand(false, "the exception is lost");
  });
}

TEST_CASE("timeouts pass in virtual time and at the nanosecond", "[sim]") {
  runs_well(20, [] {
    weft::channel<int> never;
    const auto begin = weft::now();
    demand(blocking(never).recv_for(10min).status == weft::recv_status::empty, "recv_for");
    demand(weft::now() == begin + 10min, "recv_for: when");
    try {
      weft::blocking::with_timeout(20min, [&] { blocking(never).recv(); });
      demand(false, "with_timeout");
    } catch (const weft::timeout_error&) {
    }
    demand(weft::now() == begin + 30min, "with_timeout: when");
    demand(weft::blocking::select(weft::on_recv(never), weft::on_timeout(30min)) == 1, "select");
    auto routine = weft::go([never]() -> weft::routine<> { co_await weft::with_timeout(1h, never.recv()); });
    demand(!routine.join_for(59min), "join_for");
    try {
      routine.join();
      demand(false, "with_timeout in a routine");
    } catch (const weft::timeout_error&) {
    }
    demand(weft::now() == begin + 2h, "with_timeout in a routine: when");
  });
}

TEST_CASE("a mutex keeps routines apart in every schedule", "[sim]") {
  runs_well(100, []() -> weft::routine<> {
    weft::mutex m;
    int inside = 0, total = 0;
    const auto party = [&]() -> weft::routine<> {
      for (int i = 0; i < 5; ++i) {
        auto held = co_await m.scoped();
        demand(++inside == 1, "two inside");
        co_await weft::yield();
        ++total;
        --inside;
      }
    };
    auto a = weft::go(party), b = weft::go(party), c = weft::go(party);
    co_await std::move(a);
    co_await std::move(b);
    co_await std::move(c);
    demand(total == 15, "an update is lost");
  });
}

TEST_CASE("a scope's cancellation reaches its routines in every schedule", "[sim]") {
  runs_well(100, [] {
    weft::channel<int> never;
    int ended = 0;
    try {
      weft::blocking::scope([&](weft::task_scope& s) {
        for (int i = 0; i < 3; ++i) {
          s.go([&]() -> weft::routine<> {
            try {
              co_await never.recv();
            } catch (...) {
              ++ended;
              throw;
            }
          });
        }
        s.go([&] {
          weft::blocking::sleep_for(1ms);
          throw std::runtime_error("boom");
        });
        blocking(never).recv();
      });
      demand(false, "the exception is lost");
    } catch (const std::runtime_error&) {
      demand(ended == 3, "a routine was not cancelled");
    }
  });
}

TEST_CASE("the stop of a runtime inside a run is the same whatever the memory looks like", "[sim]") {
  std::string first;
  std::uint64_t hash = 0;
  std::vector<weft::routine<>> noise;
  for (int turn = 0; turn < 10; ++turn) {
    std::string order;
    const auto r = weft::sim::run(5, [&] {
      weft::runtime rt({.workers = 3});
      weft::event never;
      for (int i = 0; i < 20; ++i) {
        rt.go(weft::spawn_options{.detached = true}, [&, i]() -> weft::routine<> {
          try {
            co_await never.wait();
          } catch (...) {
            order += static_cast<char>('a' + i);
            throw;
          }
        });
      }
      weft::blocking::sleep_for(1s);
      rt.stop();
    });
    INFO(r.report);
    REQUIRE(r.ok);
    REQUIRE(order.size() == 20);
    if (turn == 0) first = order, hash = r.hash;
    REQUIRE(order == first);
    REQUIRE(r.hash == hash);
    for (int i = 0; i < turn; ++i)
      noise.push_back([]() -> weft::routine<> { co_return; }());  // moves the frames
  }
}

TEST_CASE("runtimes made inside a run are simulated, and so is the global one", "[sim]") {
  runs_well(20, [] {
    weft::init_global_runtime({.workers = 3});
    demand(weft::runtime::global().workers() == 3, "the global runtime is not the run's own");
    weft::runtime a({.workers = 1}), b;
    demand(b.workers() == 2, "the default depends on the machine");
    weft::channel<int> ab, ba;
    auto ping = a.go([=]() -> weft::routine<> {
      for (int i = 0; i < 10; ++i) {
        co_await ab.send(i);
        co_await ba.recv();
      }
    });
    auto pong = b.go([=] {
      for (int i = 0; i < 10; ++i) {
        blocking(ab).recv();
        weft::blocking::sleep_for(1s);
        blocking(ba).send(i);
      }
    });
    ping.join();
    pong.join();
    weft::runtime::global().stop();
    try {
      weft::go([] {});
      demand(false, "go on a stopped runtime");
    } catch (const weft::stopped&) {
    }
    weft::init_global_runtime({});
    weft::go([] {}).join();
  });
}

TEST_CASE("a manual runtime runs in virtual time", "[sim]") {
  runs_well(20, [] {
    weft::runtime rt({.workers = weft::manual});
    const auto begin = weft::now();
    auto h = rt.go([]() -> weft::routine<> {
      co_await weft::sleep_for(1h);
      auto nothing = [] {};
      co_await weft::block_on_io(nothing);
    });
    rt.run_for(2h);
    demand(h.done(), "it has not run");
    demand(weft::now() == begin + 2h, "when");
    // A facade call of the host drives it; the callable blocks on a thread of the pool.
    weft::channel<int> ch;
    auto blocks = rt.go([ch] {
      weft::blocking::sleep_for(1h);
      return *blocking(ch).recv();
    });
    auto sends = rt.go([ch]() -> weft::routine<> {
      co_await weft::sleep_for(2h);
      co_await ch.send(3);
    });
    demand(blocks.join() == 3, "what");
    sends.join();
    demand(weft::now() == begin + 4h, "when, driven by a facade call");
  });
}

TEST_CASE("a run inside of a real runtime's routine, and one inside of another run", "[sim]") {
  std::uint64_t inner = 0;
  const auto outer = weft::sim::run(1, [&] {
    weft::blocking::sleep_for(1h);
    inner = weft::sim::run(2, [] { weft::go([] { weft::blocking::sleep_for(1s); }).join(); }).hash;
    weft::blocking::sleep_for(1h);
  });
  REQUIRE(outer.report == "");
  const auto in_routine =
      weft::go([] {
        return weft::sim::run(2, [] { weft::go([] { weft::blocking::sleep_for(1s); }).join(); });
      }).join();
  REQUIRE(in_routine.report == "");
  REQUIRE(in_routine.hash == inner);
}

TEST_CASE("runs at the same time do not disturb one another", "[sim]") {
  const auto program = [] {
    weft::channel<int> ch;
    auto a = weft::go([ch]() -> weft::routine<> {
      for (int i = 0; i < 50; ++i) co_await ch.send(i);
      ch.close();
    });
    auto b = weft::go([ch] {
      for (int n : blocking(ch)) weft::blocking::sleep_for(std::chrono::milliseconds(n));
    });
    a.join();
    b.join();
  };
  const std::uint64_t alone = weft::sim::run(9, program).hash;
  std::vector<std::uint64_t> hashes(4);
  std::vector<std::thread> threads;
  for (auto& h : hashes) threads.emplace_back([&] { h = weft::sim::run(9, program).hash; });
  for (auto& t : threads) t.join();
  REQUIRE(hashes == std::vector(4, alone));
}
