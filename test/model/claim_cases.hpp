#pragma once

// The programs of claim_model_test.cpp, for the check of all orders beside those of threads.

#include "model/model_test.hpp"

namespace weft::model {

programs claims_of_routines();

}  // namespace weft::model
