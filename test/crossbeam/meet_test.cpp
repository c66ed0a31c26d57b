// Weft's own versions of what crossbeam-channel's select and select_macro tests check of selects that meet.
//
//   stress_recv, stress_send, stress_mixed, stress_timeout_two_threads, send_recv_same_channel, matching,
//   matching_with_leftover, linearizable_try, linearizable_default, linearizable_timeout, fairness1,
//   fairness2, fairness_recv, fairness_send, unfairness, unfairness_timeout, unfairness_try; zero: fairness
//   (traffic_test)
//
// Not for weft: nothing; ready(24)'s stress tests wait for readiness alone, see select_test.

#include <array>
#include <numeric>
#include <optional>
#include <vector>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::on_recv;
using weft::on_send;
using weft::on_timeout;
using weft::otherwise;
using weft::recv_status;
using weft::send_status;
using weft::try_send_status;

namespace {

using ints = weft::channel<int>;

// --- two channels, and a third that holds them in step ---

constexpr auto sends_in_step = [](auto f, ints a, ints b, ints step, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    co_await f.send(a, i);
    (void)co_await f.recv(step);
    co_await f.send(b, i);
    (void)co_await f.recv(step);
  }
};

const auto receives_either = [](auto f, int n) -> task<decltype(f)> {
  const auto a = channel_of<int>(unlimited), b = channel_of<int>(5), step = channel_of<int>(100);
  auto other = f.go(sends_in_step, a, b, step, n);
  std::optional<int> got;
  const auto take = [&got](std::optional<int> v) noexcept { got = v; };
  for (int i = 0; i < 2 * n; ++i) {
    const auto which = co_await f.select(on_recv(a, take), on_recv(b, take));
    f.expect(which == static_cast<std::size_t>(i % 2) && got == i / 2, "the one that was sent");
    co_await f.send(step, 0);
  }
  co_await f.join(std::move(other));
};

constexpr auto receives_both = [](auto f, ints a, ints b, ints step, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    f.expect(co_await f.recv(a) == i, "the one");
    f.expect(co_await f.recv(b) == i, "the other");
    (void)co_await f.recv(step);
  }
};

const auto sends_either = [](auto f, int n) -> task<decltype(f)> {
  const ints a, b;
  const auto step = channel_of<int>(100);
  auto other = f.go(receives_both, a, b, step, n);
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < 2; ++k) co_await f.select(on_send(a, i), on_send(b, i));
    co_await f.send(step, 0);
  }
  co_await f.join(std::move(other));
};

constexpr auto sends_and_receives = [](auto f, ints a, ints b, ints step, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    co_await f.send(a, i);
    f.expect(co_await f.recv(b) == i, "the one in return");
    (void)co_await f.recv(step);
  }
};

const auto receives_or_sends = [](auto f, int n) -> task<decltype(f)> {
  const ints a, b;
  const auto step = channel_of<int>(100);
  auto other = f.go(sends_and_receives, a, b, step, n);
  std::optional<int> got;
  const auto take = [&got](std::optional<int> v) noexcept { got = v; };
  for (int i = 0; i < n; ++i) {
    got.reset();
    for (int k = 0; k < 2; ++k) co_await f.select(on_recv(a, take), on_send(b, i));
    f.expect(got == i, "received once, sent once");
    co_await f.send(step, 0);
  }
  co_await f.join(std::move(other));
};

// --- limits on both sides ---

constexpr auto sends_impatiently = [](auto f, ints ch, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    if (i % 2 == 0) co_await f.wait(weft::sleep_for(300us));
    while (co_await f.select(on_send(ch, i), on_timeout(100us)) == 1) continue;
  }
};

const auto impatient = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : {rendezvous, 2}) {
    const auto ch = channel_of<int>(kind);
    auto other = f.go(sends_impatiently, ch, n);
    std::optional<int> got;
    const auto take = [&got](std::optional<int> v) noexcept { got = v; };
    for (int i = 0; i < n; ++i) {
      if (i % 2 == 0) co_await f.wait(weft::sleep_for(200us));
      while (co_await f.select(on_recv(ch, take), on_timeout(100us)) == 1) continue;
      f.expect(got == i, "each once, in order, however often it timed out");
    }
    co_await f.join(std::move(other));
  }
};

// --- everybody sends and receives on one channel ---

/// Who it met: -1 if it sent.
constexpr auto sends_or_receives = [](auto f, ints ch, int me) -> task<decltype(f), int> {
  int met = -1;
  const auto take = [&met](std::optional<int> v) noexcept { met = v.value_or(-2); };
  co_await f.select(on_recv(ch, take), on_send(ch, me));
  co_return met;
};

const auto alone = [](auto f, int n) -> task<decltype(f)> {
  const ints ch;
  for (int i = 0; i < n; ++i) {
    f.expect(co_await f.select(on_send(ch, 1), on_recv(ch), otherwise()) == 2, "not with itself");
    f.expect(co_await f.select(on_send(ch, 1), on_recv(ch), on_timeout(10us)) == 2, "nor when it waits");
  }
};

/// An even number of parties and a leftover: it meets this one.
const auto matching = [](auto f, int n) -> task<decltype(f)> {
  for (int odd = 0; odd < 2; ++odd) {
    const ints ch;
    std::vector<weft::join_handle<int>> all;
    for (int i = 0; i < n + odd; ++i) all.push_back(f.go(sends_or_receives, ch, i));
    if (odd == 1) f.expect(co_await f.send(ch, n + 1) == send_status::sent, "there is one for it to meet");
    std::vector<int> met(static_cast<std::size_t>(n) + 2);
    int sent = 0;
    for (int i = 0; i < n + odd; ++i) {
      const int other = co_await f.join(std::move(all[static_cast<std::size_t>(i)]));
      f.expect(other != i && other != -2, "never itself");
      if (other < 0) {
        ++sent;
      } else {
        ++met.at(static_cast<std::size_t>(other));
      }
    }
    f.expect(sent == n / 2, "half of them send");
    f.expect(std::accumulate(met.begin(), met.end(), 0) == n / 2 + odd, "and half receive");
    for (const int times : met) f.expect(times <= 1, "each was met once");
    f.expect(ch.try_recv().status == recv_status::empty, "nobody is left");
  }
};

