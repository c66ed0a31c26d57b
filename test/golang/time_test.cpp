// Time: Go's time/sleep_test.go and tick_test.go, runtime's TestTimerFairness (2), testing/synctest's
// TestTimerNondeterminism and TestSleepNondeterminism.
//
// A timer of Go's that is stopped is here an after() that is destroyed, or a timeout of a select or of a
// receive that something else beats; Reset is a new one.  Not here: AfterFunc and Ticker.Reset (there are
// none); nil and zero Timers (misuse that cannot be written); TestLongAdjustTimers, TestStopResetRace (a heap
// in lib/: test/sched/timer_heap_test.cpp, test/model/timer_model_test.cpp); periods of zero and less, and
// the ends of the range for one operation each: test/api/extremes_test.cpp.

#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using namespace std::chrono_literals;
using weft::on_event;
using weft::on_recv;
using weft::on_send;
using weft::on_timeout;
using weft::test::everywhere;
using weft::test::task;

namespace {

constexpr auto endless = std::chrono::nanoseconds::max();

constexpr auto send_after = [](auto f, weft::channel<int> to, std::chrono::nanoseconds d,
                               int v) -> task<decltype(f)> {
  co_await f.wait(weft::sleep_for(d));
  co_await f.send(to, v);
};

/// Sends as long as somebody receives; how often.
constexpr auto chatter = [](auto f, weft::channel<int> to,
                            weft::channel<void> done) -> task<decltype(f), int> {
  for (int n = 0;; ++n) {
    const std::size_t which = co_await f.select(on_send(to, n), on_recv(done));
    if (which == 1) co_return n;
  }
};

/// Arms timers that something else beats, all with the same few deadlines.
constexpr auto stop_timers = [](auto f, int n) -> task<decltype(f), int> {
  int fired = 0;
  weft::channel<int> ready(1), never;
  for (int i = 0; i < n; ++i) {
    {
      const weft::later_event stopped = weft::after(1h);
      fired += stopped.is_set() ? 1 : 0;
    }
    co_await f.send(ready, i);
    const std::size_t which = co_await f.select(on_recv(never), on_recv(ready), on_timeout(1h));
    fired += which == 2;
    co_await f.send(ready, i);
    const auto got = co_await f.recv_for(ready, 1h);
    fired += !got;
    co_await f.yield();
  }
  co_return fired;
};

}  // namespace

TEST_CASE("a sleep lasts as long as it should and in a simulation not a nanosecond longer",
          "[golang][time]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      const auto begin = weft::now();
      co_await f.wait(weft::sleep_for(1ms));
      const auto passed = weft::now() - begin;
      f.expect(passed >= 1ms, "not too short");
      f.expect(!f.simulated() || passed == 1ms, "not too long");
      auto later = weft::after(1ms);
      co_await f.wait(later.wait());
      f.expect(weft::now() - begin >= 2ms && later.is_set(), "nor an event that is set later");
    }
  };
  everywhere(body, 10, 3);
}

TEST_CASE("timers fire in the order of their deadlines", "[golang][time]") {
  // Go's slots; 0 comes at once.
  constexpr std::array slots{5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  const auto body = [slots](auto f, int) -> task<decltype(f)> {
    weft::channel<int> fired;
    const auto begin = weft::now();
    std::vector<weft::join_handle<>> all;
    for (const int slot : slots) all.push_back(f.go(send_after, fired, slot * 5ms, slot));
    std::vector<int> order;
    bool early = false;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const auto slot = co_await f.recv(fired);
      early |= weft::now() - begin < slot.value_or(99) * 5ms;
      order.push_back(slot.value_or(-1));
    }
    for (auto& h : all) co_await f.join(std::move(h));
    f.expect(!early, "none is early");
    // A real machine may be late by more than a slot; what is sure is that all have come.
    if (!f.simulated()) std::sort(order.begin(), order.end());
    f.expect(std::is_sorted(order.begin(), order.end()), "in order");
    f.expect(order.front() == 0 && order.back() == 9, "all of them");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("a timer that is stopped does not fire, and thousands of them leave nothing behind",
          "[golang][time]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    std::vector<weft::join_handle<int>> all;
    const auto begin = weft::now();
    for (int i = 0; i < 4; ++i) all.push_back(f.go(stop_timers, n));
    co_await f.wait(weft::sleep_for(0s));
    for (auto& h : all) {
      const int fired = co_await f.join(std::move(h));
      f.expect(fired == 0, "it was stopped");
    }
    f.expect(weft::now() - begin < 1h, "nobody has waited for it");
  };
  everywhere(body, weft::test::unless_sanitized(1'000, 100), 2);
}

TEST_CASE("sleeps of nothing and timers that come and go do not hold up one another", "[golang][time]") {
  // Go's TestSleepZeroDeadlock.
  const auto sleeps = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) co_await f.wait(weft::sleep_for(1ns));
  };
  const auto body = [sleeps](auto f, int n) -> task<decltype(f)> {
    auto h = f.go(sleeps, n);
    for (int i = 0; i < n; ++i) {
      co_await f.wait(weft::sleep_for(0s));
      co_await f.wait(weft::sleep_for(-1h));
      const weft::later_event again = weft::after(1h);
      f.expect(!again.is_set(), "not yet");
    }
    co_await f.join(std::move(h));
  };
  everywhere(body, 100, 3);
}

TEST_CASE("an endless timer does not fire and one of the past does at once", "[golang][time]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      auto never = weft::after(endless), past = weft::after(-endless), soon = weft::after(1ms);
      co_await f.wait(past.wait());
      co_await f.wait(weft::sleep_for(std::chrono::hours::min()));
      const std::size_t first = co_await f.select(on_event(never), on_event(soon), on_timeout(endless));
      f.expect(first == 1 && !never.is_set(), "the one that is soon");
      weft::channel<int> ch;
      const std::size_t second = co_await f.select(on_recv(ch), on_timeout(std::chrono::seconds::min()));
      f.expect(second == 1, "a limit of the past");
      const auto third = co_await f.recv_for(ch, -endless);
      f.expect(!third, "of a receive, too");
    }
  };
  everywhere(body, 10, 2);
}

