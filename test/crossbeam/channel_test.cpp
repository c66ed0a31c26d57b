// Weft's own versions of what crossbeam-channel's array, list and zero tests check of one channel.
//
//   smoke, capacity, len_empty_full, len, try_recv, recv, recv_timeout, recv_timeout_nonempty_expired,
//   try_send, send, send_timeout, send_after_disconnect, recv_after_disconnect, disconnect_wakes_sender,
//   disconnect_wakes_receiver; same_channel (7)
//   select_macro: try_recv, recv, recv_timeout, try_send, send, send_timeout - a select of one case
//
// Not for weft: is_empty and is_full (size() and capacity() say it), the errors as types (statuses), that an
// error gives the value back (the value is borrowed: that it is still the caller's is looked at instead).

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::recv_status;
using weft::send_status;
using weft::send_until_status;
using weft::try_send_status;

namespace {

// --- smoke, capacity, len ---

constexpr auto gives_one = [](auto f, weft::channel<int> ch, int value) -> task<decltype(f)> {
  f.expect(co_await f.send(ch, value) == send_status::sent, "a send is sent");
};

const auto smoke = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    const auto ch = channel_of<int>(kind);
    for (int i = 0; i < n; ++i) {
      const bool room = kind != rendezvous;
      f.expect(ch.try_send(i) == (room ? try_send_status::sent : try_send_status::full), "try_send");
      if (room) f.expect(ch.try_recv().value == i, "what try_send sent is received");
      auto sender = f.go(gives_one, ch, i + 100);
      const auto got = co_await f.recv(ch);
      f.expect(got == i + 100, "what was sent is received");
      co_await f.join(std::move(sender));
      f.expect(ch.try_recv().status == recv_status::empty, "and then it is empty");
      const auto late = co_await f.recv_for(ch, -1ms);
      f.expect(late.status == recv_status::empty && !late.value, "also for a limit that has passed");
    }
  }
};

const auto counts = [](auto f, int n) -> task<decltype(f)> {
  auto ch = weft::channel<int>(static_cast<std::size_t>(n));
  f.expect(ch.size() == 0, "empty at first");
  for (int i = 0; i < n; ++i) {
    co_await f.send(ch, i);
    f.expect(ch.size() == static_cast<std::size_t>(i) + 1, "each value sent counts");
  }
  f.expect(ch.try_send(n) == try_send_status::full, "full exactly when size() is capacity()");
  auto waits = f.go(gives_one, ch, n);
  for (int i = 0; i < n; ++i) {
    co_await f.yield();
    f.expect(ch.size() == ch.capacity(), "a sender that waits does not count");
  }
  for (int i = 0; i <= n; ++i) f.expect(co_await f.recv(ch) == i, "in order");
  co_await f.join(std::move(waits));
  f.expect(ch.size() == 0, "empty at last");
};

constexpr auto sends_and_looks = [](auto f, weft::channel<int> ch, int n,
                                    std::size_t most) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    co_await f.send(ch, i);
    f.expect(ch.size() <= most, "no more inside than fit, says the sender");
  }
};

const auto size_under_load = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    const auto ch = channel_of<int>(kind);
    const std::size_t most = std::min(ch.capacity(), static_cast<std::size_t>(2 * n));
    auto a = f.go(sends_and_looks, ch, n, most);
    auto b = f.go(sends_and_looks, ch, n, most);
    for (int i = 0; i < 2 * n; ++i) {
      (void)co_await f.recv(ch);
      f.expect(ch.size() <= most, "no more inside than fit, says the receiver");
    }
    co_await f.join(std::move(a));
    co_await f.join(std::move(b));
    f.expect(ch.size() == 0, "and nothing at last");
  }
};

// --- how each operation ends, and when ---

