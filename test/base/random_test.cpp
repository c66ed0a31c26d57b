#include "base/random.hpp"

#include <array>

#include "support/catch.hpp"

namespace base = weft::base;  // not its names: random() is <stdlib.h>'s too

TEST_CASE("the same seed gives the same numbers, another seed others", "[base][random]") {
  base::random first(42);
  base::random second(42);
  base::random third(43);
  int equal = 0;
  int equal_to_other = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto number = first.next();
    equal += number == second.next();
    equal_to_other += number == third.next();
  }
  CHECK(equal == 1000);
  CHECK(equal_to_other == 0);
}

TEST_CASE("below(n) gives each of 0 .. n-1 about equally often", "[base][random]") {
  base::random numbers(7);
  std::array<int, 10> count{};
  for (int i = 0; i < 100'000; ++i) ++count.at(numbers.below(10));
  for (const int times : count) {
    CHECK(times > 9'500);  // 5 standard deviations
    CHECK(times < 10'500);
  }
}

TEST_CASE("below(1) and below(0) are 0, below(2^64 - 1) uses all bits", "[base][random]") {
  base::random numbers(1);
  std::uint64_t seen = 0;
  for (int i = 0; i < 100; ++i) {
    CHECK(numbers.below(1) == 0);
    CHECK(numbers.below(0) == 0);
    seen |= numbers.below(~std::uint64_t{0});
  }
  CHECK(seen == ~std::uint64_t{0});
}
