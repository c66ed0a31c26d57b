#pragma once

// echo_load: runs weft-echo-load against a server on a port, and reads what it measured.

#include <cstdint>

#include "harness.hpp"

namespace perf {

/// Blocks until that program has ended: the one that the environment's WEFT_ECHO_LOAD names, or the one
/// beside this program.
result load_echo(unsigned port, std::uint64_t requests);

}  // namespace perf
