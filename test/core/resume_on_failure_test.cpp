// Out of threads: what lives on the blocking pool, and what waits for one of its threads.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <string_view>
#include <system_error>
#include <vector>

#include <pthread.h>
#include <sched.h>

#include "os/port.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

bool on_pool() {
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return std::string_view(name).ends_with("-io");
}

bool is_no_thread(const std::system_error& e) {
  return e.code() == std::errc::resource_unavailable_try_again;
}

}  // namespace

TEST_CASE("resume_on without a thread throws the system's error, and the routine is where it was",
          "[core][failure][resume_on]") {
  weft::runtime rt({.workers = 2, .blocking_idle_timeout = 1ms});
  const auto tries = []() -> weft::routine<int> {
    try {
      co_await weft::resume_on(weft::blocking_pool);
    } catch (const std::system_error& e) {
      co_return is_no_thread(e) && !on_pool() ? -1 : -2;
    }
    co_return on_pool() ? 7 : 0;
  };
  for (int round = 0; round < 20; ++round) {
    while (rt.stats().blocking_threads != 0) ::sched_yield();
    weft::os::fail_thread_start_after(0);
    REQUIRE(rt.go(tries).join() == -1);
    REQUIRE(rt.stats().blocking_queued == 0);
    REQUIRE(rt.go(tries).join() == 7);
  }
  weft::os::fail_thread_start_after(-1);
}

TEST_CASE("a routine that is woken on the pool when it has no thread and can have none runs on a worker",
          "[core][failure][resume_on]") {
  for (const unsigned workers : {1U, 2U, weft::manual}) {
    weft::runtime rt({.workers = workers, .blocking_idle_timeout = 1ms});
    weft::channel<int> ch;
    std::atomic<int> there{0};
    auto h = rt.go([&, ch]() mutable -> weft::routine<int> {
      co_await weft::resume_on(weft::blocking_pool);
      int guests = 0;
      for (int i = 0; i < 20; ++i) {
        there.fetch_add(1);
        (void)co_await ch.recv();
        guests += on_pool() ? 0 : 1;
        if (i == 10) {  // what it does then is right there, too
          const auto gives = [](int n) -> weft::routine<int> {
            co_await weft::yield();
            co_return n;
          };
          auto [a, b] = co_await weft::all(gives(1), gives(2));
          guests += a + b - 3;
        }
        co_await weft::yield();
        guests += on_pool() ? 0 : 100;
      }
      co_return guests;
    });
    const auto look = [&] {
      if (workers == weft::manual) rt.poll();
      ::sched_yield();
    };
    for (int i = 0; i < 20; ++i) {
      while (there.load() != i + 1 || rt.stats().blocking_threads != 0) look();
      weft::os::fail_thread_start_after(0);
      weft::blocking::channel<int>(ch).send(i);
    }
    REQUIRE(h.join() == 20);
    weft::os::fail_thread_start_after(-1);
  }
}

TEST_CASE("at max_threads what a pool thread waits for runs on a worker", "[core][failure][resume_on]") {
  weft::runtime rt({.workers = 2, .max_threads = 3});
  for (int round = 0; round < 100; ++round) {
    weft::event go_on;
    weft::blocking::channel<int> ch;
    std::atomic<bool> waits{false};
    auto giver = rt.go([&, out = weft::channel<int>(ch)]() mutable -> weft::routine<> {
      co_await weft::resume_on(weft::blocking_pool);
      waits.store(true);
      co_await go_on.wait();
      co_await out.send(7);
    });
    while (!waits.load()) ::sched_yield();
    std::atomic<bool> inside{false};
    auto taker = rt.go([&, ch]() mutable -> weft::routine<int> {
      co_await weft::resume_on(weft::blocking_pool);
      inside.store(true);
      if (round % 2 == 0) go_on.set();  // then it is queued when the only thread begins to wait for it
      co_return ch.recv().value_or(0);
    });
    while (!inside.load()) ::sched_yield();
    go_on.set();
    REQUIRE(taker.join() == 7);
    giver.join();
  }
}

TEST_CASE("who relies on a thread that is being started is refused with it, and nobody is left behind",
          "[core][failure][resume_on]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1, .blocking_idle_timeout = 1ms});
  const auto calls = [](bool hops) -> weft::routine<int> {
    auto call = [] { return 7; };
    try {
      if (hops) {
        co_await weft::resume_on(weft::blocking_pool);
        co_return 7;
      }
      co_return co_await weft::block_on_io(call);
    } catch (const std::system_error&) {
      co_return -1;
    }
  };
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    while (rt.stats().blocking_threads != 0) ::sched_yield();
    weft::os::fail_thread_start_after(0);
    std::vector<weft::join_handle<int>> all;
    for (int i = 0; i < 6; ++i) all.push_back(rt.go(calls, i % 2 == 0));
    for (auto& h : all) refused += h.join() == -1 ? 1 : 0;
    REQUIRE(rt.stats().blocking_queued == 0);
  }
  CHECK(refused >= 1);
  weft::os::fail_thread_start_after(-1);
}
