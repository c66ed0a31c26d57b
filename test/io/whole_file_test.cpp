// read_file, write_file, in both faces; directories.

#include <weft/blocking.hpp>
#include <weft/io/blocking_file.hpp>
#include <weft/io/directory.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/read_file.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/file_support.hpp"
#include "io/support.hpp"
#include "support/catch.hpp"

namespace {

/// What fsync() was called for, in the order of the calls.
struct synced {
  std::mutex lock;
  std::vector<std::string> names;
  int interrupted = 0;  // so many calls fail by EINTR first
};

synced all_synced;

}  // namespace

/// In the place of the system's.
extern "C" int fsync(int fd) {
  const std::lock_guard hold(all_synced.lock);
  if (all_synced.interrupted > 0) {
    --all_synced.interrupted;
    errno = EINTR;
    return -1;
  }
  all_synced.names.push_back(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)));
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace {

/// As plain code is written: what is found by its arguments' namespace must not be in the way.
namespace plain {

using namespace weft::blocking;

std::string copy_file(const std::string& from, const char* to) {
  const write_options how{.atomic = true, .sync = true};
  const file_contents contents = read_file(from);
  write_file(to, contents, how);
  write_file(std::filesystem::path(to), contents.view());
  write_file(to, contents);
  write_file(to, std::string(contents), write_options{});
  return std::string(read_file(std::filesystem::path(to)));
}

}  // namespace plain

}  // namespace

using namespace weft;
using test::error_in;
using test::error_of;
using test::scratch;

namespace {

/// Whatever is written beyond `bytes` fails by EFBIG.
class size_limit {
 public:
  explicit size_limit(rlim_t bytes) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now = before_;
    now.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &now);
  }

  size_limit(const size_limit&) = delete;
  size_limit& operator=(const size_limit&) = delete;

  ~size_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int);
};

/// The names that `f` has synced.
template <typename F>
std::vector<std::string> synced_by(F f) {
  const auto take = [] {
    const std::lock_guard hold(all_synced.lock);
    return std::exchange(all_synced.names, {});
  };
  take();
  f();
  return take();
}

/// Of this thread, for files.
class without_privilege {
 public:
  without_privilege() : before_(::setfsuid(nobody)) {}

  without_privilege(const without_privilege&) = delete;
  without_privilege& operator=(const without_privilege&) = delete;

  ~without_privilege() { ::setfsuid(static_cast<uid_t>(before_)); }

  /// Gives it to whom such a thread is.
  static void own(const std::string& path, mode_t mode) {
    static_cast<void>(::chown(path.c_str(), nobody, nobody) == 0);
    ::chmod(path.c_str(), mode);
  }

 private:
  static constexpr uid_t nobody = 65'534;
  int before_;
};

std::string content(const std::string& path) {
  return std::string(blocking::read_file(path));
}

}  // namespace

TEST_CASE("the blocking twins are found by their plain names, whatever they are given", "[io][file]") {
  const scratch here;
  blocking::write_file(here / "a", "some text");
  REQUIRE(plain::copy_file(here / "a", (here / "b").c_str()) == "some text");
}

