// What a winner does with whom it has claimed.

#include "core/park.hpp"

#include "support/catch.hpp"

TEST_CASE("the winner touches nothing of a waiter that it has claimed early, or not at all", "[core][park]") {
  using weft::core::claimed;
  weft::detail::waiter w;
  w.park = 0;
  w.become(weft::detail::waiter_kind::thread);
  weft::core::word_of(w).begin(weft::core::state::preparing, weft::core::no_flags);
  REQUIRE(weft::core::word_of(w).claim(0) == claimed::early);
  const std::uint64_t won = w.park;
  weft::core::deliver(w, claimed::early);  // it sees the claim by itself, and may be gone
  weft::core::deliver(w, claimed::lost);
  REQUIRE(w.park == won);
  weft::core::deliver(w, claimed::parked);
  REQUIRE(weft::core::word_of(w).wait_state() == weft::core::state::delivered);
}
