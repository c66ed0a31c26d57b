#pragma once

// This program's operator new (failure_test.cpp), which fails on demand and counts.

#include <cstdint>

namespace weft::test {

/// How often it was called; always 0 where it cannot be replaced.
std::uint64_t news_so_far() noexcept;

}  // namespace weft::test
