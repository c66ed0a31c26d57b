#pragma once

// The programs of claim_model_test.cpp, for the check of all orders beside those of threads.

#include "core/claim_word.hpp"
#include "model/model_test.hpp"

namespace weft::model {

/// No pair of unlike barriers: W1 is seq_cst.
struct full_barriers {
  static bool are_asymmetric() { return false; }

  static void light() {}
};

/// The engine's membarrier.
struct unlike_barriers {
  static bool are_asymmetric() { return true; }

  static void light() {}
};

template <template <typename> class Ref, typename Barriers = full_barriers>
using claim_word_on = core::claim_word<Ref, relax, Barriers>;

/// Who claims something that just waits takes the short way.
struct plainly : claim_word_on<atomic_ref, unlike_barriers> {
  using claim_word::claim_word;

  core::claimed claim(std::uint16_t index, std::uint8_t unless = core::no_flags) {
    return claim_plain(index) ? core::claimed::parked : claim_word::claim(index, unless);
  }
};

programs claims_of_routines();

}  // namespace weft::model
