#pragma once

// What tests with other people's programs share.  A program that is missing skips the test, with a line that
// says so; with WEFT_COUNTERPARTS=required, as CI has it, it fails.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "support/catch.hpp"
#include "support/program.hpp"
#include "support/skip.hpp"

namespace weft::test {

/// Where a program lies; not only in PATH, as servers are not for users.
inline std::optional<std::string> program_path(const std::string& name) {
  std::vector<std::filesystem::path> folders{"/usr/sbin", "/sbin"};
  std::error_code ignored;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored))
    folders.push_back(version.path() / "bin");
  const std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    folders.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  for (const auto& folder : folders) {
    if (std::filesystem::is_regular_file(folder / name, ignored)) return (folder / name).string();
  }
  return std::nullopt;
}

inline bool is_missing(const std::string& name) {
  return !program_path(name) && is_skipped(name + " is not installed");
}

/// That nobody listens on; somebody else may take it before it is used.
inline std::uint16_t free_port() {
  return tcp_listener(ip_endpoint::loopback()).local_endpoint().port();
}

/// Reads what a server says until it says that it is ready.
inline void await_line(program& server, std::string_view part) {
  while (server.read_line().find(part) == std::string::npos) {
  }
}

/// For a server that says nothing: until somebody accepts there.
inline void await_listener(std::uint16_t port) {
  for (;;) {
    try {
      blocking::wait(tcp_stream::connect(ip_endpoint::loopback(port)));
      return;
    } catch (const std::system_error&) {
      blocking::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

/// A command whose standard error is its standard output.
inline words with_errors(const words& argv) {
  words all{"/bin/sh", "-c", "exec \"$@\" 2>&1", "sh"};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

/// The lines of a text.
inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

}  // namespace weft::test
