// Chains and trees of routines: Go's test/chan/goroutines.go, sieve1.go, sieve2.go.

#include <array>
#include <functional>
#include <queue>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using weft::test::everywhere;
using weft::test::task;

namespace {

constexpr auto pass_on = [](auto f, weft::channel<int> in, weft::channel<int> out) -> task<decltype(f)> {
  const auto v = co_await f.recv(in);
  co_await f.send(out, v.value_or(-1) + 1);
};

// --- sieve1: a filter for each prime ---

constexpr auto count_up = [](auto f, weft::channel<int> out) -> task<decltype(f)> {
  for (int i = 2;; ++i) {
    const weft::send_status s = co_await f.send(out, i);
    if (s == weft::send_status::closed) co_return;
  }
};

/// Lets through what `prime` does not divide.  Ends when nobody receives, and tells who sends.
constexpr auto filter = [](auto f, weft::channel<int> in, weft::channel<int> out,
                           int prime) -> task<decltype(f)> {
  while (auto v = co_await f.recv(in)) {
    if (*v % prime == 0) continue;
    const weft::send_status s = co_await f.send(out, *v);
    if (s == weft::send_status::closed) break;
  }
  in.close();
};

// --- sieve2: a heap of the multiples of each prime ---

constexpr auto multiples = [](auto f, weft::channel<int> out, int prime) -> task<decltype(f)> {
  for (int m = prime * prime;; m += prime) {
    const weft::send_status s = co_await f.send(out, m);
    if (s == weft::send_status::closed) co_return;
  }
};

/// A channel whose next value is known.
struct peeked {
  int head;
  weft::channel<int> rest;

  bool operator>(const peeked& other) const noexcept { return head > other.head; }
};

using heap = std::priority_queue<peeked, std::vector<peeked>, std::greater<>>;

/// Sends the primes; ends when nobody receives.
constexpr auto sieve = [](auto f, weft::channel<int> primes) -> task<decltype(f)> {
  heap composites;
  for (int candidate = 2;; ++candidate) {
    bool prime = true;
    while (!composites.empty() && composites.top().head == candidate) {
      prime = false;
      weft::channel<int> rest = composites.top().rest;
      composites.pop();
      const auto next = co_await f.recv(rest);
      composites.push({next.value_or(0), rest});
    }
    if (!prime) continue;
    const weft::send_status s = co_await f.send(primes, candidate);
    if (s == weft::send_status::closed) break;
    weft::channel<int> line;
    f.go(multiples, line, candidate);
    const auto first = co_await f.recv(line);
    composites.push({first.value_or(0), line});
  }
  for (; !composites.empty(); composites.pop()) composites.top().rest.close();
};

constexpr std::array primes{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                            43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};

}  // namespace

TEST_CASE("a value passes through a chain of ten thousand routines", "[golang][chain]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const int threads = f.simulated() ? 8 : weft::test::unless_sanitized(400, 100);
    const int count = f.only_routines() ? n : threads;
    weft::channel<int> first, in = first;
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < count; ++i) {
      weft::channel<int> out;
      all.push_back(f.go(pass_on, in, out));
      in = out;
    }
    co_await f.send(first, 0);
    const auto v = co_await f.recv(in);
    f.expect(v == count, "each has added one");
    for (auto& h : all) co_await f.join(std::move(h));
  };
  everywhere(body, weft::test::unless_sanitized(10'000, 2'000), 20);
}

TEST_CASE("a chain of filters sieves the primes up to 100", "[golang][chain]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> line;
    std::vector<weft::join_handle<>> all;
    all.push_back(f.go(count_up, line));
    for (int i = 0; i < n; ++i) {
      const auto prime = co_await f.recv(line);
      f.expect(prime == primes[static_cast<std::size_t>(i)], "the next prime");
      weft::channel<int> filtered;
      all.push_back(f.go(filter, line, filtered, prime.value_or(1)));
      line = filtered;
    }
    line.close();
    for (auto& h : all) co_await f.join(std::move(h));
  };
  everywhere(body, static_cast<int>(primes.size()), 5);
}

TEST_CASE("a heap of channels sieves the primes up to 100", "[golang][chain]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> found;
    auto h = f.go(sieve, found);
    for (int i = 0; i < n; ++i) {
      const auto prime = co_await f.recv(found);
      f.expect(prime == primes[static_cast<std::size_t>(i)], "the next prime");
    }
    found.close();
    co_await f.join(std::move(h));
  };
  everywhere(body, static_cast<int>(primes.size()), 5);
}
