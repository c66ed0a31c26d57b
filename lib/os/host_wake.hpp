#pragma once

// What a host's event loop watches in manual mode: one descriptor, readable when there is something to run or
// a timer is due.  An epoll descriptor over an eventfd (work came) and a timerfd (a timer is due).

#include "os/port.hpp"

namespace weft::os {

class host_wake {
 public:
  /// Throws std::system_error.
  host_wake();
  host_wake(const host_wake&) = delete;
  host_wake& operator=(const host_wake&) = delete;
  ~host_wake();

  int descriptor() const noexcept { return epoll_; }

  /// Makes the descriptor readable.  Any thread.
  void raise() noexcept;
  /// Takes that back.
  void clear() noexcept;
  /// Makes it readable at `when`; never: not at all.
  void set_timer(nanos when) noexcept;
  /// Blocks until it is readable or the deadline passes.
  void wait(nanos deadline) noexcept;

 private:
  int epoll_ = -1;
  int event_ = -1;
  int timer_ = -1;
};

}  // namespace weft::os
