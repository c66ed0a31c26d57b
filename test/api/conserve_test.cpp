// No value is lost or doubled under close, cancel, timeout and select at once; who waits longest comes first.

#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// A value that is counted: how many there are, and that each is moved like a real one.
class token {
 public:
  explicit token(std::atomic<int>& alive, int number) : alive_(&alive), number_(number) { ++*alive_; }

  token(token&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)), number_(other.number_) {}

  token& operator=(token&& other) noexcept {
    std::swap(alive_, other.alive_);
    std::swap(number_, other.number_);
    return *this;
  }

  ~token() {
    if (alive_ != nullptr) --*alive_;
  }

  bool whole() const noexcept { return alive_ != nullptr; }

  int number() const noexcept { return number_; }

 private:
  std::atomic<int>* alive_;
  int number_;
};

/// A cheap generator of its own for each party.
struct dice {
  std::uint32_t state;

  std::uint32_t roll(std::uint32_t n) noexcept {
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % n;
  }
};

struct totals {
  std::atomic<int> alive{0};
  std::atomic<long> sent{0}, sent_sum{0}, received{0}, received_sum{0}, broken{0};

  void gave(const token& t, int number, bool gone) {
    if (gone) {
      ++sent;
      sent_sum += number;
      if (t.whole()) ++broken;
    } else if (!t.whole() || t.number() != number) {
      ++broken;  // not sent, so it must still be the caller's
    }
  }

  void got(const token& t) {
    ++received;
    received_sum += t.number();
    if (!t.whole()) ++broken;
  }
};

