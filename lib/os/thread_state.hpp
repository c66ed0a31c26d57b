#pragma once

// What the kernel says of one of this process's threads, for dumps: nothing decides by it.
//
// Source: proc(5), /proc/self/task/TID/syscall; readable for own threads without any privilege (measured).

#include <string>

namespace weft::os {

/// "computes", "sleeps in read (system call 0)", or empty if there is no such thread.
std::string thread_state(int number);

}  // namespace weft::os
