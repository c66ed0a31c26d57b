// A routine goes to the blocking pool, lives there, and comes back.

#include <weft/all_range.hpp>
#include <weft/dump.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pthread.h>
#include <sched.h>

#include "api/resume_on_parties.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("resume_on takes a routine to the pool, where whatever it waits for resumes it, and back",
          "[api][resume_on]") {
  weft::runtime rt({.workers = 2});
  checks right;
  weft::channel<int> ch;
  weft::channel<int> room(1);
  weft::mutex mutex;
  weft::semaphore permits{0};
  weft::event set;
  auto other = rt.go([&, ch]() mutable -> weft::routine<> {
    for (int i = 0; i < 3; ++i) co_await ch.send(i);
    permits.release();
    set.set();
  });
  auto h = rt.go([&, ch]() mutable -> weft::routine<int> {
    right(here() == place::workers, __LINE__);
    co_await weft::resume_on(weft::blocking_pool);
    right(here() == place::pool, __LINE__);
    co_await weft::resume_on(weft::blocking_pool);  // stays
    right(here() == place::pool, __LINE__);
    int sum = *co_await ch.recv();
    right(here() == place::pool, __LINE__);
    const auto timed = co_await ch.recv_for(10s);
    sum += *timed.value;
    right(here() == place::pool, __LINE__);
    auto take = [&](std::optional<int> v) { sum += *v; };
    co_await weft::select(weft::on_recv(ch, take), weft::on_timeout(10s));
    right(here() == place::pool, __LINE__);
    co_await permits.acquire();
    co_await set.wait();
    right(here() == place::pool, __LINE__);
    co_await weft::sleep_for(1ms);
    right(here() == place::pool, __LINE__);
    weft::channel<int> never;
    const auto chosen = co_await weft::select(weft::on_recv(never), weft::on_timeout(1ms));
    right(chosen == 1 && here() == place::pool, __LINE__);
    const auto late = co_await never.recv_for(1ms);
    right(!late.value && here() == place::pool, __LINE__);
    co_await weft::yield();
    right(here() == place::pool, __LINE__);
    {
      auto hold = co_await mutex.scoped();
      right(here() == place::pool, __LINE__);
    }
    co_await room.send(1);
    for (int i = 0; i < 300; ++i) {  // more than may be ready in a row
      (void)co_await room.recv();
      co_await room.send(i);
    }
    right(here() == place::pool, __LINE__);
    bool timed_out = false;
    try {
      co_await weft::with_timeout(1ms, never.recv());
    } catch (const weft::timeout_error&) {
      timed_out = true;
    }
    right(timed_out && here() == place::pool, __LINE__);
    co_await weft::resume_on(weft::workers);
    right(here() == place::workers, __LINE__);
    co_await weft::resume_on(weft::workers);  // stays
    co_await weft::sleep_for(1ms);
    right(here() == place::workers, __LINE__);
    co_return sum;
  });
  CHECK(h.join() == 3);
  other.join();
  CHECK(right.first_wrong() == 0);
  const auto stats = rt.stats();
  CHECK(stats.migrations_to_pool == 1);
  CHECK(stats.migrations_from_pool == 1);
  CHECK(stats.blocking_most_threads >= 1);
  CHECK(stats.blocking_queued == 0);
  CHECK(stats.blocking_queue_age_ns == 0);
}

