// select: one routine that takes from two channels whatever comes first.

#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/select.hpp>

#include <cstdint>
#include <optional>
#include <utility>

#include "harness.hpp"

namespace perf {

namespace {

using pipe = weft::channel<std::uint64_t>;

weft::routine<> produce(pipe out, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t v = first; v < end; ++v) co_await out.send(v);
}

weft::routine<result> take_from_two(std::uint64_t n, pipe a, pipe b) {
  const stopwatch clock;
  auto first = weft::go(produce, a, std::uint64_t{0}, n / 2);
  auto second = weft::go(produce, b, n / 2, n);
  std::uint64_t sum = 0;
  const auto add = [&sum](std::optional<std::uint64_t> v) { sum += *v; };
  for (std::uint64_t i = 0; i < n; ++i) co_await weft::select(weft::on_recv(a, add), weft::on_recv(b, add));
  const double seconds = clock.seconds();
  co_await std::move(first);
  co_await std::move(second);
  co_return result{n, seconds, sum == n * (n - 1) / 2};
}

result select2(weft::runtime& rt, std::uint64_t n) {
  return rt.go(take_from_two, n, pipe(128), pipe(128)).join();
}

result select2_unbuf(weft::runtime& rt, std::uint64_t n) {
  return rt.go(take_from_two, n, pipe(), pipe()).join();
}

constexpr bench list[] = {
    {"select2", 5'000'000, 0, select2},
    {"select2_unbuf", 5'000'000, 0, select2_unbuf},
};

}  // namespace

std::span<const bench> select_benches() {
  return list;
}

}  // namespace perf
