// Whoever has nothing else to do rests while timers are dense: the rule.  What it saves is in
// test/api/many_test.cpp.

#include "sched/timer_pace.hpp"

#include <cstdint>

#include "support/catch.hpp"

using weft::os::nanos;
using weft::sched::timer_pace;

namespace {

/// A runtime in which so many timers have fired, and are armed.
struct toy {
  timer_pace pace;
  std::uint64_t fired = 0, armed = 1000;
  int counted = 0;

  nanos rest(nanos now) {
    return pace.rest(now, [this] {
      ++counted;
      return timer_pace::counts{fired, armed};
    });
  }
};

constexpr nanos period = timer_pace::longest_rest;
constexpr nanos start = 1000 * period;

}  // namespace

TEST_CASE("timers are dense when more than two fire in a rest, on average since the last look",
          "[sched][timer]") {
  toy t;
  CHECK(t.rest(start) == 0);
  t.fired += 2;
  CHECK(t.rest(start + period) == 0);
  t.fired += 3;
  CHECK(t.rest(start + 2 * period) == period);
  t.fired += 20;
  CHECK(t.rest(start + 12 * period) == 0);
  t.fired += 31;
  CHECK(t.rest(start + 22 * period) == period);
  CHECK(t.rest(start + 23 * period) == 0);  // none since
}

TEST_CASE("where few timers are armed each is woken for", "[sched][timer]") {
  toy t;
  t.armed = timer_pace::few_armed - 1;
  CHECK(t.rest(start) == 0);
  t.fired += 1000;
  CHECK(t.rest(start + period) == 0);
  t.fired += 1000;
  t.armed = timer_pace::few_armed;
  CHECK(t.rest(start + 2 * period) == period);
}

TEST_CASE("the pace is taken at most once in a rest", "[sched][timer]") {
  toy t;
  CHECK(t.rest(start) == 0);
  t.fired += 1000;
  for (nanos now = start; now < start + period; now += period / 10) CHECK(t.rest(now) == 0);
  CHECK(t.counted == 1);
  for (nanos now = start + period; now < start + 2 * period; now += period / 10) CHECK(t.rest(now) == period);
  CHECK(t.counted == 2);
}
