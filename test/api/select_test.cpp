// select: exactly one case, the right one, and nothing of the others.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using weft::on_deadline;
using weft::on_event;
using weft::on_join;
using weft::on_recv;
using weft::on_send;
using weft::on_timeout;
using weft::otherwise;

/// How often each of four ready channels was chosen; `biased` or not.
template <bool Biased>
weft::routine<std::array<int, 4>> choices(int rounds) {
  std::array<int, 4> chosen{};
  weft::channel<int> a(1), b(1), c(1), d(1);
  for (auto* ch : {&a, &b, &c, &d}) co_await ch->send(1);
  for (int i = 0; i < rounds; ++i) {
    std::size_t which = 0;
    if constexpr (Biased) {
      which = co_await weft::select(weft::biased, on_recv(a), on_recv(b), on_recv(c), on_recv(d));
    } else {
      which = co_await weft::select(on_recv(a), on_recv(b), on_recv(c), on_recv(d));
    }
    ++chosen[which];
    for (auto* ch : {&a, &b, &c, &d}) (void)ch->try_send(1);
  }
  co_return chosen;
}

}  // namespace

TEST_CASE("the choice among ready cases is uniform", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  const int rounds = 40'000;
  const auto chosen = rt.go(choices<false>, rounds).join();
  // Four cases, p = 1/4: sigma is 87; 6 sigma is one failure in 10^8.
  for (const int n : chosen) {
    REQUIRE(n > rounds / 4 - 520);
    REQUIRE(n < rounds / 4 + 520);
  }
}

