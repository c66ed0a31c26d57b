// Weft's own versions of what crossbeam-channel's after, tick and never tests check.
//
//   after: fire, try_recv, recv, recv_timeout, recv_two, stress_default, select, fairness,
//   fairness_duplicates; tick: fire, intervals, recv_timeout, select; never: smoke, optional, tick_n,
//   try_recv, recv_timeout
//
// Not for weft: after() and tick() as channels: capacity, len_empty_full, recv_race (an event wakes all who
// wait, where crossbeam's message has one receiver; that is checked instead), stress_clone, ready, ticks in a
// select (a ticker is used by one at a time; a deadline is the case), same_channel of these.

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::on_deadline;
using weft::on_event;
using weft::on_recv;
using weft::on_timeout;
using weft::otherwise;
using weft::recv_status;

namespace {

const auto fires = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 1; i <= n; ++i) {
    const auto begin = weft::now();
    auto later = weft::after(i * 100us);
    f.expect(!later.is_set() || !f.simulated(), "not before its time");
    co_await f.wait(later.wait());
    f.expect(took(f, begin, i * 100us), "when its time has come");
    co_await f.wait(later.wait());
    f.expect(later.is_set() && took(f, begin, i * 100us), "and it stays so");
    f.expect(co_await f.select(on_event(later), otherwise()) == 0, "also for a select that does not wait");
  }
};

constexpr auto waits_for_it = [](auto f, weft::later_event* e, weft::channel_sender<int> done,
                                 int i) -> task<decltype(f)> {
  const weft::channel<int> never;
  if (i % 2 == 0) {
    co_await f.wait(e->wait());
  } else {
    f.expect(co_await f.select(on_recv(never), on_event(*e)) == 1, "its case");
  }
  co_await f.send(done, i);
};

const auto wakes_all = [](auto f, int n) -> task<decltype(f)> {
  auto [done, dones] = ends_of<int>(unlimited);
  const auto begin = weft::now();
  auto later = weft::after(1ms);
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < n; ++i) all.push_back(f.go(waits_for_it, &later, done, i));
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += *co_await f.recv(dones);
  f.expect(sum == n * (n - 1) / 2 && weft::now() - begin >= 1ms, "every one, and none before");
  for (auto& h : all) co_await f.join(std::move(h));
};

const auto earliest = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    const weft::channel<int> never;
    const auto begin = weft::now();
    auto first = weft::after(1ms), second = weft::after(1h);
    const auto which = co_await f.select(on_recv(never), on_event(second), on_event(first), on_timeout(2h));
    f.expect(which == 2 && took(f, begin, 1ms), "the earlier of two");
    const auto other = co_await f.select(on_event(second), on_deadline(begin + 2ms), on_timeout(2h));
    f.expect(other == 1 && took(f, begin, 2ms), "a deadline that is earlier still");
    const auto got = co_await f.recv_for(never, 1ms);
    f.expect(got.status == recv_status::empty && took(f, begin, 3ms), "a receive with a limit");
  }  // the events go before their time
};

/// Looks at one that is set again and again.
const auto stays_ready = [](auto f, int n) -> task<decltype(f)> {
  auto later = weft::after(0ms);
  const weft::channel<int> never;
  co_await f.wait(later.wait());
  for (int i = 0; i < n; ++i) {
    f.expect(co_await f.select(on_recv(never), on_event(later), otherwise()) == 1, "never otherwise");
    f.expect(co_await f.select(on_event(later), on_timeout(0ms)) == 0, "nor the limit");
  }
};

const auto intervals = [](auto f, int n) -> task<decltype(f)> {
  const auto begin = weft::now();
  weft::ticker tick(1ms);
  for (int i = 1; i <= n; ++i) {
    const std::uint64_t missed = co_await f.wait(tick.tick());
    f.expect(weft::now() - begin >= i * 1ms, "never before its time");
    if (!f.simulated()) continue;
    f.expect(missed == 0 && weft::now() - begin == i * 1ms, "an absolute schedule");
    co_await f.wait(weft::sleep_for(300us));
  }
  if (!f.simulated()) co_return;
  co_await f.wait(weft::sleep_for(2200us));  // over two ticks: it is 2.5 behind the last
  const std::uint64_t missed = co_await f.wait(tick.tick());
  f.expect(missed > 0, "who comes late is told");
  co_await f.wait(tick.tick());
  const auto passed = weft::now() - begin;
  f.expect(passed.count() % 1'000'000 == 0, "and is back in the schedule");
};

const auto never_ready = [](auto f, int n) -> task<decltype(f)> {
  const weft::channel<int> never;
  auto too_late = weft::after(std::chrono::hours::max());
  f.expect(co_await f.select(on_recv(never), on_event(too_late), otherwise()) == 2, "not at once");
  f.expect(co_await f.select(on_recv(never), on_event(too_late), on_timeout(1ms)) == 2, "not in a time");
  f.expect(never.try_recv().status == recv_status::empty, "empty for ever");
  const auto ready = channel_of<int>(unlimited);
  for (int i = 0; i < n; ++i) {
    const bool on = i % 2 == 0;
    (void)ready.try_send(i);
    const auto which = co_await f.select(on_recv(ready).when(on), on_timeout(10us));
    f.expect(which == (on ? 0U : 1U), "a case that is off never is");
  }
  f.expect(ready.size() == static_cast<std::size_t>(n / 2), "and takes nothing");
};

const auto chosen_evenly = [](auto f, int n) -> task<decltype(f)> {
  auto a = weft::after(0ms), b = weft::after(0ms);
  co_await f.wait(a.wait());
  co_await f.wait(b.wait());
  std::array<int, 2> two{};
  std::array<int, 5> five{};
  for (int i = 0; i < n; ++i) {
    ++two[co_await f.select(on_event(a), on_event(b))];
    ++five[co_await f.select(on_event(a), on_event(a), on_event(b), on_event(a), on_event(b))];
  }
  for (const int times : two) f.expect(times >= n / 4, "of two that are set");
  for (const int times : five) f.expect(times >= n / 10, "of five");
};

}  // namespace

TEST_CASE("after() is set when its time has come, and stays set", "[crossbeam][time]") {
  everywhere(fires, 5, 3);
}

TEST_CASE("after() wakes all who wait for it", "[crossbeam][time]") {
  everywhere(wakes_all, 20, 4);
}

TEST_CASE("the earliest of several limits ends a select", "[crossbeam][time]") {
  everywhere(earliest, 5, 2);
}

TEST_CASE("a select that does not wait never overlooks what is set", "[crossbeam][time]") {
  everywhere(stays_ready, 5'000, 5);
}

TEST_CASE("a ticker keeps its schedule, and tells who is late", "[crossbeam][time]") {
  everywhere(intervals, 10, 4);
}

TEST_CASE("what never happens leaves a select to its other cases", "[crossbeam][time]") {
  everywhere(never_ready, 20, 4);
}

TEST_CASE("of events that are set none is neglected", "[crossbeam][time]") {
  on_real_workers(chosen_evenly, 5'000);
  in_simulations(chosen_evenly, 500, 5);
}
