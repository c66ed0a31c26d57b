#pragma once

// What the registry of frames knows: is anything left?

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/claim_word.hpp"
#include "sched/frame_pool.hpp"

namespace weft::test {

/// Routines that live, in any runtime.
inline std::size_t living_routines() {
  std::size_t n = 0;
  weft::sched::for_each_block(
      [](void* count, void* frame) {
        std::atomic_ref word(
            *reinterpret_cast<std::uint64_t*>(static_cast<char*>(frame) + weft::sched::claim_word_offset));
        if (weft::core::state_of(word.load()) != weft::core::state::none) ++*static_cast<std::size_t*>(count);
        return true;
      },
      &n);
  return n;
}

}  // namespace weft::test
