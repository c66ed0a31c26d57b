// The end of channels: closed, dropped, and values that throw.

#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Throws when it is copied and `armed` says so.
struct moody {
  bool* armed;
  int number;

  moody(bool& a, int n) noexcept : armed(&a), number(n) {}

  moody(const moody& other) : armed(other.armed), number(other.number) {
    if (*armed) throw std::runtime_error("copy");
  }

  moody(moody&&) noexcept = default;
  moody& operator=(const moody&) = delete;
  moody& operator=(moody&&) noexcept = default;
};

/// Looks at the channel it came through when it is destroyed: legal, because no lock is held then.
struct nosy {
  weft::channel<std::unique_ptr<nosy>>* channel;
  std::atomic<int>* gone;

  nosy(weft::channel<std::unique_ptr<nosy>>& c, std::atomic<int>& g) noexcept : channel(&c), gone(&g) {}

  ~nosy() { ++*gone; }
};

}  // namespace

TEST_CASE("the last sender gone ends every kind of receive that waits", "[api][channel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto [first, rx] = weft::make_channel<std::string>();
  auto tx = std::make_unique<weft::channel_sender<std::string>>(std::move(first));
  weft::semaphore begun(0);
  std::vector<weft::join_handle<int>> all;
  all.push_back(rt.go([r = rx, &begun]() -> weft::routine<int> {
    begun.release();
    const auto v = co_await r.recv();
    co_return v ? 0 : 1;
  }));
  all.push_back(rt.go([r = rx, &begun]() -> weft::routine<int> {
    begun.release();
    const auto v = co_await r.recv_for(1h);
    co_return v.status == weft::recv_status::closed ? 1 : 0;
  }));
  all.push_back(rt.go([r = rx, &begun]() -> weft::routine<int> {
    int ended = 0;
    auto look = [&ended](std::optional<std::string> v) { ended = v ? 0 : 1; };
    begun.release();
    const auto which = co_await weft::select(weft::on_timeout(1h), weft::on_recv(r, look));
    co_return which == 1 ? ended : 0;
  }));
  all.push_back(rt.go([r = rx, &begun] {
    begun.release();
    return weft::blocking::wait(r.recv()) ? 0 : 1;
  }));
  for (int i = 0; i < 4; ++i) weft::blocking::wait(begun.acquire());
  tx.reset();
  int good = 0;
  for (auto& h : all) good += h.join();
  REQUIRE(good == 4);
  REQUIRE(rx.is_closed());
}

TEST_CASE("the last receiver gone ends every kind of send that waits and gives the values back",
          "[api][channel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto [tx, first] = weft::make_channel<std::string>();
  auto rx = std::make_unique<weft::channel_receiver<std::string>>(std::move(first));
  std::string value = "a value too long for the small string buffer";
  weft::semaphore begun(0);
  std::vector<weft::join_handle<int>> all;
  all.push_back(rt.go([s = tx, &begun, value]() mutable -> weft::routine<int> {
    begun.release();
    const auto status = co_await s.send(std::move(value));
    co_return status == weft::send_status::closed&& value.size() == 44 ? 1 : 0;
  }));
  all.push_back(rt.go([s = tx, &begun, value]() mutable -> weft::routine<int> {
    begun.release();
    const auto status = co_await s.send_for(std::move(value), 1h);
    co_return status == weft::send_until_status::closed&& value.size() == 44 ? 1 : 0;
  }));
  all.push_back(rt.go([s = tx, &begun, value]() mutable -> weft::routine<int> {
    int ended = 0;
    auto look = [&ended](weft::send_status st) { ended = st == weft::send_status::closed ? 1 : 0; };
    begun.release();
    co_await weft::select(weft::on_send(s, std::move(value), look), weft::on_timeout(1h));
    co_return value.size() == 44 ? ended : 0;
  }));
  all.push_back(rt.go([s = tx, &begun, value]() mutable {
    begun.release();
    const auto status = weft::blocking::wait(s.send(std::move(value)));
    return status == weft::send_status::closed && value.size() == 44 ? 1 : 0;
  }));
  for (int i = 0; i < 4; ++i) weft::blocking::wait(begun.acquire());
  rx.reset();
  int good = 0;
  for (auto& h : all) good += h.join();
  REQUIRE(good == 4);
  REQUIRE(tx.try_send(std::string("x")) == weft::try_send_status::closed);
}

