// Routines that hop between workers and pool: cancelled, stopped, in masses, in simulation.

#include <weft/sim.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <sched.h>

#include "api/resume_on_parties.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;
using namespace weft::test;

TEST_CASE("a routine that waits for a thread of the pool is cancelled, and has not moved",
          "[api][resume_on][cancel]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  kernel_meeting held;
  std::atomic<bool> inside{false};
  auto holder = rt.go([&]() -> weft::routine<bool> {
    co_await weft::resume_on(weft::blocking_pool);
    inside.store(true);
    co_return held.meet(true);
  });
  while (!inside.load()) ::sched_yield();
  checks right;
  auto h = rt.go([&]() -> weft::routine<> {
    bool thrown = false;
    try {
      co_await weft::resume_on(weft::blocking_pool);
    } catch (const weft::cancelled&) {
      thrown = true;
    }
    right(thrown && here() == place::workers, __LINE__);
    throw std::runtime_error("was here");
  });
  auto limited = rt.go([&]() -> weft::routine<> {
    bool thrown = false;
    try {
      co_await weft::with_timeout(1ms, weft::resume_on(weft::blocking_pool));
    } catch (const weft::timeout_error&) {
      thrown = true;
    }
    right(thrown && here() == place::workers, __LINE__);
  });
  limited.join();
  while (rt.stats().blocking_queued == 0) ::sched_yield();
  CHECK(rt.stats().blocking_queue_age_ns > 0);
  h.cancel();
  CHECK_THROWS_AS(h.join(), std::runtime_error);
  CHECK(rt.stats().blocking_queued == 0);
  CHECK(held.meet(false));
  CHECK(holder.join());
  CHECK(right.first_wrong() == 0);
  CHECK(rt.stats().migrations_to_pool == 1);
}

TEST_CASE(
    "a cancelled routine on the pool gets it at each wait there, and comes back to a worker all the same",
    "[api][resume_on][cancel]") {
  weft::runtime rt({.workers = 2});
  for (int i = 0; i < 300; ++i) {
    checks right;
    std::atomic<int> at{0};
    auto h = rt.go([&]() -> weft::routine<> {
      weft::channel<int> never;
      co_await weft::resume_on(weft::blocking_pool);
      at.store(1);
      try {
        (void)co_await never.recv();
      } catch (const weft::cancelled&) {
        at.store(2);
      }
      right(at.load() == 2 && here() == place::pool && weft::this_routine::cancelled(), __LINE__);
      try {
        co_await weft::resume_on(weft::blocking_pool);
      } catch (const weft::cancelled&) {
        at.store(3);
      }
      right(at.load() == 3 && here() == place::pool, __LINE__);
      auto call = [&] { at.store(99); };
      try {
        co_await weft::block_on_io(call);
      } catch (const weft::cancelled&) {
      }
      right(at.load() == 3, __LINE__);
      try {
        co_await weft::resume_on(weft::workers);
      } catch (const weft::cancelled&) {
        at.store(4);
      }
      right(at.load() == 4 && here() == place::workers, __LINE__);
    });
    while (at.load() == 0) ::sched_yield();
    h.cancel();
    h.join();
    REQUIRE(right.first_wrong() == 0);
  }
}

TEST_CASE("cancelled at any moment, a routine that hops has moved or has not, and always ends",
          "[api][resume_on][cancel]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 2});
  checks right;
  for (int round = 0; round < 2'000; ++round) {
    std::atomic<bool> begins{false};
    auto h = rt.go([&]() -> weft::routine<> {
      begins.store(true);
      bool on_pool = false;
      try {
        for (;;) {
          co_await weft::resume_on(weft::blocking_pool);
          on_pool = true;
          right(here() == place::pool, __LINE__);
          co_await weft::yield();
          on_pool = false;  // whatever comes out of the way back
          co_await weft::resume_on(weft::workers);
          right(here() == place::workers, __LINE__);
        }
      } catch (const weft::cancelled&) {
        right(here() == (on_pool ? place::pool : place::workers), __LINE__);
      }
    });
    while (!begins.load()) {
    }
    for (int i = round % 512 * 8; i > 0; --i) (void)begins.load();
    h.cancel();
    h.join();
  }
  CHECK(right.first_wrong() == 0);
}

