#pragma once

// open_descriptors: how many this process has.

#include <cstddef>
#include <string_view>

#include <dirent.h>
#include <unistd.h>

namespace weft::test {

/// Now; but for what is open for a moment in /proc, as by this and by the monitor, and in /sys, as by malloc
/// when a thread first allocates: it counts the processors.
inline std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* const all = ::opendir("/proc/self/fd");
  while (const dirent* const each = ::readdir(all)) {
    char name[6];
    const ssize_t size = ::readlinkat(::dirfd(all), each->d_name, name, sizeof name);
    const std::string_view what(name, size > 0 ? static_cast<std::size_t>(size) : 0);
    if (!what.empty() && !what.starts_with("/proc/") && !what.starts_with("/sys/")) ++n;
  }
  ::closedir(all);
  return n;
}

}  // namespace weft::test
