#include "io/file_system.hpp"

#include <weft/io/buffer.hpp>
#include <weft/io/file.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/byte_room.hpp"
#include "io/whole_file.hpp"

namespace weft::io {

namespace {

using detail::file_action;
using detail::file_request;
using detail::owned_bytes;

/// Buffers that are given to the system at a time.
constexpr std::size_t most_parts = 64;

/// A longer read takes so long to copy that it is no burden to have another thread do it: 256 KiB are 25 us.
constexpr std::size_t most_at_once = 262'144;

/// What is left of a request's buffers.
class parts_left {
 public:
  explicit parts_left(const file_request& r) noexcept : done_(r.done) {
    switch (r.action) {
      case file_action::gather:
        add(static_cast<const const_buffer*>(r.data), r.size);
        break;
      case file_action::scatter:
        add(static_cast<const mutable_buffer*>(r.data), r.size);
        break;
      default: {
        const mutable_buffer one(r.data, r.size);
        add(&one, 1);
      }
    }
  }

  const iovec* data() const noexcept { return parts_.data(); }

  int count() const noexcept { return static_cast<int>(count_); }

 private:
  template <typename Buffer>
  void add(const Buffer* each, std::size_t size) noexcept {
    std::size_t skip = done_;
    for (const Buffer* const end = each + size; each != end && count_ < most_parts; ++each) {
      const std::size_t skipped = std::min(skip, each->size());
      skip -= skipped;
      if (skipped == each->size()) continue;
      auto* const from = const_cast<char*>(static_cast<const char*>(each->data()));
      parts_[count_++] = {from + skipped, each->size() - skipped};
    }
  }