TEST_CASE("the last handle of a channel dropped ends the operations that wait on it", "[api][channel]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<int> {
    auto ch = std::make_unique<weft::channel<int>>();
    weft::channel<int>& borrowed = *ch;
    auto receives = weft::go([&borrowed]() -> weft::routine<int> {
      const auto v = co_await borrowed.recv();
      co_return v ? 0 : 1;
    });
    auto chooses = weft::go([&borrowed]() -> weft::routine<int> {
      int ended = 0;
      auto look = [&ended](std::optional<int> v) { ended = v ? 0 : 1; };
      co_await weft::select(weft::on_recv(borrowed, look));
      co_return ended;
    });
    co_await weft::yield();
    co_await weft::yield();  // one worker: both wait
    ch.reset();
    const int a = co_await std::move(receives);
    const int b = co_await std::move(chooses);
    co_return a + b;
  });
  REQUIRE(h.join() == 2);
}

TEST_CASE("the last handle may be dropped while those who waited have been claimed elsewhere and not gone on",
          "[api][channel]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<int> {
    auto ch = std::make_unique<weft::channel<int>>();
    const weft::channel<int> other;
    weft::channel<int>& borrowed = *ch;
    auto chooses = weft::go([&borrowed, other]() -> weft::routine<int> {
      int got = 0;
      auto takes = [&got](std::optional<int> v) { got = v.value_or(0); };
      co_await weft::select(weft::on_recv(borrowed), weft::on_recv(other, takes));
      co_return got;
    });
    auto receives = weft::go([&borrowed]() -> weft::routine<> { (void)co_await borrowed.recv_for(1h); });
    co_await weft::yield();
    co_await weft::yield();  // one worker: both wait
    const bool sent = other.try_send(7) == weft::try_send_status::sent;
    receives.cancel();
    ch.reset();  // and are yet to leave the channel's queues
    int good = sent ? 1 : 0;
    try {
      co_await std::move(receives);
    } catch (const weft::routine_cancelled&) {
      ++good;
    }
    good += co_await std::move(chooses) == 7 ? 1 : 0;
    co_return good;
  });
  REQUIRE(h.join() == 3);
}

TEST_CASE("the last receiver dropped ends the receives that wait through it, and later sends fail",
          "[api][channel]") {
  const unsigned workers = GENERATE(1U, 2U);
  weft::runtime rt({.workers = workers});
  for (int round = 0; round < 100; ++round) {
    auto [tx, first] = weft::make_channel<std::string>(1);
    auto rx = std::make_unique<weft::channel_receiver<std::string>>(std::move(first));
    weft::channel_receiver<std::string>& borrowed = *rx;
    weft::semaphore begun(0);
    std::vector<weft::join_handle<int>> all;
    all.push_back(rt.go([&]() -> weft::routine<int> {
      auto op = borrowed.recv();
      begun.release();
      const auto v = co_await op;
      co_return v ? 0 : 1;
    }));
    all.push_back(rt.go([&]() -> weft::routine<int> {
      auto op = borrowed.recv_for(1h);
      begun.release();
      const auto v = co_await op;
      co_return v.status == weft::recv_status::closed ? 1 : 0;
    }));
    all.push_back(rt.go([&]() -> weft::routine<int> {
      int ended = 0;
      auto look = [&ended](std::optional<std::string> v) { ended = v ? 0 : 1; };
      auto op = weft::select(weft::on_recv(borrowed, look), weft::on_timeout(1h));
      begun.release();
      co_await op;
      co_return ended;
    }));
    all.push_back(rt.go([&] {
      auto op = borrowed.recv();
      begun.release();
      return weft::blocking::wait(op) ? 0 : 1;
    }));
    all.push_back(rt.go([&] {
      int ended = 0;
      auto recv = weft::on_recv(borrowed, [&](const std::optional<std::string>& v) { ended = v ? 0 : 1; });
      begun.release();
      weft::blocking::select(std::move(recv));
      return ended;
    }));
    for (int i = 0; i < 5; ++i) weft::blocking::wait(begun.acquire());
    rx.reset();  // some are parked, some are about to
    std::string value = "a value too long for the small string buffer";
    REQUIRE(tx.try_send(std::move(value)) == weft::try_send_status::closed);
    REQUIRE(value.size() == 44);  // NOLINT(bugprone-use-after-move): not sent
    REQUIRE(weft::blocking::wait(tx.send_for(std::move(value), 1h)) == weft::send_until_status::closed);
    int good = 0;
    for (auto& h : all) good += h.join();
    REQUIRE(good == 5);
  }
}

