// select: Go's test/chan/select.go, select4.go, select6.go, select7.go, doubleselect.go; runtime's
// TestSelfSelect, TestSelectFairness, TestPseudoRandomSend, TestSelectDuplicateChannel,
// TestNonblockSelectRace and its second, TestChanSendInterface.
//
// Not here: select8.go (break out of a select is Go's grammar; a handler is a function),
// TestSelectStackAdjust and TestShrinkStack* (stackless: a frame's address is stable).  Go takes a case out
// by making its channel nil, weft by .when(false).

#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using weft::on_recv;
using weft::on_send;
using weft::otherwise;
using weft::test::everywhere;
using weft::test::task;

namespace {

constexpr auto send_int = [](auto f, weft::channel<int> ch, int v) -> task<decltype(f)> {
  co_await f.send(ch, v);
};

/// Sends to `a` and to `b` once each, as long as a buffer takes it; how often.
constexpr auto send_once_each = [](auto f, weft::channel<unsigned> a, weft::channel<unsigned> b, bool with_b,
                                   unsigned* shift, int* made) -> task<decltype(f), int> {
  const auto value = [shift, made] {
    ++*made;
    return 1U << *shift;
  };
  bool a_open = true, b_open = with_b;
  int sent = 0;
  for (;;) {
    const auto from_a = [&a_open, &sent] { a_open = false, ++sent; };
    const auto from_b = [&b_open, &sent] { b_open = false, ++sent; };
    const std::size_t which = co_await f.select(on_send(a, value(), from_a).when(a_open),
                                                on_send(b, value(), from_b).when(b_open), otherwise());
    if (which == 2) co_return sent;
    ++*shift;
  }
};

/// Sends 0, 1, 2 .. to whichever of four channels takes it.
constexpr auto send_to_any = [](auto f, std::array<weft::channel<int>, 4> to, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    co_await f.select(on_send(to[0], i), on_send(to[1], i), on_send(to[2], i), on_send(to[3], i));
  }
  for (const auto& ch : to) ch.close();
};

constexpr auto forward = [](auto f, weft::channel<int> in, weft::channel<int> out) -> task<decltype(f)> {
  while (auto v = co_await f.recv(in)) co_await f.send(out, *v);
};

/// Sends or receives on one channel, as the other of the two does; whether it has met itself.
constexpr auto send_or_receive = [](auto f, weft::channel<int> ch, int me, int n) -> task<decltype(f), int> {
  int own = 0;
  const auto look = [&own, me](std::optional<int> v) { own += v == me; };
  for (int i = 0; i < n; ++i) {
    if (me == 0 || i % 2 == 0) {
      co_await f.select(on_send(ch, me), on_recv(ch, look));
    } else {
      co_await f.select(on_recv(ch, look), on_send(ch, me));
    }
  }
  co_return own;
};

/// Passes on what comes from one of two that always have something and two that never have.
constexpr auto choose = [](auto f, std::array<weft::channel<char>, 4> in, weft::channel<char> out1,
                           weft::channel<char> out2, weft::channel<void> done) -> task<decltype(f)> {
  for (;;) {
    char b = 0;
    const auto take = [&b](std::optional<char> v) { b = v.value_or(0); };
    co_await f.select(on_recv(in[0], take), on_recv(in[1], take), on_recv(in[2], take), on_recv(in[3], take));
    const std::size_t which = co_await f.select(on_send(out1, b), on_send(out2, b), on_recv(done));
    if (which == 2) co_return;
  }
};

}  // namespace

TEST_CASE("a case that is switched off after it happened does not happen again", "[golang][select]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    weft::channel<unsigned> a(1), b(1);
    unsigned shift = 0;
    int made = 0;
    const int both = co_await send_once_each(f, a, b, true, &shift, &made);
    f.expect(both == 2, "one to each");
    const auto from_a = co_await f.recv(a);
    const auto from_b = co_await f.recv(b);
    f.expect((from_a.value_or(0) | from_b.value_or(0)) == 3, "what was sent");
    const int only_a = co_await send_once_each(f, a, b, false, &shift, &made);
    f.expect(only_a == 1, "one to a alone");
    f.expect(b.size() == 0, "and none to b");
    f.expect(made == 10, "the values of all cases are made in each round, chosen or not");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("the handler of a case runs if it is chosen and once", "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> one(1), other(1);
    int calls = 0, others = 0, got = 0;
    const auto take = [&calls, &got](std::optional<int> v) { ++calls, got = v.value_or(-1); };
    const auto wrong = [&others] { ++others; };
    for (int i = 0; i < n; ++i) {
      co_await f.send(one, i);
      co_await f.select(on_recv(other, wrong), on_recv(one, take), on_send(other, 1, wrong).when(false));
      f.expect(got == i, "the value");
    }
    f.expect(calls == n && others == 0, "only the chosen one's, once");
  };
  everywhere(body, 100, 3);
}

