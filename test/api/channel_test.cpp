#include <weft/weft.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<> produce(weft::channel<int> to, int from, int n) {
  for (int i = 0; i < n; ++i) co_await to.send(from + i);
}

weft::routine<long> consume(weft::channel<int> from) {
  long sum = 0;
  while (auto v = co_await from.recv()) sum += *v;
  co_return sum;
}

}  // namespace

TEST_CASE("no value is lost or doubled between four senders and four receivers", "[api][channel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{128});
  weft::runtime rt({.workers = workers});
  weft::channel<int> ch(capacity);
  std::vector<weft::join_handle<void>> senders;
  std::vector<weft::join_handle<long>> receivers;
  for (int i = 0; i < 4; ++i) senders.push_back(rt.go(produce, ch, i * 2'000, 2'000));
  for (int i = 0; i < 4; ++i) receivers.push_back(rt.go(consume, ch));
  for (auto& s : senders) s.join();
  ch.close();
  long sum = 0;
  for (auto& r : receivers) sum += r.join();
  REQUIRE(sum == 8'000L * 7'999 / 2);
}

TEST_CASE("values sent before close are received after it", "[api][channel]") {
  weft::blocking::channel<std::string> ch(4);
  REQUIRE(ch.send("a") == weft::send_status::sent);
  REQUIRE(ch.close());
  REQUIRE_FALSE(ch.close());
  std::string kept = "b";
  REQUIRE(ch.send(std::move(kept)) == weft::send_status::closed);
  REQUIRE(kept == "b");
  REQUIRE(ch.recv() == "a");
  REQUIRE_FALSE(ch.recv().has_value());
}

TEST_CASE("an absurd capacity is a length_error", "[api][channel]") {
  REQUIRE_THROWS_AS(weft::channel<long>(std::numeric_limits<std::size_t>::max() - 1), std::length_error);
}

TEST_CASE("a ready value beats a limit that has passed", "[api][channel]") {
  weft::blocking::channel<int> ch(1);
  REQUIRE(ch.try_send(3) == weft::try_send_status::sent);
  REQUIRE(ch.try_send(4) == weft::try_send_status::full);
  auto got = ch.recv_for(0s);
  REQUIRE(got);
  REQUIRE(*got == 3);
  REQUIRE(ch.recv_for(-1s).status == weft::recv_status::empty);
  REQUIRE(ch.recv_for(1ms).status == weft::recv_status::empty);
}

TEST_CASE("a duration that is not a number throws before anything is queued", "[api][time]") {
  weft::blocking::channel<int> ch;
  const std::chrono::duration<double> nan(std::nan(""));
  REQUIRE_THROWS_AS(ch.recv_for(nan), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::sleep_for(nan), std::invalid_argument);
}

TEST_CASE("the last handle of a channel gone ends the operations that wait", "[api][channel]") {
  weft::runtime rt({.workers = 2});
  auto [tx, rx] = weft::make_channel<std::unique_ptr<int>>();
  weft::event started;
  auto h = rt.go([receiver = std::move(rx), &started]() -> weft::routine<bool> {
    started.set();
    auto v = co_await receiver.recv();
    co_return v.has_value();
  });
  weft::blocking::wait(started.wait());
  { auto gone = std::move(tx); }
  REQUIRE_FALSE(h.join());
}

TEST_CASE("an unbounded channel keeps order", "[api][channel]") {
  auto ch = weft::blocking::channel<int>::unbounded();
  for (int i = 0; i < 1'000; ++i) ch.send(i);
  ch.close();
  int next = 0;
  bool in_order = true;
  for (int v : ch) in_order = in_order && v == next++;
  REQUIRE(in_order);
  REQUIRE(next == 1'000);
}

TEST_CASE("exactly one select case happens", "[api][select]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::channel<int> a, b(4);
  auto pa = rt.go(produce, a, 0, 5'000), pb = rt.go(produce, b, 0, 5'000);
  const long sum = rt.go([a, b]() -> weft::routine<long> {
                       long total = 0;
                       int calls = 0;
                       auto add = [&](std::optional<int> v) {
                         total += *v;
                         ++calls;
                       };
                       while (calls < 10'000)
                         co_await weft::select(weft::on_recv(a, add), weft::on_recv(b, add));
                       co_return total;
                     }).join();
  REQUIRE(sum == 2 * 5'000L * 4'999 / 2);
  pa.join();
  pb.join();
}

TEST_CASE("two selects meet on the channels they share", "[api][select]") {
  weft::runtime rt({.workers = 2});
  weft::channel<int> a, b;
  auto sends = rt.go([a, b]() -> weft::routine<int> {
    int n = 0;
    for (int i = 0; i < 2'000; ++i) {
      co_await weft::select(weft::on_send(a, int(i)), weft::on_send(b, int(i)));
      ++n;
    }
    co_return n;
  });
  auto receives = rt.go([a, b]() -> weft::routine<int> {
    int n = 0;
    for (int i = 0; i < 2'000; ++i) {
      co_await weft::select(weft::on_recv(b), weft::on_recv(a));
      ++n;
    }
    co_return n;
  });
  REQUIRE(sends.join() == 2'000);
  REQUIRE(receives.join() == 2'000);
}

TEST_CASE("a select that lost a case has moved nothing", "[api][select]") {
  weft::blocking::channel<std::string> full, empty;
  std::string value = "mine";
  REQUIRE(weft::blocking::select(weft::on_send(full, std::move(value)), weft::on_timeout(1ms)) == 1);
  REQUIRE(value == "mine");
  REQUIRE(weft::blocking::select(weft::on_recv(empty), weft::otherwise()) == 1);
}

TEST_CASE("an operation that has a name may be awaited again", "[api][channel]") {
  auto h = weft::go([]() -> weft::routine<std::string> {
    weft::channel<std::string> ch(1);
    std::string got;
    auto recv = ch.recv();
    for (const char* text : {"a", "b", "c"}) {
      weft::go([ch, text]() -> weft::routine<> { co_await ch.send(text); });
      got += (co_await recv).value();
    }
    weft::event e;
    auto happens = e.wait();
    e.set();
    co_await happens;
    e.reset();
    try {
      co_await weft::with_timeout(1ms, std::move(happens));
    } catch (const weft::timeout_error&) {
      got += "t";
    }
    weft::mutex m;
    auto lock = m.lock();
    co_await lock;
    try {
      co_await weft::with_timeout(1ms, std::move(lock));
    } catch (const weft::timeout_error&) {
      got += "t";
    }
    m.unlock();
    auto sleeps = weft::sleep_for(1h);
    for (int i = 0; i < 2; ++i) {
      try {
        co_await weft::with_timeout(1ms, std::move(sleeps));
      } catch (const weft::timeout_error&) {
        got += "t";
      }
    }
    co_return got;
  });
  REQUIRE(h.join() == "abctttt");
}

TEST_CASE("a channel of the largest capacity there is cannot be had, and is not an unbounded one",
          "[api][channel]") {
  REQUIRE_THROWS_AS(weft::channel<int>(std::numeric_limits<std::size_t>::max()), std::length_error);
  REQUIRE(weft::channel<int>::unbounded().capacity() == std::numeric_limits<std::size_t>::max());
}
