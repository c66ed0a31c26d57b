// Channels: Go's runtime TestChan (its parts, for each capacity), TestNonblockRecvRace and TestMultiConsumer;
// test/closedchan.go, chancap.go, chan/nonblock.go, chan/zerosize.go.
//
// Where Go panics - a send to a closed channel, a second close - weft says so by the result.  A nil channel
// has no like: a handle that was moved from is misuse (test/api/misuse_test.cpp).  Absurd capacities:
// test/api/extremes_test.cpp.

#include <array>
#include <atomic>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using namespace std::chrono_literals;
using weft::test::everywhere;
using weft::test::task;

namespace {

constexpr std::array primes{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71};

/// Go tries 0 to 199; threads make that dear.
std::vector<std::size_t> capacities(bool simulated) {
  if (simulated) return {0, 1, 2};
  return {0, 1, 2, 3, 4, 5, 10, 99, 199};
}

constexpr auto receive_one = [](auto f, weft::channel<int> ch) -> task<decltype(f), int> {
  const auto v = co_await f.recv(ch);
  co_return v.value_or(-1);
};

constexpr auto send_one = [](auto f, weft::channel<int> ch, int v) -> task<decltype(f), bool> {
  const weft::send_status s = co_await f.send(ch, v);
  co_return s == weft::send_status::sent;
};

constexpr auto send_all = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) co_await f.send(ch, i);
};

/// How often each value came, until the channel is closed.
constexpr auto count_values = [](auto f, weft::channel<int> ch,
                                 int n) -> task<decltype(f), std::vector<int>> {
  std::vector<int> seen(static_cast<std::size_t>(n));
  while (auto v = co_await f.recv(ch)) ++seen[static_cast<std::size_t>(*v)];
  co_return seen;
};

template <typename T>
constexpr auto put = [](auto f, weft::channel<T> ch, T v) -> task<decltype(f)> { co_await f.send(ch, v); };

template <typename T>
constexpr auto get = [](auto f, weft::channel<T> ch) -> task<decltype(f), bool> {
  const auto v = co_await f.recv(ch);
  co_return v.has_value();
};

/// chan/nonblock.go for one type: tries fail until somebody waits, or there is a slot.
template <typename T>
constexpr auto tries = [](auto f, T value) -> task<decltype(f)> {
  weft::channel<T> ch;
  f.expect(ch.try_recv().status == weft::recv_status::empty, "nobody sends");
  f.expect(ch.try_send(value) == weft::try_send_status::full, "nobody receives");
  auto sender = f.go(put<T>, ch, value);
  for (;;) {
    const auto got = ch.try_recv();
    if (got.status == weft::recv_status::received) {
      f.expect(*got.value == value, "the value that was sent");
      break;
    }
    co_await f.yield();
  }
  co_await f.join(std::move(sender));
  auto receiver = f.go(get<T>, ch);
  while (ch.try_send(value) != weft::try_send_status::sent) co_await f.yield();
  const bool got = co_await f.join(std::move(receiver));
  f.expect(got, "it was received");

  weft::channel<T> buffered(1);
  f.expect(buffered.try_recv().status == weft::recv_status::empty, "the buffer is empty");
  f.expect(buffered.try_send(value) == weft::try_send_status::sent, "there is a slot");
  f.expect(buffered.try_send(value) == weft::try_send_status::full, "the buffer is full");
  const auto back = buffered.try_recv();
  f.expect(back.value.has_value() && *back.value == value, "the value comes back");
  f.expect(buffered.try_recv().status == weft::recv_status::empty, "and only once");
};

struct large {
  std::array<int, 200> numbers;
  bool operator==(const large&) const = default;
};

/// All ways to receive from a channel that is closed and drained, and to send to it.
constexpr auto use_closed = [](auto f, weft::channel<int> ch) -> task<decltype(f)> {
  using weft::on_recv, weft::on_send;
  constexpr auto closed = weft::recv_status::closed;
  for (int again = 0; again < 2; ++again) {
    const auto v = co_await f.recv(ch);
    f.expect(!v, "recv");
    int untouched = 7;
    const bool into = co_await f.recv_into(ch, untouched);
    f.expect(!into && untouched == 7, "recv_into");
    f.expect(ch.try_recv().status == closed, "try_recv");
    const auto timed = co_await f.recv_for(ch, 1h);
    f.expect(timed.status == closed, "recv_for");
    bool ended = false;
    const auto look = [&ended](std::optional<int> got) { ended = !got; };
    const std::size_t alone = co_await f.select(on_recv(ch, look));
    f.expect(alone == 0 && ended, "select of a receive");
    ended = false;
    const std::size_t beside = co_await f.select(on_recv(ch, look), weft::otherwise());
    f.expect(beside == 0 && ended, "a closed channel is ready to be received from");

    const weft::send_status sent = co_await f.send(ch, 1);
    f.expect(sent == weft::send_status::closed, "send");
    f.expect(ch.try_send(1) == weft::try_send_status::closed, "try_send");
    const weft::send_until_status sent_for = co_await f.send_for(ch, 1, 1h);
    f.expect(sent_for == weft::send_until_status::closed, "send_for");
    weft::send_status chosen = weft::send_status::sent;
    const auto note = [&chosen](weft::send_status s) { chosen = s; };
    const std::size_t which = co_await f.select(on_send(ch, 1, note), weft::otherwise());
    f.expect(which == 0 && chosen == weft::send_status::closed, "select of a send");
    f.expect(!ch.close(), "it is closed already");
  }
};

}  // namespace

