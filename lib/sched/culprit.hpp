#pragma once

// The routine that a worker was found asleep in: who it is, as far as can be told of one that runs on.

#include <weft/detail/waiter.hpp>

#include <cstdint>

#include "os/port.hpp"

namespace weft::sched {

struct culprit {
  std::uint64_t routine = 0;      // 0: not known; a child of all(), a coroutine of a foreign type
  std::uintptr_t spawned_at = 0;  // as core/site.hpp has it
  char name[32] = {};             // its beginning
  unsigned worker = 0;
  long call = -1;        // os/thread_state.hpp
  os::nanos since = 0;   // the last time at which it was seen to do something
  os::nanos until = -1;  // negative: it is still there
};

/// Writes routine, spawned_at and name of the one that runs, which may end meanwhile: then what was read
/// belongs to one life all the same.  In core/describe.cpp, which knows what a routine is.
using culprit_reader = void (*)(const detail::waiter& runs, culprit& to) noexcept;
/// Gives the one before.  Any thread.
culprit_reader set_culprit_reader(culprit_reader r) noexcept;

}  // namespace weft::sched
