#pragma once

// The system calls of file_call.

#include <weft/detail/file_call.hpp>

#include <cstdint>
#include <limits>

namespace weft::io {

/// In the place of an error: the library itself could not get memory.
inline constexpr std::int64_t no_memory = std::numeric_limits<std::int64_t>::min();

/// Blocks.  What the call gives, or the system's error below zero, or no_memory.
std::int64_t perform(const detail::file_request& what) noexcept;

/// Does not: what of a read is in the system's cache.  -EAGAIN: the rest is not, and `done` says how much
/// was.
std::int64_t perform_at_once(detail::file_request& what) noexcept;

/// Whether that is worth trying.
bool may_be_at_once(const detail::file_request& what) noexcept;

}  // namespace weft::io