weft::routine<> send_in_all_ways(weft::channel<token> a, weft::channel<token> b, totals& sum, dice d, int n) {
  for (int i = 0; i < n; ++i) {
    token mine(sum.alive, i);
    bool gone = false;
    try {
      switch (d.roll(5)) {
        case 0:
          gone = co_await a.send(std::move(mine)) == weft::send_status::sent;
          break;
        case 1:
          gone = a.try_send(std::move(mine)) == weft::try_send_status::sent;
          break;
        case 2: {
          const std::chrono::nanoseconds limit(d.roll(3) * 5'000);
          gone = co_await a.send_for(std::move(mine), limit) == weft::send_until_status::sent;
          break;
        }
        case 3: {
          auto look = [&gone](weft::send_status s) { gone = s == weft::send_status::sent; };
          co_await weft::select(weft::on_send(a, std::move(mine), look),
                                weft::on_send(b, std::move(mine), look), weft::on_timeout(10us));
          break;
        }
        default:
          gone = co_await weft::with_timeout(10us, a.send(std::move(mine))) == weft::send_status::sent;
      }
    } catch (const weft::timeout_error&) {
    } catch (const weft::cancelled&) {
      sum.gave(mine, i, gone);
      throw;
    }
    sum.gave(mine, i, gone);
  }
}

weft::routine<> receive_in_all_ways(weft::channel<token> a, weft::channel<token> b, totals& sum, dice d) {
  for (;;) {
    try {
      switch (d.roll(5)) {
        case 0: {
          auto v = co_await a.recv();
          if (!v) co_return;
          sum.got(*v);
          break;
        }
        case 1: {
          if (auto v = b.try_recv()) sum.got(*v);
          co_await weft::yield();
          break;
        }
        case 2: {
          if (auto v = co_await a.recv_for(std::chrono::nanoseconds(d.roll(3) * 5'000))) sum.got(*v);
          break;
        }
        case 3: {
          auto look = [&sum](std::optional<token> v) {
            if (v) sum.got(*v);
          };
          co_await weft::select(weft::on_recv(a, look), weft::on_recv(b, look), weft::on_timeout(10us));
          break;
        }
        default: {
          auto v = co_await weft::with_timeout(10us, a.recv());
          if (v) sum.got(*v);
        }
      }
    } catch (const weft::timeout_error&) {
    }
  }
}

}  // namespace

TEST_CASE("no value is lost or doubled under close and cancel and timeout and select at once",
          "[api][conserve]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{3});
  totals sum;
  {
    weft::runtime rt({.workers = workers});
    for (std::uint32_t round = 0; round < 12; ++round) {
      weft::channel<token> a(capacity), b(capacity);
      std::vector<weft::join_handle<void>> senders, receivers;
      for (std::uint32_t i = 0; i < 6; ++i) {
        senders.push_back(rt.go(send_in_all_ways, a, b, std::ref(sum), dice{round * 97 + i}, 300));
        receivers.push_back(rt.go(receive_in_all_ways, a, b, std::ref(sum), dice{round * 89 + i + 50}));
      }
      // The facade's side, on a thread of its own: this one.
      weft::blocking::channel<token> face(a);
      dice d{round};
      for (int i = 0; i < 200; ++i) {
        token mine(sum.alive, i);
        const auto status = face.send_for(std::move(mine), std::chrono::nanoseconds(d.roll(3) * 5'000));
        sum.gave(mine, i, status == weft::send_until_status::sent);
        if (auto v = face.recv_for(std::chrono::nanoseconds(d.roll(2) * 5'000))) sum.got(*v);
      }
      for (std::size_t i = 0; i < 2; ++i) {
        senders[i].cancel();
        receivers[i].cancel();
      }
      if (round % 2 == 0) {
        a.close();
        b.close();
      }
      for (auto& h : senders) {
        try {
          h.join();
        } catch (const weft::routine_cancelled&) {
        }
      }
      a.close();
      b.close();
      for (auto& h : receivers) {
        h.cancel();
        try {
          h.join();
        } catch (const weft::routine_cancelled&) {
        }
      }
      while (auto v = a.try_recv()) sum.got(*v);
      while (auto v = b.try_recv()) sum.got(*v);
    }
  }
  REQUIRE(sum.broken == 0);
  REQUIRE(sum.sent == sum.received);
  REQUIRE(sum.sent_sum == sum.received_sum);
  REQUIRE(sum.alive == 0);
  REQUIRE(sum.sent > 100);
}

TEST_CASE("threads and routines lose nothing to one another", "[api][conserve][facade]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{2}, std::size_t{64});
  weft::runtime rt({.workers = workers});
  weft::blocking::channel<int> plain(capacity);
  weft::channel<int> ch(plain);
  std::atomic<long> got{0};
  const int each = 3'000;
  std::vector<std::thread> threads;
  std::vector<weft::join_handle<void>> routines;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([=] {
      for (int n = 1; n <= each; ++n) plain.send(n);
    });
    routines.push_back(rt.go([=]() -> weft::routine<> {
      for (int n = 1; n <= each; ++n) co_await weft::select(weft::on_send(ch, int{n}));
    }));
    (void)rt.go([=, &got]() -> weft::routine<> {
      while (auto v = co_await ch.recv()) got += *v;
    });
  }
  std::thread eats([&] {
    for (int v : plain) got += v;
  });
  for (auto& t : threads) t.join();
  for (auto& h : routines) h.join();
  ch.close();
  eats.join();
  rt.stop();
  REQUIRE(got == 4L * each * (each + 1) / 2);
}

TEST_CASE("who waits longest is served first and nobody barges in", "[api][fifo]") {
  weft::runtime rt({.workers = 1});
  weft::channel<int> ch;
  weft::channel<int> order(16);
  std::vector<weft::join_handle<void>> waiting;
  weft::wait_group begun(8);
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(rt.go([=, &begun]() -> weft::routine<> {
      begun.done();
      const auto v = co_await ch.recv();
      co_await order.send(i * 100 + *v);
    }));
  }
  // One worker: when this one runs all eight wait, in the order in which they began.
  auto sends = rt.go([=, &begun]() -> weft::routine<int> {
    co_await begun.wait();
    int barged = 0;
    for (int i = 0; i < 8; ++i) {
      co_await ch.send(int{i});
      barged += ch.try_recv().status == weft::recv_status::received;  // handed over: there is nothing to take
    }
    co_return barged;
  });
  REQUIRE(sends.join() == 0);
  for (auto& h : waiting) h.join();
  std::vector<int> values(8, -1), waiters;
  for (int i = 0; i < 8; ++i) {
    const int v = *order.try_recv();
    waiters.push_back(v / 100);
    values[static_cast<std::size_t>(v / 100)] = v % 100;
  }
  // The first to wait has got the first value, and so on: by the order in which they had begun.
  std::vector<int> sorted = waiters;
  std::sort(sorted.begin(), sorted.end());
  REQUIRE(sorted == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
  const bool upwards = values[0] < values[7];
  for (std::size_t i = 1; i < 8; ++i) REQUIRE((values[i - 1] < values[i]) == upwards);
}

TEST_CASE("senders that wait are served in their order and before a later one", "[api][fifo]") {
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{2});
  weft::runtime rt({.workers = 1});
  weft::channel<int> ch(capacity);
  auto h = rt.go([=]() -> weft::routine<std::vector<int>> {
    std::vector<weft::join_handle<void>> all;
    for (int i = 0; i < 6; ++i) {
      weft::event begun;
      all.push_back(weft::go([=, &begun]() -> weft::routine<> {
        begun.set();
        co_await ch.send(int{i});
      }));
      co_await begun.wait();  // one worker: i waits, or its value is in the buffer
    }
    std::vector<int> got;
    while (auto v = ch.try_recv()) {
      got.push_back(*v);
      const bool others_wait = got.size() + capacity < 6;
      if (others_wait && ch.try_send(99) == weft::try_send_status::sent) got.push_back(-1);  // barged
    }
    for (auto& each : all) co_await std::move(each);
    co_return got;
  });
  const auto got = h.join();
  REQUIRE(got == std::vector<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("mutex and semaphore serve in the order of waiting", "[api][fifo][sync]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<std::vector<int>> {
    weft::mutex m;
    weft::semaphore s(0);
    std::vector<int> order;
    std::vector<weft::join_handle<void>> all;
    co_await m.lock();
    for (int i = 0; i < 6; ++i) {
      weft::event begun;
      all.push_back(weft::go([&, i]() -> weft::routine<> {
        begun.set();
        auto hold = co_await m.scoped();
        order.push_back(i);
      }));
      co_await begun.wait();
    }
    m.unlock();
    for (auto& each : all) co_await std::move(each);
    all.clear();
    for (int i = 0; i < 6; ++i) {
      weft::event begun;
      all.push_back(weft::go([&, i]() -> weft::routine<> {
        begun.set();
        co_await s.acquire();
        order.push_back(10 + i);
      }));
      co_await begun.wait();
    }
    for (auto& each : all) {
      s.release();
      if (s.try_acquire()) order.push_back(-2);
      co_await std::move(each);  // the first of those that wait, or this waits for ever
    }
    co_return order;
  });
  REQUIRE(h.join() == std::vector<int>{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15});
}
