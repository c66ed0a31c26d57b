// Weft's own versions of what crossbeam-channel's select and select_macro tests check of one select.
//
//   smoke1-2, disconnected, default*, timeout, unblocks, both_ready, loop_try, cloning1-2, preflight1-3,
//   duplicate_operations, nesting, reuse, issue_1096, uncompleted_select_*, forget_select_* (here: a select
//   that is made and never awaited); macro: panic_sender, panic_receiver, unfairness*, references, evaluate,
//   move_handles, case_blocks, once_*, disconnect_wakes_{sender,receiver}; ready: default_only; mpsc select:
//   smoke*, closed, unblocks, cloning1-3, preflight1-9, *_data_waiting; never (7)
//
// Not for weft: infer_types, default_syntax, same_variable_name, handles_on_heap, parse_nesting, deref,
// result_types, trailing_comma (a macro's grammar); sync_and_clone, send_and_clone (marker traits); ready(24)
// beyond that (there is no wait for readiness alone but on_join and on_event).

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::on_event;
using weft::on_recv;
using weft::on_send;
using weft::on_timeout;
using weft::otherwise;
using weft::recv_status;
using weft::send_status;

namespace {

// --- what is ready, what is not ---

const auto takes_the_ready = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    const auto a = channel_of<int>(kind), b = channel_of<int>(kind);
    std::optional<int> got;
    const auto take = [&got](std::optional<int> v) noexcept { got = v; };
    for (int i = 0; i < n; ++i) {
      co_await f.send(i % 2 == 0 ? a : b, i);
      const auto which = co_await f.select(on_recv(a, take), on_recv(b, take));
      f.expect(which == static_cast<std::size_t>(i % 2) && got == i, "the one that is ready");
      f.expect(a.size() == 0 && b.size() == 0, "and nothing else");
    }
  }
};

const auto closed_is_ready = [](auto f, int) -> task<decltype(f)> {
  for (const int kind : kinds) {
    const auto never = channel_of<int>(kind);
    auto [tx, rx] = ends_of<int>(kind);
    drop(tx);
    int seen = 0;
    const auto ended = [&seen](std::optional<int> v) noexcept { seen += v ? 100 : 1; };
    f.expect(co_await f.select(on_recv(rx, ended), on_recv(never), on_timeout(1h)) == 0, "before a limit");
    f.expect(co_await f.select(on_recv(rx, ended), on_recv(never), otherwise()) == 0, "before otherwise");
    f.expect(co_await f.select(on_recv(never), on_recv(rx, ended)) == 1, "alone");
    f.expect(seen == 3, "each time it told that it is the end");
    auto [to, from] = ends_of<int>(kind);
    drop(from);
    std::optional<send_status> how;
    const auto failed = [&how](send_status s) noexcept { how = s; };
    f.expect(co_await f.select(on_recv(never), on_send(to, 1, failed), otherwise()) == 1, "for a send");
    f.expect(how == send_status::closed, "which failed");
    f.expect(co_await f.select(on_recv(never), otherwise()) == 1, "an open empty one is not");
  }
};

const auto nothing_is_ready = [](auto f, int) -> task<decltype(f)> {
  for (const int kind : kinds) {
    const auto a = channel_of<int>(kind), b = channel_of<int>(kind);
    f.expect(co_await f.select(otherwise()) == 0, "otherwise alone");
    f.expect(co_await f.select(on_recv(a), on_recv(b), otherwise()) == 2, "otherwise");
    const auto begin = weft::now();
    f.expect(co_await f.select(on_timeout(1ms)) == 0, "a limit alone");
    f.expect(took(f, begin, 1ms), "in its time");
    f.expect(co_await f.select(on_recv(a), on_recv(b), on_timeout(1ms)) == 2, "a limit");
    f.expect(took(f, begin, 2ms), "in its time");
    f.expect(co_await f.select(on_recv(a), on_timeout(0ms), on_timeout(1ms)) == 1, "the earlier of two");
    f.expect(co_await f.select(on_recv(a), on_timeout(-1h)) == 1, "one that has passed");
    (void)a.try_send(1);
    if (kind == rendezvous) continue;
    f.expect(co_await f.select(on_recv(a), on_timeout(-1h), otherwise()) == 0, "a value beats both");
  }
};

constexpr auto sends_later = [](auto f, weft::channel_sender<int> tx, weft::event* may,
                                int v) -> task<decltype(f)> {
  co_await f.wait(may->wait());
  co_await f.yield();
  f.expect(co_await f.send(tx, v) == send_status::sent, "the select receives it");
};

