#pragma once

// fork_group: the children of one all(), and how far it is.  The protocol is in lib/core/fork_group.cpp.

#include <weft/detail/context.hpp>
#include <weft/detail/promise.hpp>

#include <coroutine>
#include <cstdint>

namespace weft::detail {

struct fork_group : forkable {
  waiter* parent;  // the root of the awaiting coroutine
  void* const* frames;
  std::uint32_t count;
  std::uint32_t next;     // the child to start; belongs to whoever has the group
  std::uint32_t taken;    // forks whose continuation somebody else took; same
  std::uint32_t pending;  // many - (children that ended after their fork was taken); atomic
  promise_base* failed;   // the first child that ended by an exception; atomic
  std::uint64_t live_at;  // core::cancels_so_far when all around it was seen to be live
  context scope;          // what the children inherit; known to the parent's canceller once one of them waits

  promise_base& child(std::uint32_t i) const noexcept { return promise_of(frames[i]); }

  /// After the join: every child was started, none has failed, and no canceller knows the group.
  bool ended_plainly() const noexcept {
    return next != 0 && failed == nullptr &&
           __atomic_load_n(&scope.linked, __ATOMIC_ACQUIRE) == 0;  // A3, pairs with R3 of contexts
  }
};

/// Throws if the parent is cancelled.
WEFT_API void check_live(waiter& parent);
/// Starts the children.  `parent.frame` is the coroutine that awaits them; it goes on at once if it is
/// cancelled.
WEFT_API std::coroutine_handle<> fork_all(fork_group& g, waiter& parent) noexcept;
/// After the join, unless it has ended plainly: nobody knows the group any more.  Throws what the first child
/// that failed has thrown, or that the parent is cancelled.
WEFT_API void end_all(fork_group& g, waiter& parent);

}  // namespace weft::detail
