#pragma once

// The values inside a channel.

#include <cstdint>

#include "chan/channel_core.hpp"

namespace weft::chan {

/// Constructs `to` from `from`, which stays its owner's to destroy.
void move_value(const detail::element_ops& ops, void* to, void* from) noexcept;
void destroy_value(const detail::element_ops& ops, void* value) noexcept;

/// Throws std::length_error for a capacity that cannot be had.
void make_buffer(channel_core& c);
void free_buffer(channel_core& c) noexcept;

bool has_room(const channel_core& c) noexcept;
/// There is room.  Unbounded: may throw std::bad_alloc, and then nothing was moved.
void put(channel_core& c, void* value);
/// There is a value.
void get(channel_core& c, void* storage) noexcept;
/// Nobody can receive any more.
void destroy_values(channel_core& c) noexcept;

}  // namespace weft::chan
