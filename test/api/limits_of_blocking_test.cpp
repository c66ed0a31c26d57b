// Calls that block inside one another, at the limits, and on a runtime that is being stopped.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// To one who waits already: nothing is buffered.
void send_to_waiting(weft::channel<int>& rendezvous) {
  while (rendezvous.try_send(1) != weft::try_send_status::sent) ::sched_yield();
}

weft::routine<> call_on_pool(void (*f)()) {
  co_await weft::block_on_io(f);
}

void nothing() {}

weft::routine<> call_later() {
  for (int i = 0; i < 10'000; ++i) co_await weft::yield();
  co_await call_on_pool(&nothing);
}

template <typename F>
weft::routine<> on_pool(F& f) {
  co_await weft::block_on_io(f);
}

weft::routine<> receive(weft::channel<int> from) {
  co_await from.recv();
}

}  // namespace

TEST_CASE("calls on a worker that block inside one another need one thread more, not one each",
          "[api][blocking]") {
  weft::runtime rt({.workers = 1, .max_threads = 2});
  weft::channel<int> ch, inner;
  bool failed = false;
  auto h = rt.go([&] {
    const weft::blocking_region announced;
    try {
      weft::blocking::select(weft::on_recv(ch, [&](const auto&) { weft::blocking::wait(inner.recv()); }));
    } catch (const std::system_error&) {
      failed = true;
    }
  });
  send_to_waiting(ch);
  send_to_waiting(inner);
  h.join();
  REQUIRE_FALSE(failed);
  REQUIRE(rt.stats().spares == 1);
}

TEST_CASE("what a blocking_region starts runs although the region goes on", "[api][blocking]") {
  weft::runtime rt({.workers = 1});
  const int many = 1000;
  std::atomic<int> ran{0};
  rt.go([&] {
      const weft::blocking_region announced;
      for (int i = 1; i <= many; ++i) {
        (void)weft::go([&] { ran.fetch_add(1); });
        while (ran.load() < i) ::sched_yield();
      }
    }).join();
  REQUIRE(ran.load() == many);
}

TEST_CASE("calls that block inside one another leave as many workers as there were", "[api][blocking]") {
  weft::runtime rt({.workers = 2});
  for (int i = 0; i < 20; ++i) {
    rt.go([] {
        const weft::blocking_region outer;
        const weft::blocking_region inner;
      }).join();
  }
  // Both at the same time, so on two workers.
  std::atomic<int> here{0};
  const auto meets = [&here]() -> weft::routine<> {
    ++here;
    while (here.load() < 2) {
    }
    co_return;
  };
  for (int i = 0; i < 20; ++i) {
    here = 0;
    auto a = rt.go(meets), b = rt.go(meets);
    a.join();
    b.join();
  }
  REQUIRE(rt.stats().workers == 2);
}

TEST_CASE("a select's handler on a pool thread may block for another call of the pool", "[api][pool]") {
  weft::runtime rt({.workers = 1});
  weft::channel<int> ch;
  bool handled = false;
  auto call = [&] {
    weft::blocking::select(weft::on_recv(ch, [&](const auto&) {
      rt.go(call_later()).join();
      handled = true;
    }));
  };
  auto h = rt.go(on_pool<decltype(call)>, std::ref(call));
  send_to_waiting(ch);
  h.join();
  REQUIRE(handled);
}

TEST_CASE("a call that only a thread beyond max_threads could run fails", "[api][pool]") {
  weft::runtime rt({.workers = 1, .max_threads = 2});
  bool failed = false;
  const auto join_and_tell = [&](auto& h) {
    try {
      h.join();
    } catch (const std::system_error&) {
      failed = true;
    }
  };
  SECTION("it comes while the only thread waits for it") {
    auto call = [&] {
      auto h = rt.go(call_later());
      join_and_tell(h);
    };
    rt.go(on_pool<decltype(call)>, std::ref(call)).join();
    REQUIRE(failed);
  }
  SECTION("it is queued when the only thread begins to wait for it") {
    auto call = [&] {
      auto h = rt.go(call_on_pool(&nothing));
      while (rt.stats().blocking_queued == 0) ::sched_yield();
      join_and_tell(h);
    };
    rt.go(on_pool<decltype(call)>, std::ref(call)).join();
    REQUIRE(failed);
  }
}

