// A program that exports the weft that it uses loads a plugin that was linked with weft, too.

#include "support/plugin.hpp"

#include <weft/weft.hpp>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

TEST_CASE("a plugin finds the weft of a program that exports it, and shares its runtime", "[api][plugin]") {
  if (weft::test::under_asan) {
    WARN("skipped: AddressSanitizer takes two copies of a global for an error, whichever of them is used");
    return;
  }
  const auto one = []() -> weft::routine<int> { co_return 1; };
  REQUIRE(weft::go(one).join() == 1);
  for (int i = 0; i < 10; ++i) {
    const weft::test::plugin p;
    REQUIRE(p.runtime() == &weft::runtime::global());
    REQUIRE(p.sum(100) == 5'050);
    REQUIRE(p.sum_on_its_own(100) == 5'050);
  }
  REQUIRE(weft::go(one).join() == 1);
}
