#include "os/cpu_count.hpp"

#include <map>
#include <string>
#include <thread>

#include "support/catch.hpp"

using namespace weft::os;

namespace {

const std::string v2_mount =
    "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string v1_mounts =
    "30 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

std::string fake_file(const std::string& path) {
  static const std::map<std::string, std::string> files = {
      {"/sys/fs/cgroup/a/cpu.max", "150000 100000\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"},
      {"/v1/cpu.cfs_quota_us", "-1\n"},
      {"/v1/cpu.cfs_period_us", "100000\n"},
      {"/v1/box/cpu.cfs_quota_us", "250000\n"},
      {"/v1/box/cpu.cfs_period_us", "100000\n"},
  };
  const auto found = files.find(path);
  return found == files.end() ? std::string{} : found->second;
}

}  // namespace

TEST_CASE("this process may use at least one CPU and at most those that there are", "[os][cpu_count]") {
  CHECK(usable_cpus() >= 1);
  CHECK(usable_cpus() <= std::thread::hardware_concurrency());
}

TEST_CASE("a quota of cgroup v2 is rounded up to whole CPUs", "[os][cpu_count]") {
  CHECK(parse_cpu_max("200000 100000\n") == 2);
  CHECK(parse_cpu_max("150000 100000\n") == 2);
  CHECK(parse_cpu_max("1000 100000\n") == 1);
  CHECK(parse_cpu_max("max 100000\n") == no_cpu_limit);
}

TEST_CASE("a quota of cgroup v1 is rounded up to whole CPUs", "[os][cpu_count]") {
  CHECK(parse_cfs_quota("250000\n", "100000\n") == 3);
  CHECK(parse_cfs_quota("-1\n", "100000\n") == no_cpu_limit);
}

TEST_CASE("a quota that cannot be read is no limit", "[os][cpu_count]") {
  for (const auto* text : {"", "\n", "max", "100000", "100000 ", "100000 0", "0 100000", "x y", "-5 100000"})
    CHECK(parse_cpu_max(text) == no_cpu_limit);
  CHECK(parse_cfs_quota("", "") == no_cpu_limit);
  CHECK(parse_cpu_max("9223372036854775807 1") == no_cpu_limit);
}

TEST_CASE("the group is found in cgroup v2", "[os][cpu_count]") {
  const auto group = find_cpu_group("0::/user.slice/my.scope\n", v2_mount);
  REQUIRE(group);
  CHECK(group->v2);
  CHECK(group->mount_point == "/sys/fs/cgroup");
  CHECK(group->path == "/user.slice/my.scope");
  CHECK(find_cpu_group("0::/\n", v2_mount).value().path.empty());
}

TEST_CASE("where v1 has the cpu controller, v2 does not count", "[os][cpu_count]") {
  const auto group = find_cpu_group("9:memory:/m\n4:cpu,cpuacct:/box\n0::/elsewhere\n", v2_mount + v1_mounts);
  REQUIRE(group);
  CHECK(!group->v2);
  CHECK(group->mount_point == "/sys/fs/cgroup/cpu,cpuacct");
  CHECK(group->path == "/box");
  CHECK(find_cpu_group("9:memory:/m\n3:cpuset:/s\n0::/elsewhere\n", v2_mount + v1_mounts).value().v2);
}

TEST_CASE("a mount of part of the hierarchy is taken relative to its root", "[os][cpu_count]") {
  const std::string mount = "29 22 0:26 /docker/abc /my\\040groups rw - cgroup2 cgroup2 rw\n";
  const auto group = find_cpu_group("0::/docker/abc/sub\n", mount);
  REQUIRE(group);
  CHECK(group->mount_point == "/my groups");
  CHECK(group->path == "/sub");
  CHECK(find_cpu_group("0::/docker/abc\n", mount).value().path.empty());
  CHECK(find_cpu_group("0::/docker/abcd\n", mount).value().path.empty());
  CHECK(find_cpu_group("0::/../other\n", v2_mount).value().path.empty());
}

TEST_CASE("without control groups, or with nonsense, there is no group", "[os][cpu_count]") {
  CHECK(!find_cpu_group("", ""));
  CHECK(!find_cpu_group("0::/a\n", "29 22 0:26 / / rw - ext4 /dev/sda rw\n"));
  CHECK(!find_cpu_group("no colons\n::\n", v2_mount));
  CHECK(!find_cpu_group("0::/a\n", "short line\n"));
}

TEST_CASE("the least limit on the way up counts", "[os][cpu_count]") {
  CHECK(group_cpu_limit({true, "/sys/fs/cgroup", "/a/b/c"}, fake_file) == 2);
  CHECK(group_cpu_limit({true, "/sys/fs/cgroup", "/a/b"}, fake_file) == 2);
  CHECK(group_cpu_limit({true, "/sys/fs/cgroup", "/x"}, fake_file) == no_cpu_limit);
  CHECK(group_cpu_limit({true, "/sys/fs/cgroup", ""}, fake_file) == no_cpu_limit);
  CHECK(group_cpu_limit({false, "/v1", "/box"}, fake_file) == 3);
  CHECK(group_cpu_limit({false, "/v1", ""}, fake_file) == no_cpu_limit);
}
