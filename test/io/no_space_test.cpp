// What a full file system does: a tmpfs of 1 MiB.

#include <weft/blocking.hpp>
#include <weft/io/file.hpp>
#include <weft/io/read_file.hpp>
#include <weft/weft.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/mount.h>
#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/skip.hpp"

using namespace weft;
using test::error_of;
using test::text;

namespace {

constexpr std::size_t piece = 65'536;
constexpr std::size_t disk_size = 16 * piece;
constexpr open_flags fresh = open_flags::read | open_flags::write | open_flags::create;

/// A file system that has no place in any tree, so nobody else sees it: it goes with its descriptor, whatever
/// happens to the test.
class small_disk {
 public:
  /// \throws std::system_error  one may not mount here
  small_disk() {
    const int made = checked(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    const std::string size = std::to_string(disk_size);
    const bool is_set = ::fsconfig(made, FSCONFIG_SET_STRING, "size", size.c_str(), 0) == 0 &&
                        ::fsconfig(made, FSCONFIG_SET_STRING, "nr_inodes", "32", 0) == 0 &&
                        ::fsconfig(made, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
    root_ = is_set ? ::fsmount(made, FSMOUNT_CLOEXEC, 0) : -1;
    const int error = errno;
    ::close(made);
    errno = error;
    checked(root_);
  }

  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;

  ~small_disk() { ::close(root_); }

  std::string operator/(const std::string& name) const { return path() + "/" + name; }

  /// How many names are in it.
  std::ptrdiff_t entries() const {
    const std::filesystem::directory_iterator all(path());
    return std::distance(begin(all), end(all));
  }

 private:
  static int checked(int fd) {
    if (fd < 0) throw std::system_error(errno, std::system_category(), "a tmpfs cannot be mounted");
    return fd;
  }

  std::string path() const { return "/proc/self/fd/" + std::to_string(root_); }

  int root_;
};

/// False: the test is over.
bool is_mounted(std::optional<small_disk>& disk) {
  try {
    disk.emplace();
    return true;
  } catch (const std::system_error& e) {
    return !test::is_skipped(e.what());
  }
}

/// The code that it ends with.
routine<int> fill_up(file& f) {
  const std::string some = text(0, piece);
  co_return co_await error_of([](file& to, const std::string& what) -> routine<> {
    for (std::size_t at = 0; at <= disk_size; at += what.size()) co_await to.write_at(at, what);
  }(f, some));
}

routine<> replace(std::string path, std::string content) {
  co_await write_file(path, content, {.atomic = true});
}

bool holds(const std::string& path, std::string_view content) {
  return blocking::wait(read_file(path)).view() == content;
}

/// What each way to write ends with.
routine<std::vector<int>> try_to_write(file& f, const small_disk& d) {
  const auto at_end = [](file& to, std::string what) -> routine<> { co_await to.append(what); };
  const auto in_place = [](file& to, std::string what) -> routine<> { co_await to.write_at(piece, what); };
  const auto in_parts = [](file& to, std::string what) -> routine<> {
    const std::array parts{const_buffer(what), const_buffer(what)};
    co_await to.write_at(piece, parts);
  };
  const auto whole = [](std::string path, std::string what) -> routine<> { co_await write_file(path, what); };
  const std::string some = text(0, piece), plain = d / "plain", atomic = d / "atomic";
  std::vector<int> codes;
  codes.push_back(co_await error_of(at_end(f, some)));
  codes.push_back(co_await error_of(in_place(f, some)));
  codes.push_back(co_await error_of(in_parts(f, some)));
  codes.push_back(co_await error_of(whole(plain, some)));
  codes.push_back(co_await error_of(replace(atomic, some)));
  co_return codes;
}

}  // namespace

TEST_CASE("on a full disk each way to write fails by ENOSPC, and works again when there is room",
          "[io][file]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  std::optional<small_disk> disk;
  if (!is_mounted(disk)) return;
  runtime rt({.workers = width});
  const std::size_t before = test::open_descriptors();
  {
    file used = blocking::wait(file::open(*disk / "used", fresh));
    file ballast = blocking::wait(file::open(*disk / "ballast", fresh));
    const std::string content = text(3, piece);  // whole pages: else an append has room for a part
    blocking::wait(used.write_at(0, content));
    REQUIRE(rt.go(fill_up, std::ref(ballast)).join() == ENOSPC);
    REQUIRE(rt.go(try_to_write, std::ref(used), std::cref(*disk)).join() == std::vector<int>(5, ENOSPC));
    REQUIRE(holds(*disk / "used", content));
    blocking::wait(ballast.truncate(0));
    REQUIRE(rt.go(try_to_write, std::ref(used), std::cref(*disk)).join() == std::vector<int>(5, 0));
    REQUIRE(blocking::wait(used.size()) == 3 * piece);
    REQUIRE(holds(*disk / "plain", text(0, piece)));
    REQUIRE(holds(*disk / "atomic", text(0, piece)));
  }
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("an atomic write that finds no room leaves the old file, and no other", "[io][file]") {
  std::optional<small_disk> disk;
  if (!is_mounted(disk)) return;
  runtime rt({.workers = 2});
  const std::size_t before = test::open_descriptors();
  const std::string path = *disk / "file", old_content = text(0, 6 * piece);
  rt.go(replace, path, old_content).join();
  REQUIRE(rt.go(error_of(replace(path, text(9, 11 * piece)))).join() == ENOSPC);  // in the middle
  REQUIRE(holds(path, old_content));
  REQUIRE(disk->entries() == 1);
  int error = 0;
  for (int i = 0; error == 0; ++i)
    error = rt.go(error_of(replace(*disk / std::to_string(i), ""))).join();  // until no file can be made
  REQUIRE(error == ENOSPC);
  const std::ptrdiff_t all = disk->entries();
  REQUIRE(rt.go(error_of(replace(path, "small"))).join() == ENOSPC);
  REQUIRE(holds(path, old_content));
  REQUIRE(disk->entries() == all);
  std::filesystem::remove(*disk / "0");
  rt.go(replace, path, text(9, 7 * piece)).join();
  REQUIRE(holds(path, text(9, 7 * piece)));
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("of many atomic writes at once on a disk with room for some each is done or was never begun",
          "[io][file]") {
  std::optional<small_disk> disk;
  if (!is_mounted(disk)) return;
  runtime rt({.workers = 2});
  const std::size_t before = test::open_descriptors();
  constexpr std::size_t many = 12;
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < many; ++i) paths.push_back(*disk / std::to_string(i));
  for (const std::string& each : paths) rt.go(replace, each, text(1, piece / 2)).join();
  std::vector<join_handle<int>> writing;
  for (std::size_t i = 0; i < many; ++i)
    writing.push_back(rt.go(error_of(replace(paths[i], text(i, 2 * piece)))));
  std::size_t failed = 0;
  for (std::size_t i = 0; i < many; ++i) {
    const int error = writing[i].join();
    REQUIRE((error == 0 || error == ENOSPC));
    REQUIRE(holds(paths[i], (error == 0 ? text(i, 2 * piece) : text(1, piece / 2))));
    failed += error != 0;
  }
  REQUIRE(failed >= many / 2);  // there is no room for more
  REQUIRE(disk->entries() == many);
  REQUIRE(test::open_descriptors() == before);
}