TEST_CASE("a value is received or still the sender's when the last receiver goes", "[api][channel]") {
  weft::runtime rt({.workers = 2});
  int sent = 0, received = 0;
  for (int round = 0; round < 2'000; ++round) {
    auto [tx, first] = weft::make_channel<std::unique_ptr<int>>();
    auto rx = std::make_unique<weft::channel_receiver<std::unique_ptr<int>>>(std::move(first));
    weft::semaphore begun(0);
    auto sends = rt.go([s = tx, &begun]() -> weft::routine<bool> {
      auto value = std::make_unique<int>(1);
      auto op = s.send(std::move(value));
      begun.release();
      const bool was_sent = co_await op == weft::send_status::sent;
      if (was_sent == (value != nullptr)) throw std::runtime_error("sent and kept, or neither");
      co_return was_sent;
    });
    auto receives = rt.go([&borrowed = *rx, &begun]() -> weft::routine<bool> {
      auto op = borrowed.recv();
      begun.release();
      const auto v = co_await op;
      co_return v&&* v;
    });
    weft::blocking::wait(begun.acquire());
    weft::blocking::wait(begun.acquire());
    rx.reset();
    const bool was_sent = sends.join(), was_received = receives.join();
    REQUIRE(was_sent == was_received);
    sent += was_sent ? 1 : 0;
    received += was_received ? 1 : 0;
  }
  REQUIRE(sent == received);
}

TEST_CASE("the last sender dropped ends the sends that wait through it and gives the values back",
          "[api][channel]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<int> {
    auto [first, rx] = weft::make_channel<std::string>();
    auto tx = std::make_unique<weft::channel_sender<std::string>>(std::move(first));
    weft::channel_sender<std::string>& borrowed = *tx;
    auto sends = weft::go([&borrowed]() -> weft::routine<int> {
      std::string value(44, 'x');
      const auto status = co_await borrowed.send(std::move(value));
      co_return status == weft::send_status::closed&& value.size() == 44 ? 1 : 0;
    });
    auto chooses = weft::go([&borrowed]() -> weft::routine<int> {
      std::string value(44, 'x');
      int ended = 0;
      auto look = [&ended](weft::send_status s) { ended = s == weft::send_status::closed ? 1 : 0; };
      co_await weft::select(weft::on_send(borrowed, std::move(value), look));
      co_return value.size() == 44 ? ended : 0;
    });
    auto blocks = weft::go([&borrowed] {
      std::string value(44, 'x');
      const auto status = weft::blocking::wait(borrowed.send(std::move(value)));
      return status == weft::send_status::closed && value.size() == 44 ? 1 : 0;
    });
    for (int i = 0; i < 3; ++i) co_await weft::yield();
    co_await weft::sleep_for(1ms);
    tx.reset();
    const bool drained = !co_await rx.recv();
    const int a = co_await std::move(sends);
    const int b = co_await std::move(chooses);
    const int c = co_await std::move(blocks);
    co_return a + b + c + (drained ? 1 : 0);
  });
  REQUIRE(h.join() == 4);
}

