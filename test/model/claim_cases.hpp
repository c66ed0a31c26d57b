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

programs claims_of_routines();

}  // namespace weft::model