TEST_CASE("a routine alone moves: what it awaits runs where it is, what it starts begins on the workers",
          "[api][resume_on]") {
  weft::runtime rt({.workers = 2});
  checks right;
  auto h = rt.go([&]() -> weft::routine<> {
    co_await weft::resume_on(weft::blocking_pool);
    const place called = co_await where_after_yield();
    right(called == place::pool, __LINE__);
    auto started = weft::go(where_after_yield);
    const place of_child = co_await std::move(started);
    right(of_child == place::workers && here() == place::pool, __LINE__);
    auto body = [&](weft::task_scope& s) -> weft::routine<int> {
      for (int i = 0; i < 10; ++i) {
        s.go([&right]() -> weft::routine<> {
          right(here() == place::workers, __LINE__);
          co_await goes_to_pool();
          right(here() == place::pool, __LINE__);
        });
      }
      co_return 7;
    };
    const int seven = co_await weft::scope(body);
    right(seven == 7 && here() == place::pool, __LINE__);
    const auto first = co_await weft::any(where_after_yield(), where_after_yield());
    right(first.value == place::workers && here() == place::pool, __LINE__);
    const auto id = weft::this_routine::id();
    co_await goes_to_workers();  // a child moves the routine it is part of
    right(here() == place::workers && weft::this_routine::id() == id, __LINE__);
  });
  h.join();
  CHECK(right.first_wrong() == 0);
}

TEST_CASE(
    "children of all() on the pool live there, each on a thread of its own, and may block on one another",
    "[api][resume_on][all]") {
  weft::runtime rt({.workers = 1});
  checks right;
  kernel_meeting pair;
  const auto meets = [&](bool first) -> weft::routine<place> {
    right(pair.meet(first), __LINE__);
    co_await weft::yield();
    co_return here();
  };
  auto h = rt.go([&]() -> weft::routine<> {
    co_await weft::resume_on(weft::blocking_pool);
    for (int i = 0; i < 100; ++i) {
      auto [a, b] = co_await weft::all(meets(true), meets(false));
      right(a == place::pool && b == place::pool && here() == place::pool, __LINE__);
      auto [alone] = co_await weft::all(where_after_yield());
      right(alone == place::pool && here() == place::pool, __LINE__);
    }
    std::vector<weft::routine<place>> many;
    for (int i = 0; i < 50; ++i) many.push_back(i % 2 == 0 ? where() : where_after_yield());
    const auto found = co_await weft::all(std::move(many));
    for (const place p : found) right(p == place::pool, __LINE__);
    bool thrown = false;
    const auto fails = []() -> weft::routine<int> {
      throw std::runtime_error("boom");
      co_return 0;
    };
    const auto waits = []() -> weft::routine<int> {
      weft::channel<int> never;
      co_return (co_await never.recv()).value_or(0);
    };
    try {
      (void)co_await weft::all(waits(), fails(), waits());
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    right(thrown && here() == place::pool, __LINE__);
  });
  h.join();
  CHECK(right.first_wrong() == 0);
}

TEST_CASE("after all() the parent goes on where it lives, wherever its children have gone",
          "[api][resume_on][all]") {
  for (const unsigned workers : {1U, 2U, 8U}) {
    weft::runtime rt({.workers = workers});
    checks right;
    const auto inner = [](bool to_pool) -> weft::routine<> {
      if (to_pool) {
        co_await goes_to_pool();
      } else {
        co_await goes_to_workers();
      }
      (void)co_await weft::all(goes_to_workers(), goes_to_pool());
      (void)co_await weft::all(goes_to_pool());
      (void)co_await weft::all(goes_to_workers());
    };
    const auto outer = [&]() -> weft::routine<> {
      (void)co_await weft::all(goes_to_pool(), goes_to_pool(), where());
      right(here() == place::workers, __LINE__);
      (void)co_await weft::all(where(), goes_to_pool());
      right(here() == place::workers, __LINE__);
      (void)co_await weft::all(goes_to_pool());
      right(here() == place::workers, __LINE__);
      (void)co_await weft::all(inner(true), inner(false), inner(true));
      right(here() == place::workers, __LINE__);
      co_await weft::resume_on(weft::blocking_pool);
      (void)co_await weft::all(goes_to_workers(), where(), goes_to_workers());
      right(here() == place::pool, __LINE__);
      (void)co_await weft::all(goes_to_workers());
      right(here() == place::pool, __LINE__);
      (void)co_await weft::all(inner(true), inner(false), inner(true));
      right(here() == place::pool, __LINE__);
      co_await weft::resume_on(weft::workers);
      (void)co_await weft::all(inner(true), where_after_yield());
      right(here() == place::workers, __LINE__);
    };
    std::vector<weft::join_handle<void>> all;
    for (int i = 0; i < 100; ++i) all.push_back(rt.go(outer));
    for (auto& h : all) h.join();
    CHECK(right.first_wrong() == 0);
  }
}

TEST_CASE("a routine may end on the pool: its value, its exception and its end reach who waits",
          "[api][resume_on]") {
  std::atomic<int> reported{0};
  const auto count = [](void* n, const weft::unhandled_exception&) {
    static_cast<std::atomic<int>*>(n)->fetch_add(1);
  };
  weft::runtime rt({.workers = 2, .on_unhandled_exception = {count, &reported}});
  const auto gives = []() -> weft::routine<int> {
    co_await goes_to_pool();
    co_return 7;
  };
  const auto fails = []() -> weft::routine<int> {
    co_await goes_to_pool();
    throw std::runtime_error("boom");
  };
  for (int i = 0; i < 200; ++i) {
    REQUIRE(rt.go(gives).join() == 7);
    REQUIRE_THROWS_AS(rt.go(fails).join(), std::runtime_error);
    auto joins = rt.go([&]() -> weft::routine<int> {
      auto h = weft::go(gives);
      auto failing = weft::go(fails);
      int n = co_await std::move(h);
      try {
        (void)co_await std::move(failing);
      } catch (const std::runtime_error&) {
        ++n;
      }
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        for (int k = 0; k < 5; ++k) s.go(gives);
        co_await weft::resume_on(weft::blocking_pool);
        for (int k = 0; k < 5; ++k) s.go(gives);
        if (n % 2 == 0) co_await weft::resume_on(weft::workers);
      };
      co_await weft::scope(body);
      try {
        auto fails_too = [&](weft::task_scope& s) -> weft::routine<> {
          s.go(gives);
          s.go(fails);
          weft::channel<int> never;
          (void)co_await never.recv();
        };
        co_await weft::scope(fails_too);
      } catch (const std::runtime_error&) {
        ++n;
      }
      co_return n;
    });
    REQUIRE(joins.join() == 9);
    { auto dropped = rt.go(fails); }
  }
  while (reported.load() != 200) ::sched_yield();
  rt.stop();
  CHECK(rt.stats().live == 0);
}