/// Sends when it is told that it may, then drops the last sender when it is told again.
constexpr auto sends_on_demand = [](auto f, weft::channel_sender<int> tx, weft::event* may_send,
                                    weft::event* may_go) -> task<decltype(f)> {
  co_await f.wait(may_send->wait());
  f.expect(co_await f.send(tx, 7) == send_status::sent, "the receiver is there");
  co_await f.wait(may_go->wait());
};

const auto receives_end = [](auto f, int) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    weft::event may_send, may_go;
    auto sender = f.go(sends_on_demand, std::move(tx), &may_send, &may_go);
    const auto begin = weft::now();
    f.expect(rx.try_recv().status == recv_status::empty, "try_recv of an empty one");
    const auto limited = co_await f.recv_for(rx, 2ms);
    f.expect(limited.status == recv_status::empty && !limited.value, "recv_for of an empty one");
    f.expect(took(f, begin, 2ms), "it waited for its time, no less");
    may_send.set();
    const auto got = co_await f.recv_for(rx, 1h);
    f.expect(got && *got.value == 7, "recv_for gets what comes in its time");
    const auto again = co_await f.wait(rx.recv_until(weft::now() + 1ms));
    f.expect(again.status == recv_status::empty, "recv_until when its time is up");
    may_go.set();
    co_await f.join(std::move(sender));
    f.expect(rx.try_recv().status == recv_status::closed, "try_recv of one without senders");
    f.expect(co_await f.recv(rx) == std::nullopt, "recv of one without senders");
    const auto forever = co_await f.recv_for(rx, 1h);
    f.expect(forever.status == recv_status::closed, "recv_for of one without senders does not wait");
    if (f.simulated()) f.expect(weft::now() - begin == 3ms, "nothing else took time");
  }
};

constexpr auto takes_on_demand = [](auto f, weft::channel_receiver<std::string> rx, weft::event* may_take,
                                    weft::event* may_go) -> task<decltype(f)> {
  co_await f.wait(may_take->wait());
  f.expect(co_await f.recv(rx) != std::nullopt, "a value is there");
  co_await f.wait(may_go->wait());
};

const auto sends_end = [](auto f, int) -> task<decltype(f)> {
  const std::string text = "a value too long for the small string buffer";
  for (const int kind : {0, 1}) {
    auto [tx, rx] = ends_of<std::string>(kind);
    weft::event may_take, may_go;
    auto receiver = f.go(takes_on_demand, std::move(rx), &may_take, &may_go);
    for (int i = 0; i < kind; ++i) co_await f.send(tx, text);
    std::string mine = text;
    const auto begin = weft::now();
    f.expect(tx.try_send(std::move(mine)) == try_send_status::full && mine == text, "try_send: full");
    const auto limited = co_await f.send_for(tx, std::move(mine), 2ms);
    f.expect(limited == send_until_status::timed_out && mine == text, "send_for: no room in its time");
    f.expect(took(f, begin, 2ms), "it waited for its time, no less");
    may_take.set();
    const auto sent = co_await f.send_for(tx, std::move(mine), 1h);
    f.expect(sent == send_until_status::sent && mine.empty(), "send_for: there was room");
    mine = text;
    if (kind != rendezvous) {
      const auto again = co_await f.wait(tx.send_until(std::move(mine), weft::now() + 1ms));
      f.expect(again == send_until_status::timed_out && mine == text, "send_until when its time is up");
    }
    may_go.set();
    co_await f.join(std::move(receiver));
    f.expect(tx.try_send(std::move(mine)) == try_send_status::closed && mine == text, "try_send: closed");
    const auto closed = co_await f.send(tx, std::move(mine));
    f.expect(closed == send_status::closed && mine == text, "send: closed");
    const auto late = co_await f.send_for(tx, std::move(mine), 1h);
    f.expect(late == send_until_status::closed && mine == text, "send_for: closed, without waiting");
  }
};

