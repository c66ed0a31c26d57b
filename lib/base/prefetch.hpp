#pragma once

// What another processor has written, or what has gone out of the caches, comes in while something else is
// done.

#include <cstdint>

namespace weft::base {

/// Asks for the cache lines of a small object, to be written.  A hint: `at` may be anything, so addresses are
/// numbers here (null + 64 would be undefined).
inline void prefetch_to_write(const void* at) noexcept {
  constexpr std::uintptr_t line = 64, lines = 3;  // the frame of a small routine
  for (std::uintptr_t i = 0; i < lines; ++i) {
    const auto part = reinterpret_cast<std::uintptr_t>(at) + i * line;
#if defined(__x86_64__)
    // The builtin asks for a copy to be read, unless it is compiled for a newer processor: the first write
    // would go to the other one again.  Where the instruction is unknown it does nothing.
    asm volatile("prefetchw (%0)" : : "r"(part));
#else
    __builtin_prefetch(reinterpret_cast<const void*>(part), 1);
#endif
  }
}

}  // namespace weft::base
