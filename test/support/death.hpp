#pragma once

// Death tests: what must abort does so in a process of its own, and its last words are looked at.
//
// The child is this program anew, with the name of the running test: a fork without exec would inherit the
// locks of threads that do not exist there (and sanitizers dislike it).  One death for each value that the
// test generates.

#include <string>

namespace weft::test {

struct death {
  bool aborted;      ///< by SIGABRT
  std::string said;  ///< all it wrote on standard error

  bool mentions(const char* words) const { return said.find(words) != std::string::npos; }
};

/// What there is until the other end is closed.
std::string read_all(int fd);

/// In the parent: runs the current test in a new process.  In that process: calls `act`, which must not
/// return; the calls of values that come before this one fail there.
death last_words(void (*act)());

}  // namespace weft::test