const auto expired_limits = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    const auto ch = channel_of<int>(kind);
    for (int i = 0; i < n; ++i) {
      co_await f.send(ch, i);
      const auto past = weft::now() - 1s;
      const auto got = co_await f.wait(ch.recv_until(past));
      f.expect(got && *got.value == i, "a value that is there beats a limit that has passed");
      const auto none = co_await f.wait(ch.recv_until(past));
      f.expect(none.status == recv_status::empty, "else it is empty");
      f.expect(co_await f.wait(ch.send_until(i, past)) == send_until_status::sent, "a slot does as well");
      (void)ch.try_recv();
    }
  }
};

/// The same through a select of one case.
const auto selects_of_one = [](auto f, int) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    std::optional<int> got;
    const auto take = [&got](std::optional<int> v) noexcept { got = v; };
    f.expect(co_await f.select(on_recv(rx, take), weft::otherwise()) == 1, "try_recv: empty");
    f.expect(co_await f.select(on_recv(rx, take), weft::on_timeout(1ms)) == 1, "recv_for: empty");
    f.expect(co_await f.select(on_send(tx, 5), weft::otherwise()) == 0, "try_send: sent");
    f.expect(co_await f.select(on_recv(rx, take), weft::on_timeout(0ms)) == 0 && got == 5, "recv_for: got");
    while (tx.try_send(1) == try_send_status::sent && kind != unlimited) continue;
    if (kind != unlimited) {
      f.expect(co_await f.select(on_send(tx, 6), weft::otherwise()) == 1, "try_send: full");
      f.expect(co_await f.select(on_send(tx, 6), weft::on_timeout(1ms)) == 1, "send_for: timed out");
    }
    drop(tx);
    while (rx.try_recv()) continue;
    f.expect(co_await f.select(on_recv(rx, take), weft::otherwise()) == 0 && !got, "recv: closed is ready");
  }
};

// --- after the other side has gone ---

const auto after_the_receivers = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<std::shared_ptr<int>>(kind);
    auto value = std::make_shared<int>(n);
    while (kind != unlimited && tx.try_send(value) == try_send_status::sent) continue;
    auto second = rx;
    drop(rx);
    f.expect(kind == unlimited || tx.try_send(value) == try_send_status::full, "one receiver is left");
    drop(second);
    f.expect(value.use_count() == 1, "what nobody can receive is gone");
    f.expect(tx.try_send(value) == try_send_status::closed, "try_send");
    f.expect(co_await f.send(tx, value) == send_status::closed, "send");
    f.expect(co_await f.send_for(tx, value, 1h) == send_until_status::closed, "send_for");
    std::optional<send_status> how;
    const auto note = [&how](send_status s) noexcept { how = s; };
    f.expect(co_await f.select(on_send(tx, value, note), weft::on_timeout(1h)) == 0,
             "a select does not wait");
    f.expect(how == send_status::closed && value.use_count() == 1, "and has sent nothing");
  }
};

const auto after_the_senders = [](auto f, int) -> task<decltype(f)> {
  for (const int kind : {3, unlimited}) {
    auto [tx, rx] = ends_of<int>(kind);
    auto second = tx;
    for (int i = 0; i < 3; ++i) co_await f.send(i == 1 ? second : tx, i);
    drop(tx);
    f.expect(rx.try_recv().value == 0, "what was sent before is received");
    drop(second);
    f.expect(co_await f.recv(rx) == 1, "also when the last sender has gone");
    const auto third = co_await f.recv_for(rx, 1h);
    f.expect(third.value == 2, "to the last");
    f.expect(rx.try_recv().status == recv_status::closed, "try_recv");
    f.expect(co_await f.recv(rx) == std::nullopt, "recv");
    const auto none = co_await f.recv_for(rx, 1h);
    f.expect(none.status == recv_status::closed, "recv_for");
  }
};

constexpr auto drops_receiver = [](auto f, weft::channel_receiver<std::string> rx,
                                   weft::event* begun) -> task<decltype(f)> {
  co_await f.wait(begun->wait());
  co_await f.yield();
  drop(rx);
};