TEST_CASE("who waits behind a case that has lost is found", "[golang][select]") {
  // Three wait on one channel, the second of them in a select that another channel ends.
  const auto waits = [](auto f, weft::channel<int> ch, bool sends) -> task<decltype(f), bool> {
    if (sends) {
      const weft::send_status s = co_await f.send(ch, 1);
      co_return s == weft::send_status::sent;
    }
    const auto v = co_await f.recv(ch);
    co_return v.has_value();
  };
  const auto loses = [](auto f, weft::channel<int> ch, weft::channel<int> end, bool sends,
                        weft::channel<int> ended) -> task<decltype(f)> {
    std::size_t which = 0;
    if (sends) {
      which = co_await f.select(on_send(ch, 1), on_recv(end));
    } else {
      which = co_await f.select(on_recv(ch), on_recv(end));
    }
    co_await f.send(ended, static_cast<int>(which));
  };
  const auto body = [=](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < 2 * n; ++i) {
      const bool sends = i % 2 != 0;
      weft::channel<int> ch, end, ended;
      auto first = f.go(waits, ch, sends);
      co_await f.yield();
      auto second = f.go(loses, ch, end, sends, ended);
      co_await f.yield();
      auto third = f.go(waits, ch, sends);
      co_await f.send(end, 1);
      const auto which = co_await f.recv(ended);
      f.expect(which == 1, "nobody is there to meet its first case");
      for (int k = 0; k < 2; ++k) {
        if (sends) {
          co_await f.recv(ch);
        } else {
          co_await f.send(ch, 1);
        }
      }
      const bool a = co_await f.join(std::move(first));
      const bool b = co_await f.join(std::move(third));
      f.expect(a && b, "both others are reached");
      co_await f.join(std::move(second));
    }
  };
  everywhere(body, 100, 1);
}

TEST_CASE("a value that nobody looks at is received all the same, in every form", "[golang][select]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    for (std::size_t capacity = 0; capacity < 2; ++capacity) {
      weft::channel<int> ch(capacity), never;
      for (int form = 0; form < 6; ++form) {
        auto sender = f.go(send_int, ch, form);
        if (form == 0) co_await f.recv(ch);
        if (form == 1) co_await f.select(on_recv(ch));
        if (form == 2) co_await f.select(on_recv(never), on_recv(ch), on_recv(never));
        if (form == 3) {
          int into = -1;
          const bool got = co_await f.recv_into(ch, into);
          f.expect(got && into == form, "into an object");
        }
        if (form == 4) {
          const auto ignore = [] {};
          co_await f.select(on_recv(ch, ignore), on_send(never, 1));
        }
        if (form == 5) {
          for (;;) {
            const std::size_t which = co_await f.select(on_recv(ch), otherwise());
            if (which == 0) break;
            co_await f.yield();
          }
        }
        co_await f.join(std::move(sender));
        f.expect(ch.size() == 0, "it is gone");
      }
    }
  };
  everywhere(body, 0, 0);
}

TEST_CASE("two cases of one select never both happen", "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    std::array<weft::channel<int>, 4> line;
    weft::channel<int> all;
    auto sender = f.go(send_to_any, line, n);
    std::vector<weft::join_handle<>> muxes;
    for (const auto& ch : line) muxes.push_back(f.go(forward, ch, all));
    std::vector<char> seen(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) {
      const auto v = co_await f.recv(all);
      f.expect(v && seen[static_cast<std::size_t>(*v)]++ == 0, "each value once");
    }
    co_await f.join(std::move(sender));
    for (auto& h : muxes) co_await f.join(std::move(h));
    f.expect(all.try_recv().status == weft::recv_status::empty, "no value twice");
  };
  everywhere(body, weft::test::unless_sanitized(3'000, 500), 5);
}

TEST_CASE("a channel that stands twice in a select has whole queues behind it", "[golang][select]") {
  const auto twice = [](auto f, weft::channel<int> c, weft::channel<int> d,
                        weft::channel<int> e) -> task<decltype(f)> {
    int got = 0;
    const auto take = [&got](std::optional<int> v) { got = *v; };
    co_await f.select(on_recv(c), on_recv(c), on_recv(d, take));
    co_await f.send(e, got + 2);
  };
  const auto once = [](auto f, weft::channel<int> c) -> task<decltype(f), int> {
    const auto v = co_await f.recv(c);
    co_return v.value_or(-1);
  };
  const auto body = [=](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::channel<int> c, d, e;
      auto a = f.go(twice, c, d, e);
      auto b = f.go(once, c);
      co_await f.yield();
      co_await f.send(d, 7);  // takes the select's two cases out of c's line, from before and behind b
      const auto answer = co_await f.recv(e);
      f.expect(answer == 9, "the select goes on");
      co_await f.send(c, 8);
      const int got = co_await f.join(std::move(b));
      f.expect(got == 8, "who waits between the two is reached");
      co_await f.join(std::move(a));
    }
  };
  everywhere(body, 300, 2);
}

