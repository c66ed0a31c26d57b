#include "os/cpu_count.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace weft::os {

namespace {

/// Splits off what stands before the first `separator`, which is dropped.
std::string_view take(std::string_view& rest, char separator) noexcept {
  const auto end = rest.find(separator);
  const auto first = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return first;
}

bool has_word(std::string_view list, std::string_view word) noexcept {
  while (!list.empty())
    if (take(list, ',') == word) return true;
  return false;
}

std::optional<std::int64_t> parse_number(std::string_view text) noexcept {
  std::int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc{}) return {};
  return number;
}

unsigned whole_cpus(std::string_view quota, std::string_view period) noexcept {
  const auto used = parse_number(quota);
  const auto every = parse_number(period);
  if (!used || !every || *used <= 0 || *every <= 0) return no_cpu_limit;
  const auto cpus = *used / *every + (*used % *every != 0 ? 1 : 0);
  return static_cast<unsigned>(std::min<std::int64_t>(cpus, no_cpu_limit));
}

/// The path of the group, from /proc/self/cgroup: lines "id:controllers:path", v2 has "0::path".
std::optional<std::string_view> group_path(std::string_view cgroup, bool v2) noexcept {
  while (!cgroup.empty()) {
    auto line = take(cgroup, '\n');
    const auto id = take(line, ':');
    const auto controllers = take(line, ':');
    if (v2 ? id == "0" && controllers.empty() : has_word(controllers, "cpu")) return line;
  }
  return {};
}

struct mount {
  std::string_view root;   // which directory of the file system is mounted
  std::string_view point;  // where
};

/// From /proc/self/mountinfo: "id parent major:minor root point options [tags] - type source super_options".
std::optional<mount> group_mount(std::string_view mountinfo, bool v2) noexcept {
  while (!mountinfo.empty()) {
    auto line = take(mountinfo, '\n');
    for (int skipped = 0; skipped < 3; ++skipped) take(line, ' ');
    const auto root = take(line, ' ');
    const auto point = take(line, ' ');
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    line.remove_prefix(dash + 3);
    const auto type = take(line, ' ');
    take(line, ' ');
    if (v2 ? type == "cgroup2" : type == "cgroup" && has_word(line, "cpu")) return mount{root, point};
  }
  return {};
}

/// mountinfo writes blank, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    int code = 0;
    const bool escaped = text.size() >= 4 && text[0] == '\\' &&
                         std::from_chars(text.data() + 1, text.data() + 4, code, 8).ptr == text.data() + 4;
    plain += escaped ? static_cast<char>(code) : text[0];
    text.remove_prefix(escaped ? 4 : 1);
  }
  return plain;
}

/// The path below the mount point.  A group outside what is mounted (another cgroup namespace) leaves the
/// mount point.
std::string below(std::string_view path, const std::string& root) {
  if (!path.starts_with('/') || path.starts_with("/..")) return {};
  if (root != "/") {
    if (!path.starts_with(root)) return {};
    path.remove_prefix(root.size());
    if (!path.empty() && path[0] != '/') return {};
  }
  return path == "/" ? std::string{} : std::string{path};
}

std::string read_file(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char block[4096];
  for (;;) {
    const auto count = ::read(fd, block, sizeof block);
    if (count > 0)
      text.append(block, static_cast<std::size_t>(count));
    else if (count == 0 || errno != EINTR)
      break;
  }
  ::close(fd);
  return text;
}

/// The kernel refuses a mask smaller than its own, so the mask grows; 2^20 CPUs is where we stop believing
/// it.
unsigned affinity_cpus() {
  constexpr std::size_t bits_per_word = 8 * sizeof(unsigned long);
  for (std::size_t cpus = 1024; cpus <= std::size_t{1} << 20; cpus *= 2) {
    std::vector<unsigned long> mask(cpus / bits_per_word);
    const auto bytes = mask.size() * sizeof(unsigned long);
    if (::sched_getaffinity(0, bytes, reinterpret_cast<cpu_set_t*>(mask.data())) == 0) {
      int count = 0;
      for (const auto word : mask) count += std::popcount(word);
      return static_cast<unsigned>(count);
    }
    if (errno != EINVAL) break;
  }
  return static_cast<unsigned>(std::max(::sysconf(_SC_NPROCESSORS_ONLN), 1L));
}

unsigned limit_in(const std::string& directory, bool v2, file_reader read) {
  if (v2) return parse_cpu_max(read(directory + "/cpu.max"));
  return parse_cfs_quota(read(directory + "/cpu.cfs_quota_us"), read(directory + "/cpu.cfs_period_us"));
}

}  // namespace

unsigned parse_cpu_max(std::string_view text) noexcept {
  const auto quota = take(text, ' ');
  return whole_cpus(quota, text);
}

unsigned parse_cfs_quota(std::string_view quota, std::string_view period) noexcept {
  return whole_cpus(quota, period);
}

std::optional<cpu_group> find_cpu_group(std::string_view cgroup, std::string_view mountinfo) {
  for (const bool v2 : {false, true}) {
    const auto path = group_path(cgroup, v2);
    const auto mounted = group_mount(mountinfo, v2);
    if (path && mounted)
      return cpu_group{v2, unescape(mounted->point), below(*path, unescape(mounted->root))};
  }
  return {};
}

unsigned group_cpu_limit(const cpu_group& group, file_reader read) {
  unsigned least = limit_in(group.mount_point, group.v2, read);
  for (auto path = group.path; !path.empty(); path.resize(path.rfind('/')))
    least = std::min(least, limit_in(group.mount_point + path, group.v2, read));
  return least;
}

unsigned usable_cpus() {
  unsigned cpus = affinity_cpus();
  if (const auto group = find_cpu_group(read_file("/proc/self/cgroup"), read_file("/proc/self/mountinfo")))
    cpus = std::min(cpus, group_cpu_limit(*group, read_file));
  return std::max(cpus, 1U);
}

}  // namespace weft::os
