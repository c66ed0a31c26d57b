#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<int> merge(std::vector<weft::channel<int>> inputs) {
  int sum = 0;
  weft::selector s;
  std::size_t open = inputs.size();
  bool closed = false;
  const auto take = [&](std::optional<int> v) {
    closed = !v;
    sum += v.value_or(0);
  };
  for (auto& ch : inputs) s.add(weft::on_recv(ch, take));
  while (open != 0) {
    const std::size_t which = co_await s.wait();
    if (!closed) continue;
    s.enable(which, false);
    --open;
  }
  co_return sum;
}

weft::routine<> produce(weft::channel<int> to, int n) {
  for (int i = 1; i <= n; ++i) co_await to.send(i);
  to.close();
}

}  // namespace

TEST_CASE("a selector waits on as many channels as there are at run time, again and again",
          "[api][selector]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  std::vector<weft::channel<int>> inputs;
  for (int i = 0; i < 40; ++i) inputs.emplace_back(i % 3);
  auto sum = rt.go(merge, inputs);
  for (auto& ch : inputs) rt.go(produce, ch, 50);
  REQUIRE(sum.join() == 40 * 50 * 51 / 2);
}

TEST_CASE("a selector knows timeouts, otherwise, sends, joins, events and the order of biased",
          "[api][selector]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<std::vector<std::size_t>> {
    std::vector<std::size_t> happened;
    weft::channel<int> a(1);
    weft::channel<int> b(1);
    weft::event e;
    weft::selector timed;
    timed.add(weft::on_recv(a));
    const std::size_t timeout = timed.add(weft::on_timeout(1ms));
    happened.push_back(co_await timed.wait());
    happened.push_back(co_await timed.wait());  // the time-out starts anew
    timed.enable(timeout, false);
    timed.add(weft::otherwise());
    happened.push_back(co_await timed.wait());

    weft::selector ordered(weft::biased);
    const int value = 7;
    ordered.add(weft::on_event(e));
    ordered.add(weft::on_send(b, value));
    ordered.add(weft::on_send(a, value));
    happened.push_back(co_await ordered.wait());
    happened.push_back(co_await ordered.wait());
    e.set();
    happened.push_back(co_await ordered.wait());
    co_return happened;
  });
  REQUIRE(h.join() == std::vector<std::size_t>{1, 1, 2, 1, 2, 0});
}

TEST_CASE("a selector's handler may be a coroutine, may add cases, and its exception leaves the wait",
          "[api][selector]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<int> {
    weft::channel<int> ch(4);
    co_await ch.send(1);
    co_await ch.send(2);
    int seen = 0;
    weft::selector s;
    const auto slowly = [&](std::optional<int> v) -> weft::routine<> {
      co_await weft::yield();
      seen += *v;
    };
    const auto adds = [&] { s.add(weft::on_recv(ch, slowly)); };
    weft::event now;
    now.set();
    const std::size_t first = s.add(weft::on_event(now, adds));
    co_await s.wait();
    s.enable(first, false);
    co_await s.wait();
    co_await s.wait();
    weft::selector throws;
    throws.add(weft::on_event(now, [] { throw std::runtime_error("from the handler"); }));
    try {
      co_await throws.wait();
    } catch (const std::runtime_error&) {
      seen += 10;
    }
    co_return seen;
  });
  REQUIRE(h.join() == 13);
}

TEST_CASE("a wait on a selector is cancelled like any other, and the selector is good for the next",
          "[api][selector]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<bool> {
    weft::channel<int> ch;
    weft::selector s;
    s.add(weft::on_recv(ch));
    bool timed_out = false;
    try {
      co_await weft::with_timeout(1ms, s.wait());
    } catch (const weft::timeout_error&) {
      timed_out = true;
    }
    weft::go([ch]() mutable -> weft::routine<> { co_await ch.send(1); });
    co_return co_await s.wait() == 0 && timed_out;
  });
  REQUIRE(h.join());
}