TEST_CASE("what is buffered when the last receiver goes is destroyed once and without a lock",
          "[api][channel]") {
  std::atomic<int> gone{0};
  {
    weft::channel<std::unique_ptr<nosy>> outer(1);
    {
      auto [tx, rx] = weft::make_channel<std::unique_ptr<nosy>>(8);
      for (int i = 0; i < 8; ++i)
        REQUIRE(tx.try_send(std::make_unique<nosy>(outer, gone)) == weft::try_send_status::sent);
      { auto dropped = std::move(rx); }
      REQUIRE(gone == 8);
      REQUIRE(tx.try_send(std::make_unique<nosy>(outer, gone)) == weft::try_send_status::closed);
    }
  }
  REQUIRE(gone == 9);
  auto endless = weft::channel<std::shared_ptr<int>>::unbounded();
  auto value = std::make_shared<int>(1);
  for (int i = 0; i < 1'000; ++i) REQUIRE(endless.try_send(value) == weft::try_send_status::sent);
  REQUIRE(value.use_count() == 1'001);
  endless = weft::channel<std::shared_ptr<int>>(1);
  REQUIRE(value.use_count() == 1);
}

TEST_CASE("a channel that is sent through itself goes when the last handle goes", "[api][channel]") {
  struct node {
    std::unique_ptr<weft::channel<node>> inside;
    std::shared_ptr<int> counted;

    node(std::unique_ptr<weft::channel<node>> c, std::shared_ptr<int> n) noexcept
        : inside(std::move(c)), counted(std::move(n)) {}
  };

  auto count = std::make_shared<int>(0);
  {
    weft::channel<node> ch(4);
    auto other = std::make_unique<weft::channel<node>>(4);
    REQUIRE(other->try_send(node(nullptr, count)) == weft::try_send_status::sent);
    REQUIRE(ch.try_send(node(std::move(other), count)) == weft::try_send_status::sent);
    REQUIRE(count.use_count() == 3);
  }
  REQUIRE(count.use_count() == 1);
}

TEST_CASE("a copy that throws has sent nothing and the channel goes on", "[api][channel]") {
  const std::size_t capacity = GENERATE(std::size_t{1}, std::size_t{8});
  bool armed = true;
  weft::blocking::channel<moody> ch(capacity);
  const moody value(armed, 3);
  REQUIRE_THROWS_AS(ch.send(value), std::runtime_error);
  REQUIRE_THROWS_AS(ch.try_send(value), std::runtime_error);
  REQUIRE_THROWS_AS(ch.send_for(value, 1h), std::runtime_error);
  REQUIRE_THROWS_AS(weft::blocking::select(weft::on_send(ch, value)), std::runtime_error);
  REQUIRE(ch.size() == 0);
  weft::runtime rt({.workers = 2});
  auto h = rt.go([&]() -> weft::routine<int> {
    int thrown = 0;
    const weft::channel<moody>& routine_side = ch;
    try {
      co_await routine_side.send(value);
    } catch (const std::runtime_error&) {
      ++thrown;
    }
    try {
      co_await weft::select(weft::on_send(routine_side, value), weft::on_timeout(1h));
    } catch (const std::runtime_error&) {
      ++thrown;
    }
    co_return thrown;
  });
  REQUIRE(h.join() == 2);
  REQUIRE(ch.size() == 0);
  armed = false;
  REQUIRE(ch.send(value) == weft::send_status::sent);
  REQUIRE(ch.recv()->number == 3);
}

TEST_CASE("close is idempotent and tells who closed", "[api][channel]") {
  weft::runtime rt({.workers = 16});
  for (int round = 0; round < 50; ++round) {
    weft::channel<int> ch(2);
    REQUIRE(ch.try_send(1) == weft::try_send_status::sent);
    std::vector<weft::join_handle<bool>> all;
    for (int i = 0; i < 8; ++i) all.push_back(rt.go([ch] { return ch.close(); }));
    int closed = 0;
    for (auto& h : all) closed += h.join() ? 1 : 0;
    REQUIRE(closed == 1);
    REQUIRE(ch.is_closed());
    REQUIRE(ch.try_recv().status == weft::recv_status::received);
    REQUIRE(ch.try_recv().status == weft::recv_status::closed);
    REQUIRE(ch.try_send(1) == weft::try_send_status::closed);
  }
}

TEST_CASE("a receive never finds an open channel empty that was filled and then closed", "[api][channel]") {
  // Go's TestNonblockRecvRace.
  weft::runtime rt({.workers = 2});
  for (int i = 0; i < 3'000; ++i) {
    weft::channel<int> ch(1);
    REQUIRE(ch.try_send(1) == weft::try_send_status::sent);
    auto looks = rt.go([ch] { return ch.try_recv().status; });
    ch.close();
    REQUIRE(looks.join() == weft::recv_status::received);
  }
}

TEST_CASE("values of every size go through every kind of channel", "[api][channel]") {
  struct empty {};

  struct alignas(64) wide {
    std::array<int, 64> numbers;
  };

  const auto passes = [](auto value, std::size_t capacity) {
    using type = decltype(value);
    weft::runtime rt({.workers = 2});
    weft::blocking::channel<type> ch(capacity);
    const auto kept = std::make_shared<type>(value);  // frames hold nothing over-aligned
    auto h = rt.go([ch, kept] {
      for (int i = 0; i < 50; ++i) ch.send(*kept);
      ch.close();
    });
    int n = 0;
    for ([[maybe_unused]] auto& v : ch) {
      if (reinterpret_cast<std::uintptr_t>(&v) % alignof(type) != 0) return false;
      ++n;
    }
    h.join();
    return n == 50;
  };
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{16}}) {
    REQUIRE(passes(empty{}, capacity));
    REQUIRE(passes('x', capacity));
    REQUIRE(passes(wide{}, capacity));
    REQUIRE(passes(std::array<char, 4096>{}, capacity));
    REQUIRE(passes(std::make_shared<int>(1), capacity));
    REQUIRE(passes(std::vector<std::string>(3, "text"), capacity));
  }
}
