// Over-aligned callables and arguments: go() keeps them where they belong, though frames are aligned to 16.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

/// Counts how many of it there are; only moved.
struct alignas(64) wide {
  explicit wide(std::atomic<int>& n) noexcept : alive(&n) { ++*alive; }

  wide(wide&& other) noexcept : alive(other.alive) { ++*alive; }

  wide& operator=(wide&&) = delete;

  ~wide() { --*alive; }

  bool in_place() const noexcept { return reinterpret_cast<std::uintptr_t>(this) % alignof(wide) == 0; }

  std::atomic<int>* alive;
  std::unique_ptr<int> only_moved;
};

bool placed(const wide& w) {
  return w.in_place();
}

bool takes(wide w, int) {  // NOLINT(performance-unnecessary-value-param)
  return w.in_place();
}

weft::routine<bool> placed_over_a_wait(const wide& w) {
  co_await weft::yield();
  co_return w.in_place();
}

bool breaks(const wide&) {
  throw std::runtime_error("broken");
}

}  // namespace

TEST_CASE("an over-aligned argument of a plain callable is where its alignment says", "[api][go]") {
  weft::runtime rt({.workers = 2});
  std::atomic<int> alive{0};
  for (int i = 0; i < 100; ++i) {
    REQUIRE(rt.go(placed, wide(alive)).join());
    REQUIRE(rt.go(takes, wide(alive), 1).join());
    REQUIRE(rt.go(weft::spawn_options{.name = "wide"}, placed, wide(alive)).join());
    REQUIRE(rt.go(placed_over_a_wait, wide(alive)).join());
    REQUIRE(rt.go([w = wide(alive)] { return w.in_place(); }).join());
    REQUIRE(
        rt.go([w = wide(alive)](const wide& other) { return w.in_place() && other.in_place(); }, wide(alive))
            .join());
    REQUIRE(alive == 0);
  }
}

TEST_CASE("an over-aligned argument is destroyed when its routine has ended and not when it is joined",
          "[api][go]") {
  weft::runtime rt({.workers = 2});
  std::atomic<int> alive{0};
  weft::event held;
  auto h = rt.go([&held](const wide&) { weft::blocking::wait(held.wait()); }, wide(alive));
  REQUIRE(alive == 1);
  held.set();
  REQUIRE(h.join_for(std::chrono::hours(1)));
  REQUIRE(alive == 0);
  h.join();
  REQUIRE_THROWS_AS(rt.go(breaks, wide(alive)).join(), std::runtime_error);
  REQUIRE(alive == 0);
}

TEST_CASE("a scope, a manual runtime and a detached routine keep over-aligned things in place", "[api][go]") {
  std::atomic<int> alive{0}, good{0};
  const auto look = [&good](const wide& w) { good += w.in_place() ? 1 : 0; };
  weft::blocking::scope([&](weft::task_scope& s) {
    for (int i = 0; i < 10; ++i) s.go(look, wide(alive));
  });
  REQUIRE(good == 10);
  {
    weft::runtime rt({.workers = weft::manual});
    auto h = rt.go(look, wide(alive));
    h.join();
    rt.go(weft::spawn_options{.detached = true}, look, wide(alive));
    rt.stop();
  }
  REQUIRE(alive == 0);
}

TEST_CASE("a plain callable with an over-aligned argument that is cancelled before it begins never runs",
          "[api][go]") {
  std::atomic<int> alive{0};
  bool ran = false;
  {
    weft::runtime rt({.workers = 1});
    auto outer = rt.go([&]() -> weft::routine<> {
      auto h = weft::go([&ran](const wide&) { ran = true; }, wide(alive));
      h.cancel();
      try {
        co_await std::move(h);
      } catch (const weft::routine_cancelled&) {
      }
    });
    outer.join();
  }
  REQUIRE_FALSE(ran);
  REQUIRE(alive == 0);
}
