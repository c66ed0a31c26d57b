// tree: programs that are trees of routines - skynet over channels and by fork/join, fib and
// queens by fork/join.

#include <weft/all.hpp>
#include <weft/all_range.hpp>
#include <weft/channel.hpp>
#include <weft/go.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "harness.hpp"

namespace perf {

namespace {

// --- skynet: each routine starts 10 children and adds up what they send; a leaf sends its number ---

constexpr std::uint64_t fan_out = 10;

struct tree {
  std::uint64_t leaves = 1;
  std::uint64_t routines = 1;

  std::uint64_t sum() const { return leaves * (leaves - 1) / 2; }
};

// The largest tree of at most n routines: 1, 11, 111 ...
tree largest_tree(std::uint64_t n) {
  tree t;
  while (t.routines + t.leaves * fan_out <= n) {
    t.leaves *= fan_out;
    t.routines += t.leaves;
  }
  return t;
}

weft::routine<> add_up(weft::channel<std::uint64_t> up, std::uint64_t first, std::uint64_t leaves) {
  if (leaves == 1) {
    co_await up.send(first);
    co_return;
  }
  weft::channel<std::uint64_t> sums;
  const std::uint64_t part = leaves / fan_out;
  for (std::uint64_t i = 0; i < fan_out; ++i) {
    weft::go(weft::spawn_options{.detached = true}, add_up, sums, first + i * part, part);
  }
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < fan_out; ++i) {
    const auto child = co_await sums.recv();
    sum += *child;
  }
  co_await up.send(sum);
}

weft::routine<result> skynet_tree(std::uint64_t n) {
  const tree t = largest_tree(n);
  const stopwatch clock;
  weft::channel<std::uint64_t> up;
  weft::go(weft::spawn_options{.detached = true}, add_up, up, std::uint64_t{0}, t.leaves);
  const auto sum = co_await up.recv();
  co_return result{t.routines, clock.seconds(), *sum == t.sum()};
}

result skynet(weft::runtime& rt, std::uint64_t n) {
  return rt.go(skynet_tree, n).join();
}

// --- skynet_fj: the same tree by fork/join ---

weft::routine<std::uint64_t> added_up(std::uint64_t first, std::uint64_t leaves) {
  if (leaves == 1) co_return first;
  const std::uint64_t part = leaves / fan_out;
  const auto child = [=](std::uint64_t i) { return added_up(first + i * part, part); };
  const auto sums = co_await weft::all(child(0), child(1), child(2), child(3), child(4), child(5), child(6),
                                       child(7), child(8), child(9));
  co_return std::apply([](auto... sum) { return (sum + ...); }, sums);
}

weft::routine<result> skynet_fork_join(std::uint64_t n) {
  const tree t = largest_tree(n);
  const stopwatch clock;
  const std::uint64_t sum = co_await added_up(0, t.leaves);
  co_return result{t.routines, clock.seconds(), sum == t.sum()};
}

result skynet_fj(weft::runtime& rt, std::uint64_t n) {
  return rt.go(skynet_fork_join, n).join();
}

// --- fib: the naive recursion, every call a routine ---

weft::routine<std::uint64_t> fib_of(unsigned k) {
  if (k < 2) co_return k;
  const auto parts = co_await weft::all(fib_of(k - 1), fib_of(k - 2));
  co_return std::get<0>(parts) + std::get<1>(parts);
}

// The largest k whose fib(k) takes at most n calls: 2 fib(k + 1) - 1 of them.
struct fib_size {
  unsigned k = 0;
  std::uint64_t value = 0;
  std::uint64_t calls = 1;
};

fib_size largest_fib(std::uint64_t n) {
  fib_size size;
  std::uint64_t next = 1;  // fib(k + 1)
  while (true) {
    const std::uint64_t after = size.value + next;
    if (2 * after - 1 > n) return size;
    size = {size.k + 1, next, 2 * after - 1};
    next = after;
  }
}

weft::routine<result> fib_fork_join(std::uint64_t n) {
  const fib_size size = largest_fib(n);
  const stopwatch clock;
  const std::uint64_t value = co_await fib_of(size.k);
  co_return result{size.calls, clock.seconds(), value == size.value};
}

result fib(weft::runtime& rt, std::uint64_t n) {
  return rt.go(fib_fork_join, n).join();
}

// --- nqueens: every placement that is possible a routine, all of a row by `all` ---

constexpr std::size_t largest_board = 16;
constexpr std::uint64_t solutions[largest_board + 1] = {
    1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512};

struct board {
  std::array<char, largest_board> column_of;  // of the rows that are taken
};

bool is_free(const board& b, int row, int column) {
  for (int r = 0; r < row; ++r) {
    const int other = b.column_of[static_cast<std::size_t>(r)];
    if (column == other || column == other - (row - r) || column == other + (row - r)) return false;
  }
  return true;
}

weft::routine<std::uint64_t> place_queens(board b, int row, int size) {
  if (row == size) co_return std::uint64_t{1};
  std::vector<weft::routine<std::uint64_t>> placements;
  placements.reserve(static_cast<std::size_t>(size));
  for (int column = 0; column < size; ++column) {
    if (!is_free(b, row, column)) continue;
    b.column_of[static_cast<std::size_t>(row)] = static_cast<char>(column);
    placements.push_back(place_queens(b, row + 1, size));
  }
  const auto found = co_await weft::all(std::move(placements));
  co_return std::accumulate(found.begin(), found.end(), std::uint64_t{0});
}

weft::routine<result> all_queens(std::uint64_t n) {
  const std::uint64_t size = std::min<std::uint64_t>(n, largest_board);
  const stopwatch clock;
  const std::uint64_t found = co_await place_queens({}, 0, static_cast<int>(size));
  const double seconds = clock.seconds();
  co_return result{size, seconds, found == solutions[size], field("total_s", seconds)};
}

result nqueens(weft::runtime& rt, std::uint64_t n) {
  return rt.go(all_queens, n).join();
}

constexpr bench list[] = {
    {"skynet", 1'111'111, 0, skynet},
    {"skynet_fj", 1'111'111, 0, skynet_fj},
    {"fib", 204'668'309, 0, fib},  // fib(39)
    {"nqueens", 14, 0, nqueens},
};

}  // namespace

std::span<const bench> tree_benches() {
  return list;
}

}  // namespace perf
