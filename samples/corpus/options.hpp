#pragma once

// options: what the command line says.

#include <string>

struct options {
  std::string directory = "/usr/include";
  unsigned workers = 0;  // of the runtime, and as many counters; 0: one per CPU
  unsigned readers = 8;  // routines that read files
};

/// Ends the process: with 0 after --help, with exit_usage and a sentence for what it does not understand.
options parse(int argc, char** argv);
