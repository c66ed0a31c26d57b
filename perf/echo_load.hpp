#pragma once

// echo_load: runs weft-echo-load against a server on a port, and reads what it measured.

#include <cstdint>
#include <cstdio>

#include "harness.hpp"

namespace perf {

/// The program under way: the one that the environment's WEFT_ECHO_LOAD names, or the one beside this
/// program.
class echo_load {
 public:
  echo_load(unsigned port, std::uint64_t requests);
  ~echo_load();
  echo_load(const echo_load&) = delete;
  echo_load& operator=(const echo_load&) = delete;

  /// Readable when it is done.
  int descriptor() const;

  /// Blocks until then.
  result wait();

 private:
  std::uint64_t requests_;
  double cpu_before_;
  std::FILE* said_;
};

}  // namespace perf
