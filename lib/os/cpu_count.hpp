#pragma once

// How many CPUs this process may keep busy: the smallest of
//   - the calling thread's affinity mask,
//   - the quotas, rounded up, of its control group and of every group above it (cgroup v2: cpu.max; v1:
//     cpu.cfs_quota_us).
//
// In a container the mask shows the whole machine and the quota is what counts: more workers than that are
// throttled for the rest of each period (Go 1.25 and the JVM look at the same files).  What cannot be read
// does not limit.  The parsing is in pure functions over text, so that tests need no container.
//
// Source: cgroups(7), proc_pid_mountinfo(5), kernel Documentation/admin-guide/cgroup-v2.rst.

#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace weft::os {

/// At least 1.  Reads some ten small files: call it once.  Throws std::bad_alloc.
unsigned usable_cpus();

inline constexpr unsigned no_cpu_limit = std::numeric_limits<unsigned>::max();

/// cgroup v2, the text of cpu.max: "<quota or max> <period>", in us.
unsigned parse_cpu_max(std::string_view text) noexcept;

/// cgroup v1, the texts of cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us.
unsigned parse_cfs_quota(std::string_view quota, std::string_view period) noexcept;

/// Where the files of the group that limits this process's CPU time are.
struct cpu_group {
  bool v2 = true;
  std::string mount_point;  // the highest directory to look at
  std::string path;         // from there down to the group: empty, or "/a/b"
};

/// From the texts of /proc/self/cgroup and /proc/self/mountinfo; a v1 hierarchy with the cpu controller comes
/// first.
std::optional<cpu_group> find_cpu_group(std::string_view cgroup, std::string_view mountinfo);

/// Gives the text of a file; empty if it cannot be read.
using file_reader = std::string (*)(const std::string& path);

/// The least of the limits from the group up to the mount point.
unsigned group_cpu_limit(const cpu_group&, file_reader);

}  // namespace weft::os
