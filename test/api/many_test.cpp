// Many of everything: waiters of one event, values without a bound, timers of one instant, workers.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

using weft::test::sanitized;

long full_or(long full, long small) {
  return sanitized ? small : full;
}

/// Resident memory of this process.
double resident_mb() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

struct crowd {
  weft::event happens;
  weft::channel<int> closes;
  std::atomic<long> here{0}, gone_on{0};
};

weft::routine<> waits(crowd& c) {
  ++c.here;
  co_await c.happens.wait();
  ++c.gone_on;
  (void)co_await c.closes.recv();
  ++c.gone_on;
}

weft::routine<> starts_many(crowd& c, long n) {
  for (long i = 0; i < n; ++i) {
    (void)weft::go(weft::spawn_options{.detached = true}, waits(c));
    if (i % 1'000 == 0) co_await weft::yield();
  }
}

void until(const std::atomic<long>& count, long n) {
  while (count < n) ::sched_yield();
}

/// Two threads wait `n` times in all, for events that they destroy at once.
long wait_and_destroy(long n) {
  weft::runtime rt({.workers = 2});
  weft::channel<std::unique_ptr<weft::event>*> asks;
  std::atomic<long> woken{0};
  const auto sets = [=]() -> weft::routine<> {
    while (auto e = co_await asks.recv()) (**e)->set();
  };
  auto a = rt.go(sets), b = rt.go(sets);
  const auto waits_often = [&](long times) {
    for (long i = 0; i < times; ++i) {
      auto e = std::make_unique<weft::event>();
      auto* const on_stack = &e;
      (void)weft::blocking::wait(asks.send(on_stack));
      weft::blocking::wait(e->wait());
      e.reset();  // while set() may not have returned
      ++woken;
    }
  };
  std::thread other([&] { waits_often(n / 2); });
  waits_often(n / 2);
  other.join();
  (void)asks.close();
  a.join();
  b.join();
  return woken;
}

}  // namespace

