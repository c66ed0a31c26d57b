#include "core/claim_word.hpp"

#include <cstdint>

#include "support/catch.hpp"

using namespace weft::core;

TEST_CASE("a claim word goes on past the end of its sequence numbers", "[core][claim]") {
  std::uint64_t raw = word(0xffff'fffd, 0, no_flags, state::running);
  claim_word<> w(raw);
  std::uint32_t last = sequence_of(raw);
  for (int wait = 0; wait < 8; ++wait) {
    w.begin(state::preparing, no_flags);
    REQUIRE(sequence_of(raw) == last + 1);
    last = sequence_of(raw);
    REQUIRE(w.commit());
    REQUIRE(w.claim(7) == claimed::parked);
    REQUIRE(w.claim(8) == claimed::lost);
    REQUIRE(w.winner() == 7);
    REQUIRE(flags_of(raw) == no_flags);
    w.end();
    w.set(state::none);  // and the frame lives again
    REQUIRE(sequence_of(raw) == last + 1);
    last = sequence_of(raw);
    w.set(state::running);
  }
}
