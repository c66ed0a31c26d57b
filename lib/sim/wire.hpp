#pragma once

// wire: what happens later in a simulated run, as bytes that are late.  A thread of the run that sleeps until
// then; it is started when something is late for the first time, and is the next to move time on like any
// other sleeper.

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "os/port.hpp"

namespace weft::sim {

class machine;
class port;
class system_call;

class wire {
 public:
  explicit wire(machine& on, port& by) noexcept : on_(on), port_(by) {}

  wire(const wire&) = delete;
  wire& operator=(const wire&) = delete;

  /// In their order, if several are due at one time.
  void at(os::nanos due, std::function<void(system_call&)> happens);
  /// Ends the thread; what is still to come does not.
  void end() noexcept;

 private:
  static void run(void* self) noexcept;
  void carry() noexcept;
  void wake() noexcept;

  machine& on_;
  port& port_;
  std::map<std::pair<os::nanos, std::uint64_t>, std::function<void(system_call&)>> later_;
  std::uint64_t count_ = 0;
  std::uint32_t changes_ = 0;  // what the thread sleeps on
  os::thread_id thread_;
  bool ends_ = false;
};

}  // namespace weft::sim
