#pragma once

// Counts what the only worker of a runtime resumes while somebody waits.
//
// A worker that sleeps in a call is taken to be stuck, be it for the allocator's lock on a busy machine: then
// what is ready moves to a spare, and stats() has the sum of two workers, until the one of them that is too
// many has retired: a few looks of the monitor later.  A wait during that time is not counted; whoever
// measures waits once more.

#include <weft/runtime.hpp>
#include <weft/stats.hpp>

#include <chrono>
#include <cstdint>
#include <optional>

namespace weft::test {

class only_worker {
 public:
  explicit only_worker(const runtime& rt) : rt_(rt) {}

  void begin() { before_ = rt_.stats(); }

  /// Since begin().  None: another worker ran, too, or may have.
  std::optional<std::uint64_t> resumptions() {
    const runtime_stats now = rt_.stats();
    const auto time = std::chrono::steady_clock::now();
    if (before_.blocked_workers != 0 || now.unannounced_blocks != taken_over_) {
      taken_over_ = now.unannounced_blocks;
      alone_from_ = time + std::chrono::milliseconds(100);
    }
    if (time < alone_from_) return {};
    return now.dispatches - before_.dispatches;
  }

 private:
  const runtime& rt_;
  runtime_stats before_{};
  std::uint64_t taken_over_ = 0;
  std::chrono::steady_clock::time_point alone_from_{};
};

}  // namespace weft::test