TEST_CASE("the choice is uniform among the enabled ones whatever stands between them", "[api][select]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<int> {
    weft::channel<int> a(1), b(1), never;
    co_await a.send(1);
    co_await b.send(1);
    int first = 0;
    for (int i = 0; i < 20'000; ++i) {
      const auto which = co_await weft::select(on_recv(a), on_recv(never), on_recv(b).when(false),
                                               on_recv(never), on_recv(b), otherwise());
      first += which == 0;
      (void)a.try_send(1);
      (void)b.try_send(1);
    }
    co_return first;
  });
  const int first = h.join();
  REQUIRE(first > 10'000 - 430);
  REQUIRE(first < 10'000 + 430);
}

TEST_CASE("the choice on a thread is uniform too", "[api][select][facade]") {
  weft::blocking::channel<int> a(1), b(1);
  a.send(1);
  b.send(1);
  int first = 0;
  for (int i = 0; i < 10'000; ++i) {
    first += weft::blocking::select(on_recv(a), on_recv(b)) == 0;
    (void)a.try_send(1);
    (void)b.try_send(1);
  }
  REQUIRE(first > 5'000 - 300);
  REQUIRE(first < 5'000 + 300);
}

TEST_CASE("biased takes the first ready case in order", "[api][select]") {
  weft::runtime rt({.workers = 2});
  REQUIRE(rt.go(choices<true>, 1'000).join() == std::array<int, 4>{1'000, 0, 0, 0});
  weft::blocking::channel<int> empty, full(1);
  full.send(1);
  REQUIRE(weft::blocking::select(weft::biased, on_recv(empty), on_recv(full), otherwise()) == 1);
  REQUIRE(weft::blocking::select(weft::biased, otherwise(), on_recv(empty)) == 0);
  full.send(1);
  REQUIRE(weft::blocking::select(weft::biased, otherwise(), on_timeout(0s), on_recv(full)) == 2);
}

TEST_CASE("a disabled case takes no part", "[api][select]") {
  weft::blocking::channel<int> ready(1), empty;
  ready.send(1);
  weft::event set;
  set.set();
  using weft::blocking::select;
  REQUIRE(select(on_recv(ready).when(false), on_event(set).when(false), otherwise()) == 2);
  REQUIRE(select(on_recv(ready).when(false), on_event(set).when(true), otherwise()) == 1);
  REQUIRE(select(on_send(empty, 1).when(false), otherwise().when(false), on_timeout(0s)) == 2);
  REQUIRE(select(on_timeout(0s).when(false), on_recv(ready)) == 1);
  REQUIRE(ready.size() == 0);
}

TEST_CASE("a handler is called once with the result or without", "[api][select]") {
  weft::blocking::channel<std::unique_ptr<int>> ch(1);
  using weft::blocking::select;
  int calls = 0, got = 0;
  weft::send_status status = weft::send_status::closed;
  select(on_send(ch, std::make_unique<int>(3), [&](weft::send_status s) { status = s; }));
  REQUIRE(status == weft::send_status::sent);
  select(on_recv(ch, [&](std::optional<std::unique_ptr<int>> v) { got = **v; }));
  REQUIRE(got == 3);
  select(on_send(ch, std::make_unique<int>(4), [&] { ++calls; }));
  select(on_recv(ch, [&] { ++calls; }));
  select(on_recv(ch), on_timeout(0s, [&] { ++calls; }));
  select(on_recv(ch), on_deadline(weft::now(), [&] { ++calls; }));
  select(otherwise([&] { ++calls; }));
  REQUIRE(calls == 5);
  ch.close();
  bool ended = false;
  select(on_recv(ch, [&](auto v) { ended = !v.has_value(); }));
  REQUIRE(ended);
  auto kept = std::make_unique<int>(5);
  select(on_send(ch, std::move(kept), [&](weft::send_status s) { status = s; }));
  REQUIRE(status == weft::send_status::closed);
  REQUIRE(*kept == 5);
  const std::string constant = "copied";
  weft::blocking::channel<std::string> texts(1);
  REQUIRE(select(on_send(texts, std::move(constant))) == 0);
  REQUIRE(texts.recv() == constant);
}

TEST_CASE("an exception in a handler leaves select and the case has happened", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto h = rt.go([]() -> weft::routine<int> {
    weft::channel<int> ch(2);
    int thrown = 0;
    auto plain = [](std::optional<int>) { throw std::runtime_error("plain"); };
    auto coroutine = [](std::optional<int>) -> weft::routine<> {
      co_await weft::yield();
      throw std::runtime_error("coroutine");
    };
    auto late = []() -> weft::routine<> {
      co_await weft::yield();
      throw std::logic_error("late");
    };
    co_await ch.send(1);
    co_await ch.send(2);
    try {
      co_await weft::select(on_recv(ch, plain));
    } catch (const std::runtime_error& e) {
      thrown += e.what() == std::string("plain");
    }
    try {
      co_await weft::select(on_recv(ch, coroutine), on_timeout(1h));
    } catch (const std::runtime_error& e) {
      thrown += e.what() == std::string("coroutine");
    }
    try {
      co_await weft::select(on_recv(ch), otherwise(late));
    } catch (const std::logic_error&) {
      ++thrown;
    }
    co_return ch.size() == 0 ? thrown : -1;
  });
  REQUIRE(h.join() == 3);
  weft::blocking::channel<int> ch(2);
  ch.send(1);
  ch.send(2);
  REQUIRE_THROWS_AS(weft::blocking::select(on_recv(ch, [] { throw std::runtime_error("plain"); })),
                    std::runtime_error);
  REQUIRE_THROWS_AS(weft::blocking::select(on_recv(ch,
                                                   []() -> weft::routine<> {
                                                     co_await weft::yield();
                                                     throw std::runtime_error("coroutine");
                                                   })),
                    std::runtime_error);
  REQUIRE(ch.size() == 0);
}

TEST_CASE("a select inside a handler of a select works", "[api][select]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<int> {
    weft::channel<int> ch(4);
    int sum = 0;
    auto add = [&sum](std::optional<int> v) { sum += *v; };
    auto inner = [&](std::optional<int> v) -> weft::routine<> {
      sum += *v * 10;
      co_await weft::select(on_recv(ch, add), on_timeout(1h));
    };
    co_await ch.send(1);
    co_await ch.send(2);
    co_await weft::select(on_recv(ch, inner), otherwise());
    co_return sum;
  });
  REQUIRE(h.join() == 12);
}

TEST_CASE("a select with a send and a receive on one channel does not meet itself", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{1});
  auto h = rt.go([capacity]() -> weft::routine<std::size_t> {
    weft::channel<int> ch(capacity);
    if (capacity != 0) {
      // A slot is free: it sends; then it receives what it sent.
      const auto first = co_await weft::select(on_send(ch, 1), on_recv(ch), on_timeout(1h));
      const auto second = co_await weft::select(on_send(ch, 1), on_recv(ch), on_timeout(1h));
      co_return first * 10 + second;
    }
    co_return co_await weft::select(on_send(ch, 1), on_recv(ch), on_timeout(1ms));
  });
  REQUIRE(h.join() == (capacity == 0 ? 2 : 1));
}

