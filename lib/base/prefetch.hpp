#pragma once

// What another processor has written, or what has gone out of the caches, comes in while something else is
// done.

#include <cstddef>

namespace weft::base {

/// Asks for the cache lines of a small object, to be written.  A hint: `at` may be anything.
inline void prefetch_to_write(const void* at) noexcept {
  constexpr std::size_t line = 64, lines = 3;  // the frame of a small routine
  for (std::size_t i = 0; i < lines; ++i) {
    const char* const part = static_cast<const char*>(at) + i * line;
#if defined(__x86_64__)
    // The builtin asks for a copy to be read, unless it is compiled for a newer processor: the first write
    // would go to the other one again.  Where the instruction is unknown it does nothing.
    asm volatile("prefetchw %0" : : "m"(*part));
#else
    __builtin_prefetch(part, 1);
#endif
  }
}

}  // namespace weft::base
