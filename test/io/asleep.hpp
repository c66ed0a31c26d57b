#pragma once

// Whether a thread has come to where a test wants it: asleep in the kernel.

#include "os/thread_state.hpp"

namespace weft::test {

/// That thread of this process (os::thread_number()).
inline bool sleeps(int number) {
  return os::look_at_thread(number).what == os::thread_does::sleeps;
}

inline bool sleeps_in(int number, long call) {
  const os::thread_look seen = os::look_at_thread(number);
  return seen.what == os::thread_does::sleeps && seen.call == call;
}

}  // namespace weft::test
