#include "echo_load.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

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

echo_load::echo_load(unsigned port, std::uint64_t requests)
    : requests_(requests), cpu_before_(cpu_seconds()) {
  const std::string command =
      "'" + load_program() + "' " + std::to_string(port) + ' ' + std::to_string(requests);
  said_ = ::popen(command.c_str(), "re");
  if (said_ == nullptr) throw std::system_error(errno, std::system_category(), command);
}

echo_load::~echo_load() {
  if (said_ != nullptr) ::pclose(said_);
}

int echo_load::descriptor() const {
  return ::fileno(said_);
}

result echo_load::wait() {
  double seconds = 0, p50 = 0, p99 = 0, p999 = 0;
  const bool is_read = std::fscanf(said_, "%lf %lf %lf %lf", &seconds, &p50, &p99, &p999) == 4;
  const double cpu = cpu_seconds() - cpu_before_;
  if (::pclose(std::exchange(said_, nullptr)) != 0 || !is_read) return {requests_, 1, false};
  return {requests_, seconds, true,
          field("req_per_s", static_cast<double>(requests_) / seconds) + field("p50_us", p50) +
              field("p99_us", p99) + field("p999_us", p999) + field("cpu_s", cpu)};
}

}  // namespace perf
