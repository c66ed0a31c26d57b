#pragma once

// A small fast generator for scheduling choices: steal order, select order, shard.  Not for secrets.
//
// Source: wyrand, Wang Yi, https://github.com/wangyi-fudan/wyhash (public domain): 8 bytes of state, one
//         64x64->128 multiplication, passes BigCrush and PractRand.
// Rejected: xoshiro256** (32 bytes per worker and select, more instructions); std::mt19937 (2.5 KB of state).

#include <cstdint>

namespace weft::base {

class random {
 public:
  explicit random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    state_ += 0xa0761d6478bd642f;
    const auto product = wide{state_} * (state_ ^ 0xe7037ed1a0b428db);
    return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
  }

  /// One of 0 .. n-1; 0 for n = 0.  By multiply and shift (Lemire): the bias is below n / 2^64.
  std::uint64_t below(std::uint64_t n) noexcept {
    return static_cast<std::uint64_t>((wide{next()} * n) >> 64);
  }

 private:
  __extension__ typedef unsigned __int128 wide;

  std::uint64_t state_;
};

}  // namespace weft::base
