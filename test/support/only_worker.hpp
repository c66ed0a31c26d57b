#pragma once

// For who counts what the only worker of a runtime resumes while somebody waits.

#include <weft/runtime.hpp>

#include <chrono>

namespace weft::test {

/// One worker, and never another: for one that sleeps in a call, be it for the allocator's lock on a busy
/// machine, a spare stands in, and stats() has the sum of both.
inline runtime_options only_worker() {
  return {.workers = 1, .stall_threshold = std::chrono::hours(1)};
}

}  // namespace weft::test
