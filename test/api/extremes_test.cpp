// Every operation that takes a time or a size takes any value of it.

#include <weft/weft.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using weft::blocking::wait;
using seconds_f = std::chrono::duration<double>;
using clock_type = std::chrono::steady_clock;

const seconds_f not_a_number(std::nan(""));
constexpr seconds_f infinite(std::numeric_limits<double>::infinity());

weft::routine<int> waits_for(weft::event& gate) {
  co_await gate.wait();
  co_return 5;
}

/// Calls `f` with durations of all kinds that mean "now".
template <typename F>
void each_passed(F f) {
  f(0s);
  f(-1ns);
  f(std::chrono::hours::min());
  f(std::chrono::nanoseconds::min());
  f(-infinite);
  f(seconds_f(-0.0));
  f(seconds_f(std::numeric_limits<double>::lowest()));
  f(std::chrono::duration<signed char>(-128));
}

/// With durations of all kinds that mean "never".
template <typename F>
void each_endless(F f) {
  f(std::chrono::hours::max());
  f(std::chrono::nanoseconds::max());
  f(infinite);
  f(seconds_f::max());
  f(std::chrono::duration<std::uint64_t, std::ratio<31'556'952>>::max());  // years
  f(std::chrono::duration<long double, std::nano>::max());
}

}  // namespace

TEST_CASE("a limit that has passed ends each timed operation at once and leaves all with the caller",
          "[api][extreme]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto r = rt.go([]() -> weft::routine<bool> {
    bool good = true;
    weft::channel<int> empty;
    weft::event never;
    auto h = weft::go(waits_for, std::ref(never));
    for (const std::chrono::nanoseconds d : {0ns, -1ns, std::chrono::nanoseconds::min()}) {
      good = good && (co_await empty.recv_for(d)).status == weft::recv_status::empty;
      good = good && co_await empty.send_for(1, d) == weft::send_until_status::timed_out;
      good = good && co_await weft::select(weft::on_recv(empty), weft::on_timeout(d)) == 1;
      good = good &&
             co_await weft::select(weft::on_recv(empty), weft::on_deadline(clock_type::time_point(d))) == 1;
      int timeouts = 0;
      try {
        co_await weft::with_timeout(d, std::move(h));
      } catch (const weft::timeout_error&) {
        ++timeouts;
      }
      try {
        co_await weft::with_deadline(clock_type::time_point::min(), empty.recv());
      } catch (const weft::timeout_error&) {
        ++timeouts;
      }
      good = good && timeouts == 2;
      co_await weft::sleep_for(d);
      co_await weft::sleep_until(clock_type::time_point(d));
    }
    never.set();
    const int value = co_await std::move(h);
    co_return good&& value == 5;
  });
  REQUIRE(r.join());
}

TEST_CASE("on a thread a limit that has passed ends each timed operation at once", "[api][extreme][facade]") {
  weft::runtime rt({.workers = 1});
  weft::blocking::channel<int> empty;
  weft::event never;
  auto h = rt.go(waits_for, std::ref(never));
  each_passed([&](auto d) {
    REQUIRE(empty.recv_for(d).status == weft::recv_status::empty);
    REQUIRE(empty.send_for(1, d) == weft::send_until_status::timed_out);
    REQUIRE_FALSE(h.join_for(d));
    REQUIRE(weft::blocking::select(weft::on_event(never), weft::on_timeout(d)) == 1);
    REQUIRE_THROWS_AS(weft::blocking::with_timeout(d, [&] { empty.recv(); }), weft::timeout_error);
    weft::blocking::sleep_for(d);
    auto now = weft::after(d);
    wait(now.wait());
  });
  REQUIRE_FALSE(h.join_until(clock_type::time_point::min()));
  never.set();
  REQUIRE(h.join() == 5);
}