TEST_CASE("a stopped runtime's pool refuses calls", "[api][pool][stop]") {
  weft::runtime::global().go(&nothing).join();
  weft::runtime::global().stop();
  REQUIRE_THROWS_AS(weft::blocking::wait(weft::block_on_io(&nothing)), weft::stopped);
  weft::init_global_runtime({});
}

TEST_CASE("stop on several threads at once returns on all of them", "[api][runtime][stop]") {
  for (int round = 0; round < 20; ++round) {
    weft::runtime rt({.workers = 2});
    const weft::channel<int> ch;
    for (int i = 0; i < 10; ++i) (void)rt.go(receive, ch);
    constexpr int stoppers = 4;
    std::atomic<int> there{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < stoppers; ++i) {
      threads.emplace_back([&] {
        there.fetch_add(1);
        while (there.load() < stoppers) ::sched_yield();
        rt.stop();
      });
    }
    for (auto& each : threads) each.join();
    REQUIRE(rt.stats().live == 0);
  }
}

TEST_CASE("what is queued behind a call that blocks runs though the other workers are never idle",
          "[api][blocking]") {
  std::atomic<bool> over{false};
  const auto keeps_busy = [&over]() -> weft::routine<> {
    while (!over) co_await weft::yield();
  };
  weft::runtime rt({.workers = 1});  // ends before what they look at
  SECTION("routines") {
    constexpr int many = 100;
    weft::wait_group rest(many);
    const auto counts = [&rest]() -> weft::routine<> {
      rest.done();
      co_return;
    };
    rt.go([&]() -> weft::routine<> {
        for (int i = 0; i < 3; ++i) (void)weft::go(weft::spawn_options{.detached = true}, keeps_busy);
        co_await weft::yield();
        for (int i = 0; i < many; ++i) (void)weft::go(weft::spawn_options{.detached = true}, counts);
        weft::blocking::wait(rest.wait());
      }).join();
    REQUIRE(rest.count() == 0);
  }
  SECTION("a child of all") {
    weft::event there;
    const auto first = [&]() -> weft::routine<int> {
      weft::blocking::wait(there.wait());
      co_return 1;
    };
    const auto second = [&]() -> weft::routine<int> {
      there.set();
      co_return 2;
    };
    const auto both = [&]() -> weft::routine<int> {
      const auto [a, b] = co_await weft::all(first(), second());
      co_return a + b;
    };
    for (int i = 0; i < 3; ++i) (void)rt.go(weft::spawn_options{.detached = true}, keeps_busy);
    REQUIRE(rt.go(both).join() == 3);
  }
  SECTION("a child of all, when its worker retires") {
    // Two children call; when the first returns, one worker more is active than may be, and its worker
    // retires.
    weft::event first_may, second_may, third_ran;
    const auto first = [&]() -> weft::routine<int> {
      weft::blocking::wait(first_may.wait());
      co_await weft::yield();
      co_return 1;
    };
    const auto second = [&]() -> weft::routine<int> {
      first_may.set();
      weft::blocking::wait(third_ran.wait());
      co_return 2;
    };
    const auto third = [&]() -> weft::routine<int> {
      third_ran.set();
      co_return 4;
    };
    const auto all_three = [&]() -> weft::routine<int> {
      const auto [a, b, c] = co_await weft::all(first(), second(), third());
      co_return a + b + c;
    };
    for (int i = 0; i < 3; ++i) (void)rt.go(weft::spawn_options{.detached = true}, keeps_busy);
    REQUIRE(rt.go(all_three).join() == 7);
  }
  over = true;
}