TEST_CASE("who receives from an empty channel or sends to a full one waits until the other comes",
          "[golang][channel]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    for (const std::size_t capacity : capacities(f.simulated())) {
      weft::channel<int> ch(capacity);
      f.expect(ch.capacity() == capacity && ch.size() == 0, "cap and len of a new one");
      f.expect(ch.try_recv().status == weft::recv_status::empty, "nothing to try");
      const auto limited = co_await f.recv_for(ch, 0ms);
      f.expect(limited.status == weft::recv_status::empty, "nothing within a limit");
      auto a = f.go(receive_one, ch), b = f.go(receive_one, ch);
      co_await f.send(ch, 1);
      co_await f.send(ch, 2);
      const int first = co_await f.join(std::move(a));
      const int second = co_await f.join(std::move(b));
      f.expect(first + second == 3, "each who waits gets one");

      for (std::size_t i = 0; i < capacity; ++i) co_await f.send(ch, static_cast<int>(i));
      f.expect(ch.size() == capacity, "len of a full one");
      f.expect(ch.try_send(0) == weft::try_send_status::full, "no slot to try");
      const weft::send_until_status timed = co_await f.send_for(ch, 0, 0ms);
      f.expect(timed == weft::send_until_status::timed_out, "no slot within a limit");
      auto sender = f.go(send_one, ch, static_cast<int>(capacity));
      for (std::size_t i = 0; i <= capacity; ++i) {
        const auto v = co_await f.recv(ch);
        f.expect(v == static_cast<int>(i), "who waits to send comes behind what is in the buffer");
      }
      const bool sent = co_await f.join(std::move(sender));
      f.expect(sent, "the sender goes on");
    }
  };
  everywhere(body, 0, 0);
}

TEST_CASE("close ends the receives that wait and what was sent before comes first", "[golang][channel]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    for (const std::size_t capacity : capacities(f.simulated())) {
      weft::channel<int> ch(capacity);
      for (std::size_t i = 0; i < capacity; ++i) co_await f.send(ch, static_cast<int>(i));
      ch.close();
      for (std::size_t i = 0; i < capacity; ++i) {
        const auto v = co_await f.recv(ch);
        f.expect(v == static_cast<int>(i), "what is left comes in order");
      }
      const auto behind = co_await f.recv(ch);
      f.expect(!behind, "then nothing comes");

      weft::channel<int> empty(capacity);
      auto a = f.go(receive_one, empty), b = f.go(receive_one, empty);
      empty.close();
      const int first = co_await f.join(std::move(a));
      const int second = co_await f.join(std::move(b));
      f.expect(first == -1 && second == -1, "nobody gets anything");
    }
  };
  everywhere(body, 0, 0);
}

TEST_CASE("close ends the sends that wait, and none of them has sent", "[golang][channel]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (std::size_t capacity = 0; capacity < 2; ++capacity) {
      weft::channel<int> ch(capacity);
      for (std::size_t i = 0; i < capacity; ++i) co_await f.send(ch, 0);
      std::vector<weft::join_handle<bool>> senders;
      for (int i = 0; i < n; ++i) senders.push_back(f.go(send_one, ch, 1));
      co_await f.yield();
      ch.close();
      for (auto& h : senders) {
        const bool sent = co_await f.join(std::move(h));
        f.expect(!sent, "nobody receives");
      }
      for (std::size_t i = 0; i < capacity; ++i) co_await f.recv(ch);
      const auto behind = co_await f.recv(ch);
      f.expect(!behind, "nothing but what was in the buffer");
    }
  };
  everywhere(body, 20, 3);
}

TEST_CASE("a hundred values come in order through every capacity", "[golang][channel]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (const std::size_t capacity : capacities(f.simulated())) {
      weft::channel<int> ch(capacity);
      auto sender = f.go(send_all, ch, n);
      for (int i = 0; i < n; ++i) {
        int v = -1;
        const bool got = co_await f.recv_into(ch, v);
        f.expect(got && v == i, "one after the other");
      }
      co_await f.join(std::move(sender));
    }
  };
  everywhere(body, 100, 5);
}

