// Selects on channels that one worker uses, whose locks are reserved for it: there a select looks and waits
// in another way (lib/core/select_core.cpp, "inside"), and others come in between.

#include <weft/scope.hpp>
#include <weft/select.hpp>
#include <weft/weft.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

using numbers_channel = weft::channel<std::uint64_t>;

constexpr auto values = static_cast<std::uint64_t>(weft::test::unless_sanitized(20'000, 4'000));

weft::routine<> sends(numbers_channel out, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t v = first; v < end; ++v) co_await out.send(v);
}

weft::routine<std::uint64_t> receives(numbers_channel in, std::uint64_t n) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < n; ++i) sum += (co_await in.recv()).value_or(0);
  co_return sum;
}

/// n values from either.
weft::routine<std::uint64_t> chooses(numbers_channel a, numbers_channel b, std::uint64_t n) {
  std::uint64_t sum = 0;
  const auto add = [&sum](std::optional<std::uint64_t> v) { sum += v.value_or(0); };
  for (std::uint64_t i = 0; i < n; ++i) co_await weft::select(on_recv(a, add), on_recv(b, add));
  co_return sum;
}

/// n values to either.
weft::routine<> offers(numbers_channel a, numbers_channel b, std::uint64_t n) {
  for (std::uint64_t v = 0; v < n; ++v) {
    const std::uint64_t value = v;
    co_await weft::select(on_send(a, value), on_send(b, value));
  }
}

constexpr std::uint64_t sum_to(std::uint64_t n) {
  return n * (n - 1) / 2;
}

}  // namespace

TEST_CASE("selects on two plain channels pass on every value once", "[api][select][race]") {
  const unsigned workers = GENERATE(1u, 2u, 16u);
  const std::size_t capacity = GENERATE(0u, 3u);
  weft::runtime rt({.workers = workers});
  const auto program = [&]() -> weft::routine<bool> {
    numbers_channel a(capacity), b(capacity), c(capacity), d(capacity);
    auto first = weft::go(sends, a, std::uint64_t{0}, values);
    auto second = weft::go(sends, b, values, 2 * values);
    auto taken = weft::go(chooses, a, b, 2 * values);
    auto given = weft::go(offers, c, d, values);
    auto met = weft::go(chooses, c, d, values);
    const std::uint64_t sum = co_await std::move(taken);
    const std::uint64_t met_sum = co_await std::move(met);
    co_await std::move(first);
    co_await std::move(second);
    co_await std::move(given);
    auto offered = weft::go(offers, a, b, values);
    auto from_a = weft::go(receives, a, std::uint64_t{1});
    const std::uint64_t at_a = co_await std::move(from_a);
    const std::uint64_t rest = co_await weft::go(chooses, a, b, values - 1);
    co_await std::move(offered);
    co_return sum == sum_to(2 * values) && met_sum == sum_to(values) && at_a + rest == sum_to(values);
  };
  for (int i = 0; i < 3; ++i) REQUIRE(rt.go(program).join());
}

TEST_CASE("a select that is cancelled while it waits has taken nothing", "[api][select][race]") {
  const unsigned workers = GENERATE(1u, 2u, 16u);
  weft::runtime rt({.workers = workers});
  const auto program = [&]() -> weft::routine<bool> {
    numbers_channel a, b;
    std::uint64_t sum = 0;
    const auto add = [&sum](std::optional<std::uint64_t> v) { sum += v.value_or(0); };
    auto first = weft::go(sends, a, std::uint64_t{0}, values / 10);
    auto second = weft::go([&]() -> weft::routine<> {
      for (std::uint64_t v = values / 10; v < values / 5; ++v) {
        if (v % 16 == 0) co_await weft::sleep_for(20us);
        co_await b.send(v);
      }
    });
    for (std::uint64_t got = 0; got < values / 5;) {
      try {
        co_await weft::with_timeout(10us, weft::select(on_recv(a, add), on_recv(b, add)));
        ++got;
      } catch (const weft::timeout_error&) {  // again
      }
    }
    co_await std::move(first);
    co_await std::move(second);
    co_return sum == sum_to(values / 5);
  };
  REQUIRE(rt.go(program).join());
}

TEST_CASE("waiting selects on channels of one worker are all ended by a cancelled scope", "[api][select]") {
  weft::runtime rt({.workers = 2});
  const auto program = [&]() -> weft::routine<bool> {
    numbers_channel a(1), b(1);
    for (int i = 0; i < 200; ++i) {  // both are this worker's now
      co_await a.send(1);
      co_await a.recv();
      co_await b.send(1);
      co_await b.recv();
    }
    for (int round = 0; round < 50; ++round) {
      co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
        for (int i = 0; i < 20; ++i)
          s.go(
              [](numbers_channel x, numbers_channel y) -> weft::routine<> {
                co_await weft::select(on_recv(x), on_recv(y), on_send(x, std::uint64_t{1}).when(false));
              },
              a, b);
        for (int i = 0; i < round % 3; ++i) co_await weft::yield();
        s.cancel();
      });
      co_await a.send(7);  // nobody is left in the queues
      const bool still_there = a.size() == 1;
      co_await a.recv();
      if (!still_there) co_return false;
    }
    co_return true;
  };
  REQUIRE(rt.go(program).join());
}

TEST_CASE("a select on six channels of one worker, of values that are not plain, and with otherwise",
          "[api][select]") {
  weft::runtime rt({.workers = 1});
  const auto program = [&]() -> weft::routine<bool> {
    std::vector<weft::channel<std::string>> texts;
    numbers_channel c, d(2), e, f;
    texts.emplace_back(2);
    texts.emplace_back(0);
    std::size_t letters = 0, numbers = 0, nothing = 0;
    const auto text = [&](std::optional<std::string> s) { letters += s ? s->size() : 0; };
    const auto number = [&](std::optional<std::uint64_t>) { ++numbers; };
    auto writes = weft::go([&]() -> weft::routine<> {
      const std::string longer(100, 'x');
      for (int i = 0; i < 1000; ++i) {
        co_await texts[static_cast<std::size_t>(i % 2)].send(longer);
        co_await (i % 2 == 0 ? c : d).send(1);
      }
    });
    for (int i = 0; i < 2000; ++i) {
      co_await weft::select(on_recv(texts[0], text), on_recv(texts[1], text), on_recv(c, number),
                            on_recv(d, number), on_recv(e), on_recv(f));
    }
    co_await std::move(writes);
    for (int i = 0; i < 500; ++i) {
      co_await weft::select(on_recv(c, number), on_recv(d, number), weft::otherwise([&] { ++nothing; }));
    }
    const std::uint64_t one = 1;
    for (int i = 0; i < 500; ++i) {
      co_await weft::select(on_send(e, one), on_send(d, one), weft::otherwise([&] { ++nothing; }));
    }
    co_return letters == 100'000 && numbers == 1000 && nothing == 998;
  };
  REQUIRE(rt.go(program).join());
}
