#pragma once

// What the rest of core needs of fork groups.

#include <weft/detail/fork.hpp>

#include <cstdint>

#include "core/park.hpp"

namespace weft::core {

/// The children are set up before the group can be seen, and their frames outlive it.
template <typename F>
void for_each_forked(detail::context& scope, F f) noexcept {
  detail::fork_group& g = *scope.forks;
  for (std::uint32_t i = 0; i < g.count; ++i) {
    if (g.frames[i] != nullptr) f(g.child(i));  // an empty one is refused when its turn comes
  }
}

/// The routine that `w` is part of: a child of all() is part of its parent, which ends after it.
inline const detail::waiter& routine_of(const detail::waiter& w) noexcept {
  const detail::waiter* at = &w;
  while (at->born() == detail::birth::forked) at = at->fork.group->parent;
  return *at;
}

}  // namespace weft::core
