// Weft's own versions of what crossbeam-channel's tests check of the values.
//
//   drops, drop_unreceived, panic_on_drop, recv_in_send, channel_through_channel, stack_overflow;
//   select: channel_through_channel; mpsc: drop_full, drop_full_shared, issue_32114
//   the bugs: #971, #972, #1084, #1187 (an unbounded channel both of whose sides go at once), #669
//
// Not for weft: a destructor that throws (a T whose destructor throws has no place in any container here:
// instead, one that uses the very channel), panics that poison.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::on_recv;
using weft::on_send;
using weft::recv_status;
using weft::send_status;
using weft::try_send_status;

namespace {

constexpr auto sends_counted = [](auto f, weft::channel_sender<counted> tx, std::atomic<int>* alive,
                                  int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    counted mine(*alive, i);
    const send_status how = co_await f.send(tx, std::move(mine));
    f.expect(mine.whole() == (how == send_status::closed), "moved from if and only if sent");
  }
};

/// Receives a part, sends some more, and lets go of the rest.
const auto each_dropped_once = [](auto f, int n) -> task<decltype(f)> {
  dice d{static_cast<std::uint32_t>(n)};
  for (const int kind : {rendezvous, 1, 50, unlimited}) {
    std::atomic<int> alive{0};
    auto [tx, rx] = ends_of<counted>(kind);
    const int sent = d.roll(n) + 1;
    auto sender = f.go(sends_counted, tx, &alive, sent);
    const int taken = sent - std::min(sent, std::max(kind, 0));
    for (int i = 0; i < taken; ++i) {
      const auto v = co_await f.recv(rx);
      f.expect(v && v->whole() && v->number() == i, "each whole, in order");
    }
    co_await f.join(std::move(sender));
    f.expect(alive.load() == sent - taken, "what was not received is inside");
    drop(rx);
    f.expect(alive.load() == 0, "and goes with the last receiver");
    counted late(alive, -1);
    f.expect(tx.try_send(std::move(late)) == try_send_status::closed && late.whole(),
             "a send later gives back");
    f.expect(alive.load() == 1, "its value");
  }
};

/// Its destructor is an operation of weft, so in a simulation others may run meanwhile.
class noisy {
 public:
  explicit noisy(const weft::channel_sender<int>& graves)
      : graves_(std::make_unique<weft::channel_sender<int>>(graves)) {}

  noisy(noisy&&) noexcept = default;
  noisy& operator=(noisy&&) noexcept = default;

  ~noisy() {
    if (graves_ != nullptr) (void)graves_->try_send(1);
  }

 private:
  std::unique_ptr<weft::channel_sender<int>> graves_;
};

constexpr auto sends_and_goes = [](auto f, auto tx, weft::channel_sender<int> graves,
                                   int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) (void)tx.try_send(noisy(graves));
  drop(tx);
  co_return;
};

constexpr auto receives_and_goes = [](auto f, auto rx, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) (void)rx.try_recv();
  drop(rx);
  co_return;
};

const auto both_sides_go = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    for (const int kind : {2, unlimited}) {
      auto [grave, graves] = ends_of<int>(unlimited);
      auto both = channel_of<noisy>(kind);
      weft::channel_sender<noisy> tx = both;
      weft::channel_receiver<noisy> rx = both;
      // 0, 3, 31 .. 97: around the ends of an unbounded channel's blocks of 64
      const int sent =
          f.simulated() ? 3 : std::array{0, 3, 31, 63, 64, 65, 97}[static_cast<std::size_t>(i % 7)];
      auto a = f.go(sends_and_goes, tx, grave, sent);
      auto b = f.go(sends_and_goes, tx, grave, 1);
      auto c = f.go(receives_and_goes, rx, i % 3);
      if (i % 2 == 0) drop(both);
      drop(tx);
      drop(rx);
      if (i % 2 == 1) drop(both);
      co_await f.join(std::move(a));
      co_await f.join(std::move(b));
      co_await f.join(std::move(c));
      f.expect(graves.size() == static_cast<std::size_t>(sent) + 1, "every value destroyed once");
    }
  }
};

/// Uses the channel it lies in when it is destroyed.
class entangled {
 public:
  entangled(const weft::channel_sender<entangled>& to, std::atomic<int>& gone);
  entangled(entangled&& other) noexcept = default;
  entangled& operator=(entangled&&) = delete;
  ~entangled();

 private:
  std::unique_ptr<weft::channel_sender<entangled>> to_;  // empty: moved from
  std::atomic<int>* gone_;
};

entangled::entangled(const weft::channel_sender<entangled>& to, std::atomic<int>& gone)
    : to_(std::make_unique<weft::channel_sender<entangled>>(to)), gone_(&gone) {}

entangled::~entangled() {
  if (to_ == nullptr) return;
  ++*gone_;
  entangled again(*to_, *gone_);
  if (to_->size() == 0) (void)to_->try_send(std::move(again));  // nobody receives any more: it stays here
  again.to_ = nullptr;
  (void)to_->close();
}

