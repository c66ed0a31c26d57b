// Coroutines of other libraries at the end of a runtime: what they wait for ends, and what is queued runs or
// is refused.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <coroutine>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <sched.h>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

/// Eager; its end is a std::future.
class task {
 public:
  struct promise_type {
    std::promise<int> result;

    task get_return_object() { return task(result.get_future()); }

    std::suspend_never initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    void return_value(int value) { result.set_value(value); }

    void unhandled_exception() { result.set_exception(std::current_exception()); }
  };

  int get() { return result_.get(); }

  bool has_ended() const { return result_.wait_for(0s) == std::future_status::ready; }

 private:
  explicit task(std::future<int> result) : result_(std::move(result)) {}

  std::future<int> result_;
};

/// Resumed by hand.
struct bare {
  struct promise_type {
    bare get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }

    std::suspend_always initial_suspend() noexcept { return {}; }

    std::suspend_never final_suspend() noexcept { return {}; }

    void return_void() {}

    void unhandled_exception() { std::terminate(); }
  };

  std::coroutine_handle<promise_type> handle;
};

bare counts(std::atomic<int>& resumed) {
  resumed.fetch_add(1);
  co_return;
}

struct things {
  weft::channel<int> never;
  weft::channel<int> full{1};
  weft::event unset;
  weft::mutex held;
  std::atomic<int> waiting{0};
};

constexpr int kinds = 9;

/// 1 if the wait ended by cancellation, and so does the next one.
task waits(weft::runtime& rt, things& t, int kind) {
  co_await rt.schedule();
  t.waiting.fetch_add(1);
  int cancelled = 0;
  try {
    if (kind == 0) co_await t.never.recv();
    if (kind == 1) (void)co_await t.never.recv_for(1h);
    if (kind == 2) co_await t.full.send(1);
    if (kind == 3) co_await weft::sleep_for(1h);
    if (kind == 4) co_await t.unset.wait();
    if (kind == 5) co_await t.held.lock();
    if (kind == 6) co_await weft::select(weft::on_recv(t.never), weft::on_timeout(1h));
    if (kind == 7) {
      while (true) co_await weft::yield();
    }
    if (kind == 8) {
      auto endless = weft::go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
      co_await weft::select(weft::on_event(t.unset), weft::on_join(endless));
      throw weft::cancelled();  // its end may have been quicker
    }
  } catch (const weft::cancelled&) {
    ++cancelled;
  }
  try {
    co_await weft::yield();
  } catch (const weft::cancelled&) {
    ++cancelled;
  }
  co_return cancelled == 2 ? 1 : 0;
}

}  // namespace

TEST_CASE("stop cancels what coroutines of foreign types wait for and returns when they have gone on",
          "[api][foreign][stop]") {
  const unsigned workers = GENERATE(1U, 2U, 8U);
  for (int round = 0; round < 20; ++round) {
    things t;
    (void)t.full.try_send(0);
    REQUIRE(t.held.try_lock());
    std::vector<task> all;
    {
      weft::runtime rt({.workers = workers});
      for (int i = 0; i < 4 * kinds; ++i) all.push_back(waits(rt, t, i % kinds));
      while (t.waiting.load() < 4 * kinds) ::sched_yield();
      rt.stop();
      for (const task& each : all) REQUIRE(each.has_ended());
    }
    int cancelled = 0;
    for (task& each : all) cancelled += each.get();
    REQUIRE(cancelled == 4 * kinds);
    // Nobody of a runtime that is gone is woken by these.
    t.never.close();
    t.unset.set();
    t.held.unlock();
    REQUIRE(*t.full.try_recv().value == 0);
  }
}

TEST_CASE("a coroutine of a foreign type that is woken while its runtime stops goes on once",
          "[api][foreign][stop]") {
  for (int round = 0; round < 200; ++round) {
    weft::channel<int> ch;
    std::atomic<int> ended{0};
    std::vector<task> all;
    const auto receives = [](weft::runtime& on, weft::channel<int> in, std::atomic<int>& count) -> task {
      int sum = 0;
      try {
        co_await on.schedule();
        while (auto v = co_await in.recv()) sum += *v;
      } catch (const weft::cancelled&) {
      }
      count.fetch_add(1);
      co_return sum;
    };
    std::thread waker;
    {
      weft::runtime rt({.workers = 2});
      for (int i = 0; i < 8; ++i) all.push_back(receives(rt, ch, ended));
      waker = std::thread([&] {
        for (int i = 0; i < 50; ++i) (void)ch.try_send(1);
        ch.close();
      });
    }
    REQUIRE(ended.load() == 8);
    waker.join();
    for (task& each : all) (void)each.get();
  }
}