  std::array<iovec, most_parts> parts_;
  std::size_t count_ = 0;
  std::size_t done_;
};

/// `f` moves some of what is left: until all has been, or it says 0, the end.  Gives how much was moved.
template <typename F>
std::int64_t move_all(file_request& r, F f) noexcept {
  for (;;) {
    const parts_left parts(r);
    if (parts.count() == 0) break;
    const std::int64_t n = f(parts);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    r.done += static_cast<std::size_t>(n);
  }
  return static_cast<std::int64_t>(r.done);
}

off_t place_of(const file_request& r) noexcept {
  return static_cast<off_t>(r.offset + r.done);
}

std::int64_t read(file_request r) noexcept {
  return move_all(r, [&](const parts_left& p) { return ::preadv(r.fd, p.data(), p.count(), place_of(r)); });
}

std::int64_t write(file_request r) noexcept {
  return move_all(r, [&](const parts_left& p) { return ::pwritev(r.fd, p.data(), p.count(), place_of(r)); });
}

std::int64_t append(file_request r) noexcept {
  return move_all(r, [&](const parts_left& p) {
    return ::pwritev2(r.fd, p.data(), p.count(), -1, RWF_APPEND);  // -1: no offset, for what has none
  });
}

template <typename F>
std::int64_t simple(F f) noexcept {
  for (;;) {
    const int n = f();
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

file_kind kind_of(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return file_kind::regular;
    case S_IFDIR:
      return file_kind::directory;
    case S_IFLNK:
      return file_kind::symbolic_link;
    case S_IFIFO:
      return file_kind::fifo;
    case S_IFSOCK:
      return file_kind::socket;
    case S_IFCHR:
      return file_kind::character_device;
    case S_IFBLK:
      return file_kind::block_device;
    default:
      return file_kind::unknown;
  }
}

file_metadata::time time_of(const timespec& t) noexcept {
  using time = file_metadata::time;
  constexpr auto most = std::chrono::floor<std::chrono::seconds>(time::max()).time_since_epoch();
  const std::chrono::seconds s(t.tv_sec);
  if (s >= most) return time::max();
  if (s <= -most) return time::min();
  return time(s + std::chrono::nanoseconds(t.tv_nsec));
}

void fill(file_metadata& out, const struct stat& in) noexcept {
  out.kind = kind_of(in.st_mode);
  out.mode = in.st_mode & 07777;
  out.size = static_cast<std::uint64_t>(in.st_size);
  out.inode = in.st_ino;
  out.device = in.st_dev;
  out.links = in.st_nlink;
  out.allocated = static_cast<std::uint64_t>(in.st_blocks) * 512;
  out.user = in.st_uid;
  out.group = in.st_gid;
  out.modified = time_of(in.st_mtim);
  out.accessed = time_of(in.st_atim);
  out.changed = time_of(in.st_ctim);
}

std::int64_t examine(const file_request& r) noexcept {
  struct stat about {};

  const int n = r.action == file_action::examine        ? ::fstat(r.fd, &about)
                : r.action == file_action::examine_path ? ::stat(r.path, &about)
                                                        : ::lstat(r.path, &about);
  if (n != 0) return -errno;
  fill(*static_cast<file_metadata*>(r.data), about);
  return 0;
}

std::int64_t open(const file_request& r) noexcept {
  if (r.flags == -1) return -EINVAL;
  return simple([&] { return ::open(r.path, r.flags | O_CLOEXEC | O_NOCTTY, r.mode); });
}

/// Of one whose directory does not say.
file_kind kind_in(int directory, const char* name) noexcept {
  struct stat about {};

  return ::fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) == 0 ? kind_of(about.st_mode)
                                                                      : file_kind::unknown;
}

bool append_entry(byte_room& to, int directory, const dirent& entry) noexcept {
  const std::size_t size = std::strlen(entry.d_name) + 1;
  if (!to.make_room(1 + size)) return false;
  const file_kind kind = entry.d_type == DT_UNKNOWN ? kind_in(directory, entry.d_name)
                                                    : kind_of(static_cast<mode_t>(DTTOIF(entry.d_type)));
  *to.end() = static_cast<char>(kind);
  std::memcpy(to.end() + 1, entry.d_name, size);
  to.add(1 + size);
  return true;
}

std::int64_t list(const file_request& r) noexcept {
  DIR* const directory = ::opendir(r.path);
  if (directory == nullptr) return errno == ENOMEM ? no_memory : -errno;
  byte_room names;
  std::int64_t result = 0;
  while (result == 0) {
    errno = 0;
    const dirent* const entry = ::readdir(directory);
    if (entry == nullptr) {
      result = -errno;
      break;
    }
    const bool is_none = std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0;
    if (!is_none && !append_entry(names, ::dirfd(directory), *entry)) result = no_memory;
  }
  ::closedir(directory);
  if (result == 0) *static_cast<owned_bytes*>(r.data) = names.take();
  return result;
}

}  // namespace

bool may_be_at_once(const file_request& r) noexcept {
  return r.action == file_action::read && r.size <= most_at_once;
}

std::int64_t perform_at_once(file_request& r) noexcept {
  const std::int64_t n = move_all(
      r, [&](const parts_left& p) { return ::preadv2(r.fd, p.data(), p.count(), place_of(r), RWF_NOWAIT); });
  return n == -EOPNOTSUPP || n == -ENOSYS ? -EAGAIN : n;
}

std::int64_t perform(const file_request& r) noexcept {
  switch (r.action) {
    case file_action::read:
    case file_action::scatter:
      return read(r);
    case file_action::write:
    case file_action::gather:
      return write(r);
    case file_action::append:
      return append(r);
    case file_action::sync:
      return simple([&] { return ::fsync(r.fd); });
    case file_action::sync_data:
      return simple([&] { return ::fdatasync(r.fd); });
    case file_action::truncate:
      return simple([&] { return ::ftruncate(r.fd, static_cast<off_t>(r.offset)); });
    case file_action::examine:
    case file_action::examine_path:
    case file_action::examine_link:
      return examine(r);
    case file_action::open:
      return open(r);
    case file_action::remove_file:
      return simple([&] { return ::unlink(r.path); });
    case file_action::remove_directory:
      return simple([&] { return ::rmdir(r.path); });
    case file_action::rename:
      return simple([&] { return ::rename(r.path, r.second_path); });
    case file_action::make_directory:
      return simple([&] { return ::mkdir(r.path, r.mode); });
    case file_action::list:
      return list(r);
    case file_action::read_whole:
      return read_whole(r.path, *static_cast<owned_bytes*>(r.data));
    case file_action::write_whole:
      return write_whole(r);
    case file_action::replace_whole:
      return replace_whole(r);
    case file_action::close:
      break;  // its number is not the caller's to close
  }
  return -EINVAL;
}

}  // namespace weft::io
