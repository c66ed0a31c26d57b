// A stop from anywhere, in the middle of anything, ends; what was started has run or was cancelled; nothing
// of a runtime is left.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include <sched.h>

#include "support/catch.hpp"
#include "support/descriptors.hpp"

using namespace std::chrono_literals;

namespace {

/// Counts itself in and out: what was begun has also been unwound.
struct counted {
  explicit counted(std::atomic<long>& n) : alive(&n) { ++n; }

  counted(const counted& other) : alive(other.alive) { ++*alive; }

  counted& operator=(const counted&) = delete;

  ~counted() { --*alive; }

  std::atomic<long>* alive;
};

/// What waits, sleeps, spawns, fires and computes at the moment of the stop.
struct mixture {
  std::atomic<long> alive{0}, begun{0};
  weft::channel<int> never;
  weft::mutex mutex;

  void start(weft::runtime& rt) {
    const counted token(alive);
    (void)rt.go([this, token]() -> weft::routine<> {
      ++begun;
      co_await never.recv();
    });
    (void)rt.go([this, token] {
      ++begun;
      (void)weft::blocking::channel<int>(never).recv();
    });
    (void)rt.go([this, token]() -> weft::routine<> {  // spawns
      ++begun;
      for (;;) {
        (void)weft::go([token = token]() -> weft::routine<> { co_await weft::sleep_for(1h); });
        co_await weft::sleep_for(20us);
      }
    });
    (void)rt.go([this, token]() -> weft::routine<> {  // timers fire
      ++begun;
      for (;;) co_await weft::select(weft::on_recv(never), weft::on_timeout(5us));
    });
    (void)rt.go([this, token]() -> weft::routine<> {
      ++begun;
      for (;;) {
        auto hold = co_await mutex.scoped();
        co_await weft::yield();
      }
    });
    (void)rt.go([this, token]() -> weft::routine<> {
      ++begun;
      auto call = [token] {};
      for (;;) co_await weft::block_on_io(call);
    });
    (void)rt.go([this, token]() -> weft::routine<> {
      ++begun;
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        for (int i = 0; i < 5; ++i) s.go([this, token]() -> weft::routine<> { co_await never.recv(); });
        co_await never.recv();
      };
      co_await weft::scope(body);
    });
  }

  void let_begin(long n) const {
    while (begun < n) ::sched_yield();
  }
};

