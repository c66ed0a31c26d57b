// network: many routines in a chain of unbuffered channels - a token in a ring, the prime sieve.

#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>

#include <cstdint>
#include <utility>

#include "harness.hpp"

namespace perf {

namespace {

using weft::send_status;

// --- ring: a token goes round 1,000 routines ---

constexpr std::uint64_t ring_size = 1000;

using link = weft::channel<std::uint64_t>;

weft::routine<> pass_on(link from, link to) {
  while (auto token = co_await from.recv()) co_await to.send(*token + 1);
  to.close();
}

weft::routine<result> run_ring(std::uint64_t n) {
  const std::uint64_t laps = n / ring_size > 0 ? n / ring_size : 1;
  link first;
  link last = first;
  for (std::uint64_t i = 1; i < ring_size; ++i) {  // this routine is one of them
    link next;
    weft::go(weft::spawn_options{.detached = true}, pass_on, last, next);
    last = next;
  }
  const stopwatch clock;
  std::uint64_t token = 0;
  for (std::uint64_t lap = 0; lap < laps; ++lap) {
    co_await first.send(token + 1);
    const auto back = co_await last.recv();
    token = *back;
  }
  const double seconds = clock.seconds();
  first.close();
  co_await last.recv();  // the close has come round
  co_return result{laps * ring_size, seconds, token == laps * ring_size};
}

result ring(weft::runtime& rt, std::uint64_t n) {
  return rt.go(run_ring, n).join();
}

// --- sieve: Go's concurrent prime sieve, to the n-th prime ---

weft::routine<> count(weft::channel_sender<int> out) {
  for (int i = 2;; ++i) {
    const auto status = co_await out.send(i);
    if (status == send_status::closed) co_return;
  }
}

weft::routine<> filter(int prime, weft::channel_receiver<int> in, weft::channel_sender<int> out) {
  while (auto v = co_await in.recv()) {
    if (*v % prime == 0) continue;
    const auto status = co_await out.send(*v);
    if (status == send_status::closed) co_return;
  }
}

bool is_prime(int candidate) {
  for (int d = 2; d * d <= candidate; ++d) {
    if (candidate % d == 0) return false;
  }
  return candidate > 1;
}

weft::routine<result> run_sieve(std::uint64_t n) {
  double seconds = 0;
  int prime = 0;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    const stopwatch clock;
    auto [numbers, last] = weft::make_channel<int>();
    s.go(count, std::move(numbers));
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto next = co_await last.recv();
      prime = *next;
      auto [out, in] = weft::make_channel<int>();
      s.go(filter, prime, std::move(last), std::move(out));
      last = std::move(in);
    }
    seconds = clock.seconds();
  });
  const bool is_right = n == 2000 ? prime == 17389 : is_prime(prime);
  co_return result{n, seconds, is_right, field("total_s", seconds)};
}

result sieve(weft::runtime& rt, std::uint64_t n) {
  return rt.go(run_sieve, n).join();
}

constexpr bench list[] = {
    {"ring", 1'000'000, 0, ring},
    {"sieve", 2000, 0, sieve},
};

}  // namespace

std::span<const bench> network_benches() {
  return list;
}

}  // namespace perf