constexpr auto receives_later = [](auto f, weft::channel_receiver<int> rx,
                                   weft::event* may) -> task<decltype(f)> {
  co_await f.wait(may->wait());
  co_await f.yield();
  f.expect(co_await f.recv(rx) == 9, "the select sends it");
};

constexpr auto drops_later = [](auto f, auto end, weft::event* may) -> task<decltype(f)> {
  co_await f.wait(may->wait());
  co_await f.yield();
  drop(end);
};

/// Somebody else makes one of the cases happen while the select waits.
const auto unblocks = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    const int kind = kinds[i % 4];
    const auto never = channel_of<int>(kind);
    const weft::channel<int> full;
    {
      auto [tx, rx] = ends_of<int>(kind);
      weft::event may;
      auto other = f.go(sends_later, tx, &may, i);
      std::optional<int> got;
      const auto take = [&got](std::optional<int> v) noexcept { got = v; };
      may.set();
      const auto which =
          co_await f.select(on_recv(never), on_send(full, 1), on_recv(rx, take), on_timeout(1h));
      f.expect(which == 2 && got == i, "a send does");
      co_await f.join(std::move(other));
    }
    {
      auto [tx, rx] = ends_of<int>(rendezvous);
      weft::event may;
      auto other = f.go(receives_later, std::move(rx), &may);
      may.set();
      const auto which = co_await f.select(on_recv(never), on_send(tx, 9), on_send(full, 1), on_timeout(1h));
      f.expect(which == 1, "a receive does");
      co_await f.join(std::move(other));
    }
    {
      auto [tx, rx] = ends_of<int>(kind);
      weft::event may;
      auto other = f.go(drops_later, std::move(tx), &may);
      may.set();
      f.expect(co_await f.select(on_recv(rx), on_recv(never)) == 0, "the last sender gone does");
      co_await f.join(std::move(other));
    }
    {
      auto [tx, rx] = ends_of<std::string>(rendezvous);
      weft::event may;
      auto other = f.go(drops_later, std::move(rx), &may);
      std::string mine = "a value too long for the small string buffer";
      may.set();
      f.expect(co_await f.select(on_recv(never), on_send(tx, std::move(mine))) == 1,
               "the last receiver gone does");
      f.expect(!mine.empty(), "and nothing was sent");
      co_await f.join(std::move(other));
    }
  }
};

constexpr auto receives_nine = [](auto f, weft::channel_receiver<int> rx,
                                  weft::event* done) -> task<decltype(f)> {
  f.expect(co_await f.recv(rx) == 9, "sent by the select");
  done->set();
};

constexpr auto sends_seven = [](auto f, weft::channel_sender<int> tx,
                                weft::event* done) -> task<decltype(f)> {
  co_await f.send(tx, 7);
  done->set();
};

/// A receive and a send can both happen: in two rounds both have.
const auto both_ready = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [tx, rx] = ends_of<int>(rendezvous);
    auto [to, from] = ends_of<int>(rendezvous);
    weft::event sent, received;
    auto a = f.go(sends_seven, tx, &sent);
    auto b = f.go(receives_nine, from, &received);
    int seen = 0;
    const auto take = [&seen](std::optional<int> v) noexcept { seen += v == 7 ? 1 : 100; };
    const auto gave = [&seen](send_status s) noexcept { seen += s == send_status::sent ? 10 : 100; };
    for (int round = 0; round < 2; ++round) co_await f.select(on_recv(rx, take), on_send(to, 9, gave));
    f.expect(seen == 11, "one each");
    co_await f.wait(sent.wait());
    co_await f.wait(received.wait());
    co_await f.join(std::move(a));
    co_await f.join(std::move(b));
  }
};

constexpr auto tries_until_sent = [](auto f, weft::channel_sender<int> tx,
                                     weft::channel_receiver<int> stop) -> task<decltype(f), int> {
  for (;;) {
    const auto which = co_await f.select(on_send(tx, 1), on_recv(stop), otherwise());
    if (which != 2) co_return static_cast<int>(which);
    co_await f.yield();
  }
};

constexpr auto tries_until_received = [](auto f, weft::channel_receiver<int> rx,
                                         weft::channel_receiver<int> stop) -> task<decltype(f), int> {
  for (;;) {
    const auto which = co_await f.select(on_recv(rx), on_recv(stop), otherwise());
    if (which != 2) co_return static_cast<int>(which);
    co_await f.yield();
  }
};

