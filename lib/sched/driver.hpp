#pragma once

// driver: what waits for descriptors on behalf of the workers of a runtime.  lib/io/ implements it, so that
// this floor knows none of its calls.
//
// A runtime that watches no descriptor has none.  Who sleeps in it, and how that is ended, is in parking.hpp.

#include <cstddef>

#include "os/port.hpp"

namespace weft::sched {

class driver {
 public:
  virtual ~driver();
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;

  // --- the poller: one thread at a time ---

  /// Sleeps until a descriptor is ready, interrupt() was called or `deadline` has passed.  True: it was
  /// interrupted, and nothing else.
  virtual bool wait(os::nanos deadline) noexcept = 0;
  /// Makes runnable what wait() has found.  Counted as awake again.
  virtual void deliver() noexcept = 0;

  // --- any thread ---

  /// Ends the wait() that is going on, or the next.
  virtual void interrupt() noexcept = 0;
  /// The same as wait() and deliver() for who has other things to do: does not sleep.
  virtual void poll() noexcept = 0;
  /// There is a descriptor that can become ready.
  virtual bool watches() const noexcept = 0;
  /// Readable when poll() has something to do: for a host's loop.
  virtual int handle() const noexcept = 0;
  /// The workers have ended: what is watched must find another driver.
  virtual void end() noexcept = 0;

 protected:
  driver() = default;
};

}  // namespace weft::sched
