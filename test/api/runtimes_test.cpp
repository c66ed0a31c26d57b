// Runtimes as values: side by side, started anew, at their limits and at their end.

#include <weft/blocking.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// What is written to standard error while it lives.
class captured_errors {
 public:
  captured_errors() : file_(::memfd_create("stderr", MFD_CLOEXEC)), before_(::dup(STDERR_FILENO)) {
    ::dup2(file_, STDERR_FILENO);
  }

  captured_errors(const captured_errors&) = delete;
  captured_errors& operator=(const captured_errors&) = delete;

  ~captured_errors() {
    put_back();
    ::close(before_);
    ::close(file_);
  }

  std::string text() {
    put_back();
    std::string all(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
    return ::pread(file_, all.data(), all.size(), 0) == static_cast<ssize_t>(all.size()) ? all : "";
  }

 private:
  void put_back() { ::dup2(before_, STDERR_FILENO); }

  int file_;
  int before_;
};

weft::routine<int> plus_one(int n) {
  co_await weft::yield();
  co_return n + 1;
}

}  // namespace

TEST_CASE("several runtimes live side by side and their routines talk to one another", "[api][runtime]") {
  weft::runtime a({.workers = 1}), b({.workers = 2});
  weft::channel<int> there, back;
  auto far = b.go([there, back]() -> weft::routine<int> {
    int n = 0;
    while (auto v = co_await there.recv()) {
      co_await back.send(*v + 1);
      ++n;
    }
    co_return n;
  });
  auto near = a.go([there, back]() -> weft::routine<int> {
    int n = 0;
    for (int i = 0; i < 2'000; ++i) {
      co_await there.send(n);
      n = *co_await back.recv();
    }
    there.close();
    co_return n;
  });
  REQUIRE(near.join() == 2'000);
  REQUIRE(far.join() == 2'000);
}

TEST_CASE("a routine starts routines on another runtime, joins them, and stays on its own",
          "[api][runtime]") {
  weft::runtime a({.workers = 1, .name = "a"}), b({.workers = 1, .name = "b"});
  const int got = a.go([&b]() -> weft::routine<int> {
                     int sum = 0;
                     for (int i = 0; i < 100; ++i) {
                       auto inner = b.go([i]() -> weft::routine<int> {
                         auto innermost = weft::go(plus_one, i);  // on b, too
                         co_return co_await std::move(innermost);
                       });
                       sum += co_await std::move(inner);
                     }
                     co_return sum;
                   }).join();
  REQUIRE(got == 5'050);
  REQUIRE(a.stats().spawned == 1);
  REQUIRE(b.stats().spawned == 200);
}

TEST_CASE("the global runtime is set up once, stopped, and set up anew", "[api][runtime]") {
  weft::init_global_runtime({.workers = 1});
  REQUIRE(weft::runtime::global().workers() == 1);
  REQUIRE_THROWS_AS(weft::init_global_runtime({.workers = 2}), std::logic_error);
  REQUIRE(weft::go(plus_one, 1).join() == 2);
  for (int round = 0; round < 5; ++round) {
    weft::runtime::global().stop();
    weft::runtime::global().stop();  // idempotent
    REQUIRE_THROWS_AS(weft::go(plus_one, 1), weft::stopped);
    REQUIRE_THROWS_AS(weft::go([] {}), weft::stopped);
    weft::init_global_runtime({.workers = 2});
    REQUIRE(weft::runtime::global().workers() == 2);
    REQUIRE(weft::go(plus_one, 1).join() == 2);
  }
}

TEST_CASE("a go that races with stop is refused or its routine ends", "[api][runtime][stop]") {
  for (int round = 0; round < 50; ++round) {
    weft::runtime rt({.workers = 2});
    std::atomic<int> refused{0};
    std::vector<std::thread> starters;
    for (int t = 0; t < 3; ++t) {
      starters.emplace_back([&] {
        for (;;) {
          try {
            auto h = rt.go(plus_one, 1);
            (void)h.join_for(1h);
          } catch (const weft::stopped&) {
            refused.fetch_add(1);
            return;
          }
        }
      });
    }
    while (rt.stats().spawned < 100) ::sched_yield();
    rt.stop();
    for (auto& s : starters) s.join();
    REQUIRE(refused.load() == 3);
    REQUIRE(rt.stats().live == 0);
  }
}

TEST_CASE("stop_for names a routine that computes for ever, and stop ends when it is let go",
          "[api][runtime][stop]") {
  weft::runtime rt({.workers = 2});
  std::atomic<bool> started{false}, released{false};
  const int line = __LINE__ + 1;
  auto h = rt.go(weft::spawn_options{.name = "number cruncher"}, [&]() -> weft::routine<int> {
    started.store(true);
    while (!released.load()) {
    }
    co_return 7;
  });
  auto polite = rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
  while (!started.load()) ::sched_yield();
  captured_errors errors;
  const auto before = weft::now();
  const bool ended = rt.stop_for(50ms);
  const auto took = weft::now() - before;
  const std::string said = errors.text();
  INFO(said);
  CHECK_FALSE(ended);
  CHECK(took >= 50ms);
  CHECK(took < 5s);
  CHECK(said.find("number cruncher") != std::string::npos);
  CHECK(said.find("runtimes_test.cpp:" + std::to_string(line)) != std::string::npos);
  CHECK_THROWS_AS(polite.join(), weft::routine_cancelled);
  released.store(true);
  rt.stop();
  REQUIRE(h.join() == 7);  // it met no wait, so the stop took nothing from it
  REQUIRE(rt.stats().live == 0);
}

TEST_CASE("stop inside a routine only asks for it", "[api][runtime][stop]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([&rt]() -> weft::routine<> {
    rt.stop();
    co_await weft::sleep_for(1h);
  });
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(rt.is_stopped());
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}

TEST_CASE("a runtime that is stopped still takes what its own routines start, cancelled",
          "[api][runtime][stop]") {
  weft::runtime rt({.workers = 2});
  std::atomic<bool> ran{false}, refused{false};
  auto h = rt.go([&]() -> weft::routine<> {
    try {
      co_await weft::sleep_for(1h);
    } catch (const weft::cancelled&) {
    }
    try {
      (void)weft::go([&ran]() -> weft::routine<> {
        co_await weft::yield();
        ran.store(true);
      });
    } catch (const weft::stopped&) {
      refused.store(true);
    }
  });
  rt.stop();
  REQUIRE_FALSE(refused.load());
  REQUIRE_FALSE(ran.load());
  REQUIRE(rt.stats().live == 0);
}

TEST_CASE("a runtime has as many workers as the starting thread may use CPUs", "[api][runtime]") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  {
    weft::runtime rt;
    CHECK(rt.workers() == 1);
    CHECK(rt.go(plus_one, 1).join() == 2);
  }
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  weft::runtime all;
  CHECK(all.workers() >= 1);
  CHECK(all.workers() <= static_cast<unsigned>(CPU_COUNT(&before)));
}