/// Two that only try, or one that tries and one that has a limit, meet or are told to stop.
const auto loop_try = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [tx, rx] = ends_of<int>(rendezvous);
    auto [stopper, stop] = ends_of<int>(rendezvous);
    if (i % 2 == 0) {
      auto sender = f.go(tries_until_sent, tx, stop);
      const auto got = co_await f.recv_for(rx, 1h);
      f.expect(got && *got == 1, "who tries finds who waits");
      const int how = co_await f.join(std::move(sender));
      f.expect(how == 0, "and has sent");
    } else {
      auto receiver = f.go(tries_until_received, rx, stop);
      if (i % 4 == 1) {
        f.expect(co_await f.send(tx, 1) == send_status::sent, "who tries finds who waits");
      } else {
        drop(stopper);
      }
      const int how = co_await f.join(std::move(receiver));
      f.expect(how == (i % 4 == 1 ? 0 : 1), "and has received, or was stopped");
    }
  }
};

// --- handles that come and go, values before the end ---

constexpr auto copies_and_sends = [](auto f, weft::channel_sender<int> tx,
                                     weft::channel_receiver<int> told) -> task<decltype(f)> {
  (void)co_await f.recv(told);
  {
    const auto copy = tx;
    drop(tx);
  }  // the last is gone, and nothing was sent
  co_return;
};

const auto copies = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [tx, rx] = ends_of<int>(kinds[i % 4]);
    auto [tell, told] = ends_of<int>(unlimited);
    const weft::channel<int> never;
    auto other = f.go(copies_and_sends, std::move(tx), std::move(told));
    (void)tell.try_send(1);
    const auto copy = rx;
    drop(rx);
    f.expect(co_await f.select(on_recv(copy), on_recv(never)) == 0, "the end, at a copy of the handle");
    co_await f.join(std::move(other));
  }
};

constexpr auto sends_then_drops = [](auto f, weft::channel_sender<int> tx) -> task<decltype(f)> {
  co_await f.send(tx, 1);
  drop(tx);
};

/// A value that was sent before the last sender went comes before the end.
const auto values_first = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    for (const int kind : buffered_kinds) {
      auto [tx, rx] = ends_of<int>(kind);
      const weft::channel<int> never;
      auto other = f.go(sends_then_drops, std::move(tx));
      if (i % 2 == 0) co_await f.join(std::move(other));
      std::vector<int> seen;
      const auto note = [&seen](std::optional<int> v) { seen.push_back(v.value_or(0)); };
      co_await f.select(on_recv(never), on_recv(rx, note));
      co_await f.select(on_recv(never), on_recv(rx, note));
      f.expect(seen == std::vector<int>{1, 0}, "the value, then the end");
      if (i % 2 != 0) co_await f.join(std::move(other));
    }
  }
};

const auto same_twice = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    const auto ch = channel_of<int>(kind);
    int received = 0, sent = 0;
    const auto take = [&received](std::optional<int> v) noexcept { received += v.has_value(); };
    const auto gave = [&sent](send_status s) noexcept { sent += s == send_status::sent; };
    for (int i = 0; i < n; ++i) {
      co_await f.select(on_recv(ch, take), on_send(ch, 1, gave), on_recv(ch, take), on_send(ch, 2, gave));
      f.expect(ch.size() == static_cast<std::size_t>(sent - received), "one of the four each time");
    }
    f.expect(sent + received == n, "each time one");
  }
};

const auto nested = [](auto f, int n) -> task<decltype(f)> {
  const auto ch = channel_of<int>(unlimited);
  for (int i = 0; i < n; ++i) {
    const auto inner = [&ch, i](send_status) -> weft::routine<> {
      const auto innermost = [&ch, i](std::optional<int> v) -> weft::routine<> {
        if (v == i) co_await weft::select(on_send(ch, i + 1));
      };
      co_await weft::select(on_recv(ch, innermost));
    };
    co_await f.select(on_send(ch, i, inner));
    f.expect(ch.try_recv().value == i + 1, "three selects, one inside of the other");
  }
};

// --- operands, references, what is thrown ---

const auto operands = [](auto f, int) -> task<decltype(f)> {
  const auto ch = channel_of<int>(unlimited);
  const weft::channel<int> never;
  std::string order;
  const auto of = [&order](const weft::channel<int>& c, char name) -> const weft::channel<int>& {
    order += name;
    return c;
  };
  const auto value = [&order](char name) {
    order += name;
    return 1;
  };
  co_await f.select(weft::biased, on_recv(of(never, 'a')), on_send(of(ch, 'b'), value('b')),
                    on_send(of(ch, 'c'), value('c')).when(false));
  f.expect(order.size() == 5 && ch.size() == 1, "every operand once, also of what does not happen");
  bool thrown = false;
  const auto fails = [](bool yes) {
    if (yes) throw std::runtime_error("an operand");
    return 1;
  };
  try {
    co_await f.select(on_recv(ch), on_send(ch, fails(true)));
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  f.expect(thrown && ch.size() == 1, "one that throws: nothing has happened");
};

const auto made_and_dropped = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<std::string>(kind);
    std::string mine = "a value too long for the small string buffer";
    for (int i = 0; i < n; ++i) {
      { [[maybe_unused]] const auto never_awaited = weft::select(on_send(tx, std::move(mine)), on_recv(rx)); }
      f.expect(!mine.empty() && tx.size() == 0, "a select that nobody awaits does nothing");
    }
    drop(rx);
    f.expect(co_await f.select(on_send(tx, std::move(mine))) == 0 && !mine.empty(),
             "nor does it hold an end");
  }
};

