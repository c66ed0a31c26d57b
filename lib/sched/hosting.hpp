#pragma once

// hosting: which thread drives which runtime in manual mode, and how that thread waits.
//
// The host of a manual runtime is the thread that was the last to call its poll(), run_for() or stop(); until
// one has, the thread that constructed it.  A facade call on a host, outside of poll(), drives all its
// runtimes while it waits: what it waits for may need any of them.
//
// Protocol of a wait (the thread is claimed like any other, park.hpp)
//   host    H1 drive; H2 is its own event raised? H4 sleep by futex until delivered; else H3 sleep until that
//           or a runtime's descriptor is readable
//   winner  W1 claim; W2 raise the host's event; W3 store delivered; W4 wake by address
// Guarantee: H2 sees W2, or W2 ends H3.  The host leaves on `delivered` alone, so its event lives during W2.
//            It drives on between W1 and W2: there a call may run on the blocking pool.
//
// Invariants
//   1. The list, and who hosts what, change under the list's lock.
//   2. A runtime is driven under its drive lock, which is tried for before the list's lock is let go: whoever
//      has unlisted a runtime and taken its drive lock afterwards is alone with it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <poll.h>

#include "os/host_wake.hpp"

namespace weft::sched {

class scheduler;

/// Resumptions between two looks at the clock and at what a host waits for.
inline constexpr std::size_t drive_batch = 256;

/// This thread is the host from here on.
void host_here(scheduler& runtime) noexcept;
/// Nobody drives it any more, from the return on.
void unhost(scheduler& runtime) noexcept;
/// A runtime that this thread is the host of; null: none.
[[nodiscard]] scheduler* hosted_here() noexcept;
/// This thread is the host of some runtime.
[[nodiscard]] bool is_host() noexcept;

/// One facade call of a host.
class host_wait {
 public:
  /// Throws std::system_error, std::bad_alloc.
  host_wait();

  /// Runs what is ready in the thread's runtimes, a batch of each; returns how much.
  std::size_t drive() noexcept;
  /// Blocks until raise() or until one of them has something to do; false if `deadline` came first.
  bool sleep(os::nanos deadline) noexcept;

  /// Any thread.
  void raise() noexcept { event_.raise(); }

  bool is_raised() const noexcept { return event_.is_raised(); }

 private:
  os::wake_event event_;
  std::vector<pollfd> sources_;  // the own event, and room for all runtimes; only this thread adds some
};

}  // namespace weft::sched