// --- a select that does not wait looks at one instant ---

struct lane {
  ints start, end, first, second;
};

/// There is a value in one or the other channel all the time.
constexpr auto keeps_one_full = [](auto f, lane l, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    (void)co_await f.recv(l.start);
    co_await f.send(l.second, 1);
    (void)l.first.try_recv();
    (void)co_await f.recv(l.end);
  }
};

const auto one_instant = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : {1, unlimited}) {
    const lane l{ints(), ints(), channel_of<int>(kind), channel_of<int>(kind)};
    auto other = f.go(keeps_one_full, l, n);
    for (int i = 0; i < n; ++i) {
      co_await f.send(l.start, 0);
      co_await f.send(l.first, 1);
      std::size_t which = 0;
      if (i % 2 == 0) {
        which = co_await f.select(on_recv(l.first), on_recv(l.second), otherwise());
      } else {
        which = co_await f.select(on_recv(l.first), on_recv(l.second), on_timeout(0ms));
      }
      f.expect(which != 2, "one of the two was ready at every instant");
      co_await f.send(l.end, 0);
      (void)l.second.try_recv();
      while (l.first.try_recv()) continue;
    }
    co_await f.join(std::move(other));
  }
};

// --- the choice ---

constexpr auto counts_pairs = [](auto f, ints a, ints b, int n) -> task<decltype(f), bool> {
  std::array<int, 2> hits{};
  for (int i = 0; i < n; ++i) ++hits[co_await f.select(on_send(a, i), on_send(b, i))];
  co_return hits[0] >= n / 4 && hits[1] >= n / 4;
};

/// A send of a rendezvous and two full channels, and events that are set: nobody is neglected.
const auto all_are_ready = [](auto f, int n) -> task<decltype(f)> {
  const auto a = channel_of<int>(n), b = channel_of<int>(unlimited);
  const ints met;
  weft::event set;
  set.set();
  for (int i = 0; i < n; ++i) {
    (void)a.try_send(i);
    (void)b.try_send(i);
  }
  auto other = f.go(counts_pairs, met, met, n / 8);
  std::array<int, 3> hits{};
  int received = 0;
  for (int i = 0; i < n; ++i) {
    const auto which = co_await f.select(on_recv(a), on_recv(b), weft::on_event(set), on_recv(met));
    which == 3 ? ++received : ++hits[which];
  }
  for (; received < n / 8; ++received) (void)co_await f.recv(met);
  for (const int times : hits) f.expect(times >= n / 8, "each in its turn");
  const bool fairly = co_await f.join(std::move(other));
  f.expect(fairly, "nor does one of two cases that wait on one channel starve the other");
};

const auto in_their_order = [](auto f, int n) -> task<decltype(f)> {
  const auto a = channel_of<int>(n), b = channel_of<int>(n), c = channel_of<int>(2 * n);
  for (int i = 0; i < n; ++i) {
    (void)a.try_send(i);
    (void)b.try_send(i);
  }
  std::array<int, 3> hits{};
  for (int i = 0; i < 3 * n; ++i) {
    std::size_t which = 0;
    if (i % 3 == 0) {
      which = co_await f.select(weft::biased, on_recv(a), on_recv(b), on_send(c, i));
    } else if (i % 3 == 1) {
      which = co_await f.select(weft::biased, on_recv(a), on_recv(b), on_send(c, i), on_timeout(0ms));
    } else {
      which = co_await f.select(weft::biased, on_recv(a), on_recv(b), on_send(c, i), otherwise());
    }
    f.expect(which == static_cast<std::size_t>(i / n), "the first that is ready");
    ++hits[which];
  }
  f.expect(hits == std::array<int, 3>{n, n, n}, "a to the end, b to the end, c");
};

}  // namespace

TEST_CASE("a select in step with another party takes the case that it offers", "[crossbeam][meet]") {
  everywhere(receives_either, 2'000, 5);
  everywhere(sends_either, unless_sanitized(2'000, 500), 5);
  everywhere(receives_or_sends, unless_sanitized(2'000, 500), 5);
}

TEST_CASE("two selects with limits lose nothing to their time-outs", "[crossbeam][meet]") {
  everywhere(impatient, unless_sanitized(100, 40), 5);
}

TEST_CASE("a send and a receive of one select never meet", "[crossbeam][meet]") {
  everywhere(alone, 200, 3);
}

TEST_CASE("forty-four that send or receive on one channel pair up, and one left over meets who comes",
          "[crossbeam][meet]") {
  for (int i = 0; i < unless_sanitized(20, 5); ++i) on_real_workers(matching, 44);
  in_simulations(matching, 4);
}

TEST_CASE("a select that does not wait takes what is ready at every instant", "[crossbeam][meet]") {
  everywhere(one_instant, unless_sanitized(5'000, 1'000), 4);
}

TEST_CASE("no ready case is neglected, in whatever form it waits", "[crossbeam][meet]") {
  on_real_workers(all_are_ready, 4'000);
  in_simulations(all_are_ready, 800, 5);
}

TEST_CASE("biased takes the first that is ready, with a limit or without", "[crossbeam][meet]") {
  everywhere(in_their_order, 1'000, 4);
}