TEST_CASE("block_on_io calls its function in place in a routine that lives on the pool", "[api][resume_on]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  auto h = rt.go([]() -> weft::routine<int> {
    co_await weft::resume_on(weft::blocking_pool);
    const ::pthread_t before = ::pthread_self();
    auto same = [&] { return ::pthread_equal(before, ::pthread_self()) != 0 ? 1 : 0; };
    const int good = co_await weft::block_on_io(same);
    auto fails = [] { throw std::runtime_error("boom"); };
    try {
      co_await weft::block_on_io(fails);
    } catch (const std::runtime_error&) {
      co_return good + 1;
    }
    co_return 0;
  });
  CHECK(h.join() == 2);
  CHECK(rt.stats().blocking_jobs == 2);
}

TEST_CASE(
    "a routine that lives on the pool takes no thread while it waits, and gets a new one when all have ended",
    "[api][resume_on]") {
  weft::runtime rt({.workers = 2, .blocking_idle_timeout = 1ms});
  checks right;
  weft::channel<int> ch;
  constexpr int many = 200;
  std::vector<weft::join_handle<void>> all;
  std::atomic<int> there{0};
  for (int i = 0; i < many; ++i) {
    all.push_back(rt.go([&, ch]() mutable -> weft::routine<> {
      co_await weft::resume_on(weft::blocking_pool);
      there.fetch_add(1);
      (void)co_await ch.recv();
      right(here() == place::pool, __LINE__);
    }));
  }
  while (there.load() != many || rt.stats().blocking_threads != 0) ::sched_yield();
  ch.close();
  for (auto& h : all) h.join();
  CHECK(right.first_wrong() == 0);
}