TEST_CASE("no value is lost or doubled by routines that hop all the time", "[api][resume_on][stress]") {
  constexpr int parties = 500, hops = sanitized ? 20 : 100;
  for (const unsigned workers : {1U, 2U, 16U}) {
    weft::runtime rt({.workers = workers, .max_blocking_threads = 4});
    checks right;
    weft::channel<long> ch(16);
    std::atomic<long> taken{0};
    const auto sends = [&, ch](int first) mutable -> weft::routine<> {
      for (int i = 0; i < hops; ++i) {
        if ((first + i) % 2 == 0) {
          co_await weft::resume_on(weft::blocking_pool);
        } else {
          co_await weft::resume_on(weft::workers);
        }
        right(here() == ((first + i) % 2 == 0 ? place::pool : place::workers), __LINE__);
        co_await ch.send(first + i);
      }
    };
    const auto receives = [&, ch](int first) mutable -> weft::routine<> {
      for (int i = 0; i < hops; ++i) {
        if ((first + i) % 3 == 0) {
          co_await weft::resume_on(weft::workers);
        } else {
          co_await weft::resume_on(weft::blocking_pool);
        }
        long value = 0;
        auto take = [&](std::optional<long> v) { value = *v; };
        co_await weft::select(weft::on_recv(ch, take), weft::on_timeout(30s));
        right(here() == ((first + i) % 3 == 0 ? place::workers : place::pool), __LINE__);
        taken.fetch_add(value);
      }
    };
    std::vector<weft::join_handle<void>> all;
    long sent = 0;
    for (int i = 0; i < parties; ++i) {
      all.push_back(rt.go(sends, i));
      all.push_back(rt.go(receives, i));
      for (int k = 0; k < hops; ++k) sent += i + k;
    }
    for (auto& h : all) h.join();
    CHECK(taken.load() == sent);
    CHECK(right.first_wrong() == 0);
    CHECK(ch.size() == 0);
    CHECK(rt.stats().blocking_most_threads <= 4);
    CHECK(rt.stats().migrations_to_pool + parties * 2 >= rt.stats().migrations_from_pool);
  }
}

TEST_CASE("routines on the pool that block on one another by the facade finish with one thread allowed",
          "[api][resume_on][blocking]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  std::vector<weft::blocking::channel<int>> line(101);
  std::vector<weft::join_handle<void>> all;
  for (std::size_t i = 0; i < 100; ++i) {
    all.push_back(rt.go([in = line[i], out = line[i + 1]]() mutable -> weft::routine<> {
      co_await weft::resume_on(weft::blocking_pool);
      out.send(*in.recv() + 1);
      co_await weft::yield();
    }));
  }
  line[0].send(0);
  REQUIRE(line[100].recv() == 100);
  for (auto& h : all) h.join();
}

TEST_CASE("a stop ends routines that hop, live and wait on the pool", "[api][resume_on][stop]") {
  for (int round = 0; round < (sanitized ? 30 : 100); ++round) {
    weft::runtime rt({.workers = 2, .max_blocking_threads = 3});
    std::atomic<int> begun{0}, unwound{0};

    struct counts {
      std::atomic<int>& n;

      ~counts() { n.fetch_add(1); }
    };

    for (int i = 0; i < 60; ++i) {
      rt.go(weft::spawn_options{.detached = true}, [&begun, &unwound, i]() -> weft::routine<> {
        const counts at_end{unwound};
        begun.fetch_add(1);
        weft::channel<int> never;
        if (i % 3 == 0) {
          for (;;) {
            co_await weft::resume_on(weft::blocking_pool);
            co_await weft::resume_on(weft::workers);
          }
        }
        co_await weft::resume_on(weft::blocking_pool);
        if (i % 3 == 1) {
          (void)co_await never.recv();
        }
        try {
          for (;;) co_await weft::sleep_for(i % 2 == 0 ? 10us : 10s);
        } catch (const weft::cancelled&) {
        }
        co_await weft::resume_on(weft::workers);
      });
    }
    while (begun.load() < round % 60) ::sched_yield();
    rt.stop();
    REQUIRE(rt.stats().live == 0);
    REQUIRE(unwound.load() == begun.load());
  }
}