TEST_CASE("more workers than a runtime can have is an invalid argument", "[api][runtime]") {
  try {
    const weft::runtime rt({.workers = 100'000});
    FAIL("it was made");
  } catch (const std::system_error& e) {
    REQUIRE(e.code() == std::errc::invalid_argument);
  }
}

TEST_CASE("plain callables that block beyond max_threads fail clearly and the rest goes on",
          "[api][runtime][limits]") {
  weft::runtime rt({.workers = 2, .max_threads = 4});
  weft::blocking::channel<int> gate;
  std::atomic<int> failed{0}, passed{0};
  std::vector<weft::join_handle<void>> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(rt.go([&, gate] {
      try {
        gate.recv();
        passed.fetch_add(1);
      } catch (const std::system_error& e) {
        if (e.code() == std::errc::resource_unavailable_try_again) failed.fetch_add(1);
      }
    }));
  }
  // Each that blocks has a spare; with four threads at least one callable cannot.
  while (failed.load() == 0) ::sched_yield();
  gate.close();
  for (auto& h : all) h.join();
  REQUIRE(failed.load() + passed.load() == 20);
  REQUIRE(passed.load() >= 1);
  REQUIRE(rt.stats().threads <= 4);
  REQUIRE(rt.go(plus_one, 1).join() == 2);
}

TEST_CASE("a thread's own time limit does not need the runtime, which may stop meanwhile", "[api][runtime]") {
  weft::blocking::channel<int> never;
  const auto waits = [&] {
    weft::runtime::global().stop();
    never.recv();
  };
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, waits), weft::timeout_error);
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, [&] { never.recv(); }), weft::timeout_error);
  const auto outer = [&] { weft::blocking::with_timeout(1h, [&] { never.recv(); }); };
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, outer), weft::timeout_error);
}

