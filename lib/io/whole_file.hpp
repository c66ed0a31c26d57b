#pragma once

// Whole files, each in one go, on a thread that may block.  What they give: as io/file_system.hpp.

#include <weft/detail/file_call.hpp>

#include <cstdint>

namespace weft::io {

std::int64_t read_whole(const char* path, detail::owned_bytes& to) noexcept;
std::int64_t write_whole(const detail::file_request& what) noexcept;
/// By a temporary file beside it, which is removed if anything fails.
std::int64_t replace_whole(const detail::file_request& what) noexcept;

}  // namespace weft::io