TEST_CASE("the same channel twice in one select leaves its queues whole", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::channel<int> ch, other;
  auto receiver = rt.go([=]() -> weft::routine<long> {
    long sum = 0;
    auto add = [&sum](std::optional<int> v) { sum += v.value_or(0); };
    for (int i = 0; i < 3'000; ++i) {
      co_await weft::select(on_recv(ch, add), on_recv(other, add), on_recv(ch, add), on_recv(ch, add));
    }
    co_return sum;
  });
  auto sender = rt.go([=]() -> weft::routine<> {
    for (int i = 0; i < 1'500; ++i) {
      co_await ch.send(1);
      co_await weft::select(on_send(other, 2), on_send(ch, 2), on_send(other, 2));
    }
  });
  sender.join();
  REQUIRE(receiver.join() == 4'500);
  REQUIRE(ch.try_recv().status == weft::recv_status::empty);
  REQUIRE(ch.try_send(1) == weft::try_send_status::full);
}

TEST_CASE("select with otherwise is atomic when there is always something ready", "[api][select]") {
  // Go's TestNonblockSelectRace: whoever looks always finds the one or the other.
  const unsigned workers = GENERATE(2U, 16U);
  weft::runtime rt({.workers = workers});
  int none = 0;
  for (int i = 0; i < 5'000; ++i) {
    weft::channel<int> a(1), b(1);
    REQUIRE(a.try_send(1) == weft::try_send_status::sent);
    auto looks = rt.go([=]() -> weft::routine<bool> {
      co_return co_await weft::select(on_recv(a), on_recv(b), otherwise()) == 2;
    });
    (void)b.try_send(1);
    (void)a.try_recv();
    none += looks.join() ? 1 : 0;
  }
  REQUIRE(none == 0);
}

TEST_CASE("on_join only waits and the result stays with the handle", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event gate;
  auto value = rt.go([&]() -> weft::routine<std::unique_ptr<int>> {
    co_await gate.wait();
    co_return std::make_unique<int>(6);
  });
  auto failing = rt.go([&]() -> weft::routine<> {
    co_await gate.wait();
    throw std::runtime_error("boom");
  });
  REQUIRE(weft::blocking::select(on_join(value), on_join(failing), on_timeout(1ms)) == 2);
  auto waits = rt.go([&]() -> weft::routine<int> {
    int calls = 0;
    auto count = [&calls] { ++calls; };
    co_await weft::select(on_join(value, count));
    co_await weft::select(on_join(failing, count));
    co_await weft::select(on_join(value, count), otherwise());
    co_return calls;
  });
  gate.set();
  REQUIRE(waits.join() == 3);
  REQUIRE(*value.join() == 6);
  REQUIRE_THROWS_AS(failing.join(), std::runtime_error);
}

TEST_CASE("a thread's select ends though the routine ends while it registers", "[api][select]") {
  weft::runtime rt({.workers = 2});
  std::array<weft::channel<int>, 16> silent;
  const auto select_first = [&](weft::join_handle<>& h) {
    return std::apply([&](auto&... ch) { return weft::blocking::select(on_recv(ch)..., on_join(h)); },
                      silent);
  };
  for (int i = 0; i < 30'000; ++i) {
    std::atomic<bool> begun{false};
    auto h = rt.go(
        [](std::atomic<bool>* of, int delay) -> weft::routine<> {
          while (!*of) co_await weft::yield();
          for (int k = 0; k < delay; ++k) of->store(true);
        },
        &begun, i % 256);
    begun = true;
    REQUIRE(select_first(h) == silent.size());
    h.join();
  }
}

TEST_CASE("on_event takes after and a reset event does not end a select", "[api][select]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<std::size_t> {
    weft::event reset;
    reset.set();
    reset.reset();
    auto soon = weft::after(1ms);
    auto never = weft::after(std::chrono::hours::max());
    co_return co_await weft::select(on_event(reset), on_event(never), on_event(soon));
  });
  REQUIRE(h.join() == 2);
  auto soon = weft::after(1ms);
  REQUIRE(weft::blocking::select(on_event(soon)) == 0);
  REQUIRE(soon.is_set());
}

