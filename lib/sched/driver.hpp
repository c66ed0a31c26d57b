#pragma once

// driver: what waits for descriptors on behalf of the workers of a runtime.  lib/io/ implements it, so that
// this floor knows none of its calls.
//
// A runtime that watches no descriptor has none.  Where one does, its poller (parking.hpp) sleeps in the
// driver instead of on its futex, for both: descriptors and timers.  Its park word says so, for who notifies
// it has to interrupt it there.
//
//   watcher   D1 count one more, seq_cst; D2 nobody polls? wake_one()       (a thread that is no worker)
//   parker    S1; D3 load the count, seq_cst, then the poller's token
//   who hands events out    D3 before it touches what they are about
// Guarantee: D2's lock comes after S1's, and finds the parker; or D3 sees D1.  If D2 sees a poller that
// leaves, his leaving (T2) and so his next D3 come after D1.  A worker that begins to watch parks later, and
// is the poller then; the monitor wakes somebody, or polls, while one goes on for long.  What is watched was
// made before D1, and the system tells of it after D1: D3 brings it along, which the system does not.
//   attacher  store the driver, seq_cst; D4 somebody polls? kick him
//   poller    T3 take the token; D5 load the driver, seq_cst
// Guarantee: D4 sees T3, or D5 sees the driver.

#include <weft/stats.hpp>

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

  /// Which it is; `refused` is the system's error if io_uring was wanted and is not to be had.
  struct identity {
    reactor_in_use what = reactor_in_use::none;
    int refused = 0;
  };

  virtual identity tell() const noexcept { return {}; }

  /// The workers have ended: what is watched must find another driver.
  virtual void end() noexcept = 0;

 protected:
  driver() = default;
};

}  // namespace weft::sched