TEST_CASE("plain code waits on a selector", "[api][selector]") {
  namespace blocking = weft::blocking;
  blocking::channel<int> ch;
  auto sender = blocking::go([ch]() mutable { ch.send(5); });
  blocking::selector s;
  int got = 0;
  s.add(blocking::on_recv(ch, [&](std::optional<int> v) { got = v.value_or(-1); }));
  s.add(blocking::on_timeout(1h));
  REQUIRE(blocking::wait(s.wait()) == 0);
  REQUIRE(got == 5);
  sender.join();
}

TEST_CASE("a selector sends the value that it was given each time", "[api][selector]") {
  weft::channel<std::string> ch(3);
  const std::string text(100, 'x');
  weft::selector s;
  s.add(weft::on_send(ch, text));
  for (int i = 0; i < 3; ++i) REQUIRE(weft::blocking::wait(s.wait()) == 0);
  for (int i = 0; i < 3; ++i) REQUIRE(ch.try_recv().value == text);
}

TEST_CASE("a selector refuses a case whose index it could not tell from another's", "[api][selector]") {
  constexpr std::size_t most = 65'533;
  weft::runtime rt({.workers = 2});
  weft::channel<int> silent, last;
  weft::selector s;
  int got = 0;
  while (s.size() < most - 1) s.add(weft::on_recv(silent));
  REQUIRE(s.add(weft::on_recv(last, [&](std::optional<int> v) { got = v.value_or(-1); })) == most - 1);
  REQUIRE_THROWS_AS(s.add(weft::on_recv(silent)), std::length_error);
  auto waits = rt.go([&]() -> weft::routine<std::size_t> { co_return co_await s.wait(); });
  auto sends = rt.go([&]() -> weft::routine<> { co_await last.send(5); });
  REQUIRE(waits.join() == most - 1);
  REQUIRE(got == 5);
  sends.join();
}

TEST_CASE("a selector whose channel lost its last handle finds it closed", "[api][selector]") {
  weft::selector receives, sends;
  bool closed = false;
  const std::string text(100, 'x');
  auto status = weft::send_status::sent;
  auto value = std::make_shared<int>(1);
  {
    weft::channel<std::shared_ptr<int>> in(1);
    REQUIRE(in.try_send(value) == weft::try_send_status::sent);
    receives.add(weft::on_recv(in, [&](std::optional<std::shared_ptr<int>> v) { closed = !v; }));
    weft::channel<std::string> out(1);
    sends.add(weft::on_send(out, text, [&](weft::send_status s) { status = s; }));
  }
  REQUIRE(value.use_count() == 1);  // what nobody can receive any more went with the last handle
  for (int i = 0; i < 2; ++i) {
    closed = false;
    status = weft::send_status::sent;
    REQUIRE(weft::blocking::wait(receives.wait()) == 0);
    REQUIRE(closed);
    REQUIRE(weft::blocking::wait(sends.wait()) == 0);
    REQUIRE(status == weft::send_status::closed);
  }
}

TEST_CASE("a selector that waits sees its channel's last handle go", "[api][selector]") {
  weft::runtime rt({.workers = 2});
  for (int i = 0; i < 200; ++i) {
    auto ch = std::make_unique<weft::channel<int>>(1);
    weft::selector s;
    bool closed = false;
    s.add(weft::on_recv(*ch, [&](std::optional<int> v) { closed = !v; }));
    auto waits = rt.go([&]() -> weft::routine<std::size_t> { co_return co_await s.wait(); });
    ch.reset();
    REQUIRE(waits.join() == 0);
    REQUIRE(closed);
  }
}

TEST_CASE("a selector is no end of its channels", "[api][selector]") {
  auto [tx, rx] = weft::make_channel<int>(1);
  weft::selector s;
  s.add(weft::on_recv(rx));
  { const auto gone = std::move(rx); }
  REQUIRE(tx.try_send(1) == weft::try_send_status::closed);
}
