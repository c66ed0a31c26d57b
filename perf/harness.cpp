#include "harness.hpp"

#include <cstdio>

#include <sys/resource.h>
#include <unistd.h>

namespace perf {

namespace {

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

rusage usage() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used;
}

}  // namespace

std::size_t resident_bytes() {
  unsigned long total = 0;
  unsigned long resident = 0;
  std::FILE* statm = std::fopen("/proc/self/statm", "re");
  if (statm == nullptr) return 0;
  if (std::fscanf(statm, "%lu %lu", &total, &resident) != 2) resident = 0;
  std::fclose(statm);
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t peak_resident_bytes() {
  return static_cast<std::size_t>(usage().ru_maxrss) * 1024;
}

double cpu_seconds() {
  const rusage used = usage();
  return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

std::string field(std::string_view name, double value) {
  char text[128];
  std::snprintf(text, sizeof text, ",\"%.*s\":%.6g", static_cast<int>(name.size()), name.data(), value);
  return text;
}

}  // namespace perf
