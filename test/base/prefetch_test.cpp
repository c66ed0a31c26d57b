#include "base/prefetch.hpp"

#include <cstdint>

#include "support/catch.hpp"

TEST_CASE("any address may be prefetched, and what is there stays as it is", "[base][prefetch]") {
  for (const std::uintptr_t at : {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}})
    weft::base::prefetch_to_write(reinterpret_cast<const void*>(at));  // or UBSan would speak
  int value = 7;
  weft::base::prefetch_to_write(&value);
  CHECK(value == 7);
}