TEST_CASE("a ticker ticks on schedule however late it is asked", "[golang][time]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const auto begin = weft::now();
    weft::ticker t(2ms);
    std::uint64_t missed = 0;
    for (int i = 0; i < n; ++i) {
      missed += co_await f.wait(t.tick());
      if (i == 1) co_await f.wait(weft::sleep_for(7ms));
    }
    const auto passed = weft::now() - begin;
    const auto schedule = (n + static_cast<int>(missed)) * 2ms;
    f.expect(missed >= 2 && passed >= schedule, "ticks that were missed are told and not repeated");
    f.expect(!f.simulated() || (missed == 2 && passed == schedule), "by the schedule");
  };
  everywhere(body, 5, 4);
}

TEST_CASE("tickers that come and go disturb nobody", "[golang][time]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::ticker t(100us), other(1h);
      co_await f.wait(t.tick());
      weft::channel<int> ch;
      const auto none = co_await f.recv_for(ch, 10us);
      f.expect(!none, "nobody sends");
    }
  };
  everywhere(body, 20, 3);
}

TEST_CASE("a timer fires though two routines keep the workers busy", "[golang][time]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    weft::channel<int> ch;
    weft::channel<void> done;
    auto a = f.go(chatter, ch, done), b = f.go(chatter, ch, done);
    auto timer = weft::after(20ms);
    int received = 0;
    for (;;) {
      const std::size_t which = co_await f.select(on_recv(ch), on_event(timer));
      if (which == 1) break;
      ++received;
    }
    done.close();
    const int sent_a = co_await f.join(std::move(a));
    const int sent_b = co_await f.join(std::move(b));
    f.expect(sent_a + sent_b == received, "what was sent was received");
  };
  weft::test::on_real_workers(body, 0);
}

TEST_CASE("a short timer fires again and again beside a routine that never rests", "[golang][time]") {
  const auto spins = [](auto f, weft::event* done) -> task<decltype(f)> {
    while (!done->is_set()) co_await f.yield();
  };
  const auto body = [spins](auto f, int n) -> task<decltype(f)> {
    weft::event done;
    auto h = f.go(spins, &done);
    for (int i = 0; i < n; ++i) co_await f.wait(weft::sleep_for(100us));
    done.set();
    co_await f.join(std::move(h));
  };
  weft::test::on_real_workers(body, 50);
}

TEST_CASE("timers and sleeps of the same instant end in every order", "[golang][time]") {
  // With few seeds; where there is only one order, thousands would not help.
  for (const auto how : {weft::test::faces::coroutine, weft::test::faces::facade}) {
    std::set<std::string> orders;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      weft::test::trial t(how, 0, 0);
      std::string order;
      const auto sleeper = [&order](auto f, char name) -> task<decltype(f)> {
        co_await f.wait(weft::sleep_for(1s));
        order += name;
      };
      const auto waiter = [&order](auto f, weft::later_event* e) -> task<decltype(f)> {
        co_await f.wait(e->wait());
        order += 'e';
      };
      const auto body = [&](auto f, int) -> task<decltype(f)> {
        auto e = weft::after(1s);
        auto a = f.go(sleeper, 'a'), b = f.go(sleeper, 'b'), c = f.go(waiter, &e);
        co_await f.join(std::move(a));
        co_await f.join(std::move(b));
        co_await f.join(std::move(c));
      };
      const auto r = how == weft::test::faces::coroutine
                         ? weft::sim::run(seed, [&] { return body(weft::test::coroutine_face(t, false), 0); })
                         : weft::sim::run(seed, [&] { body(weft::test::facade_face(t, true), 0).get(); });
      REQUIRE(r.report == "");
      orders.insert(order);
    }
    REQUIRE(orders.size() == 6);
  }
}

TEST_CASE("a simulation begins at the same time whenever it is run", "[golang][time]") {
  std::set<std::int64_t> begins;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const auto r = weft::sim::run(seed, [&] { begins.insert(weft::now().time_since_epoch().count()); });
    REQUIRE(r.report == "");
  }
  REQUIRE(begins.size() == 1);
}