TEST_CASE("a routine on the pool may ask for the stop", "[api][resume_on][stop]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([&]() -> weft::routine<> {
    co_await weft::resume_on(weft::blocking_pool);
    rt.stop();
    weft::channel<int> never;
    (void)co_await never.recv();
  });
  CHECK_THROWS_AS(h.join(), weft::routine_cancelled);
  rt.stop();
  CHECK(rt.stats().live == 0);
}

TEST_CASE("no schedule of a simulation loses a value or a routine that hops", "[api][resume_on][sim]") {
  const auto program = [] {
    weft::channel<int> ch(1);
    weft::mutex mutex;
    std::atomic<int> sum{0};
    const auto sends = [&, ch](int n) mutable -> weft::routine<> {
      co_await weft::resume_on(weft::blocking_pool);
      co_await ch.send(n);
      co_await weft::resume_on(weft::workers);
      co_await ch.send(n);
    };
    const auto receives = [&, ch](int n) mutable -> weft::routine<> {
      for (int i = 0; i < n; ++i) {
        if (i % 2 == 0) co_await weft::resume_on(weft::blocking_pool);
        int got = 0;
        auto take = [&](std::optional<int> v) { got = v.value_or(0); };
        co_await weft::select(weft::on_recv(ch, take), weft::on_timeout(1h));
        auto hold = co_await mutex.scoped();
        sum.fetch_add(got);
        if (i % 2 == 1) co_await weft::resume_on(weft::workers);
      }
      (void)co_await weft::all(goes_to_pool(), goes_to_workers(), where_after_yield());
    };
    auto a = weft::go(sends, 1), b = weft::go(sends, 10), c = weft::go(receives, 4);
    a.join();
    b.join();
    c.join();
    if (sum.load() != 22) throw std::logic_error("a value was lost or doubled");
  };
  const auto all = weft::sim::for_each_seed(sanitized ? 100 : 1'000, program);
  CAPTURE(all.report);
  CHECK(all.ok);
}

TEST_CASE("no schedule of a simulation hides a cancelled routine that hops",
          "[api][resume_on][sim][cancel]") {
  const auto program = [] {
    int ended = 0;
    auto h = weft::go([&]() -> weft::routine<> {
      try {
        co_await weft::resume_on(weft::blocking_pool);
        (void)co_await weft::all(goes_to_pool(), where_after_yield());
        weft::channel<int> never;
        (void)co_await never.recv_for(1ms);
        co_await weft::resume_on(weft::workers);
      } catch (const weft::cancelled&) {
        ++ended;
        throw;
      }
      ++ended;
    });
    auto canceller = weft::go([&]() -> weft::routine<> {
      co_await weft::yield();
      h.cancel();
    });
    canceller.join();
    bool cancelled = false;
    try {
      h.join();
    } catch (const weft::routine_cancelled&) {
      cancelled = true;  // perhaps before it began
    }
    if (ended > 1 || (ended == 0 && !cancelled)) throw std::logic_error("it has ended twice, or never");
  };
  const auto all = weft::sim::for_each_seed(sanitized ? 100 : 1'000, program);
  CAPTURE(all.report);
  CHECK(all.ok);
}

TEST_CASE("in a simulation without threads a routine that cannot move goes on where it is",
          "[api][resume_on][sim][failure]") {
  const auto program = []() -> weft::routine<> {
    const auto tries = []() -> weft::routine<int> {
      try {
        co_await weft::resume_on(weft::blocking_pool);
      } catch (const std::system_error&) {
        co_return 1;
      }
      weft::channel<int> never;
      (void)co_await never.recv_for(1ms);
      co_await weft::resume_on(weft::workers);
      co_return 1;
    };
    int ended = 0;
    std::array<weft::join_handle<int>, 4> all;
    for (auto& h : all) h = weft::go(tries);
    for (auto& h : all) ended += co_await std::move(h);
    if (ended != 4) throw std::logic_error("one is missing");
  };
  weft::sim::options how{.schedule = weft::sim::strategy::mixed};
  how.failing_threads = 500;
  const auto all = weft::sim::for_each_seed(sanitized ? 100 : 1'000, program, how);
  CAPTURE(all.report);
  CHECK(all.ok);
}
