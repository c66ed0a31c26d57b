// A program that uses weft and does not export it loads and unloads a plugin that has a weft of its own.

#include "support/plugin.hpp"

#include <weft/weft.hpp>

#include <cstddef>
#include <filesystem>
#include <iterator>

#include <sched.h>

#include "support/catch.hpp"

namespace {

weft::routine<int> plus_one(int n) {
  co_await weft::yield();
  co_return n + 1;
}

std::size_t threads() {
  const std::filesystem::directory_iterator all("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("a plugin with a weft of its own has a runtime of its own, and may be unloaded after its stop",
          "[plugin]") {
  REQUIRE(weft::go(plus_one, 1).join() == 2);
  const std::size_t before = threads();
  for (int i = 0; i < 10; ++i) {
    const weft::test::plugin p;
    if (p.is_stopped()) p.restart();  // it has stayed in memory: the one that was stopped
    REQUIRE(p.runtime() != &weft::runtime::global());
    REQUIRE(p.sum(100) == 5'050);
    REQUIRE(p.sum_on_its_own(100) == 5'050);
    REQUIRE(weft::go(plus_one, 1).join() == 2);
    p.stop();
  }
  while (threads() > before) ::sched_yield();  // the kernel forgets a joined thread a little later
  REQUIRE(weft::go(plus_one, 1).join() == 2);
}