TEST_CASE("a select that sends and receives on a channel meets the other one and not itself",
          "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (const int capacity : std::array{0, 10}) {
      weft::channel<int> ch(static_cast<std::size_t>(capacity));
      auto a = f.go(send_or_receive, ch, 0, n), b = f.go(send_or_receive, ch, 1, n);
      const int own_a = co_await f.join(std::move(a));
      const int own_b = co_await f.join(std::move(b));
      if (capacity == 0) f.expect(own_a + own_b == 0, "nobody receives what it sends itself");
    }
  };
  everywhere(body, 1'000, 5);
}

TEST_CASE("of what is ready each is chosen as often as the other", "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const auto room = static_cast<std::size_t>(n) + 1;
    const std::array<weft::channel<char>, 4> in{weft::channel<char>(), weft::channel<char>(),
                                                weft::channel<char>(room), weft::channel<char>(room)};
    for (std::size_t i = 0; i < room; ++i) {
      (void)in[2].try_send(1);
      (void)in[3].try_send(2);
    }
    weft::channel<char> out1, out2;
    weft::channel<void> done;
    auto chooser = f.go(choose, in, out1, out2, done);
    int first = 0, second = 0, by_out1 = 0;
    for (int i = 0; i < n; ++i) {
      char b = 0;
      const auto take = [&b](std::optional<char> v) { b = v.value_or(0); };
      const std::size_t which = co_await f.select(on_recv(out1, take), on_recv(out2, take));
      by_out1 += which == 0;
      first += b == 1;
      second += b == 2;
    }
    done.close();
    co_await f.join(std::move(chooser));
    f.expect(first + second == n, "what has nothing is not chosen");
    // Go's bound: one failure in a million.
    const double bound = 4.891676 * std::sqrt(n) / 2;
    f.expect(std::abs(first - n / 2.0) <= bound, "receives are chosen evenly");
    f.expect(std::abs(by_out1 - n / 2.0) <= bound, "so are receives that wait");
  };
  everywhere(body, weft::test::unless_sanitized(10'000, 2'000), 50);
}

TEST_CASE("of two cases of one channel each is chosen", "[golang][select]") {
  const auto collect = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f), int> {
    int ones = 0;
    for (int i = 0; i < n; ++i) {
      co_await f.yield();
      const auto v = co_await f.recv(ch);
      ones += v.value_or(0);
    }
    co_return ones;
  };
  const auto feed = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      co_await f.yield();
      co_await f.send(ch, i);
    }
  };
  const auto body = [=](auto f, int n) -> task<decltype(f)> {
    for (const int capacity : std::array{0, n}) {
      weft::channel<int> ch(static_cast<std::size_t>(capacity));
      auto collector = f.go(collect, ch, n);
      for (int i = 0; i < n; ++i) co_await f.select(on_send(ch, 1), on_send(ch, 0));
      const int ones = co_await f.join(std::move(collector));
      f.expect(ones > n / 10 && n - ones > n / 10, "more than a tenth of the sends each");

      auto feeder = f.go(feed, ch, n);
      int first = 0;
      for (int i = 0; i < n; ++i) first += co_await f.select(on_recv(ch), on_recv(ch)) == 0;
      co_await f.join(std::move(feeder));
      f.expect(first > n / 10 && n - first > n / 10, "and of the receives");
    }
  };
  everywhere(body, 200, 60);
}

TEST_CASE("select with otherwise looks at all its cases at one instant", "[golang][select]") {
  const auto look = [](auto f, weft::channel<int> a, weft::channel<int> b) -> task<decltype(f), bool> {
    const std::size_t which = co_await f.select(on_recv(a), on_recv(b), otherwise());
    co_return which != 2;
  };
  const auto body = [look](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::channel<int> a(1), b(1);
      co_await f.send(a, 1);
      auto looks = f.go(look, a, b);
      co_await f.send(b, 1);
      (void)a.try_recv();
      const bool found = co_await f.join(std::move(looks));
      f.expect(found, "one of the two is always ready");
    }
    for (int i = 0; i < n; ++i) {
      weft::channel<int> a(1), b;
      co_await f.send(a, 1);
      auto looks = f.go(look, a, b);
      b.close();
      (void)a.try_recv();
      const bool found = co_await f.join(std::move(looks));
      f.expect(found, "a value, or the other is closed");
    }
  };
  everywhere(body, 1'000, 2);
}

TEST_CASE("a send that select gives up leaves its value, and one of several sends moves one value",
          "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::channel<std::unique_ptr<int>> ch(1), full;
      auto value = std::make_unique<int>(i), second = std::make_unique<int>(-1);
      const std::size_t none = co_await f.select(on_send(full, std::move(value)), otherwise());
      f.expect(none == 1 && value != nullptr, "nothing was sent");
      co_await f.select(on_send(ch, std::move(value)), on_send(ch, std::move(second)));
      f.expect((value == nullptr) != (second == nullptr), "one was sent");
      const auto got = co_await f.recv(ch);
      f.expect(got && **got == (second == nullptr ? -1 : i), "that one");
    }
  };
  everywhere(body, 100, 3);
}
