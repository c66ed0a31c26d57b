#include "options.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include <fmt/core.h>

namespace {

constexpr const char* usage =
    R"(usage: http_server --root DIRECTORY [--port N] [--address A] [--workers N] [--patience SECONDS]

Serves the files of DIRECTORY over HTTP/1.1.  SIGTERM and SIGINT end it when every request that
was begun has been answered and each client has closed its end, which is waited for 1 s at most.

  --port N            8080 if not said; 0: one that is free, which is printed
  --address A         of this machine, 127.0.0.1 if not said
  --workers N         threads that run routines; one per CPU if not said
  --patience SECONDS  how long a client may take for the head of a request (10)
)";

[[noreturn]] void refuse(std::string_view what, std::string_view value) {
  fmt::print(stderr, "http_server: {} {}\n{}", what, value, usage);
  std::exit(2);
}

template <typename Number>
Number number(std::string_view text) {
  Number n = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || stop != text.data() + text.size()) refuse("not such a number:", text);
  return n;
}

}  // namespace

options parse_options(int argc, char** argv) {
  options chosen;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help") {
      fmt::print("{}", usage);
      std::exit(0);
    }
    if (i + 1 == argc) refuse("unknown, or its value is missing:", name);
    const std::string_view value = argv[++i];
    if (name == "--root")
      chosen.root = value;
    else if (name == "--address")
      chosen.address = value;
    else if (name == "--port")
      chosen.port = number<std::uint16_t>(value);
    else if (name == "--workers")
      chosen.workers = number<std::uint16_t>(value);
    else if (name == "--patience")
      chosen.of_clients.head_time = std::chrono::seconds(number<std::uint16_t>(value));
    else
      refuse("unknown:", name);
  }
  if (chosen.root.empty()) refuse("what to serve:", "--root DIRECTORY");
  return chosen;
}
