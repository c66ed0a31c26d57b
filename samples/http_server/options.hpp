#pragma once

// options: what the command line says, of both faces.

#include <cstdint>
#include <string>

#include "request.hpp"

struct options {
  std::string root;
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;
  unsigned workers = 0;
  limits of_clients;
};

/// Ends the process: with 0 after --help, with 2 and a sentence for what it does not understand.
options parse_options(int argc, char** argv);