const auto wakes_senders = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [tx, rx] = ends_of<std::string>(i % 2);
    if (i % 2 == 1) (void)tx.try_send("one");
    weft::event begun;
    auto other = f.go(drops_receiver, std::move(rx), &begun);
    std::string mine = "a value too long for the small string buffer";
    begun.set();
    const auto how = co_await f.send(tx, std::move(mine));
    f.expect(how == send_status::closed && !mine.empty(), "the last receiver gone ends a send that waits");
    co_await f.join(std::move(other));
  }
};

constexpr auto drops_sender = [](auto f, weft::channel_sender<int> tx,
                                 weft::event* begun) -> task<decltype(f)> {
  co_await f.wait(begun->wait());
  co_await f.yield();
  drop(tx);
};

const auto wakes_receivers = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [tx, rx] = ends_of<int>(kinds[i % 4]);
    weft::event begun;
    auto other = f.go(drops_sender, std::move(tx), &begun);
    begun.set();
    f.expect(co_await f.recv(rx) == std::nullopt, "the last sender gone ends a receive that waits");
    co_await f.join(std::move(other));
  }
};

}  // namespace

TEST_CASE("what is sent is received in every kind of channel", "[crossbeam][channel]") {
  everywhere(smoke, 200, 1);
}

TEST_CASE("the size is what is buffered and never more than the capacity", "[crossbeam][channel]") {
  everywhere(counts, 50, 3);
  everywhere(size_under_load, 2'000, 3);
}

TEST_CASE("each kind of receive ends as it says, and in its time", "[crossbeam][channel]") {
  everywhere(receives_end, 0, 0);
}

TEST_CASE("each kind of send ends as it says, in its time, and keeps what it has not sent",
          "[crossbeam][channel]") {
  everywhere(sends_end, 0, 0);
}

TEST_CASE("what is there beats a limit that has passed at either face", "[crossbeam][channel]") {
  everywhere(expired_limits, 100, 1);
}

TEST_CASE("a select of one case ends as the operation alone", "[crossbeam][channel][select]") {
  everywhere(selects_of_one, 0, 0);
}

TEST_CASE("behind the last receiver every send fails, and what was buffered is gone",
          "[crossbeam][channel]") {
  everywhere(after_the_receivers, 0, 0);
}

TEST_CASE("behind the last sender the rest is received, and then it is closed", "[crossbeam][channel]") {
  everywhere(after_the_senders, 0, 0);
}

TEST_CASE("the last one of a side gone wakes the other side", "[crossbeam][channel]") {
  everywhere(wakes_senders, 200, 4);
  everywhere(wakes_receivers, 200, 4);
}

TEST_CASE("a channel tells its capacity", "[crossbeam][channel]") {
  for (std::size_t n = 0; n < 10; ++n) {
    REQUIRE(weft::channel<int>(n).capacity() == n);
    REQUIRE(weft::blocking::channel<int>(n).capacity() == n);
    REQUIRE(weft::make_channel<int>(n).sender.capacity() == n);
    REQUIRE(weft::make_channel<int>(n).receiver.capacity() == n);
  }
  REQUIRE(weft::channel<int>::unbounded().capacity() == std::numeric_limits<std::size_t>::max());
}

TEST_CASE("handles are equal exactly if they are of one channel", "[crossbeam][channel]") {
  for (const int kind : kinds) {
    const auto a = channel_of<int>(kind), b = channel_of<int>(kind);
    const weft::blocking::channel<int> facade = a;
    const weft::channel_sender<int> tx = a;
    const weft::channel_receiver<int> rx = a;
    const auto copy = a;
    REQUIRE(copy == a);
    REQUIRE(facade == a);
    REQUIRE(tx == a);
    REQUIRE(rx == a);
    REQUIRE(tx == rx);
    REQUIRE_FALSE(a == b);
    REQUIRE_FALSE(tx == b);
  }
  REQUIRE_FALSE(channel_of<int>(rendezvous) == channel_of<int>(unlimited));
}