TEST_CASE("closing a channel ends the selects that wait on it", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::channel<std::string> to_send, to_recv;
  std::vector<weft::join_handle<int>> all;
  weft::wait_group begun(40);
  for (int i = 0; i < 20; ++i) {
    all.push_back(rt.go([=, &begun]() -> weft::routine<int> {
      std::string mine = "a value too long for the small string buffer";
      weft::send_status status = weft::send_status::sent;
      auto keep = [&status](weft::send_status s) { status = s; };
      begun.done();
      co_await weft::select(on_send(to_send, std::move(mine), keep));
      co_return status == weft::send_status::closed&& mine.size() == 44 ? 1 : 0;
    }));
    all.push_back(rt.go([=, &begun]() -> weft::routine<int> {
      bool ended = false;
      auto look = [&ended](std::optional<std::string> v) { ended = !v; };
      begun.done();
      co_await weft::select(on_recv(to_recv, look), on_timeout(1h));
      co_return ended ? 1 : 0;
    }));
  }
  weft::blocking::wait(begun.wait());
  to_send.close();
  to_recv.close();
  int good = 0;
  for (auto& h : all) good += h.join();
  REQUIRE(good == 40);
}

TEST_CASE("forty mutual selectors pair up exactly", "[api][select]") {
  // crossbeam's "matching": each sends its own number or receives somebody else's.
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  for (int round = 0; round < 50; ++round) {
    weft::channel<int> ch;
    std::atomic<int> received{0}, sent{0}, own{0};
    std::vector<weft::join_handle<void>> all;
    for (int i = 0; i < 40; ++i) {
      all.push_back(rt.go([=, &received, &sent, &own]() -> weft::routine<> {
        auto got = [&, i](std::optional<int> v) {
          ++received;
          if (*v == i) ++own;
        };
        auto gave = [&] { ++sent; };
        co_await weft::select(on_recv(ch, got), on_send(ch, int{i}, gave));
      }));
    }
    for (auto& h : all) h.join();
    REQUIRE(received == 20);
    REQUIRE(sent == 20);
    REQUIRE(own == 0);
  }
}

TEST_CASE("a select with many cases takes the one that is ready", "[api][select]") {
  weft::blocking::channel<int> c(1), empty;
  c.send(1);
  using weft::blocking::select;
  REQUIRE(select(on_recv(empty), on_recv(empty), on_recv(empty), on_recv(empty), on_recv(empty),
                 on_recv(empty), on_recv(empty), on_recv(empty), on_recv(empty), on_recv(empty),
                 on_recv(empty), on_recv(empty), on_recv(empty), on_recv(empty), on_recv(empty),
                 on_recv(empty), on_recv(empty), on_recv(empty), on_recv(c), on_recv(empty),
                 on_timeout(1h)) == 18);
}

TEST_CASE("selects that name the same channels in opposite order do not lock each other out",
          "[api][select][facade]") {
  const weft::channel<int> a(1), b(1);
  const auto look = [](const weft::channel<int>& first, const weft::channel<int>& second) {
    for (int i = 0; i < 100'000; ++i) {
      (void)weft::blocking::select(weft::on_recv(first), weft::on_recv(second), weft::otherwise());
    }
  };
  weft::runtime rt({.workers = 2});
  auto other = rt.go([&] { look(b, a); });
  look(a, b);
  other.join();
  REQUIRE(a.size() + b.size() == 0);
}