TEST_CASE("an endless limit never ends an operation early", "[api][extreme]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  each_endless([&](auto d) {
    weft::channel<int> to, from;
    auto h = rt.go([=]() -> weft::routine<int> {
      const auto got = co_await to.recv_for(d);
      (void)co_await from.send_for(*got + 1, d);
      int seen = 0;
      auto see = [&seen](std::optional<int> v) { seen = *v; };
      co_await weft::select(weft::on_recv(to, see), weft::on_timeout(d));
      const auto last = co_await weft::with_timeout(d, to.recv());
      co_return seen + *last;
    });
    weft::blocking::channel<int> in(to), out(from);
    REQUIRE(in.send_for(1, d) == weft::send_until_status::sent);
    REQUIRE(*out.recv_for(d) == 2);
    REQUIRE(in.send(20) == weft::send_status::sent);
    REQUIRE(in.send(300) == weft::send_status::sent);
    REQUIRE(h.join_for(d));
    REQUIRE(h.join() == 320);
  });
}

TEST_CASE("a sleep without end sleeps until it is cancelled", "[api][extreme]") {
  weft::runtime rt({.workers = 1});
  each_endless([&](auto d) {
    weft::event begun;
    auto h = rt.go([&begun, d]() -> weft::routine<> {
      begun.set();
      co_await weft::sleep_for(d);
    });
    auto ends = rt.go([&]() -> weft::routine<bool> {
      co_await begun.wait();
      const bool early = h.done();
      h.cancel();
      co_return early;
    });
    REQUIRE_FALSE(ends.join());
    REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  });
}

TEST_CASE("time points at the ends of their range saturate", "[api][extreme]") {
  weft::runtime rt({.workers = 1});
  weft::blocking::channel<int> ch(1);
  using fine = std::chrono::time_point<clock_type, seconds_f>;
  REQUIRE(ch.recv_until(clock_type::time_point::min()).status == weft::recv_status::empty);
  REQUIRE(ch.recv_until(fine(-infinite)).status == weft::recv_status::empty);
  REQUIRE(ch.send_until(7, clock_type::time_point::max()) == weft::send_until_status::sent);
  REQUIRE(*ch.recv_until(clock_type::time_point::max()) == 7);
  REQUIRE(ch.send_until(8, fine(infinite)) == weft::send_until_status::sent);
  REQUIRE(*ch.recv_until(clock_type::time_point::min()) == 8);
  REQUIRE_THROWS_AS(ch.recv_until(fine(not_a_number)), std::invalid_argument);
  weft::blocking::sleep_until(clock_type::time_point::min());
  REQUIRE(weft::blocking::select(weft::on_deadline(clock_type::time_point::max()), weft::otherwise()) == 1);
}