/// A handler is consumed by the call, and may wait.
const auto handlers = [](auto f, int n) -> task<decltype(f)> {
  const weft::channel<int> relay(1), ch(1);
  for (int i = 0; i < n; ++i) {
    auto token = std::make_unique<int>(i);
    std::unique_ptr<int> kept;
    const auto keep = [&token, &kept](std::optional<int>) noexcept { kept = std::move(token); };
    co_await f.send(ch, i);
    co_await f.select(on_recv(ch, keep), on_recv(relay, keep));
    f.expect(kept && *kept == i && !token, "the chosen one was called, once");
    const auto waits = [&ch, &relay](std::optional<int> v) -> weft::routine<> {
      co_await relay.send(*v + 1);
      co_await ch.send(*co_await relay.recv() + 1);
    };
    co_await f.send(ch, i);
    co_await f.select(on_recv(ch, waits));
    f.expect(ch.try_recv().value == i + 2, "a handler that waits has ended when the select has");
  }
};

const auto again_and_again = [](auto f, int n) -> task<decltype(f)> {
  auto [tx, rx] = ends_of<int>(3);
  const weft::channel<int> never;
  int sum = 0;
  weft::selector s;
  const auto take = [&sum](std::optional<int> v) noexcept { sum += v.value_or(1'000'000); };
  {
    const auto copy = rx;
    s.add(on_recv(copy, take));  // keeps the channel, not the handle
  }
  s.add(on_recv(never));
  for (int i = 0; i < n; ++i) {
    co_await f.send(tx, i);
    f.expect(co_await f.wait(s.wait()) == 0, "the same cases, each time anew");
  }
  f.expect(sum == n * (n - 1) / 2, "each value once");
  s.enable(0, false);
  co_await f.send(tx, 1);
  s.add(on_timeout(1ms));
  f.expect(co_await f.wait(s.wait()) == 2, "what is switched off takes no part");
  f.expect(tx.size() == 1, "and has taken nothing");
};

}  // namespace

TEST_CASE("a select takes what is ready and nothing else", "[crossbeam][select]") {
  everywhere(takes_the_ready, 200, 2);
  everywhere(closed_is_ready, 0, 0);
}

TEST_CASE("a select of which nothing is ready ends by its limit or otherwise", "[crossbeam][select]") {
  everywhere(nothing_is_ready, 0, 0);
}

TEST_CASE("each thing that can end a select that waits ends it", "[crossbeam][select]") {
  everywhere(unblocks, unless_sanitized(300, 100), 4);
}

TEST_CASE("of two cases that are ready one happens, then the other", "[crossbeam][select]") {
  everywhere(both_ready, 300, 2);
}

TEST_CASE("who only tries meets who waits", "[crossbeam][select]") {
  everywhere(loop_try, 40, 4);
}

TEST_CASE("a select sees the end at any copy of a handle", "[crossbeam][select]") {
  everywhere(copies, 300, 4);
}

TEST_CASE("a select receives what was sent before the end", "[crossbeam][select]") {
  everywhere(values_first, 200, 2);
}

TEST_CASE("one channel several times in a select is used once", "[crossbeam][select]") {
  everywhere(same_twice, 1'000, 10);
}

TEST_CASE("a select in a handler in a handler works at each face", "[crossbeam][select]") {
  everywhere(nested, 200, 2);
}

TEST_CASE("operands are evaluated once, before the select, and may throw", "[crossbeam][select]") {
  everywhere(operands, 0, 0);
}

TEST_CASE("a select that nobody awaits has done nothing", "[crossbeam][select]") {
  everywhere(made_and_dropped, 10, 1);
}

TEST_CASE("a handler is called once, by the case that happened, and awaited", "[crossbeam][select]") {
  everywhere(handlers, 200, 2);
}

TEST_CASE("a selector's cases serve again and again", "[crossbeam][select]") {
  everywhere(again_and_again, 200, 3);
}
