#pragma once

// simulation: what a simulated run replaces on this floor: its port's above().  Implemented by lib/sim.

#include <exception>
#include <vector>

#include "os/port.hpp"

namespace weft {
class runtime;
}

namespace weft::detail {
struct promise_base;
}

namespace weft::io {
class system;
}

namespace weft::sched {
class scheduler;
}

namespace weft::core {

/// Used by whichever thread of the run is on: there is one at a time.
class simulation {
 public:
  /// runtime::global() on the threads of this run; null until it is asked for.
  runtime* global = nullptr;
  /// All runtimes there are in this run, oldest first.
  std::vector<sched::scheduler*> runtimes;

  /// An exception that nobody joins, where the default would be to abort.
  virtual void unhandled(const detail::promise_base&, const std::exception_ptr&) noexcept = 0;
  /// For last words: which run it is, and what it has reported.
  virtual void describe_run(int fd) const noexcept = 0;
  /// The operating system of this run.
  virtual io::system& system() noexcept = 0;
  /// A runtime that is destroyed does not end: the run does, and this thread stays here.
  [[noreturn]] virtual void give_up() noexcept = 0;

 protected:
  simulation() = default;
  simulation(const simulation&) = default;
  simulation& operator=(const simulation&) = default;
  ~simulation() = default;
};

/// The simulated run that `port` belongs to, or null.
inline simulation* simulation_of(os::port& port) noexcept {
  return port.simulated() ? static_cast<simulation*>(port.above()) : nullptr;
}

/// Requests the stop of a runtime and cancels every wait of its routines.
void cancel_all(sched::scheduler& home);

}  // namespace weft::core
