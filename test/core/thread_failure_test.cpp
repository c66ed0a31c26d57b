// Out of threads: a call that needs one more fails with the system's error, or waits for one there is.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <system_error>

#include <sched.h>
#include <unistd.h>

#include "os/port.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;

TEST_CASE("a facade call without a thread to stand in fails with the system's error", "[core][failure]") {
  weft::runtime rt({.workers = 1, .max_threads = 8, .blocking_idle_timeout = 1ms});
  weft::blocking::channel<int> ch;
  const auto blocks = [ch]() -> int {
    try {
      return ch.recv().value_or(0);
    } catch (const std::system_error& e) {
      return e.code() == std::errc::resource_unavailable_try_again ? -1 : -2;
    }
  };
  for (int round = 0; round < 10; ++round) {  // more than max_threads
    weft::os::fail_thread_start_after(0);
    REQUIRE(rt.go(blocks).join() == -1);
    auto works = rt.go(blocks);
    ch.send(7);
    REQUIRE(works.join() == 7);
    while (rt.stats().threads > 1) ::sched_yield();  // the spare has ended: the next round needs a new one
  }
  weft::os::fail_thread_start_after(-1);
}

TEST_CASE("the blocking pool without a thread refuses, and with one queues what would need another",
          "[core][failure]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 8, .blocking_idle_timeout = 1ms});
  const auto calls = []() -> weft::routine<int> {
    auto call = [] { return 7; };
    try {
      co_return co_await weft::block_on_io(call);
    } catch (const std::system_error& e) {
      co_return e.code() == std::errc::resource_unavailable_try_again ? -1 : -2;
    }
  };
  for (int round = 0; round < 10; ++round) {
    while (rt.stats().blocking_threads != 0) ::sched_yield();
    weft::os::fail_thread_start_after(0);
    REQUIRE(rt.go(calls).join() == -1);
    REQUIRE(rt.stats().blocking_queued == 0);
    REQUIRE(rt.go(calls).join() == 7);
  }
  while (rt.stats().blocking_threads != 0) ::sched_yield();
  // One thread, held; the next job's thread cannot be had: it waits for that one, or until another can be.
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  std::atomic<bool> inside{false};
  auto holds = rt.go([&]() -> weft::routine<> {
    auto call = [&] {
      inside.store(true);
      char c = 0;
      return ::read(ends[0], &c, 1);
    };
    (void)co_await weft::block_on_io(call);
  });
  while (!inside.load()) ::sched_yield();
  weft::os::fail_thread_start_after(0);
  auto waits = rt.go(calls);
  REQUIRE(waits.join() == 7);
  REQUIRE(::write(ends[1], "!", 1) == 1);
  holds.join();
  weft::os::fail_thread_start_after(-1);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("in manual mode go of a plain callable fails if no thread can be had, and nothing is left",
          "[core][failure]") {
  weft::runtime rt({.workers = weft::manual, .blocking_idle_timeout = 1ms});
  weft::os::fail_thread_start_after(0);
  REQUIRE_THROWS_AS(rt.go([] {}), std::system_error);
  REQUIRE(rt.stats().live == 0);
  weft::os::fail_thread_start_after(0);
  auto in_scope = rt.go([]() -> weft::routine<int> {
    auto body = [](weft::task_scope& s) -> weft::routine<int> {
      try {
        s.go([] {});
      } catch (const std::system_error&) {
        co_return 1;
      }
      co_return 0;
    };
    co_return co_await weft::scope(body);
  });
  REQUIRE(in_scope.join() == 1);
  weft::os::fail_thread_start_after(-1);
  REQUIRE(rt.go([] { return 7; }).join() == 7);
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}
