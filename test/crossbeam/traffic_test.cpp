// Weft's own versions of what crossbeam-channel's array, list and zero tests check of many parties.
//
//   spsc, mpmc, stress_oneshot, stress_iter, stress_timeout_two_threads, linearizable, fairness,
//   fairness_duplicates; iter: nested_recv_iter, recv_iter_break, recv_try_iter, recv_into_iter_*
//
// Not for weft: iterators that own the receiver (a loop over a temporary channel is one), FusedIterator.

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::on_recv;
using weft::on_send;
using weft::recv_status;
using weft::send_status;
using weft::send_until_status;
using weft::try_send_status;

namespace {

constexpr auto sends_numbers = [](auto f, weft::channel_sender<int> tx, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    f.expect(co_await f.send(tx, i) == send_status::sent, "the receiver is there");
  }
};

const auto one_to_one = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    auto sender = f.go(sends_numbers, std::move(tx), n);
    for (int i = 0; i < n; ++i) f.expect(co_await f.recv(rx) == i, "in order");
    f.expect(co_await f.recv(rx) == std::nullopt, "then closed");
    co_await f.join(std::move(sender));
  }
};

/// Counts what it takes until the channel is closed.
constexpr auto counts_numbers = [](auto f, weft::channel_receiver<int> rx,
                                   int n) -> task<decltype(f), std::vector<int>> {
  std::vector<int> seen(static_cast<std::size_t>(n));
  while (const auto v = co_await f.recv(rx)) ++seen.at(static_cast<std::size_t>(*v));
  co_return seen;
};

const auto many_to_many = [](auto f, int n) -> task<decltype(f)> {
  constexpr int each = 4;
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    std::vector<weft::join_handle<>> senders;
    std::vector<weft::join_handle<std::vector<int>>> receivers;
    for (int i = 0; i < each; ++i) receivers.push_back(f.go(counts_numbers, rx, n));
    for (int i = 0; i < each; ++i) senders.push_back(f.go(sends_numbers, tx, n));
    drop(tx);
    for (auto& s : senders) co_await f.join(std::move(s));
    std::vector<int> all(static_cast<std::size_t>(n));
    for (auto& r : receivers) {
      const std::vector<int> seen = co_await f.join(std::move(r));
      for (std::size_t i = 0; i < all.size(); ++i) all[i] += seen[i];
    }
    f.expect(all == std::vector<int>(all.size(), each), "each number as often as it was sent");
  }
};

constexpr auto sends_one = [](auto f, weft::channel<int> ch, int v) -> task<decltype(f)> {
  co_await f.send(ch, v);
};

constexpr auto takes_one = [](auto f, weft::channel<int> ch) -> task<decltype(f), int> {
  const auto v = co_await f.recv(ch);
  co_return v.value_or(-1);
};

const auto oneshots = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    const auto ch = channel_of<int>(kinds[i % 4]);
    auto taker = f.go(takes_one, ch);
    auto sender = f.go(sends_one, ch, i);
    const int got = co_await f.join(std::move(taker));
    f.expect(got == i, "the one value of a channel arrives");
    co_await f.join(std::move(sender));
  }
};

/// Answers each request that is there with a number, until the asker has gone.
constexpr auto answers = [](auto f, weft::channel_receiver<int> requests, weft::channel_sender<int> to,
                            int n) -> task<decltype(f)> {
  int sent = 0;
  while (sent < n) {
    for (auto r = requests.try_recv(); r && sent < n; r = requests.try_recv()) {
      co_await f.send(to, *r + sent++);
    }
    co_await f.yield();
  }
};

const auto try_loop = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    auto [ask, asked] = ends_of<int>(kind);
    auto [answer, answered] = ends_of<int>(kind);
    auto other = f.go(answers, std::move(asked), std::move(answer), n);
    int got = 0;
    while (got < n) {
      (void)ask.try_send(1'000);
      for (auto r = answered.try_recv(); r; r = answered.try_recv()) {
        f.expect(*r == 1'000 + got, "answers in order");
        ++got;
      }
      co_await f.yield();
    }
    co_await f.join(std::move(other));
  }
};

