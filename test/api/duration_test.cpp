// Durations and time points of every kind: rounded up, never down.  In virtual time a wait takes exactly what
// it was told to.

#include <weft/blocking.hpp>
#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;
template <typename Rep>
using picoseconds = std::chrono::duration<Rep, std::pico>;
using seconds_f = std::chrono::duration<double>;
using thirds = std::chrono::duration<int, std::ratio<1, 3>>;

/// Runs `f` in virtual time and gives the nanoseconds it took.
template <typename F>
std::int64_t taken(F f) {
  std::int64_t ns = -1;
  const auto run = weft::sim::run(1, [&] {
    const auto before = weft::now();
    f();
    ns = (weft::now() - before).count();
  });
  if (!run.ok) throw std::runtime_error(run.report);
  return ns;
}

template <typename Duration>
std::int64_t slept(Duration d) {
  return taken([d] { weft::blocking::sleep_for(d); });
}

/// A point `d` after now, in its own unit.
template <typename Duration>
auto at(Duration d) {
  return weft::now() + d;
}

}  // namespace

TEST_CASE("a duration between two nanoseconds is rounded up", "[api][time]") {
  REQUIRE(slept(picoseconds<long>(1)) == 1);
  REQUIRE(slept(picoseconds<long>(999)) == 1);
  REQUIRE(slept(picoseconds<long>(1000)) == 1);
  REQUIRE(slept(picoseconds<long>(1500)) == 2);
  REQUIRE(slept(picoseconds<unsigned>(2001)) == 3);
  REQUIRE(slept(picoseconds<unsigned char>(255)) == 1);
  REQUIRE(slept(picoseconds<double>(1500)) == 2);
  REQUIRE(slept(picoseconds<float>(0.5F)) == 1);
  REQUIRE(slept(std::chrono::duration<double, std::nano>(2.25)) == 3);
  REQUIRE(slept(std::chrono::duration<long double, std::nano>(2.25L)) == 3);
  REQUIRE(slept(thirds(1)) == 333'333'334);
  REQUIRE(slept(thirds(3)) == 1'000'000'000);
}

TEST_CASE("a duration that is a whole number of nanoseconds stays what it is", "[api][time]") {
  REQUIRE(slept(7ns) == 7);
  REQUIRE(slept(10ms) == 10'000'000);
  REQUIRE(slept(std::chrono::duration<std::uint64_t, std::micro>(3)) == 3'000);
  REQUIRE(slept(std::chrono::hours(2)) == 7'200'000'000'000);
  REQUIRE(slept(seconds_f(0.1)) == 100'000'000);
  REQUIRE(slept(seconds_f(0.3)) == 300'000'000);
  REQUIRE(slept(std::chrono::duration<double, std::milli>(2.5)) == 2'500'000);
  REQUIRE(slept(std::chrono::duration<float, std::ratio<60>>(0.5F)) == 30'000'000'000);
}

TEST_CASE("what is negative is now, however small", "[api][time]") {
  REQUIRE(slept(picoseconds<long>(-1)) == 0);
  REQUIRE(slept(picoseconds<long>(-1500)) == 0);
  REQUIRE(slept(seconds_f(-0.5)) == 0);
  REQUIRE(slept(picoseconds<double>(-0.25)) == 0);
  REQUIRE(slept(picoseconds<long>::min()) == 0);
  REQUIRE(taken([] { weft::blocking::sleep_until(at(picoseconds<long>(-1))); }) == 0);
  REQUIRE(taken([] { weft::blocking::sleep_until(clock_type::time_point(-5ns)); }) == 0);
}

TEST_CASE("what is too long for nanoseconds is never", "[api][time]") {
  using exaseconds = std::chrono::duration<long, std::exa>;
  using limit = std::numeric_limits<std::uint64_t>;
  const auto ends = [](auto d) {
    return taken([d] {
      try {
        weft::blocking::with_timeout(1s, weft::sleep_for(d));
      } catch (const weft::timeout_error&) {
      }
    });
  };
  REQUIRE(ends(std::chrono::duration<std::uint64_t>(limit::max())) == 1'000'000'000);
  REQUIRE(ends(std::chrono::duration<std::uint64_t, std::nano>(limit::max())) == 1'000'000'000);
  REQUIRE(ends(exaseconds(1)) == 1'000'000'000);
  REQUIRE(ends(std::chrono::years::max()) == 1'000'000'000);
  REQUIRE(ends(seconds_f(1e300)) == 1'000'000'000);
  REQUIRE(ends(std::chrono::duration<long double>(9.3e9L)) == 1'000'000'000);
  __extension__ using wide = std::chrono::duration<__int128, std::nano>;
  __extension__ using unsigned_wide = std::chrono::duration<unsigned __int128, std::exa>;
  constexpr auto wide_max = static_cast<wide::rep>(~static_cast<unsigned_wide::rep>(0) / 2);
  REQUIRE(ends(wide(wide::rep{1} << 64)) == 1'000'000'000);
  REQUIRE(ends(wide((wide::rep{1} << 64) + 5)) == 1'000'000'000);
  REQUIRE(ends(wide(wide_max)) == 1'000'000'000);
  REQUIRE(ends(unsigned_wide(~unsigned_wide::rep{0})) == 1'000'000'000);
  REQUIRE(slept(wide(7)) == 7);
  REQUIRE(slept(wide(-wide_max)) == 0);
  REQUIRE(slept(exaseconds(0)) == 0);
  REQUIRE(slept(exaseconds(-1)) == 0);
}

TEST_CASE("every operation with a limit rounds it up", "[api][time]") {
  using weft::blocking::channel;
  using weft::blocking::wait;
  const auto d = picoseconds<long>(2500);
  const auto f = std::chrono::duration<double, std::nano>(2.5);
  REQUIRE(taken([&] { (void)channel<int>().recv_for(d); }) == 3);
  REQUIRE(taken([&] { (void)channel<int>().recv_until(at(d)); }) == 3);
  REQUIRE(taken([&] { (void)channel<int>().send_for(1, f); }) == 3);
  REQUIRE(taken([&] { (void)channel<int>().send_until(1, at(d)); }) == 3);
  REQUIRE(taken([&] { (void)channel<void>().send_for(d); }) == 3);
  REQUIRE(taken([&] { (void)channel<void>().recv_until(at(d)); }) == 3);
  REQUIRE(taken([&] { weft::blocking::sleep_until(at(d)); }) == 3);
  REQUIRE(taken([&] { weft::blocking::select(weft::on_timeout(d)); }) == 3);
  REQUIRE(taken([&] { weft::blocking::select(weft::on_deadline(at(d))); }) == 3);
  REQUIRE(taken([&] { wait(weft::after(f).wait()); }) == 3);
  REQUIRE(taken([&] {
            weft::ticker t(d);
            wait(t.tick());
            wait(t.tick());
          }) == 6);
  const auto limited = [](auto limit) {
    try {
      limit();
    } catch (const weft::timeout_error&) {
    }
  };
  REQUIRE(taken([&] { limited([&] { weft::blocking::with_timeout(d, weft::sleep_for(1h)); }); }) == 3);
  REQUIRE(taken([&] { limited([&] { weft::blocking::with_deadline(at(d), weft::sleep_for(1h)); }); }) == 3);
  REQUIRE(taken([&] { limited([&] { wait(weft::with_timeout(f, weft::sleep_for(1h))); }); }) == 3);
  REQUIRE(taken([&] { limited([&] { wait(weft::with_deadline(at(d), weft::sleep_for(1h))); }); }) == 3);
  REQUIRE(taken([&] {
            weft::event go_on;
            auto h = weft::go([&]() -> weft::routine<> { co_await go_on.wait(); });
            (void)h.join_for(d);
            (void)h.join_until(at(d));
            go_on.set();
            h.join();
          }) == 6);
}

TEST_CASE("a ticker's period may be shorter than a nanosecond and is then one", "[api][time]") {
  REQUIRE(taken([] {
            weft::ticker t(picoseconds<long>(1));
            REQUIRE(weft::blocking::wait(t.tick()) == 0);
          }) == 1);
}

TEST_CASE("a time point that is not a number throws wherever it is given", "[api][time]") {
  const std::chrono::time_point<clock_type, seconds_f> nan{
      seconds_f{std::numeric_limits<double>::quiet_NaN()}};
  REQUIRE_THROWS_AS(weft::sleep_until(nan), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::on_deadline(nan), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::with_deadline(nan, weft::yield()), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::blocking::with_deadline(nan, weft::yield()), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::channel<int>().send_until(1, nan), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::channel<int>().recv_until(nan), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::channel<void>().send_until(nan), std::invalid_argument);
  REQUIRE_THROWS_AS(weft::go([] {}).join_until(nan), std::invalid_argument);
}
