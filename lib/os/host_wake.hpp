#pragma once

// What event loops watch: descriptors that another thread makes readable.
//
// Protocol of wake_event (a raise costs a system call only if the last one has been cleared since)
//   raise   R1 what it is about is published; R2 exchange(raised, true): was false? R3 write the eventfd
//   clear   C1 read the eventfd; C2 exchange(raised, false); C3 look at everything that may have been
//           published
// Guarantee: after C2 the event is readable again, or is about to be, for every R2 that C3 did not see.  (C2
//            before C1 would eat the write of a raise and leave its flag: no later raise would write.)
//
// In a simulated run, waiting for descriptors takes virtual time.  They must be the run's own.

#include <atomic>
#include <cstddef>

#include "os/port.hpp"

struct pollfd;

namespace weft::os {

/// An eventfd.
class wake_event {
 public:
  /// Throws std::system_error.
  wake_event();
  wake_event(const wake_event&) = delete;
  wake_event& operator=(const wake_event&) = delete;
  ~wake_event();

  int descriptor() const noexcept { return fd_; }

  /// Makes the descriptor readable.  Any thread.
  void raise() noexcept;
  /// Takes that back.
  void clear() noexcept;

  /// It is readable, or about to be.
  bool is_raised() const noexcept {
    return raised_.load(std::memory_order_relaxed);  // relaxed: who sees false will see the event
  }

 private:
  int fd_;
  std::atomic<bool> raised_{false};
};

/// What a host's event loop watches in manual mode: one descriptor, readable when there is something to run
/// or a timer is due.  An epoll descriptor over an event (work came) and a timerfd (a timer is due).
class host_wake {
 public:
  /// Throws std::system_error.
  host_wake();
  host_wake(const host_wake&) = delete;
  host_wake& operator=(const host_wake&) = delete;
  ~host_wake();

  int descriptor() const noexcept { return epoll_; }

  /// Makes the descriptor readable.  Any thread.
  void raise() noexcept { work_.raise(); }

  /// From now on it is readable, too, when `fd` is.  Throws std::system_error.
  void watch(int fd);

  /// Takes that back, and that a timer was due.
  void clear() noexcept;
  /// Makes it readable at `when`; never: not at all.
  void set_timer(nanos when) noexcept;
  /// Blocks until it is readable or the deadline passes.
  void wait(nanos deadline) noexcept;

 private:
  void close_all() noexcept;

  wake_event work_;
  int epoll_ = -1;
  int timer_ = -1;
  nanos due_ = never;  // simulated: the timer, which counts in wait() only
};

/// Blocks until one of the descriptors is readable; false if `deadline` came first.  May return early.
bool wait_readable(pollfd* sources, std::size_t count, nanos deadline) noexcept;

}  // namespace weft::os