const auto destructors_reenter = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    for (int i = 0; i < n; ++i) {
      std::atomic<int> gone{0};
      auto [tx, rx] = ends_of<entangled>(kind);
      const int sent = kind == unlimited ? 70 : kind;
      for (int k = 0; k < sent; ++k) {
        entangled mine(tx, gone);
        co_await f.send(tx, std::move(mine));
      }
      drop(rx);
      f.expect(gone.load() == sent, "each destroyed once, without the channel's lock");
    }
  }
};

/// The value of a send may come out of the same channel.
const auto operands = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : buffered_kinds) {
    const auto ch = channel_of<int>(kind);
    while (ch.size() < std::min<std::size_t>(ch.capacity(), 4)) (void)ch.try_send(0);
    const int inside = static_cast<int>(ch.size());
    for (int i = 0; i < n; ++i) {
      // It is full: only because the operand comes first is there room.
      const auto first = co_await f.recv(ch);
      const send_status how = co_await f.send(ch, *first + 1);
      f.expect(how == send_status::sent, "a receive, then the send");
      co_await f.send(ch, *co_await f.recv(ch) + 1);
      const std::size_t which = co_await f.select(on_send(ch, *co_await f.recv(ch) + 1), weft::otherwise());
      f.expect(which == 0, "a case's operand is had before the select begins");
    }
    int sum = 0;
    while (const auto v = ch.try_recv()) sum += *v.value;
    f.expect(sum == 3 * n && inside > 0, "each added one");
  }
};

// --- channels through channels ---

/// A receiver of the next link.
struct link {
  std::unique_ptr<weft::channel_receiver<link>> next;
};

constexpr auto sends_links = [](auto f, weft::channel_sender<link> tx, int kind, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [next_tx, next_rx] = ends_of<link>(kind);
    link each{std::make_unique<weft::channel_receiver<link>>(std::move(next_rx))};
    if (i % 2 == 0) {
      co_await f.send(tx, std::move(each));
    } else {
      f.expect(co_await f.select(on_send(tx, std::move(each))) == 0, "sent by a select");
    }
    tx = std::move(next_tx);
  }
};

const auto through_channels = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<link>(kind);
    auto sender = f.go(sends_links, std::move(tx), kind, n);
    for (int i = 0; i < n; ++i) {
      std::optional<link> got;
      if (i % 3 == 0) {
        const auto take = [&got](std::optional<link> each) noexcept { got = std::move(each); };
        f.expect(co_await f.select(on_recv(rx, take)) == 0, "received by a select");
      } else {
        got = co_await f.recv(rx);
      }
      f.expect(got.has_value(), "a link for each");
      if (!got) break;
      auto next = std::move(*got->next);
      rx = std::move(next);
    }
    const auto end = co_await f.recv(rx);
    f.expect(!end.has_value(), "the last one's sender has gone");
    co_await f.join(std::move(sender));
  }
};

// --- large ones ---

struct large {
  explicit large(int n) noexcept { bytes.fill(static_cast<unsigned char>(n)); }

  bool whole(int n) const noexcept {
    return std::all_of(bytes.begin(), bytes.end(), [n](unsigned char b) { return b == n % 256; });
  }

  std::array<unsigned char, 40'000> bytes;
};

constexpr auto sends_large = [](auto f, weft::channel_sender<large> tx, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto each = std::make_unique<large>(i);
    co_await f.send(tx, std::move(*each));
  }
};

const auto large_values = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<large>(kind);
    auto sender = f.go(sends_large, std::move(tx), n);
    auto here = std::make_unique<large>(0);
    int i = 0;
    while (co_await f.recv_into(rx, *here)) f.expect(here->whole(i++), "byte for byte");
    f.expect(i == n, "all of them");
    co_await f.join(std::move(sender));
  }
};

}  // namespace

TEST_CASE("every value is destroyed once, received or not", "[crossbeam][value]") {
  everywhere(each_dropped_once, 2'000, 4);
}

TEST_CASE("values are destroyed once when both sides go at once", "[crossbeam][value]") {
  everywhere(both_sides_go, unless_sanitized(350, 100), 3);
}

TEST_CASE("a destructor may use the channel that its value lay in", "[crossbeam][value]") {
  everywhere(destructors_reenter, 100, 1);
}

TEST_CASE("operands are evaluated before anything is sent", "[crossbeam][value]") {
  everywhere(operands, 500, 2);
}

TEST_CASE("channels go through channels, each through the one before", "[crossbeam][value]") {
  everywhere(through_channels, 1'000, 4);
}

TEST_CASE("large values go through every kind of channel", "[crossbeam][value]") {
  on_real_workers(large_values, unless_sanitized(140, 70));
  in_simulations(large_values, 3, simulated_seeds / 10);
}

TEST_CASE("a send behind the last receiver may be tried again and again", "[crossbeam][value]") {
  auto [tx, rx] = ends_of<counted>(unlimited);
  drop(rx);
  std::atomic<int> alive{0};
  for (int i = 0; i < 3; ++i) REQUIRE(tx.try_send(counted(alive, i)) == try_send_status::closed);
  REQUIRE(alive == 0);
}
