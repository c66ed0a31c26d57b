// Who waits for a descriptor that another's runtime watches, while all that one's workers compute.

#include <weft/io/pipe.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>

#include <sched.h>
#include <unistd.h>

#include "io/asleep.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

TEST_CASE("a descriptor is attended while all workers of the runtime that watches it compute",
          "[io][monitor]") {
  runtime busy({.workers = 1}), other({.workers = 1});
  auto ends = make_pipe();
  std::atomic<bool> begun{false}, over{false};
  const auto reads = [&]() -> routine<> {
    char c = 0;
    begun = true;
    co_await ends.first.read_some(mutable_buffer(&c, 1));
  };
  const auto await_wait_in = [&](const runtime& rt) {
    while (!begun || rt.stats().idle_workers == 0) ::sched_yield();
    begun = false;
  };
  const auto write = [&] { return ::write(ends.second.native_handle(), "x", 1) == 1; };

  auto first = busy.go(reads);
  await_wait_in(busy);  // it watches from now on
  REQUIRE(write());
  first.join();
  auto computes = busy.go([&] {
    begun = true;
    const auto limit = steady_clock::now() + 5s;
    while (!over && steady_clock::now() < limit) {
    }
    return over.load();
  });
  while (!begun) ::sched_yield();
  begun = false;

  SECTION("a routine of another runtime") {
    auto waits = other.go(reads);
    await_wait_in(other);
    REQUIRE(write());
    waits.join();
  }
  SECTION("a thread") {
    std::atomic<int> number{0};
    std::thread waits([&] {
      char c = 0;
      number = os::thread_number();
      (void)blocking::wait(ends.first.read_some(mutable_buffer(&c, 1)));
    });
    while (number == 0 || !test::sleeps(number)) ::sched_yield();
    REQUIRE(write());
    waits.join();
  }
  over = true;
  REQUIRE(computes.join());
}