/// Is late with every other value.
constexpr auto sends_late = [](auto f, weft::channel<int> ch, int n,
                               std::chrono::microseconds limit) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    if (i % 2 == 0) co_await f.wait(weft::sleep_for(2 * limit));
    auto how = send_until_status::timed_out;
    while (how == send_until_status::timed_out) how = co_await f.send_for(ch, i, limit);
    f.expect(how == send_until_status::sent, "nobody closed it");
  }
};

const auto both_impatient = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    const auto ch = channel_of<int>(kind);
    auto sender = f.go(sends_late, ch, n, 200us);
    for (int i = 0; i < n; ++i) {
      if (i % 2 == 0) co_await f.wait(weft::sleep_for(300us));
      auto got = co_await f.recv_for(ch, 100us);
      while (got.status == recv_status::empty) got = co_await f.recv_for(ch, 100us);
      f.expect(got && *got == i, "a value whose send timed out was not sent, one that was sent comes once");
    }
    co_await f.join(std::move(sender));
    f.expect(ch.size() == 0, "nothing is left over");
  }
};

constexpr auto sends_then_tries = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    co_await f.send(ch, i);
    f.expect(ch.try_recv().status == recv_status::received, "as many values as parties that have sent one");
  }
};

const auto never_empty = [](auto f, int n) -> task<decltype(f)> {
  constexpr int parties = 4;
  for (const int kind : {parties, unlimited}) {
    const auto ch = channel_of<int>(kind);
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < parties; ++i) all.push_back(f.go(sends_then_tries, ch, n));
    for (auto& h : all) co_await f.join(std::move(h));
    f.expect(ch.size() == 0, "each took one");
  }
};

// --- fairness: of n choices among k, each at least n / k / 2 times ---

template <std::size_t N>
bool fair(const std::array<int, N>& hits) {
  int all = 0;
  for (const int n : hits) all += n;
  return std::all_of(hits.begin(), hits.end(), [&](int n) { return n >= all / static_cast<int>(N) / 2; });
}

const auto filled = [](auto f, int n) -> task<decltype(f)> {
  const auto a = channel_of<int>(unlimited), b = channel_of<int>(unlimited);
  std::array<int, 2> of_two{};
  std::array<int, 5> of_five{};
  for (int i = 0; i < 2 * n; ++i) {
    (void)a.try_send(i);
    (void)b.try_send(i);
  }
  for (int i = 0; i < n; ++i) ++of_two[co_await f.select(on_recv(a), on_recv(b))];
  f.expect(fair(of_two), "of two that are full");
  for (int i = 0; i < n; ++i) {
    ++of_five[co_await f.select(on_recv(a), on_recv(a), on_recv(a), on_recv(a), on_recv(a))];
  }
  f.expect(fair(of_five), "of five times the same");
  of_five = {};
  for (int i = 0; i < n; ++i) {
    ++of_five[co_await f.select(on_send(b, 1), on_send(b, 1), on_send(b, 1), on_send(b, 1), on_send(b, 1))];
  }
  f.expect(fair(of_five), "of five sends of the same");
};

constexpr auto selects_two = [](auto f, weft::channel<int> a, weft::channel<int> b,
                                int n) -> task<decltype(f), bool> {
  std::array<int, 2> hits{};
  for (int i = 0; i < n; ++i) ++hits[co_await f.select(on_recv(a), on_recv(b))];
  co_return fair(hits);
};

constexpr auto selects_five = [](auto f, weft::channel<int> a, int n) -> task<decltype(f), bool> {
  std::array<int, 5> hits{};
  for (int i = 0; i < n; ++i) {
    ++hits[co_await f.select(on_recv(a), on_recv(a), on_recv(a), on_recv(a), on_recv(a))];
  }
  co_return fair(hits);
};

