#include "io/whole_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/byte_room.hpp"
#include "io/file_system.hpp"
#include "os/port.hpp"

namespace weft::io {

namespace {

using detail::file_request;

/// So much at a time, of what does not say how long it is.
constexpr std::size_t piece = 65'536;

class open_file {
 public:
  open_file(const char* path, int flags, unsigned mode = 0) noexcept {
    do fd_ = ::open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
    while (fd_ < 0 && errno == EINTR);
  }

  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;

  ~open_file() {
    if (fd_ >= 0) ::close(fd_);
  }

  int number() const noexcept { return fd_; }

  /// Some file systems tell only now that they could not store it.
  std::int64_t close() noexcept {
    return ::close(std::exchange(fd_, -1)) != 0 && errno != EINTR ? -errno : 0;
  }

 private:
  int fd_ = -1;
};

/// A hint: it may grow or shrink, and files of /proc say 0.
std::size_t size_of(const open_file& f) noexcept {
  struct stat about {};

  const bool is_known = ::fstat(f.number(), &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0;
  return is_known ? static_cast<std::size_t>(about.st_size) : 0;
}

std::int64_t write_all(const open_file& f, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t n = ::write(f.number(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

/// What knows no disk, as a FIFO, says EINVAL.
std::int64_t sync(const open_file& f) noexcept {
  for (;;) {
    if (::fsync(f.number()) == 0 || errno == EINVAL) return 0;
    if (errno != EINTR) return -errno;
  }
}

std::string_view bytes_of(const file_request& r) noexcept {
  return {static_cast<const char*>(r.data), r.size};
}

std::string directory_of(std::string_view path) {
  return std::string(path.substr(0, path.rfind('/') + 1));  // npos + 1 is 0
}

/// A link's own directory has no new name, if it leads to another one.
std::string without_links(const char* path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path, nullptr), std::free);
  return real != nullptr ? real.get() : path;
}

/// A new name is on the disk when its directory is, or all of the file system of `f`.
std::int64_t sync_name(const open_file& f, const std::string& directory) noexcept {
  const open_file d(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (d.number() >= 0) return sync(d);
  return errno == EACCES && ::syncfs(f.number()) == 0 ? 0 : -errno;
}

/// Once it is on the disk, closing has nothing more to tell.
std::int64_t fill(open_file& f, const file_request& r, bool and_sync) noexcept {
  if (f.number() < 0) return -errno;
  if (const std::int64_t error = write_all(f, bytes_of(r))) return error;
  return and_sync ? sync(f) : f.close();
}

/// Of a fixed length, for the file's own name may be as long as names can be.
std::string temporary_in(const std::string& directory) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), ".weft-%016" PRIx64 ".tmp", os::current_port().random());
  return directory + name.data();
}

std::int64_t replace(const file_request& r) {
  const std::string directory = directory_of(r.path);
  for (int tries = 0;; ++tries) {
    const std::string temporary = temporary_in(directory);
    open_file f(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL, r.mode);
    if (f.number() < 0) {
      if (errno == EEXIST && tries < 16) continue;
      return -errno;
    }
    std::int64_t error = fill(f, r, true);
    if (error == 0 && ::rename(temporary.c_str(), r.path) != 0) error = -errno;
    if (error != 0) return ::unlink(temporary.c_str()), error;
    return r.also_sync ? sync_name(f, directory) : 0;
  }
}

}  // namespace

std::int64_t read_whole(const char* path, detail::owned_bytes& to) noexcept {
  const open_file f(path, O_RDONLY);
  if (f.number() < 0) return -errno;
  byte_room bytes;
  std::size_t wanted = size_of(f) + 1;  // one more: the end is seen without growing
  if (wanted == 1) wanted = piece;
  for (;;) {
    if (!bytes.make_room(wanted)) return no_memory;
    const ssize_t n = ::read(f.number(), bytes.end(), bytes.room());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    bytes.add(static_cast<std::size_t>(n));
    wanted = 1;
  }
  to = bytes.take();
  return 0;
}

std::int64_t write_whole(const file_request& r) noexcept {
  open_file f(r.path, O_WRONLY | O_CREAT | O_TRUNC, r.mode);
  if (const std::int64_t error = fill(f, r, r.also_sync)) return error;
  if (!r.also_sync) return 0;
  try {
    return sync_name(f, directory_of(without_links(r.path)));
  } catch (const std::bad_alloc&) {
    return no_memory;
  }
}

std::int64_t replace_whole(const file_request& r) noexcept {
  try {
    return replace(r);
  } catch (const std::bad_alloc&) {
    return no_memory;
  }
}

}  // namespace weft::io

namespace weft::detail {

owned_bytes::~owned_bytes() {
  std::free(data_);
}

}  // namespace weft::detail
