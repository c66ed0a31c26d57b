// channel: what it costs to hand a value over - to and fro, one way, between many, without limit.
//
// Each bench twice: routines that suspend, and plain callables that block (-face blocking).

#include <weft/blocking.hpp>
#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>

#include <cstdint>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace perf {

namespace {

using value = std::uint64_t;
using pipe = weft::channel<value>;
using blocking_pipe = weft::blocking::channel<value>;

constexpr std::size_t bound = 128;

// --- chan_pingpong: round trips between two routines over two unbuffered channels ---

weft::routine<> echo(pipe in, pipe out) {
  while (auto v = co_await in.recv()) co_await out.send(*v);
}

weft::routine<result> ping(std::uint64_t n) {
  pipe there, back;
  const stopwatch clock;
  auto other = weft::go(echo, there, back);
  bool is_right = true;
  for (value i = 0; i < n; ++i) {
    co_await there.send(i);
    const auto answer = co_await back.recv();
    is_right &= *answer == i;
  }
  const double seconds = clock.seconds();
  there.close();
  co_await std::move(other);
  co_return result{n, seconds, is_right};
}

result pingpong(weft::runtime& rt, std::uint64_t n) {
  return rt.go(ping, n).join();
}

result blocking_ping(std::uint64_t n) {
  blocking_pipe there, back;
  const stopwatch clock;
  auto other = weft::go(
      [](blocking_pipe in, blocking_pipe out) {
        for (const value v : in) out.send(v);
      },
      there, back);
  bool is_right = true;
  for (value i = 0; i < n; ++i) {
    there.send(i);
    is_right &= back.recv() == i;
  }
  const double seconds = clock.seconds();
  there.close();
  other.join();
  return {n, seconds, is_right};
}

result blocking_pingpong(weft::runtime& rt, std::uint64_t n) {
  return rt.go(blocking_ping, n).join();
}

// --- one way: `pairs` producers send n values in all, as many consumers add them up ---

weft::routine<> produce(pipe out, value first, value end) {
  for (value v = first; v < end; ++v) co_await out.send(v);
}

weft::routine<value> consume(pipe in) {
  value sum = 0;
  while (auto v = co_await in.recv()) sum += *v;
  co_return sum;
}

struct share {
  value first;
  value end;
};

share share_of(unsigned i, unsigned pairs, std::uint64_t n) {
  return {n * i / pairs, n * (i + 1) / pairs};
}

bool is_sum(value sum, std::uint64_t n) {
  return sum == n * (n - 1) / 2;
}

weft::routine<result> one_way(std::uint64_t n, pipe through, unsigned pairs) {
  std::vector<weft::join_handle<>> producers;
  std::vector<weft::join_handle<value>> consumers;
  const stopwatch clock;
  for (unsigned i = 0; i < pairs; ++i) {
    const share part = share_of(i, pairs, n);
    consumers.push_back(weft::go(consume, through));
    producers.push_back(weft::go(produce, through, part.first, part.end));
  }
  for (auto& p : producers) co_await std::move(p);
  through.close();
  value sum = 0;
  for (auto& c : consumers) sum += co_await std::move(c);
  co_return result{n, clock.seconds(), is_sum(sum, n)};
}

result blocking_one_way(std::uint64_t n, blocking_pipe through, unsigned pairs) {
  std::vector<weft::join_handle<>> producers;
  std::vector<weft::join_handle<value>> consumers;
  const stopwatch clock;
  for (unsigned i = 0; i < pairs; ++i) {
    consumers.push_back(weft::go([through]() mutable {
      value sum = 0;
      for (const value v : through) sum += v;
      return sum;
    }));
    producers.push_back(weft::go([through, part = share_of(i, pairs, n)]() mutable {
      for (value v = part.first; v < part.end; ++v) through.send(v);
    }));
  }
  for (auto& p : producers) p.join();
  through.close();
  value sum = 0;
  for (auto& c : consumers) sum += c.join();
  return {n, clock.seconds(), is_sum(sum, n)};
}

result spsc_through(weft::runtime& rt, std::uint64_t n, std::size_t capacity) {
  return rt.go(one_way, n, pipe(capacity), 1U).join();
}

result mpmc_through(weft::runtime& rt, std::uint64_t n, std::size_t capacity) {
  return rt.go(one_way, n, pipe(capacity), 4U).join();
}

result spsc(weft::runtime& rt, std::uint64_t n) {
  return spsc_through(rt, n, bound);
}

result mpmc(weft::runtime& rt, std::uint64_t n) {
  return mpmc_through(rt, n, bound);
}

result unbounded(weft::runtime& rt, std::uint64_t n) {
  return rt.go(one_way, n, pipe::unbounded(), 1U).join();
}

result blocking_spsc(weft::runtime& rt, std::uint64_t n) {
  return rt.go(blocking_one_way, n, blocking_pipe(bound), 1U).join();
}

result blocking_mpmc(weft::runtime& rt, std::uint64_t n) {
  return rt.go(blocking_one_way, n, blocking_pipe(bound), 4U).join();
}

result blocking_unbounded(weft::runtime& rt, std::uint64_t n) {
  return rt.go(blocking_one_way, n, blocking_pipe(pipe::unbounded()), 1U).join();
}

// --- fan_in: 10,000 producers, one consumer ---

weft::routine<result> many_to_one(std::uint64_t n) {
  constexpr std::uint64_t producers = 10'000;
  const std::uint64_t each = n / producers > 0 ? n / producers : 1;
  const std::uint64_t all = producers * each;
  pipe in(bound);
  const stopwatch clock;
  const value sum = co_await weft::scope([&](weft::task_scope& s) -> weft::routine<value> {
    for (std::uint64_t i = 0; i < producers; ++i) s.go(produce, in, i * each, (i + 1) * each);
    value total = 0;
    for (std::uint64_t i = 0; i < all; ++i) {
      const auto v = co_await in.recv();
      total += *v;
    }
    co_return total;
  });
  co_return result{all, clock.seconds(), is_sum(sum, all) && in.size() == 0};
}

result fan_in(weft::runtime& rt, std::uint64_t n) {
  return rt.go(many_to_one, n).join();
}

constexpr bench list[] = {
    {"chan_pingpong", 2'000'000, 0, pingpong, blocking_pingpong},
    {"chan_spsc", 20'000'000, 0, spsc, blocking_spsc, spsc_through},
    {"chan_mpmc", 10'000'000, 0, mpmc, blocking_mpmc, mpmc_through},
    {"chan_unbounded", 20'000'000, 0, unbounded, blocking_unbounded},
    {"fan_in", 1'000'000, 0, fan_in},
};

}  // namespace

std::span<const bench> channel_benches() {
  return list;
}

}  // namespace perf
