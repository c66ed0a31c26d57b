#pragma once

// What the kernel says of one of this process's threads: whether it sleeps and in which system call, and how
// long it has had a processor.
//
// Measured here, for one thread: processor time 0.5 us, a look 8 us (of that 5 for open and close: a
// descriptor kept for each thread would be one for each of perhaps thousands).
//
// Source: proc(5), /proc/self/task/TID/syscall: "running" for one that is on a processor or waits for one,
//         else the number of its system call; the kernel makes sure that it slept all the while it was read.
//         Readable for own threads without any privilege; the letter in `stat` also where the process's files
//         belong to root (prctl(2), PR_SET_DUMPABLE).

#include <cstdint>
#include <string>
#include <string_view>

#include "os/port.hpp"

namespace weft::os {

enum class thread_does : std::uint8_t {
  unknown,  // no such thread, or the kernel does not say: no /proc, no descriptor
  runs,     // or would, if it were given a processor
  sleeps,
  stopped,  // by a debugger, outside a system call
};

inline constexpr long no_call = -1;

struct thread_look {
  thread_does what = thread_does::unknown;
  long call = no_call;  // sleeps: in this system call; no_call: in none (a page that comes from a disk)
};

/// Of the thread that thread_number() is given of.
thread_look look_at_thread(int number) noexcept;

/// Processor time that it has had; negative if there is no such thread.
nanos thread_cpu_time(int number) noexcept;

/// Null if it has none here; those that threads are found asleep in do.
const char* name_of_call(long call) noexcept;

/// "computes", "sleeps in read (system call 0)", or empty if there is no such thread.
std::string thread_state(int number);

/// "read (system call 0)", "system call 500", "no system call"
std::string describe_call(long call);

}  // namespace weft::os
