#pragma once

// Source locations as they are stored: one word.

#include <weft/detail/promise.hpp>

#include <bit>
#include <cstdint>
#include <source_location>
#include <string_view>

namespace weft::core {

inline std::source_location site_of(std::uintptr_t word) noexcept {
  return std::bit_cast<std::source_location>(word);
}

std::string_view name_of(const detail::promise_base& p) noexcept;
std::source_location spawn_site_of(const detail::promise_base& p) noexcept;
/// "routine 5 'name' started at file:line".  Neither allocates nor locks.
void describe(const detail::promise_base& p, int fd) noexcept;

}  // namespace weft::core