TEST_CASE("options without a limit are taken as such", "[api][runtime]") {
  weft::runtime rt({.workers = 1,
                    .max_threads = ~0U,
                    .blocking_idle_timeout = std::chrono::nanoseconds::max(),
                    .stall_threshold = std::chrono::nanoseconds::max()});
  weft::channel<int> ch;
  for (int i = 0; i < 100; ++i) {
    auto h = rt.go([&] { weft::blocking::wait(ch.recv()); });
    send_to_waiting(ch);
    h.join();
  }
  REQUIRE(rt.stats().spares <= 2);  // two calls may overlap
  REQUIRE(rt.stats().monitor_looks <= 1);
}

TEST_CASE("more workers than can be counted are refused", "[api][runtime]") {
  REQUIRE_THROWS_AS(weft::runtime({.workers = 70'000}), std::system_error);
}

TEST_CASE("a scope on a thread waits for its routines though no thread can be had to stand in meanwhile",
          "[api][blocking][scope]") {
  weft::runtime rt({.workers = 2, .max_threads = 3});
  std::atomic<bool> inside{false}, ran{false}, left{false}, ended{false};
  weft::event release;
  auto takes_the_spare = rt.go([&] {
    while (!inside) ::sched_yield();
    weft::blocking::wait(release.wait());
  });
  auto scoped = rt.go([&] {
    weft::blocking::scope([&](weft::task_scope& s) {
      s.go([&]() -> weft::routine<> {
        ran = true;  // on the thread that stands in for the other callable
        for (int more = 0; more < 10'000; more += left ? 1 : 0) co_await weft::yield();
        ended = true;
      });
      inside = true;
      while (!ran) ::sched_yield();
      left = true;
    });
    return ended.load();
  });
  REQUIRE(scoped.join());
  release.set();
  takes_the_spare.join();
}

TEST_CASE("the thread that a call is promised is not given to a worker that is stuck meanwhile",
          "[api][blocking]") {
  weft::runtime rt({.workers = 2, .max_threads = 3});
  std::mutex m;
  weft::runtime_stats before, seen;
  const auto is_promised = [&] {
    try {
      weft::blocking::scope([&](weft::task_scope& s) {
        const std::lock_guard hold(m);
        before = rt.stats();
        s.go([&] { const std::lock_guard wait(m); });
        do {
          seen = rt.stats();
        } while (seen.unannounced_blocks + seen.blocks_not_replaced ==
                 before.unannounced_blocks + before.blocks_not_replaced);
      });
    } catch (const std::system_error&) {
      return false;  // on a busy machine: a worker was found asleep before, and its spare is not back yet
    }
    return true;
  };
  while (!rt.go(is_promised).join()) ::sched_yield();
  REQUIRE(seen.unannounced_blocks == before.unannounced_blocks);
}

TEST_CASE("a call that blocks unannounced, where no thread is to be had, is looked at now and then",
          "[api][blocking][monitor]") {
  weft::runtime rt({.workers = 1, .max_threads = 1});
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  auto reads = rt.go([&] {
    char byte = 0;
    return ::read(ends[0], &byte, 1);
  });
  while (rt.stats().dispatches == 0) ::sched_yield();
  auto waits = rt.go([] {});
  while (rt.stats().blocks_not_replaced < 20) ::sched_yield();
  const auto before = rt.stats();
  const auto begin = std::chrono::steady_clock::now();
  while (rt.stats().monitor_looks < before.monitor_looks + 100) ::sched_yield();
  REQUIRE(std::chrono::steady_clock::now() - begin > 150ms);  // one in 4 ms; it was one in 0.4
  REQUIRE(rt.stats().blocks_not_replaced > before.blocks_not_replaced);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  REQUIRE(reads.join() == 1);
  waits.join();
  for (const int fd : ends) ::close(fd);
}