TEST_CASE("a duration that is not a number throws and nothing has happened", "[api][extreme]") {
  weft::runtime rt({.workers = 2});
  weft::channel<int> ch(1);
  weft::event never;
  auto h = rt.go(waits_for, std::ref(never));
  int value = 1;
  REQUIRE_THROWS_AS(ch.send_for(std::move(value), not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(ch.send_for(value, not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(ch.recv_for(not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(h.join_for(not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::on_timeout(not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::with_timeout(not_a_number, ch.recv()), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(not_a_number, ch.recv()), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::blocking::sleep_for(not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::after(not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::ticker(not_a_number), std::invalid_argument);
  REQUIRE_THROWS_AS(rt.stop_for(not_a_number), std::invalid_argument);
  REQUIRE_FALSE(rt.is_stopped());
  REQUIRE(ch.size() == 0);
  auto inside = rt.go([ch]() -> weft::routine<int> {
    int refused = 0;
    try {
      (void)co_await ch.recv_for(not_a_number);
    } catch (const std::invalid_argument&) {
      ++refused;
    }
    try {
      co_await weft::sleep_for(not_a_number);
    } catch (const std::invalid_argument&) {
      ++refused;
    }
    co_return refused;
  });
  REQUIRE(inside.join() == 2);
  never.set();
  REQUIRE(h.join() == 5);
}

TEST_CASE("a ticker refuses a period of zero or less and bears an endless one", "[api][extreme]") {
  REQUIRE_THROWS_AS(weft::ticker(0s), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::ticker(-1s), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::ticker(std::chrono::hours::min()), std::invalid_argument);
  weft::ticker endless(std::chrono::hours::max());
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, endless.tick()), weft::timeout_error);
  weft::ticker infinitely(infinite);
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(1ms, infinitely.tick()), weft::timeout_error);
  weft::ticker quick(1ns);  // as many ticks as there is time for
  REQUIRE(wait(quick.tick()) + wait(quick.tick()) < 60'000'000'000U);
}

TEST_CASE("a capacity that cannot be had is a length_error and the next channel works", "[api][extreme]") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  REQUIRE_THROWS_AS(weft::channel<long>(most), std::length_error);
  REQUIRE_THROWS_AS(weft::channel<long>(most - 1), std::length_error);
  REQUIRE_THROWS_AS(weft::channel<long>(most / 2), std::length_error);
  REQUIRE_THROWS_AS(weft::channel<long>(most / sizeof(long)), std::length_error);
  REQUIRE_THROWS_AS(weft::channel<long>(most / sizeof(long) + 2), std::length_error);
  REQUIRE_THROWS_AS(weft::channel<char>(most / 2 + 1), std::length_error);
  REQUIRE_THROWS_AS(weft::make_channel<long>(most - 1), std::length_error);
  REQUIRE_THROWS_AS(weft::blocking::channel<long>(most - 1), std::length_error);
  weft::channel<void> many(most - 1);  // counts, and keeps nothing
  REQUIRE(many.try_send() == weft::try_send_status::sent);
  REQUIRE(many.try_recv());
  weft::channel<long> good(1);
  REQUIRE(good.try_send(1) == weft::try_send_status::sent);
}

TEST_CASE("a runtime bears options at the ends of their range", "[api][extreme]") {
  constexpr auto most = std::chrono::nanoseconds::max(), least = std::chrono::nanoseconds::min();
  for (const auto time : {most, least, 0ns}) {
    weft::runtime rt({.workers = 2, .blocking_idle_timeout = time, .stall_threshold = time});
    REQUIRE(rt.go([] {
                weft::blocking::sleep_for(1ms);
                return 1;
              }).join() == 1);
    REQUIRE(rt.go([]() -> weft::routine<int> {
                auto two = [] { return 2; };
                co_return co_await weft::block_on_io(two);
              }).join() == 2);
  }
  for (const unsigned threads : {0U, 3U, std::numeric_limits<unsigned>::max()}) {
    weft::runtime rt({.workers = 2, .max_blocking_threads = threads, .max_threads = threads});
    auto h = rt.go([]() -> weft::routine<int> {
      auto four = [] { return 4; };
      co_return co_await weft::block_on_io(four);
    });
    if (threads == 0) {
      REQUIRE_THROWS_AS(h.join(), std::system_error);  // the workers are all it may have
    } else {
      REQUIRE(h.join() == 4);
    }
  }
  for (const auto grace : {most, least, 0ns}) {
    weft::runtime rt({.workers = 2, .stop_grace = grace});
    REQUIRE(rt.go([] { return 3; }).join() == 3);
    rt.stop();
  }
}

TEST_CASE("from stop on go from outside throws stopped and its arguments are still the caller's to lose",
          "[api][extreme]") {
  weft::runtime rt({.workers = 2});
  rt.stop();
  rt.stop();
  REQUIRE(rt.is_stopped());
  auto kept = std::make_shared<int>(1);
  REQUIRE_THROWS_AS(rt.go([kept] {}), weft::stopped);
  REQUIRE_THROWS_AS(rt.go([kept]() -> weft::routine<> { co_return; }), weft::stopped);
  REQUIRE_THROWS_AS(rt.go([](std::shared_ptr<int>) -> weft::routine<> { co_return; }, kept), weft::stopped);
  REQUIRE_THROWS_AS(rt.go(weft::spawn_options{.name = "late", .detached = true}, [kept] {}), weft::stopped);
  REQUIRE(kept.use_count() == 1);
  REQUIRE(rt.stop_for(0s));
  REQUIRE(rt.stop_for(-1s));
}