TEST_CASE(
    "a coroutine of a foreign type that waits for a routine when its runtime stops outlives the routine",
    "[api][foreign][stop]") {
  for (int round = 0; round < 50; ++round) {
    weft::event begun;
    std::atomic<bool> alive{true};
    std::atomic<int> after_its_end{0};
    const auto waits_for_scope = [&](weft::runtime& on) -> task {
      co_await on.schedule();
      auto local = std::make_unique<int>(1);
      const auto body = [&](weft::task_scope& s) -> weft::routine<> {
        s.go([&]() -> weft::routine<> {
          try {
            co_await weft::sleep_for(1h);
          } catch (const weft::cancelled&) {
            if (!alive.load() || *local != 1) after_its_end.fetch_add(1);
          }
        });
        begun.set();
        co_await weft::sleep_for(1h);
      };
      int how = 0;
      try {
        co_await weft::scope(body);
      } catch (const weft::routine_cancelled&) {
        how = 1;
      }
      *local = 2;
      alive.store(false);
      co_return how;
    };
    weft::runtime rt({.workers = 2});
    task t = waits_for_scope(rt);
    weft::blocking::wait(begun.wait());
    rt.stop();
    REQUIRE(t.has_ended());
    REQUIRE(t.get() == 1);
    REQUIRE(after_its_end.load() == 0);
  }
}

TEST_CASE("a call on the blocking pool for a coroutine of a foreign type keeps the stop waiting",
          "[api][foreign][stop]") {
  weft::event calling;
  std::atomic<bool> released{false};
  const auto calls = [&](weft::runtime& on) -> task {
    co_await on.schedule();
    const auto spin = [&] {
      calling.set();
      while (!released.load()) ::sched_yield();
      return 3;
    };
    co_return co_await weft::block_on_io(spin);
  };
  weft::runtime rt({.workers = 2});
  task t = calls(rt);
  weft::blocking::wait(calling.wait());
  REQUIRE_FALSE(rt.stop_for(10ms));
  released.store(true);
  rt.stop();
  REQUIRE(t.has_ended());
  REQUIRE(t.get() == 3);
}

TEST_CASE("a coroutine of a foreign type on a thread of its own waits on the global runtime",
          "[api][foreign][stop]") {
  weft::channel<int> never, ready(1);
  const auto receives = [](weft::channel<int> in) -> task { co_return *co_await in.recv(); };
  for (int round = 0; round < 10; ++round) {
    task t = receives(never);
    REQUIRE_FALSE(t.has_ended());
    weft::runtime::global().stop();
    REQUIRE(t.has_ended());
    REQUIRE_THROWS_AS(t.get(), weft::cancelled);
    (void)ready.try_send(1);
    REQUIRE_THROWS_AS(receives(never).get(), weft::stopped);  // nobody would resume it
    REQUIRE_THROWS_AS(receives(ready).get(), weft::stopped);
    weft::init_global_runtime({.workers = 2});
    REQUIRE(receives(ready).get() == 1);
  }
}

TEST_CASE("a timer that is armed on a thread of its own wakes a runtime that sleeps",
          "[api][foreign][time]") {
  const bool with_after = GENERATE(false, true);
  weft::runtime::global().stop();
  weft::init_global_runtime({.workers = 2});
  const auto sleeps = []() -> task {
    co_await weft::sleep_for(1ms);
    co_return 1;
  };
  for (int round = 0; round < 100; ++round) {
    while (weft::runtime::global().stats().idle_workers < 2) ::sched_yield();
    if (with_after) {
      auto later = weft::after(1ms);
      weft::blocking::wait(later.wait());
    } else {
      REQUIRE(sleeps().get() == 1);
    }
  }
}

