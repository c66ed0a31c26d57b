#include "sched/restraint.hpp"

#include "support/catch.hpp"

namespace {

using weft::os::nanos;
using weft::sched::restraint;

constexpr nanos window = restraint::window;

/// Looks every window; all workers are awake that may be.
struct looks {
  explicit looks(unsigned workers) : allowed(workers), of(workers) {}

  unsigned look(nanos lost, bool stuck = false) {
    now += window;
    return allowed = of.look({now, window, lost, allowed, stuck});
  }

  /// How long they rest that rest now.
  nanos rest() {
    const nanos since = now;
    const unsigned before = allowed;
    while (look(0) <= before) continue;
    return now - since;
  }

  unsigned allowed;
  restraint of;
  nanos now = 0;
};

}  // namespace

TEST_CASE("all workers may run while they lose little to waits", "[sched][restraint]") {
  looks two(2);
  for (int i = 0; i < 100; ++i) REQUIRE(two.look(window / 2) == 2);
}

TEST_CASE("as many workers rest as were lost to waits, but never the last", "[sched][restraint]") {
  REQUIRE(looks(2).look(window * 9 / 10) == 1);
  REQUIRE(looks(2).look(window * 19 / 10) == 1);
  REQUIRE(looks(16).look(window * 4) == 12);
  REQUIRE(looks(16).look(window * 16) == 1);
}

TEST_CASE("more workers rest if those that are left still wait", "[sched][restraint]") {
  looks many(16);
  REQUIRE(many.look(window * 6) == 10);
  REQUIRE(many.look(window * 5) == 5);
  REQUIRE(many.look(0) == 5);
}

TEST_CASE("who sleeps is not taken for one that works", "[sched][restraint]") {
  restraint of(16);
  REQUIRE(of.look({window, window, window * 9 / 10, 2, false}) == 1);
  restraint alone(16);
  REQUIRE(alone.look({window, window, window * 9 / 10, 1, false}) == 16);
}

TEST_CASE("rests grow while all trials fail, and are short again after one that does not",
          "[sched][restraint]") {
  looks two(2);
  two.look(window);
  REQUIRE(two.rest() == restraint::shortest_rest);
  two.look(window);
  REQUIRE(two.rest() == 2 * restraint::shortest_rest);
  two.look(window);
  REQUIRE(two.rest() == restraint::longest_rest);
  two.look(window);
  REQUIRE(two.rest() == restraint::longest_rest);
  two.look(0);
  two.look(window);
  REQUIRE(two.rest() == restraint::shortest_rest);
}

TEST_CASE("a rest ends in time, though those that are left wait", "[sched][restraint]") {
  restraint of(2);
  nanos now = 0;
  unsigned trials = 0;
  for (int i = 0; i < 1'000; ++i) {
    now += window;
    if (of.look({now, window, window, 2, false}) == 2) ++trials;
  }
  REQUIRE(trials >= 20);
}

TEST_CASE("nobody comes back because fewer wait while some rest", "[sched][restraint]") {
  restraint of(16);
  REQUIRE(of.look({window, window, window * 11, 16, false}) == 5);
  REQUIRE(of.look({2 * window, window, window * 6, 16, false}) == 5);
}

TEST_CASE("a single worker never rests, whoever stands in for it", "[sched][restraint]") {
  restraint of(1);
  REQUIRE(of.look({window, window, window, 2, false}) == 1);
}

TEST_CASE("nobody rests beside a worker that stands still with work queued", "[sched][restraint]") {
  looks two(2);
  two.look(window);
  REQUIRE(two.look(0, true) == 2);
}

TEST_CASE("a short time alone tells nothing", "[sched][restraint]") {
  restraint of(2);
  REQUIRE(of.look({window / 2, window / 2, window, 2, false}) == 2);
  REQUIRE(of.look({window, window / 2, window, 2, false}) == 1);
}
