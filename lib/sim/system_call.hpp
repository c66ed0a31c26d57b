#pragma once

// system_call: one call of a simulated run.  What it has made ready is told when it happens, but those who
// wait for it go on only at its end, where the thread may change.

#include "core/context.hpp"
#include "io/descriptor.hpp"

namespace weft::sim {

class machine;
class thing;

class system_call {
 public:
  explicit system_call(machine& on) noexcept;
  system_call(const system_call&) = delete;
  system_call& operator=(const system_call&) = delete;
  ~system_call();

  /// Those who watch one of its numbers.
  void tell(const thing& of, const io::what_happened& what) noexcept;

  void tell_readable(const thing& of) noexcept {
    tell(of, {.readable = true, .writable = false, .mixed = false});
  }

  void tell_writable(const thing& of) noexcept {
    tell(of, {.readable = false, .writable = true, .mixed = false});
  }

  void tell_read_end(const thing& of) noexcept {
    tell(of, {.readable = true, .writable = false, .mixed = true});
  }

  void tell_write_end(const thing& of) noexcept {
    tell(of, {.readable = false, .writable = true, .mixed = true});
  }

  void tell_end(const thing& of) noexcept { tell(of, {.readable = true, .writable = true, .mixed = true}); }

 private:
  machine& on_;
  const bool spared_;  // allocations, before
  core::winners won_;
};

}  // namespace weft::sim
