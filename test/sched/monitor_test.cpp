// Whom the monitor takes to be stuck.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cstdint>

#include <sched.h>

#include "os/lock.hpp"
#include "support/catch.hpp"

namespace {

/// How many workers are taken to be stuck while the monitor looks so often; one ends it.
std::uint64_t taken_over_in(const weft::runtime& rt, std::uint64_t looks) {
  const std::uint64_t enough = rt.stats().monitor_looks + looks;
  for (;;) {
    const auto now = rt.stats();
    if (now.unannounced_blocks != 0 || now.monitor_looks >= enough) return now.unannounced_blocks;
    ::sched_yield();
  }
}

}  // namespace

TEST_CASE("a worker that sleeps until it gets a lock of weft's is not taken to be stuck",
          "[sched][monitor]") {
  weft::runtime rt({.workers = 1});
  std::uint32_t word = weft::os::lock_free;
  weft::os::guard hold(word);
  std::atomic<bool> waits{false};
  auto waiting = rt.go([&] {
    waits = true;
    const weft::os::guard mine(word);
  });
  while (!waits) ::sched_yield();
  auto behind = rt.go([] {});
  const auto taken = taken_over_in(rt, 50);
  hold.unlock();
  waiting.join();
  behind.join();
  REQUIRE(taken == 0);
}
