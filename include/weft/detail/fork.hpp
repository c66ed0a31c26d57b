#pragma once

// fork_group: the children of one all(), and how far it is.  The protocol is in lib/core/fork_group.cpp.

#include <weft/detail/context.hpp>
#include <weft/detail/promise.hpp>

#include <coroutine>
#include <cstdint>

namespace weft::detail {

struct fork_group : forkable {
  context scope;   // what the children inherit; known to the parent's canceller once one of them waits
  waiter* parent;  // the root of the awaiting coroutine
  promise_base** children;
  std::uint32_t count;
  std::uint32_t next;         // the child to start; belongs to whoever has the group
  std::uint32_t fork_number;  // of the last fork; same
  std::uint32_t taken;        // forks whose continuation somebody else took; same
  promise_base* failed;       // the first child that ended by an exception; atomic
  std::uint32_t pending;      // many - (children that ended after their fork was taken); atomic
};

/// Starts the children.  `parent.frame` is the coroutine that awaits them.
WEFT_API std::coroutine_handle<> fork_all(fork_group& g, waiter& parent) noexcept;
/// After the join: nobody knows the group any more.
WEFT_API void end_all(fork_group& g) noexcept;
/// Before the fork: true if the parent is cancelled and nothing was started.
WEFT_API bool cancelled_before(waiter& parent) noexcept;

}  // namespace weft::detail
