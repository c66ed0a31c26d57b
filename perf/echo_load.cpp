#include "echo_load.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <unistd.h>

namespace perf {

namespace {

std::string load_program() {
  if (const char* const given = std::getenv("WEFT_ECHO_LOAD")) return given;
  std::array<char, 4096> name{};
  const ssize_t size = ::readlink("/proc/self/exe", name.data(), name.size());
  const std::string_view self(name.data(), size < 0 ? 0 : static_cast<std::size_t>(size));
  return std::string(self.substr(0, self.rfind('/') + 1)) + "weft-echo-load";
}

}  // namespace

result load_echo(unsigned port, std::uint64_t requests) {
  const std::string command =
      "'" + load_program() + "' " + std::to_string(port) + ' ' + std::to_string(requests);
  const double cpu_before = cpu_seconds();
  std::FILE* const said = ::popen(command.c_str(), "re");
  double seconds = 0, p50 = 0, p99 = 0, p999 = 0;
  const bool is_right =
      said != nullptr && std::fscanf(said, "%lf %lf %lf %lf", &seconds, &p50, &p99, &p999) == 4;
  const double cpu = cpu_seconds() - cpu_before;
  if (said == nullptr || ::pclose(said) != 0 || !is_right) return {requests, 1, false};
  return {requests, seconds, true,
          field("req_per_s", static_cast<double>(requests) / seconds) + field("p50_us", p50) +
              field("p99_us", p99) + field("p999_us", p999) + field("cpu_s", cpu)};
}

}  // namespace perf