TEST_CASE("four senders and four receivers pass each value on once through every capacity",
          "[golang][channel]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (const std::size_t capacity : capacities(f.simulated())) {
      weft::channel<int> ch(capacity);
      std::vector<weft::join_handle<>> senders;
      std::vector<weft::join_handle<std::vector<int>>> receivers;
      for (int i = 0; i < 4; ++i) {
        receivers.push_back(f.go(count_values, ch, n));
        senders.push_back(f.go(send_all, ch, n));
      }
      for (auto& h : senders) co_await f.join(std::move(h));
      ch.close();
      std::vector<int> seen(static_cast<std::size_t>(n));
      for (auto& h : receivers) {
        const std::vector<int> part = co_await f.join(std::move(h));
        for (std::size_t i = 0; i < part.size(); ++i) seen[i] += part[i];
      }
      for (const int times : seen) f.expect(times == 4, "each value came as often as it was sent");
    }
  };
  everywhere(body, weft::test::unless_sanitized(500, 100), 2);
}

TEST_CASE("a closed channel gives what is left and then nothing, and takes nothing, in every form",
          "[golang][channel]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    weft::channel<int> rendezvous, drained(2), residue(2);
    f.expect(rendezvous.close() && drained.close(), "the first close");
    co_await f.send(residue, 4);
    residue.close();
    f.expect(residue.is_closed() && residue.size() == 1, "what is left counts");
    const auto last = co_await f.recv(residue);
    f.expect(last == 4, "what is left");
    co_await use_closed(f, rendezvous);
    co_await use_closed(f, drained);
    co_await use_closed(f, residue);
  };
  everywhere(body, 0, 0);
}

TEST_CASE("a try takes what is there for elements of every size and never waits", "[golang][channel]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      co_await tries<std::int32_t>(f, 123);
      co_await tries<std::int64_t>(f, 1'234'567'890'123);
      co_await tries<unsigned char>(f, 5);
      co_await tries<bool>(f, true);
      const std::string text = "a text that does not fit into the small buffer";
      co_await tries<std::string>(f, text);
      large big;
      big.numbers.fill(i);
      co_await tries<large>(f, big);
    }
  };
  everywhere(body, 20, 1);
}

TEST_CASE("a channel of nothing counts, and has no buffer that could be too large", "[golang][channel]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<void> ch(std::size_t{1} << 30);
    f.expect(ch.capacity() == std::size_t{1} << 30, "cap");
    for (int i = 0; i < n; ++i) co_await f.send(ch);
    f.expect(ch.size() == static_cast<std::size_t>(n), "len");
    ch.close();
    int got = 0;
    for (;;) {
      const bool more = co_await f.recv(ch);
      if (!more) break;
      ++got;
    }
    f.expect(got == n, "as often as it was sent");
  };
  everywhere(body, 1'000, 3);
}

TEST_CASE("a try never finds a channel empty that is not and then closed", "[golang][channel]") {
  const auto look = [](auto f, weft::channel<int> ch) -> task<decltype(f), bool> {
    const std::size_t which = co_await f.select(weft::on_recv(ch), weft::otherwise());
    co_return which == 0;
  };
  const auto body = [look](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::channel<int> ch(1);
      co_await f.send(ch, 1);
      auto looks = f.go(look, ch);
      ch.close();
      co_await f.recv(ch);
      const bool ready = co_await f.join(std::move(looks));
      f.expect(ready, "there is a value, or it is closed");
    }
  };
  everywhere(body, 1'000, 2);
}

TEST_CASE("many consumers of one channel get together what was sent", "[golang][channel]") {
  const auto worker = [](auto f, weft::channel<int> in, weft::channel<int> out) -> task<decltype(f)> {
    while (auto v = co_await f.recv(in)) {
      if (*v % 5 == 0) co_await f.yield();  // marks time
      co_await f.send(out, *v);
    }
  };
  const auto expected = [](int n) {
    int sum = 0;
    for (int i = 0; i < n; ++i) sum += primes[static_cast<std::size_t>(i) % primes.size()];
    return sum;
  };
  const auto produce = [](auto f, weft::channel<int> to, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) co_await f.send(to, primes[static_cast<std::size_t>(i) % primes.size()]);
    to.close();
  };
  const auto body = [=](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> in(7), out(3);
    std::vector<weft::join_handle<>> workers;
    for (int i = 0; i < (f.simulated() ? 3 : 23); ++i) workers.push_back(f.go(worker, in, out));
    auto producer = f.go(produce, in, n);
    int sum = 0;
    for (int i = 0; i < n; ++i) {
      const auto v = co_await f.recv(out);
      sum += v.value_or(0);
    }
    co_await f.join(std::move(producer));
    for (auto& h : workers) co_await f.join(std::move(h));
    f.expect(sum == expected(n), "the sum of what was sent");
    f.expect(out.size() == 0, "and nothing more");
  };
  everywhere(body, weft::test::unless_sanitized(5'000, 500), 10);
}
