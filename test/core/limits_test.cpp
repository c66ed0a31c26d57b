// How far it goes: a million routines, sleepers, ping-pongs and nested awaits, and an idle runtime.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include "core/park.hpp"
#include "sched/frame_pool.hpp"
#include "support/catch.hpp"
#include "support/living_routines.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

using weft::test::sanitized;  // a frame is some ten times as large and slow then

long full_or(long full, long small) {
  return sanitized ? small : full;
}

/// Resident memory of this process.
double resident_mb() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

/// Until the last of `n` receivers has parked.
void let_all_park(weft::runtime& rt, const std::atomic<long>& started, long n) {
  while (started.load() < n || rt.stats().idle_workers < rt.workers()) ::sched_yield();
}

struct gathering {
  long expected;
  std::atomic<long> here{0};
  weft::event all{};

  void arrive() {
    if (here.fetch_add(1) + 1 == expected) all.set();
  }
};

std::atomic<long> receivers{0};  // not a parameter: that would be in each frame

weft::routine<long> receive_all(weft::channel<int> from) {
  receivers.fetch_add(1);
  long sum = 0;
  while (auto v = co_await from.recv()) sum += *v;
  co_return sum;
}

/// Spawned from inside, as a server would; `n` routines that wait for a value that nobody sends.
weft::routine<> park_many(weft::channel<int> on, long n) {
  for (long i = 0; i < n; ++i) {
    (void)weft::go(weft::spawn_options{.detached = true}, receive_all(on));
    if (i % 1'000 == 0) co_await weft::yield();
  }
}

weft::routine<> nap(std::chrono::milliseconds length, gathering& who, std::atomic<long>& early) {
  const auto until = weft::now() + length;
  co_await weft::sleep_for(length);
  if (weft::now() < until) early.fetch_add(1);
  who.arrive();
}

weft::routine<> nap_many(gathering& who, std::atomic<long>& early, long n) {
  for (long i = 0; i < n; ++i) {
    (void)weft::go(weft::spawn_options{.detached = true},
                   nap(std::chrono::milliseconds(1 + i % 1'000), who, early));
    if (i % 1'000 == 0) co_await weft::yield();
  }
}

/// The stretch of stack that coroutine bodies have run on; of one worker.
struct stack_use {
  std::uintptr_t lowest = UINTPTR_MAX, highest = 0;

  [[gnu::always_inline]] void note() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    lowest = std::min(lowest, here);
    highest = std::max(highest, here);
  }

  std::uintptr_t bytes() const { return highest - lowest; }
};

weft::routine<> serve(weft::channel<long> ball, weft::channel<long> back, long rounds, stack_use& used) {
  for (long i = 0; i < rounds; ++i) {
    co_await ball.send(i);
    co_await back.recv();
    used.note();
  }
  ball.close();
}

weft::routine<long> answer(weft::channel<long> ball, weft::channel<long> back, stack_use& used) {
  long n = 0;
  while (auto v = co_await ball.recv()) {
    co_await back.send(*v);
    used.note();
    ++n;
  }
  co_return n;
}

weft::routine<long> deep(long n, stack_use& used) {
  used.note();
  if (n == 0) co_return 0;
  const long below = co_await deep(n - 1, used);
  used.note();
  co_return below + 1;
}

/// Voluntary and involuntary context switches of all threads of runtimes, by name: sanitizers have some of
/// their own.
long switches_of_runtimes() {
  long sum = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* task = ::readdir(tasks)) {
    const std::string path = std::string("/proc/self/task/") + task->d_name;
    std::string name;
    std::getline(std::ifstream(path + "/comm"), name);
    if (name.rfind("weft-", 0) != 0) continue;
    std::ifstream status(path + "/status");
    for (std::string word; status >> word;) {
      if (word.find("ctxt_switches:") == std::string::npos) continue;
      long n = 0;
      status >> n;
      sum += n;
    }
  }
  ::closedir(tasks);
  return sum;
}

constexpr std::uintptr_t bounded = 100'000;  // 32 transfers of sanitized frames, and the worker's loop

}  // namespace

TEST_CASE("a million parked routines fit in 260 MB, and stop ends them all", "[core][limits]") {
  const long n = full_or(1'000'000, 100'000);
  {
    weft::runtime rt({.workers = 2});
    weft::channel<int> never;
    auto a = rt.go(park_many(never, n / 2)), b = rt.go(park_many(never, n - n / 2));
    a.join();
    b.join();
    let_all_park(rt, receivers, n);
    REQUIRE(rt.stats().live == static_cast<std::uint64_t>(n));
    if (!sanitized) REQUIRE(resident_mb() < 260);
    rt.stop();
    REQUIRE(rt.stats().live == 0);
    REQUIRE(weft::test::living_routines() == 0);
    REQUIRE(weft::sched::read_frame_stats().listed == 0);
  }
  weft::runtime next({.workers = 2});
  REQUIRE(next.go([]() -> weft::routine<int> { co_return 1; }).join() == 1);
}

TEST_CASE("a million sleepers of 1 to 1000 ms all wake, none early", "[core][limits]") {
  const long n = full_or(1'000'000, 50'000);
  weft::runtime rt({.workers = 2});
  gathering awake{n};
  std::atomic<long> early{0};
  auto a = rt.go(nap_many(awake, early, n / 2)), b = rt.go(nap_many(awake, early, n - n / 2));
  weft::blocking::wait(awake.all.wait());
  a.join();
  b.join();
  REQUIRE(awake.here.load() == n);
  REQUIRE(early.load() == 0);
}

TEST_CASE("an idle runtime makes no context switch in five seconds", "[core][limits]") {
  weft::runtime rt({.workers = 2, .blocking_idle_timeout = 20ms});
  weft::blocking::channel<int> woken;
  auto parked = rt.go([](weft::channel<int> c) -> weft::routine<> { co_await c.recv(); }, woken);
  std::vector<weft::join_handle<void>> busy;  // spares, pool threads and timers have been in use
  for (int i = 0; i < 8; ++i) {
    busy.push_back(rt.go([] { weft::blocking::sleep_for(1ms); }));
    busy.push_back(rt.go([]() -> weft::routine<> {
      auto nothing = [] {};
      co_await weft::block_on_io(nothing);
      co_await weft::sleep_for(1ms);
    }));
  }
  for (auto& h : busy) h.join();
  // Quiet when a fifth of a second passes without one: the spares and the monitor have gone to rest.
  weft::blocking::channel<int> nobody;
  const auto patience = weft::now() + 20s;
  long before = -1, now = switches_of_runtimes();
  while (now != before) {
    REQUIRE(weft::now() < patience);
    before = now;
    REQUIRE(nobody.recv_for(200ms).status == weft::recv_status::empty);
    now = switches_of_runtimes();
  }
  REQUIRE(nobody.recv_for(5s).status == weft::recv_status::empty);
  REQUIRE(switches_of_runtimes() == now);
  woken.send(1);
  parked.join();
}

TEST_CASE("ten million ping-pongs over a channel use bounded stack", "[core][limits]") {
  const long rounds = full_or(10'000'000, 300'000);
  weft::runtime rt({.workers = 1});
  weft::channel<long> ball, back;
  stack_use used;
  auto other = rt.go(answer(ball, back, used));
  rt.go(serve(ball, back, rounds, used)).join();
  REQUIRE(other.join() == rounds);
  REQUIRE(used.bytes() < bounded);
}

TEST_CASE("an await chain a million deep uses bounded stack down and up", "[core][limits]") {
  weft::runtime rt({.workers = 1});
  stack_use used;
  REQUIRE(rt.go(deep(1'000'000, used)).join() == 1'000'000);
  REQUIRE(used.bytes() < bounded);
}
