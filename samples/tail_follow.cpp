// tail_follow: prints a file and then whatever is appended to it, as `tail -n +1 -F` does, until SIGINT or
// SIGTERM, or until nobody reads it.
//
// The file may be cut off, renamed and made anew (as log rotation does), or not be there yet.  Nothing is
// polled: inotify tells what happens in the directory, and wait_readable() waits for its descriptor as for
// that of any library that weft does not know.

#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/signal.hpp>
#include <weft/weft.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// What happens to a name in its directory.
class name_watch {
 public:
  explicit name_watch(const std::filesystem::path& file)
      : name_(file.filename()), fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    const std::filesystem::path directory = file.has_parent_path() ? file.parent_path() : ".";
    constexpr std::uint32_t events = IN_CREATE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE;
    if (fd_ < 0 || ::inotify_add_watch(fd_, directory.c_str(), events | IN_ONLYDIR) < 0)
      throw std::system_error(errno, std::system_category(), directory.string());
  }

  name_watch(const name_watch&) = delete;
  name_watch& operator=(const name_watch&) = delete;

  ~name_watch() { ::close(fd_); }

  /// Waits for the next change.
  weft::routine<> changed() {
    bool is_ours = false;
    while (!is_ours) {
      co_await weft::wait_readable(fd_);
      is_ours = take_events();
    }
  }

 private:
  bool take_events() {
    alignas(inotify_event) std::array<char, 16'384> events;
    const ssize_t size = ::read(fd_, events.data(), events.size());
    bool is_ours = false;
    for (ssize_t at = 0; at < size;) {
      const auto* each = reinterpret_cast<const inotify_event*>(events.data() + at);
      is_ours |= each->len == 0 || name_ == each->name;  // 0: there were too many to be told
      at += static_cast<ssize_t>(sizeof *each + each->len);
    }
    return is_ours;
  }

  std::filesystem::path name_;
  int fd_;
};

void print_blocking(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) < text.size() || std::fflush(stdout) != 0)
    throw std::system_error(errno, std::system_category(), "standard output");
}

/// Standard output, whose reader may be slow or go away.
class output {
 public:
  /// A pipe is opened once more: to wait for it makes it non-blocking, and others who share the one that we
  /// were started with do not expect that.  Anything else is printed to as it is.
  output() {
    struct stat about {};

    if (::fstat(STDOUT_FILENO, &about) != 0 || !S_ISFIFO(about.st_mode)) return;
    const int fd = ::open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) pipe_ = weft::pipe_end::adopt(fd);
  }

  /// Can be cancelled, if it is a pipe.
  /// \throws std::system_error  EPIPE: nobody reads it any more
  weft::routine<> print(std::string_view text) {
    if (pipe_.is_open())
      co_await pipe_.write_all(text);
    else
      co_await weft::block_on_io(print_blocking, text);
  }

 private:
  weft::pipe_end pipe_;
};

/// The file that has the name now, as far as it was printed.
class followed_file {
 public:
  followed_file(std::filesystem::path path, output& to) : path_(std::move(path)), to_(to) {}

  /// Prints what is new.  One that was renamed is read to its end before the one that has taken its place.
  weft::routine<> look() {
    weft::file other = co_await open_other();
    if (file_.is_open()) {
      const std::uint64_t size = co_await file_.size();
      if (size < printed_) printed_ = 0;  // it was cut off
      co_await print_rest();
    }
    if (!other.is_open()) co_return;
    file_ = std::move(other);
    is_ = co_await file_.metadata();
    printed_ = 0;
    co_await print_rest();
  }

 private:
  // Empty: the name is still the same file's, or nobody's.  It may be gone at any time, and come again.
  weft::routine<weft::file> open_other() {
    weft::file other;
    try {
      const weft::file_metadata now = co_await weft::metadata(path_);
      const bool is_same = file_.is_open() && now.inode == is_.inode && now.device == is_.device;
      if (!is_same) other = co_await weft::file::open(path_);
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::no_such_file_or_directory) throw;
    }
    co_return other;
  }

  weft::routine<> print_rest() {
    std::array<char, 16'384> piece;
    std::size_t n = piece.size();
    while (n > 0) {
      n = co_await file_.read_at(printed_, piece);
      printed_ += n;
      co_await to_.print(std::string_view(piece.data(), n));
    }
  }

  std::filesystem::path path_;
  output& to_;
  weft::file file_;
  weft::file_metadata is_;
  std::uint64_t printed_ = 0;
};

weft::routine<> follow(const std::filesystem::path& path) {
  name_watch watch(path);  // before the first look, or a change in between is missed
  output to;
  followed_file file(path, to);
  while (true) {
    co_await file.look();
    co_await watch.changed();
  }
}

weft::routine<> follow_until(weft::signal_set& signals, const std::filesystem::path& path) {
  try {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      s.go(follow, std::cref(path));
      co_await signals.wait();
      s.cancel();
    });
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::broken_pipe) throw;  // who read it has seen enough
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: tail_follow FILE\n");
    return 2;
  }
  try {
    weft::signal_set signals{SIGINT, SIGTERM};  // before the runtime has threads
    const std::filesystem::path path = argv[1];
    weft::go(follow_until, std::ref(signals), std::cref(path)).join();
  } catch (const std::exception& e) {
    fmt::print(stderr, "tail_follow: {}\n", e.what());
    return 1;
  }
}
