#pragma once

// launch: makes a frame a running routine.  What go() adds to that - callables, arguments, names - is
// spawn.hpp; its headers are dear.

#include <weft/detail/promise.hpp>

#include <cstdint>

namespace weft::sched {
class scheduler;
class worker;
}  // namespace weft::sched

namespace weft::detail {

struct launch_info {
  sched::scheduler* where;  // null: the current one, else the global one
  birth born;
  context_base* scope;  // of a member
  std::uintptr_t spawned_at;
  annex* extra;                   // owned by the routine from launch() on
  bool plain = false;             // a plain callable: it may block
  bool certain = false;           // runs though it be cancelled before
  bool called = false;            // in the place of a call by this thread: cancelled if that is
  sched::worker* here = nullptr;  // what check_open() gave
};

/// Throws stopped if `where` takes no more routines.  Gives the worker that this thread is, if a routine
/// starts on it: looked up once.
WEFT_API sched::worker* check_open(sched::scheduler* where);

/// Makes the frame of `p` a routine and queues it, on the thread that has called check_open().  Throws
/// stopped, or what the blocking pool throws in manual mode, and then nothing has happened.
WEFT_API void launch(promise_base& p, const launch_info& how);
}  // namespace weft::detail