const auto selects_meet = [](auto f, int n) -> task<decltype(f)> {
  const weft::channel<int> a, b;
  std::array<int, 2> two{};
  auto other = f.go(selects_two, a, b, n);
  for (int i = 0; i < n; ++i) ++two[co_await f.select(on_send(a, i), on_send(b, i))];
  const bool received_fairly = co_await f.join(std::move(other));
  f.expect(fair(two) && received_fairly, "of two channels on which two selects meet");
  std::array<int, 5> five{};
  auto same = f.go(selects_five, a, n);
  for (int i = 0; i < n; ++i) {
    ++five[co_await f.select(on_send(a, 1), on_send(a, 1), on_send(a, 1), on_send(a, 1), on_send(a, 1))];
  }
  const bool same_fairly = co_await f.join(std::move(same));
  f.expect(fair(five) && same_fairly, "of five times the same channel on which two selects meet");
};

// --- iteration ---

constexpr auto sends_channels = [](auto f, weft::channel<weft::channel<int>> outer,
                                   int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    const auto inner = channel_of<int>(unlimited);
    for (int k = 0; k <= i; ++k) (void)inner.try_send(k);
    inner.close();
    co_await f.send(outer, inner);
  }
  outer.close();
};

const auto nested_loops = [](auto f, int n) -> task<decltype(f)> {
  const weft::channel<weft::channel<int>> outer;
  auto sender = f.go(sends_channels, outer, n);
  int rounds = 0, values = 0;
  while (const auto inner = co_await f.recv(outer)) {
    ++rounds;
    while (const auto v = co_await f.recv(*inner)) values += 1;
  }
  f.expect(rounds == n && values == n * (n + 1) / 2, "each of each");
  co_await f.join(std::move(sender));
};

}  // namespace

TEST_CASE("one sender's values come in order, each once, then the end", "[crossbeam][traffic]") {
  everywhere(one_to_one, 10'000, 4);
}

TEST_CASE("four senders and four receivers pass each value once", "[crossbeam][traffic]") {
  everywhere(many_to_many, unless_sanitized(5'000, 1'000), 2);
}

TEST_CASE("the one value of a short-lived channel arrives", "[crossbeam][traffic]") {
  everywhere(oneshots, unless_sanitized(2'000, 500), 4);
}

TEST_CASE("a loop that tries and yields gets every value", "[crossbeam][traffic]") {
  everywhere(try_loop, unless_sanitized(100, 40), 2);
}

TEST_CASE("a value is sent once between two that time out all the time", "[crossbeam][traffic]") {
  everywhere(both_impatient, unless_sanitized(100, 40), 5);
}

TEST_CASE("who has sent finds a value there", "[crossbeam][traffic]") {
  everywhere(never_empty, unless_sanitized(5'000, 1'000), 2);
}

TEST_CASE("no case of a select is neglected", "[crossbeam][traffic][select]") {
  on_real_workers(filled, 5'000);
  on_real_workers(selects_meet, unless_sanitized(5'000, 1'000));
  in_simulations(filled, 1'000, 5);
  in_simulations(selects_meet, 500, 5);
}

TEST_CASE("loops over channels from a channel end when each is drained", "[crossbeam][traffic]") {
  everywhere(nested_loops, 50, 3);
}

TEST_CASE("a loop over a channel may end early and another goes on", "[crossbeam][traffic][facade]") {
  const weft::blocking::channel<int> ch(8);
  for (int i = 0; i < 8; ++i) ch.send(i);
  ch.close();
  std::vector<int> seen;
  for (const int v : ch) {
    seen.push_back(v);
    if (v == 2) break;  // its iterator holds 2, and no more
  }
  for (const int v : weft::blocking::channel<int>(ch)) seen.push_back(v);
  REQUIRE(seen == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
  for (const int v : ch) seen.push_back(v);
  REQUIRE(seen.size() == 8);
}

TEST_CASE("a loop over a channel may move its values out", "[crossbeam][traffic][facade]") {
  const weft::blocking::channel<std::unique_ptr<int>> ch(8);
  for (int i = 0; i < 8; ++i) ch.send(std::make_unique<int>(i));
  ch.close();
  std::vector<std::unique_ptr<int>> kept;
  for (auto& v : ch) kept.push_back(std::move(v));
  for (int i = 0; i < 8; ++i) REQUIRE(*kept.at(static_cast<std::size_t>(i)) == i);
}