TEST_CASE("read_file gives what write_file wrote, in both faces and of every size", "[io][file]") {
  const unsigned width = GENERATE(1U, 2U);
  const std::size_t size = GENERATE(0U, 1U, 4'095U, 4'096U, 65'536U, 1'000'001U);
  const scratch here;
  runtime rt({.workers = width});
  const std::string text = test::text(0, size);
  const std::string back = rt.go(
                                 [](std::string path, std::string all) -> routine<std::string> {
                                   co_await write_file(path, all);
                                   const file_contents c = co_await read_file(path);
                                   co_return std::string(c);
                                 },
                                 here / "f", text)
                               .join();
  REQUIRE(back == text);
  REQUIRE(content(here / "f") == text);
  const file_contents c = blocking::read_file(here / "f");
  REQUIRE(c.empty() == (size == 0));
  REQUIRE(static_cast<std::vector<char>>(c) == std::vector<char>(text.begin(), text.end()));
  REQUIRE(c.bytes().size() == size);
}

TEST_CASE("write_file leaves no old content, and no file where it fails", "[io][file]") {
  const bool atomic = GENERATE(false, true);
  const scratch here;
  write_options how;
  how.atomic = atomic;
  blocking::write_file(here / "f", "a longer text", how);
  blocking::write_file(here / "f", "short", how);
  REQUIRE(content(here / "f") == "short");
  REQUIRE(error_in([&] { blocking::write_file(here / "no/f", "x", how); }) == ENOENT);
  REQUIRE(error_in([&] { blocking::write_file(here.path(), "x", how); }) == EISDIR);
  REQUIRE(error_in([&] { blocking::write_file("", "x", how); }) == ENOENT);
  REQUIRE(here.entries() == 1);
}

TEST_CASE("an atomic write that fails leaves what was there, and no temporary file", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 2});
  write_options how;
  how.atomic = true;
  blocking::write_file(here / "f", "old", how);
  {
    const size_limit small(10'000);
    const std::string much(20'000, 'x');
    REQUIRE(error_in([&] { blocking::write_file(here / "f", much, how); }) == EFBIG);
    const auto write = [](std::string path, const std::string& all, write_options o) -> routine<> {
      co_await write_file(path, all, o);
    };
    REQUIRE(rt.go(error_of(write(here / "f", much, how))).join() == EFBIG);
    how.atomic = false;
    REQUIRE(error_in([&] { blocking::write_file(here / "g", much, how); }) == EFBIG);
  }
  REQUIRE(content(here / "f") == "old");
  REQUIRE(content(here / "g").size() == 10'000);
  REQUIRE(here.entries() == 2);
}

TEST_CASE("who reads while a file is replaced sees one content or the other", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 2});
  write_options how;
  how.atomic = true;
  const auto content_of = [](int i) { return std::string(static_cast<std::size_t>(i) * 1000, 'a'); };
  blocking::write_file(here / "f", content_of(7), how);
  auto writing = rt.go([&]() -> routine<> {
    for (int i = 0; i < 30; ++i) co_await write_file(here / "f", content_of(i % 5 + 1), how);
  });
  std::size_t wrong = 0;
  while (!writing.done()) {
    const std::size_t n = blocking::read_file(here / "f").size();
    if (n == 0 || n % 1000 != 0) ++wrong;
  }
  writing.join();
  REQUIRE(wrong == 0);
  REQUIRE(here.entries() == 1);
}

TEST_CASE("a new file has the mode that was asked for", "[io][file]") {
  const bool atomic = GENERATE(false, true);
  const scratch here;
  const write_options how{.atomic = atomic, .sync = true, .mode = 0600};
  blocking::write_file(here / "f", "x", how);
  const file_metadata about = blocking::wait(metadata(here / "f"));
  REQUIRE(about.mode == 0600);
  REQUIRE(about.size == 1);
  REQUIRE(about.links == 1);
  REQUIRE(about.kind == file_kind::regular);
  REQUIRE(about.user == ::geteuid());
  REQUIRE(about.modified.time_since_epoch().count() > 0);
}

TEST_CASE("read_file reads what does not say how long it is", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 2});
  REQUIRE(content("/proc/self/status").find("Pid:") != std::string::npos);
  REQUIRE(content("/dev/null").empty());
  REQUIRE(::mkfifo((here / "fifo").c_str(), 0600) == 0);
  const std::string much = test::text(0, 500'000);
  auto reading =
      rt.go([](std::string path) -> routine<std::string> { co_return std::string(co_await read_file(path)); },
            here / "fifo");
  rt.go([](std::string path, const std::string& all) -> routine<> { co_await write_file(path, all); },
        here / "fifo", much)
      .join();
  REQUIRE(reading.join() == much);
}