TEST_CASE("one call wakes a million who wait, and what they took is given back", "[api][many]") {
  const long n = full_or(1'000'000, 20'000);
  weft::runtime rt({.workers = 2});
  crowd c;
  const auto all_of_them = [&] {
    c.here = c.gone_on = 0;
    c.happens.reset();
    c.closes = weft::channel<int>();
    rt.go(starts_many, std::ref(c), n).join();
    until(c.here, n);
    c.happens.set();
    until(c.gone_on, n);
    (void)c.closes.close();
    until(c.gone_on, 2 * n);
    while (rt.stats().live != 0) ::sched_yield();
  };
  all_of_them();
  const double once = resident_mb();
  all_of_them();
  if (!sanitized) REQUIRE(resident_mb() < once * 1.1 + 8);  // the same memory serves again
}

TEST_CASE("ten million values go through a channel without a bound, and the memory comes back",
          "[api][many]") {
  const long n = full_or(10'000'000, 300'000);
  auto ch = weft::channel<long>::unbounded();
  const double before = resident_mb();
  for (long i = 0; i < n; ++i) (void)ch.try_send(i);
  const double full = resident_mb();
  long sum = 0;
  while (const auto v = ch.try_recv()) sum += *v;
  REQUIRE(sum == n * (n - 1) / 2);
  if (!sanitized) {
    REQUIRE(full - before > 60);
    REQUIRE(resident_mb() - before < (full - before) / 4);
  }
}

TEST_CASE("both ends of a channel without a bound may go at once, with values inside", "[api][many]") {
  for (int round = 0; round < 1'000; ++round) {
    auto both = std::make_unique<weft::channel<std::shared_ptr<int>>>(
        weft::channel<std::shared_ptr<int>>::unbounded());
    auto value = std::make_shared<int>(1);
    std::optional<weft::channel_sender<std::shared_ptr<int>>> tx(*both);
    std::optional<weft::channel_receiver<std::shared_ptr<int>>> rx(*both);
    both.reset();
    std::thread sends([&] {
      for (int i = 0; i < 100; ++i) (void)tx->try_send(value);
      tx.reset();
    });
    for (int i = 0; i < round % 100; ++i) (void)rx->try_recv();
    rx.reset();
    sends.join();
    REQUIRE(value.use_count() == 1);
  }
}

TEST_CASE("timers of one and the same instant all fire, and none before it", "[api][many][time]") {
  const long n = full_or(1'000'000, 20'000);
  weft::runtime rt({.workers = 2});
  std::atomic<long> early{0}, fired{0};
  const auto instant = weft::now() + 300ms;
  auto starts = rt.go([&]() -> weft::routine<> {
    for (long i = 0; i < n; ++i) {
      (void)weft::go(weft::spawn_options{.detached = true}, [&, instant]() -> weft::routine<> {
        co_await weft::sleep_until(instant);
        early += weft::now() < instant ? 1 : 0;
        ++fired;
      });
      if (i % 1'000 == 0) co_await weft::yield();
    }
  });
  starts.join();
  until(fired, n);
  REQUIRE(early == 0);
}

TEST_CASE("a worker does not wake for each of many timers", "[api][many][time]") {
  constexpr int count = 20'000;
  constexpr auto apart = 5us;
  weft::runtime rt({.workers = 1});
  const auto begin = std::chrono::steady_clock::now();
  const auto before = rt.stats().parks;
  int early = 0;
  auto all = rt.go([&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < count; ++i) {
        s.go([&early, due = begin + 20ms + i * apart]() -> weft::routine<> {
          co_await weft::sleep_until(due);
          if (std::chrono::steady_clock::now() < due) ++early;
        });
      }
      co_return;
    });
  });
  all.join();
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(took >= 20ms + (count - 1) * apart);
  CHECK(early == 0);
  // One park for each rest, and some before the first and after the last.
  CHECK(rt.stats().parks - before < static_cast<std::uint64_t>(took / 100us) + 200);
}

TEST_CASE("timers that are armed and disarmed a million times cost no memory", "[api][many][time]") {
  const long n = full_or(1'000'000, 50'000);
  weft::runtime rt({.workers = 1});
  const auto arms = [](long times) -> weft::routine<> {
    for (long i = 0; i < times; ++i) {
      const auto later = weft::after(1h + std::chrono::nanoseconds(i));
      const auto sooner = weft::after(1h - std::chrono::nanoseconds(i));
      if (i % 1'000 == 0) co_await weft::yield();
    }
  };
  rt.go(arms, n / 10).join();
  const double before = resident_mb();
  rt.go(arms, n).join();
  if (!sanitized) REQUIRE(resident_mb() < before + 8);
}

TEST_CASE("an event of after() may go in the routine that it wakes, and arm another in its destructor",
          "[api][many][time]") {
  struct rearms {
    ~rearms() {
      auto next = weft::after(0ns);
      weft::blocking::wait(next.wait());  // a timer fires, and another thread stands in
      auto far = weft::after(1h);
    }
  };

  weft::runtime rt({.workers = 2});
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(rt.go([i]() -> weft::routine<> {
      std::unique_ptr<weft::later_event> e(
          new weft::later_event(weft::after(std::chrono::microseconds(i % 20))));
      co_await e->wait();
      e.reset();
      const rearms at_the_end;
      co_await weft::sleep_for(1us);
    }));
  }
  for (auto& h : all) h.join();
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}

namespace {

weft::routine<int> fibonacci(int n) {
  if (n < 2) co_return n;
  auto [a, b] = co_await weft::all(fibonacci(n - 1), fibonacci(n - 2));
  co_return a + b;
}

bool works(unsigned workers) {
  weft::runtime rt({.workers = workers});
  bool good = workers == 0 || rt.workers() == workers;
  good = good && rt.go(fibonacci, 15).join() == 610;
  weft::blocking::channel<int> to, from;
  auto echo = rt.go([=] {
    for (const int v : to) from.send(v + 1);
  });
  for (int i = 0; i < 100; ++i) {
    to.send(i);
    good = good && *from.recv() == i + 1;
  }
  to.close();
  echo.join();
  return good;
}

std::chrono::nanoseconds cpu_time() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace

TEST_CASE("a runtime works with any number of workers", "[api][many][runtime]") {
  const unsigned workers = GENERATE(0U, 1U, 2U, 64U, 1024U);
  REQUIRE(works(workers));
}

TEST_CASE("on one CPU more workers than that work, and nobody spins", "[api][many][runtime]") {
  cpu_set_t before, one;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  CPU_ZERO(&one);
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  const bool good = works(1) && works(2) && works(16);
  bool quiet = false;
  {
    weft::runtime rt({.workers = 16});
    auto sleeps = rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
    rt.go(fibonacci, 10).join();
    weft::blocking::channel<int> never;
    for (int i = 0; i < 20 && !quiet; ++i) {  // it has to come to rest first
      const auto used = cpu_time();
      (void)never.recv_for(100ms);
      quiet = cpu_time() - used < 20ms;
    }
  }
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  REQUIRE(good);
  REQUIRE(quiet);
}

TEST_CASE("what a thread waits with on its stack may go as soon as it is woken", "[api][many][facade]") {
  const long n = full_or(100'000, 10'000);
  REQUIRE(wait_and_destroy(n) == n);
}

TEST_CASE("what a thread waits with on its stack may go as soon as it is woken, ten million times",
          "[.stress][api][many][facade]") {
  const long n = full_or(10'000'000, 500'000);
  REQUIRE(wait_and_destroy(n) == n);
}