std::size_t entries(const char* directory) {
  const std::filesystem::directory_iterator all(directory);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("a stop ends from wherever it is asked for, in the middle of everything", "[api][stop]") {
  const int from = GENERATE(0, 1, 2, 3, 4, 5, 6);
  for (int round = 0; round < 10; ++round) {
    mixture all;
    {
      weft::runtime rt({.workers = 1 + static_cast<unsigned>(round) % 3});
      for (int i = 0; i < 3; ++i) all.start(rt);
      all.let_begin(round % 2 == 0 ? 21 : 1);
      switch (from) {
        case 0:  // here
          rt.stop();
          rt.stop();
          break;
        case 1:  // a thread
          std::thread([&] { rt.stop(); }).join();
          break;
        case 2: {  // two at once
          std::thread a([&] { rt.stop(); }), b([&] { rt.stop(); });
          a.join();
          b.join();
          break;
        }
        case 3:  // a routine
          (void)rt.go([&]() -> weft::routine<> {
            rt.stop();
            rt.stop();
            co_return;
          });
          while (!rt.is_stopped()) ::sched_yield();
          break;
        case 4: {  // a destructor, in a routine that is cancelled

          struct stops {
            weft::runtime& rt;

            ~stops() { rt.stop(); }
          };

          auto h = rt.go([&]() -> weft::routine<> {
            const stops at_the_end{rt};
            co_await weft::sleep_for(1h);
          });
          h.cancel();
          REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
          if (!rt.is_stopped()) rt.stop();  // it was cancelled before it began
          break;
        }
        case 5:  // a thread of the blocking pool
          (void)rt.go([&]() -> weft::routine<> {
            auto call = [&] { rt.stop(); };
            co_await weft::block_on_io(call);
          });
          while (!rt.is_stopped()) ::sched_yield();
          break;
        default:  // the destructor
          break;
      }
      if (from < 3) REQUIRE(rt.stats().live == 0);
    }
    REQUIRE(all.alive == 0);
  }
}

TEST_CASE("every routine that was started before the stop has run or was cancelled", "[api][stop]") {
  for (int round = 0; round < 100; ++round) {
    std::atomic<long> alive{0};
    std::vector<weft::join_handle<int>> all;
    weft::runtime rt({.workers = 2});
    for (int i = 0; i < 100; ++i) {
      all.push_back(rt.go([token = counted(alive), i]() -> weft::routine<int> {
        if (i % 2 != 0) co_await weft::yield();
        co_return 1;
      }));
    }
    rt.stop();
    int ran = 0, cancelled = 0;
    for (auto& h : all) {
      REQUIRE(h.done());
      try {
        ran += h.join();
      } catch (const weft::routine_cancelled&) {
        ++cancelled;
      }
    }
    REQUIRE(ran + cancelled == 100);
    REQUIRE(alive == 0);
  }
}

namespace {

/// So many runtimes, two at a time that talk to one another; true if the process is as it was.
bool leave_nothing(int count) {
  const auto one = [](int round) {
    weft::runtime a({.workers = 1 + static_cast<unsigned>(round) % 2});
    weft::runtime b({.workers = round % 8 == 0 ? weft::manual : 1U});
    weft::blocking::channel<int> shared;
    auto sends = a.go([=]() -> weft::routine<> {
      co_await static_cast<const weft::channel<int>&>(shared).send(1);
      auto nothing = [] {};
      co_await weft::block_on_io(nothing);
    });
    (void)b.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
    const bool got = shared.recv() == 1;
    sends.join();
    return got;
  };
  bool all = true;
  for (int i = 0; i < 16; ++i) all = all && one(i);  // what the first ones leave for the later is there
  const std::size_t files = weft::test::open_descriptors(), threads = entries("/proc/self/task");
  for (int i = 0; i < count; ++i) all = all && one(i);
  // The kernel forgets a joined thread a little later; a leak would stay, and this would hang.
  while (entries("/proc/self/task") > threads) ::sched_yield();
  return all && weft::test::open_descriptors() == files;
}

}  // namespace

TEST_CASE("hundreds of runtimes that start and stop leave no thread and no descriptor", "[api][stop]") {
  REQUIRE(leave_nothing(200));
}

TEST_CASE("ten thousand runtimes that start and stop leave no thread and no descriptor",
          "[.stress][api][stop]") {
  REQUIRE(leave_nothing(10'000));
}

TEST_CASE("stop ends routines whose operations are all over at once", "[api][stop]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  std::atomic<unsigned> far{0};
  for (int i = 0; i < 3; ++i) {
    (void)rt.go(weft::spawn_options{.detached = true}, [&far]() -> weft::routine<> {
      weft::channel<int> own(1);
      for (unsigned turn = 0;; ++turn) {
        co_await own.send(1);
        co_await own.recv();
        if (turn == 2'000) far.fetch_add(1);  // by then the lock is the worker's own
      }
    });
  }
  while (far.load() != 3) ::sched_yield();
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}

TEST_CASE("a routine that has seen the stop is cancelled at its next wait", "[api][stop]") {
  long threw = 0;
  for (int round = 0; round < 300; ++round) {
    weft::runtime rt({.workers = 1});
    std::atomic<bool> ready{false};
    (void)rt.go(weft::spawn_options{.detached = true}, [&]() -> weft::routine<> {
      weft::channel<int> own(1);
      for (int i = 0; i < 1'000; ++i) {  // by then the lock is the worker's own
        co_await own.send(1);
        co_await own.recv();
      }
      ready.store(true);
      while (!weft::this_routine::cancelled()) {
      }
      try {
        co_await own.send(1);
      } catch (const weft::cancelled&) {
        ++threw;
        throw;
      }
    });
    while (!ready.load()) ::sched_yield();
    rt.stop();
  }
  REQUIRE(threw == 300);
}

TEST_CASE("when a runtime has been stopped its figures say that no thread is left", "[api][stop][stats]") {
  weft::runtime rt({.workers = 4});
  const auto nothing = [] {};
  rt.go([&]() -> weft::routine<> { co_await weft::block_on_io(nothing); }).join();
  rt.go([] { weft::blocking::sleep_for(1ms); }).join();  // a spare
  REQUIRE(rt.stats().threads >= 4);
  rt.stop();
  const weft::runtime_stats s = rt.stats();
  REQUIRE(s.workers == 4);
  REQUIRE(s.threads == 0);
  REQUIRE(s.idle_workers == 0);
  REQUIRE(s.resting_workers == 0);
  REQUIRE(s.blocked_workers == 0);
  REQUIRE(s.blocking_threads == 0);
}