TEST_CASE("after on a stopped runtime says that nobody will set its event", "[api][runtime][stop]") {
  weft::runtime::global().stop();
  REQUIRE_THROWS_AS(weft::after(1ms), weft::stopped);
  REQUIRE_THROWS_WITH(
      weft::after(1ms),
      "weft: the runtime was stopped: nobody is left to set what after() gives when its time comes");
  auto never = weft::after(std::chrono::hours::max());  // needs nobody
  REQUIRE_FALSE(never.is_set());
  weft::init_global_runtime({});
}

TEST_CASE("the global runtime is not started anew before its stop has returned", "[api][runtime][stop]") {
  std::atomic<bool> started{false}, released{false};
  auto h = weft::go([&]() -> weft::routine<> {
    started.store(true);
    while (!released.load()) {
    }
    co_await weft::yield();
  });
  while (!started.load()) ::sched_yield();
  std::thread stops([] { weft::runtime::global().stop(); });
  while (!weft::runtime::global().is_stopped()) ::sched_yield();
  REQUIRE_THROWS_AS(weft::init_global_runtime({.workers = 1}), std::logic_error);
  released.store(true);
  stops.join();
  weft::init_global_runtime({.workers = 1});
  REQUIRE(weft::go(plus_one, 1).join() == 2);
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
}

TEST_CASE("a thread's time limit outlives the global runtime it was begun on", "[api][runtime][stop]") {
  weft::blocking::channel<int> never;
  auto far = weft::after(1h);
  const auto restarts = [&] {
    weft::runtime::global().stop();
    weft::init_global_runtime({.workers = 1});
    (void)weft::go(plus_one, 1);  // no wait: the limit may have passed
    never.recv();
  };
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, restarts), weft::timeout_error);
  const auto ends_before = [] {
    weft::runtime::global().stop();
    weft::init_global_runtime({.workers = 1});
  };
  weft::blocking::with_timeout(1h, ends_before);
  REQUIRE(far.is_set());  // by the stop
}

TEST_CASE("go on other threads goes on while the global runtime is stopped and started anew",
          "[api][runtime][stop]") {
  std::atomic<bool> over{false};
  std::vector<std::thread> others;
  for (int t = 0; t < 3; ++t) {
    others.emplace_back([&] {
      while (!over.load()) {
        try {
          auto h = weft::go(plus_one, 1);
          (void)h.join_for(1h);
          (void)weft::blocking::with_timeout(1h, [] { return 1; });
          (void)weft::after(1h);
        } catch (const weft::stopped&) {
          ::sched_yield();
        }
      }
    });
  }
  for (int round = 0; round < 100; ++round) {
    weft::runtime::global().stop();
    weft::init_global_runtime({.workers = 2});
  }
  over.store(true);
  for (auto& each : others) each.join();
  REQUIRE(weft::go(plus_one, 1).join() == 2);
}

TEST_CASE("a runtime may be destroyed while the thread that woke its last routine is still on its way",
          "[api][runtime][stop]") {
  for (int round = 0; round < 300; ++round) {
    weft::channel<int> ch;
    std::thread waker;
    {
      weft::runtime rt({.workers = 1});
      auto h = rt.go([ch]() -> weft::routine<int> { co_return *co_await ch.recv(); });
      waker = std::thread([to = weft::blocking::channel<int>(ch)]() mutable { to.send(1); });
      REQUIRE(h.join() == 1);
    }
    waker.join();
  }
}