TEST_CASE("in manual mode resume_on(workers) comes back to the host's poll", "[api][resume_on][embed]") {
  weft::runtime rt({.workers = weft::manual});
  const ::pthread_t host = ::pthread_self();
  checks right;
  auto h = rt.go([&]() -> weft::routine<int> {
    for (int i = 0; i < 50; ++i) {
      right(::pthread_equal(host, ::pthread_self()) != 0, __LINE__);
      co_await weft::resume_on(weft::blocking_pool);
      right(here() == place::pool, __LINE__);
      co_await weft::sleep_for(10us);
      right(here() == place::pool, __LINE__);
      co_await weft::resume_on(weft::workers);
    }
    co_return 7;
  });
  CHECK(h.join() == 7);
  CHECK(right.first_wrong() == 0);
}

TEST_CASE("a dump shows where a routine runs that lives on the pool", "[api][resume_on][dump]") {
  weft::runtime rt({.workers = 2});
  kernel_meeting held;
  std::atomic<bool> inside{false};
  auto h = rt.go(weft::spawn_options{.name = "migrant"}, [&]() -> weft::routine<bool> {
    co_await weft::resume_on(weft::blocking_pool);
    inside.store(true);
    const bool met = held.meet(true);
    weft::channel<int> ch;
    (void)co_await ch.recv_for(10s);
    co_return met;
  });
  while (!inside.load()) ::sched_yield();
  const auto dumped = [&] {
    std::string text;
    weft::dump(rt, [&](std::string_view piece) { text += piece; });
    return text;
  };
  std::string runs;
  do {  // the worker that it has left may not have noticed yet
    runs = dumped();
  } while (runs.find("'migrant': runs on the blocking pool") == std::string::npos);
  CHECK(held.meet(false));
  std::string waits;
  do {
    waits = dumped();
  } while (waits.find("recv on channel") == std::string::npos);
  h.cancel();
  CHECK_THROWS_AS(h.join(), weft::routine_cancelled);
}

TEST_CASE("a thread that waits for resume_on is told that only coroutines move", "[api][resume_on][misuse]") {
  const auto died = last_words([] { weft::blocking::wait(weft::resume_on(weft::blocking_pool)); });
  CHECK(died.aborted);
  CHECK(died.mentions("misuse: a thread waits for resume_on()"));
}

TEST_CASE("a plain callable that waits for resume_on is told so, too", "[api][resume_on][misuse]") {
  const auto died =
      last_words([] { weft::go([] { weft::blocking::wait(weft::resume_on(weft::workers)); }).join(); });
  CHECK(died.aborted);
  CHECK(died.mentions("misuse: a thread waits for resume_on()"));
}

namespace {

/// A coroutine of a type that weft does not know.
struct eager {
  struct promise_type {
    std::promise<void> ended;

    eager get_return_object() { return {ended.get_future()}; }

    std::suspend_never initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    void return_void() { ended.set_value(); }

    void unhandled_exception() { ended.set_exception(std::current_exception()); }
  };

  std::future<void> end;
};

eager hops(checks& right) {
  right(here() == place::elsewhere, __LINE__);
  co_await weft::resume_on(weft::workers);
  right(here() == place::workers, __LINE__);
  for (int i = 0; i < 10; ++i) {
    co_await weft::resume_on(weft::blocking_pool);
    right(here() == place::pool, __LINE__);
    co_await weft::resume_on(weft::workers);
    right(here() == place::workers, __LINE__);
  }
  co_await weft::resume_on(weft::blocking_pool);
  while (here() == place::pool)
    co_await weft::sleep_for(1ms);  // it lives nowhere; nor does it wait if it is late
  right(here() == place::workers, __LINE__);
  co_await weft::resume_on(weft::blocking_pool);
  right(here() == place::pool, __LINE__);
}

}  // namespace

TEST_CASE("a coroutine of a foreign type hops to the pool and to the workers", "[api][resume_on][foreign]") {
  checks right;
  std::vector<eager> all;
  for (int i = 0; i < 20; ++i) all.push_back(hops(right));
  for (eager& e : all) e.end.get();
  CHECK(right.first_wrong() == 0);
}
