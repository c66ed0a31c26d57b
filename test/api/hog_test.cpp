// Routines that compute for long and never yield: what is ready beside them runs on the other workers.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <vector>

#include <sched.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Computes, as far as weft can see, until it is let go; on a machine with few processors it lets others in.
weft::routine<> hogs(std::atomic<int>& begun, const std::atomic<bool>& over) {
  ++begun;
  while (!over) ::sched_yield();
  co_return;
}

/// Leaves a child, a timer and a message behind on its own worker, and hogs it until all have been seen to.
weft::routine<std::chrono::nanoseconds> hogs_beside_its_own(weft::channel<int> told) {
  std::atomic<int> seen{0};
  auto timer = weft::go([&]() -> weft::routine<> {
    co_await weft::sleep_for(1ms);
    ++seen;
  });
  for (int i = 0; i < 3; ++i) co_await weft::yield();  // it is armed
  const auto begin = weft::now();
  auto child = weft::go([&]() -> weft::routine<> {
    ++seen;
    co_return;
  });
  (void)told.try_send(1);  // who waits there wakes here
  while (seen < 2) ::sched_yield();
  const auto took = weft::now() - begin;
  co_await std::move(timer);
  co_await std::move(child);
  co_return took;
}

}  // namespace

TEST_CASE("routines that compute for ever on all workers but one stop nobody else", "[api][hog]") {
  weft::runtime rt({.workers = 4});
  std::atomic<int> begun{0};
  std::atomic<bool> over{false};
  std::vector<weft::join_handle<>> hogging;
  for (int i = 0; i < 3; ++i) hogging.push_back(rt.go(hogs, std::ref(begun), std::cref(over)));
  while (begun < 3) ::sched_yield();
  weft::blocking::channel<int> to, from;
  auto echo = rt.go(
      [](weft::channel<int> in, weft::channel<int> out) -> weft::routine<> {
        while (auto v = co_await in.recv()) co_await out.send(*v + 1);
      },
      to, from);
  for (int i = 0; i < 200; ++i) {
    REQUIRE(to.send(i) == weft::send_status::sent);
    REQUIRE(from.recv() == i + 1);
    rt.go([]() -> weft::routine<> { co_await weft::sleep_for(100us); }).join();
    rt.go([] { weft::blocking::sleep_for(1us); }).join();  // house: sleeps because it blocks its worker
  }
  to.close();
  echo.join();
  over = true;
  for (auto& h : hogging) h.join();
}

TEST_CASE("what a worker has left in its slot and its timers runs elsewhere while it computes",
          "[api][hog]") {
  weft::runtime rt({.workers = 2});
  auto quickest = std::chrono::nanoseconds::max();
  for (int i = 0; i < 30; ++i) {
    const weft::channel<int> told;
    auto waits = rt.go([told]() -> weft::routine<> { (void)co_await told.recv(); });
    const auto took = rt.go(hogs_beside_its_own, told).join();
    quickest = std::min<std::chrono::nanoseconds>(quickest, took);
    (void)told.close();
    waits.join();
  }
  INFO(quickest.count() << " ns");
  REQUIRE(quickest < 12ms);  // the timer's millisecond, the monitor's looks; all of them on a quiet machine
  REQUIRE(rt.stats().spares == 0);  // who computes is not replaced
}