TEST_CASE("a runtime that is stopped on another one's thread leaves that one its workers",
          "[api][runtime][stop]") {
  weft::runtime b({.workers = 1, .max_blocking_threads = 1});
  auto a = std::make_unique<weft::runtime>(weft::runtime_options{.workers = 1});
  weft::event begun, allowed;
  auto h = a->go([&]() -> weft::routine<> {
    const auto cleans_up = [&]() -> weft::routine<> {
      begun.set();
      co_await allowed.wait();
    };
    co_await weft::shield(cleans_up());
  });
  weft::blocking::wait(begun.wait());
  const auto allows = [&]() -> weft::routine<> {
    co_await weft::yield();
    const auto on_pool = [&] { allowed.set(); };
    co_await weft::block_on_io(on_pool);
  };
  SECTION("stop in a plain callable") {
    b.go([&] {
       (void)weft::go(weft::spawn_options{.detached = true}, allows);
       a->stop();
     }).join();
  }
  SECTION("the destructor in a plain callable") {
    b.go([&] {
       (void)weft::go(weft::spawn_options{.detached = true}, allows);
       a.reset();
     }).join();
  }
  SECTION("stop in a call on the blocking pool") {
    b.go([&]() -> weft::routine<> {
       const auto stops = [&] {
         (void)weft::go(weft::spawn_options{.detached = true}, allows);
         a->stop();
       };
       co_await weft::block_on_io(stops);
     }).join();
  }
  REQUIRE(h.done());
}

TEST_CASE("an event of after() is set when the runtime it counts on ends, and wakes who waits for it",
          "[api][runtime][stop]") {
  weft::runtime waits({.workers = 1});
  auto in_time = weft::after(1h);
  auto waiter = waits.go([&]() -> weft::routine<> { co_await in_time.wait(); });
  weft::runtime::global().stop();
  waiter.join();
  REQUIRE(in_time.is_set());
  weft::init_global_runtime({});
  auto anew = weft::after(1ms);
  weft::blocking::wait(anew.wait());
  REQUIRE(anew.is_set());
}

TEST_CASE("an event of after() may outlive the runtime of the routine that made it", "[api][runtime][stop]") {
  std::vector<std::unique_ptr<weft::later_event>> kept;
  for (int i = 0; i < 3; ++i) {
    weft::runtime rt({.workers = 2});
    const auto make = [&]() -> weft::routine<> {
      for (int n = 0; n < 100; ++n) kept.emplace_back(new weft::later_event(weft::after(1h)));
      co_return;
    };
    rt.go(make).join();
    for (int n = 0; n < 50; ++n) kept.erase(kept.begin());
  }
  REQUIRE(std::all_of(kept.begin(), kept.end(), [](auto& e) { return e->is_set(); }));
}

TEST_CASE("an event of after() that goes while its runtime ends is no problem", "[api][runtime][stop]") {
  for (int i = 0; i < 200; ++i) {
    std::vector<std::unique_ptr<weft::later_event>> kept;
    auto rt = std::make_unique<weft::runtime>(weft::runtime_options{.workers = 1});
    const auto make = [&]() -> weft::routine<> {
      for (int n = 0; n < 100; ++n) kept.emplace_back(new weft::later_event(weft::after(1h)));
      co_return;
    };
    rt->go(make).join();
    std::thread ends([&] { rt.reset(); });
    kept.clear();
    ends.join();
  }
  SUCCEED();
}

TEST_CASE("a thread's time limit outlives the runtime whose timer it has", "[api][runtime][stop]") {
  bool ran = false;
  weft::blocking::with_timeout(1h, [&] {
    weft::runtime::global().stop();
    weft::init_global_runtime({});
    ran = true;
  });
  REQUIRE(ran);
}
