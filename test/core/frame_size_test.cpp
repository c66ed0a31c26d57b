// What a routine costs in memory, and where things stand in its frame.

#include <weft/weft.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sched/frame_pool.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using weft::detail::promise;
using weft::detail::promise_base;
using weft::detail::waiter;

namespace {

weft::routine<long> receive_loop(weft::channel<int> from) {
  long sum = 0;
  while (auto v = co_await from.recv()) sum += *v;
  co_return sum;
}

weft::routine<> sleeper() {
  co_await weft::sleep_for(1h);
}

weft::routine<> does_nothing() {
  co_return;
}

/// Not inlined, or clang would put the frame into its caller's.
template <typename T>
[[gnu::noinline]] weft::routine<T> keep(weft::routine<T> made) {
  void* frame = made.frame().address();
  asm volatile("" : : "r"(frame) : "memory");
  return made;
}

/// The pool's blocks of one size lie side by side: the smallest distance is the size.
template <typename Make>
std::uintptr_t bytes_of_frame(Make make) {
  std::vector<decltype(make())> many;
  many.reserve(16);
  for (int i = 0; i < 16; ++i) many.push_back(keep(make()));
  std::uintptr_t least = UINTPTR_MAX;
  for (const auto& a : many) {
    for (const auto& b : many) {
      const auto at = reinterpret_cast<std::uintptr_t>(a.frame().address());
      const auto other = reinterpret_cast<std::uintptr_t>(b.frame().address());
      if (other > at) least = std::min(least, other - at);
    }
  }
  return least;
}

}  // namespace

TEST_CASE("a promise takes 120 bytes beside the result", "[core][frame]") {
  STATIC_REQUIRE(sizeof(waiter) == 96);
  STATIC_REQUIRE(sizeof(promise_base) == 120);
  STATIC_REQUIRE(sizeof(promise<void>) == 128);  // a result or an exception_ptr
  STATIC_REQUIRE(sizeof(promise<long>) == 128);
  STATIC_REQUIRE(sizeof(weft::detail::channel_wait) == 24);
}

TEST_CASE("the claim word stands 16 bytes into every frame, and frames are aligned to 16", "[core][frame]") {
  weft::channel<int> ch;
  const auto check = [](auto made) {
    auto* frame = static_cast<std::byte*>(made.frame().address());
    promise_base& p = made.frame().promise();
    CHECK(reinterpret_cast<std::uintptr_t>(frame) % 16 == 0);
    CHECK(reinterpret_cast<std::byte*>(&p.park) == frame + weft::sched::claim_word_offset);
    CHECK(weft::detail::frame_of(p) == frame);
    CHECK(&weft::detail::promise_of(frame) == &p);
  };
  check(keep(receive_loop(ch)));
  check(keep(sleeper()));
  check(keep(does_nothing()));
}

TEST_CASE("a receive loop takes 240 bytes, or 224 where awaiters share their place", "[core][frame]") {
  if (!weft::sched::read_frame_stats().pooled) return;  // sanitized frames are of another size
#if defined(__clang__)
  constexpr std::uintptr_t loop = 224, sleep = 224, least = 176;
#else
  constexpr std::uintptr_t loop = 240, sleep = 224, least = 176;
#endif
  weft::channel<int> ch;
  CHECK(bytes_of_frame([&] { return receive_loop(ch); }) <= loop);
  CHECK(bytes_of_frame([] { return sleeper(); }) <= sleep);
  CHECK(bytes_of_frame([] { return does_nothing(); }) <= least);
}
