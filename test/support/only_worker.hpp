#pragma once

// Counts what the only worker of a runtime resumes while somebody waits.
//
// A worker that sleeps in a call is taken to be stuck, be it for the allocator's lock on a busy machine: then
// what is ready moves to a spare, and stats() has the sum of two workers.  Such a wait is not counted;
// whoever measures waits once more.

#include <weft/runtime.hpp>
#include <weft/stats.hpp>

#include <cstdint>
#include <optional>

namespace weft::test {

class only_worker {
 public:
  explicit only_worker(const runtime& rt) : rt_(rt), before_(rt.stats()) {}

  /// Since this was made.  None: another worker ran, too.
  std::optional<std::uint64_t> resumptions() const {
    const runtime_stats now = rt_.stats();
    if (before_.blocked_workers != 0 || now.unannounced_blocks != before_.unannounced_blocks) return {};
    return now.dispatches - before_.dispatches;
  }

 private:
  const runtime& rt_;
  const runtime_stats before_;
};

}  // namespace weft::test