TEST_CASE("coroutines of foreign types await while the global runtime is stopped and started again",
          "[api][foreign][stop]") {
  std::atomic<bool> over{false};
  std::vector<std::thread> others;
  const auto waits_a_bit = [](int kind) -> task {
    if (kind == 0) co_await weft::sleep_for(10us);
    if (kind == 1) co_await weft::yield();
    if (kind == 2) co_await weft::go([]() -> weft::routine<> { co_await weft::yield(); });
    if (kind == 3) (void)co_await weft::channel<int>().recv_for(10us);
    co_return 1;
  };
  std::atomic<int> lost{0};
  for (int i = 0; i < 4; ++i) {
    others.emplace_back([&, i] {
      while (!over.load()) {
        try {
          (void)waits_a_bit(i).get();
        } catch (const weft::cancelled&) {
        } catch (const weft::routine_cancelled&) {
        } catch (const weft::stopped&) {
          ::sched_yield();
        } catch (...) {
          lost.fetch_add(1);
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
  REQUIRE(lost.load() == 0);
}

TEST_CASE("schedule and post on a stopped runtime throw and the coroutine is still the caller's",
          "[api][foreign][stop]") {
  weft::runtime rt({.workers = 1});
  rt.stop();
  const auto hops = [](weft::runtime& to) -> task {
    co_await to.schedule();
    co_return 1;
  };
  REQUIRE_THROWS_AS(hops(rt).get(), weft::stopped);
  std::atomic<int> resumed{0};
  const bare b = counts(resumed);
  REQUIRE_THROWS_AS(rt.post(b.handle), weft::stopped);
  REQUIRE(resumed.load() == 0);
  b.handle.resume();
  REQUIRE(resumed.load() == 1);
}

TEST_CASE("what is scheduled or posted while a runtime stops runs before the stop returns, or is refused",
          "[api][foreign][stop]") {
  const unsigned workers = GENERATE(2U, unsigned{weft::manual});
  const int full = workers == weft::manual ? 300 : 100;  // there the moment is short
  const int rounds = weft::test::unless_sanitized(full, full / 5);
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int> accepted{0}, resumed{0};
    std::atomic<bool> over{
        false};  // till then they try, though they are refused: the stop must see it through
    std::vector<std::thread> others;
    weft::runtime rt({.workers = workers});
    const auto hops = [](weft::runtime& to, std::atomic<int>& in, std::atomic<int>& out) -> task {
      try {
        auto op = to.schedule();
        in.fetch_add(1);
        co_await op;
        out.fetch_add(1);
      } catch (const weft::stopped&) {
        in.fetch_sub(1);
        co_return 0;
      }
      co_return 1;
    };
    for (int t = 0; t < 2; ++t) {
      others.emplace_back([&] {
        while (!over.load()) (void)hops(rt, accepted, resumed).get();
      });
      others.emplace_back([&] {
        while (!over.load()) {
          const bare b = counts(resumed);
          while (accepted.load() - resumed.load() > 100) ::sched_yield();  // a host is slower than they
          try {
            accepted.fetch_add(1);
            rt.post(b.handle);
          } catch (const weft::stopped&) {
            accepted.fetch_sub(1);
            b.handle.destroy();
          }
        }
      });
    }
    while (rt.stats().dispatches < 50) {
      if (workers == weft::manual) rt.poll();
      ::sched_yield();
    }
    rt.stop();
    over.store(true);
    for (auto& each : others) each.join();
    REQUIRE(resumed.load() == accepted.load());
  }
}

TEST_CASE("a coroutine of a foreign type that is destroyed while it awaits weft aborts with one sentence",
          "[api][foreign][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::channel<int> never;
    const auto receives = [](weft::channel<int> in) -> bare { (void)co_await in.recv(); };
    const bare b = receives(never);
    b.handle.resume();
    b.handle.destroy();
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("a coroutine is destroyed while it awaits something of weft"));
}

namespace {

constexpr int rounds = 2'000;

task locks_often(weft::runtime& rt, weft::mutex& m, int& counter) {
  co_await rt.schedule();
  for (int i = 0; i < rounds; ++i) {
    co_await m.lock();
    const int seen = counter;
    if (i % 8 == 0) co_await weft::yield();
    counter = seen + 1;
    m.unlock();
  }
  co_return 0;
}

}  // namespace

TEST_CASE("routines and coroutines of foreign types share a mutex, and the runtime still ends",
          "[api][foreign][mutex]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  constexpr int each = 4;
  weft::runtime rt({.workers = workers});
  weft::mutex m;
  int counter = 0;
  std::vector<weft::join_handle<>> routines;
  for (int i = 0; i < each; ++i) {
    routines.push_back(rt.go([&]() -> weft::routine<> {
      for (int n = 0; n < rounds; ++n) {
        co_await m.lock();
        ++counter;
        m.unlock();
      }
    }));
  }
  std::vector<task> tasks;
  for (int i = 0; i < each; ++i) tasks.push_back(locks_often(rt, m, counter));
  for (auto& t : tasks) (void)t.get();
  for (auto& r : routines) r.join();
  REQUIRE(counter == 2 * each * rounds);
  REQUIRE(rt.stop_for(10s));
}