TEST_CASE("a FIFO whose reader is gone gives EPIPE to a plain thread, and no signal", "[io][file]") {
  const scratch here;
  REQUIRE(::mkfifo((here / "fifo").c_str(), 0600) == 0);
  const int reader = ::open((here / "fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  file f = blocking::wait(file::open(here / "fifo", open_flags::write));
  REQUIRE(blocking::wait(f.append("abc")) == 3);
  ::close(reader);
  REQUIRE(error_in([&] { blocking::wait(f.append("abc")); }) == EPIPE);
  REQUIRE(error_in([&] { blocking::wait(f.write_at(0, "abc")); }) == ESPIPE);
}

TEST_CASE("a file that grows while it is read is read up to some end of it", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 2});
  blocking::write_file(here / "f", test::text(0, 100));
  auto growing = rt.go(
      [](std::string path) -> routine<> {
        file f = co_await file::open(path, open_flags::append);
        for (std::size_t i = 1; i < 200; ++i) {
          const std::string more = test::text(i * 100, 100);
          co_await f.append(more);
        }
      },
      here / "f");
  bool right = true;
  while (!growing.done()) {
    const std::string now = content(here / "f");
    right = right && now.size() >= 100 && now == test::text(0, now.size());
  }
  growing.join();
  REQUIRE(right);
  REQUIRE(content(here / "f") == test::text(0, 20'000));
}

TEST_CASE("a directory is listed with the kind of each name", "[io][directory]") {
  const scratch here;
  runtime rt({.workers = 1});
  const auto found = rt.go(
                           [](std::string d) -> routine<std::map<std::string, file_kind>> {
                             co_await make_directory(d + "/sub");
                             co_await write_file(d + "/file", "x");
                             const std::string long_name = d + "/" + std::string(255, 'n');
                             co_await write_file(long_name, "x");
                             std::map<std::string, file_kind> all;
                             const directory_listing listing = co_await list_directory(d);
                             for (const auto [name, kind] : listing) all.emplace(name, kind);
                             co_return all;
                           },
                           here.path())
                         .join();
  REQUIRE(found == std::map<std::string, file_kind>{{"sub", file_kind::directory},
                                                    {"file", file_kind::regular},
                                                    {std::string(255, 'n'), file_kind::regular}});
  REQUIRE(blocking::wait(list_directory(here / "sub")).empty());
  REQUIRE(error_in([&] { (void)blocking::wait(list_directory(here / "file")); }) == ENOTDIR);
  REQUIRE(error_in([&] { (void)blocking::wait(list_directory(here / "none")); }) == ENOENT);
}

TEST_CASE("a directory of many long names is listed whole", "[io][directory]") {
  const scratch here;
  const std::string long_name(200, 'n');
  for (int i = 0; i < 300; ++i)
    ::close(::open((here / (long_name + std::to_string(i))).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  directory_listing first = blocking::wait(list_directory(here.path()));
  const directory_listing moved = std::move(first);
  REQUIRE(first.empty());
  REQUIRE(std::distance(moved.begin(), moved.end()) == 300);
  REQUIRE(std::all_of(moved.begin(), moved.end(),
                      [&](const directory_entry& e) { return e.name.substr(0, 200) == long_name; }));
}

TEST_CASE("names are made, moved and removed", "[io][directory]") {
  const scratch here;
  runtime rt({.workers = 2});
  const auto codes =
      rt.go(
            [](std::string d) -> routine<std::array<int, 6>> {
              const std::string a = d + "/a", b = d + "/b", sub = d + "/sub";
              std::array<int, 6> e{};
              co_await write_file(a, "from a");
              co_await write_file(b, "from b");
              co_await rename_file(a, b);
              const auto op = [](auto f, const std::string& on) -> routine<> { co_await f(on); };
              const auto remove = [](const std::string& p) { return remove_file(p); };
              const auto remove_dir = [](const std::string& p) { return remove_directory(p); };
              const auto make = [](const std::string& p) { return make_directory(p, 0700); };
              e[0] = co_await error_of(op(remove, a));
              co_await make_directory(sub);
              e[1] = co_await error_of(op(make, sub));
              e[2] = co_await error_of(op(remove, sub));
              co_await rename_file(b, sub + "/b");
              e[3] = co_await error_of(op(remove_dir, sub));
              const std::string text(co_await read_file(sub + "/b"));
              e[4] = text == "from a" ? 0 : 1;
              co_await remove_file(sub + "/b");
              co_await remove_directory(sub);
              e[5] = co_await error_of(op(remove_dir, sub));
              co_return e;
            },
            here.path())
          .join();
  REQUIRE(codes == std::array{ENOENT, EEXIST, EISDIR, ENOTEMPTY, 0, ENOENT});
  REQUIRE(here.entries() == 0);
}

TEST_CASE("metadata follows a link, link_metadata does not", "[io][directory]") {
  const scratch here;
  blocking::write_file(here / "f", "abc");
  REQUIRE(::symlink("f", (here / "link").c_str()) == 0);
  const file_metadata target = blocking::wait(metadata(here / "link"));
  REQUIRE(target.kind == file_kind::regular);
  REQUIRE(target.size == 3);
  REQUIRE(target.inode == blocking::wait(metadata(here / "f")).inode);
  REQUIRE(blocking::wait(link_metadata(here / "link")).kind == file_kind::symbolic_link);
  REQUIRE(blocking::wait(metadata("/dev/null")).kind == file_kind::character_device);
  REQUIRE(error_in([&] { blocking::wait(metadata(here / "none")); }) == ENOENT);
}

TEST_CASE("plain callables on the workers of a runtime read files in place", "[io][file]") {
  const scratch here;
  runtime rt({.workers = 2});
  blocking::write_file(here / "f", "content");
  std::vector<join_handle<std::string>> all;
  for (int i = 0; i < 50; ++i) all.push_back(rt.go([&] { return content(here / "f"); }));
  for (auto& each : all) REQUIRE(each.join() == "content");
}

TEST_CASE("with sync the directory of the new name is synced, behind a link, too", "[io][file]") {
  const scratch here;
  const std::string sub = here / "sub";
  std::filesystem::create_directory(sub);
  REQUIRE(::symlink("sub/f", (here / "link").c_str()) == 0);
  const bool atomic = GENERATE(false, true);
  const write_options how{.atomic = atomic, .sync = true};
  const auto names = synced_by([&] { blocking::write_file(here / "link", "x", how); });
  REQUIRE(names.size() == 2);
  REQUIRE(names[1] == (atomic ? here.path() : sub));
}

TEST_CASE("a sync that a signal interrupts is made again", "[io][file]") {
  const scratch here;
  {
    const std::lock_guard hold(all_synced.lock);
    all_synced.interrupted = 3;
  }
  const auto names = synced_by([&] { blocking::write_file(here / "f", "x", {.sync = true}); });
  REQUIRE(names == std::vector{here / "f", here.path()});
}

TEST_CASE("with sync a directory that may not be read is no hindrance", "[io][file]") {
  const bool atomic = GENERATE(false, true);
  const scratch here;
  const std::string closed = here / "closed";
  std::filesystem::create_directory(closed);
  ::chmod(here.path().c_str(), 0755);
  without_privilege::own(closed, 0300);
  // On a thread of its own, where the call is made in place.
  const auto write = [&] {
    const without_privilege here_now;
    return error_in([&] { blocking::write_file(closed + "/f", "text", {.atomic = atomic, .sync = true}); });
  };
  const int error = blocking::run([](auto f) -> routine<int> { co_return co_await block_on_io(f); }(write));
  ::chmod(closed.c_str(), 0700);
  REQUIRE(error == 0);
  REQUIRE(content(closed + "/f") == "text");
}

TEST_CASE("with sync what knows no disk is written to as without", "[io][file]") {
  const scratch here;
  REQUIRE(error_in([&] { blocking::write_file("/dev/null", "x", {.sync = true}); }) == 0);
  REQUIRE(::mkfifo((here / "fifo").c_str(), 0600) == 0);
  const int reader = ::open((here / "fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(error_in([&] { blocking::write_file(here / "fifo", "x", {.sync = true}); }) == 0);
  ::close(reader);
}

TEST_CASE("times beyond those of the clock are its last", "[io][directory]") {
  const scratch here;
  blocking::write_file(here / "f", "x");
  constexpr time_t far = 10'000'000'000;  // 2286; some file systems end before
  const std::array<timespec, 2> times{timespec{-far, 0}, timespec{far, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (here / "f").c_str(), times.data(), 0) == 0);

  struct stat really {};

  REQUIRE(::stat((here / "f").c_str(), &really) == 0);
  const file_metadata about = blocking::wait(metadata(here / "f"));
  if (really.st_mtim.tv_sec == far) REQUIRE(about.modified == file_metadata::time::max());
  if (really.st_atim.tv_sec == -far) REQUIRE(about.accessed == file_metadata::time::min());
}

TEST_CASE("the host of a manual runtime drives it while it waits for a file", "[io][file][manual]") {
  const scratch here;
  REQUIRE(::mkfifo((here / "fifo").c_str(), 0600) == 0);
  runtime rt({.workers = manual});
  rt.go(
      [](std::string path) -> routine<> {
        for (int i = 0; i < 10'000; ++i) co_await yield();  // meanwhile the host's own call has begun
        co_await write_file(path, "from a routine");
      },
      here / "fifo");
  REQUIRE(content(here / "fifo") == "from a routine");
  rt.stop();
}
