// The calls of files.  They may take time, so they are made by threads that may block.

#include <cerrno>
#include <memory>
#include <string>

#include <fcntl.h>

#include "sim/machine.hpp"
#include "sim/open_file.hpp"
#include "sim/port.hpp"
#include "sim/system_call.hpp"

namespace weft::sim {

/// Others may run before it.
void machine::begin_file_call() noexcept {
  os::step();
  os::nanos until = now();
  {
    const system_call by(*this);
    until += delay("a call of the file system is slow");
  }
  const std::uint32_t nobody_wakes = 0;
  while (now() < until) port_.wait(nobody_wakes, 0, until);
}

template <typename F>
auto machine::on_file(int fd, F f) noexcept -> decltype(f(std::declval<open_file&>())) {
  const system_call by(*this);
  const auto what = at(fd);
  if (what == nullptr) return why_not(fd);
  open_file* const file = what->as_file();
  return file == nullptr ? -ESPIPE : f(*file);
}

int machine::add_socket(const std::string& path, const std::shared_ptr<stream>& server) {
  file_tree::place to;
  if (const int error = files_.find(path, to)) return error;
  if (to.is != nullptr) return -EEXIST;
  if (happens(how_.no_space, "there is no space")) return -ENOSPC;
  files_.make(to, S_IFSOCK | 0777, now())->server = server;
  return 0;
}

int machine::find_socket(const std::string& path, std::shared_ptr<stream>& server) const {
  file_tree::place to;
  if (const int error = files_.find(path, to)) return error;
  if (to.is == nullptr) return -ENOENT;
  server = to.is->server.lock();
  return 0;
}

int machine::open(const char* path, int flags, unsigned mode) noexcept {
  begin_file_call();
  const system_call by(*this);
  file_tree::place to;
  if (const int error = files_.find(path, to)) return error;
  const bool creates = (flags & O_CREAT) != 0;
  if (to.is == nullptr) {
    if (!creates) return -ENOENT;
    if (to.must_be_directory) return -EISDIR;
  } else {
    if (creates && (flags & O_EXCL) != 0) return -EEXIST;
    if (to.is->is_directory() && (creates || (flags & O_ACCMODE) != O_RDONLY)) return -EISDIR;
    if (!to.is->is_directory() && (flags & O_DIRECTORY) != 0) return -ENOTDIR;
    if (S_ISSOCK(to.is->mode)) return -ENXIO;
  }
  if (lacks_descriptors()) return -EMFILE;
  if (to.is == nullptr) {
    if (happens(how_.no_space, "there is no space")) return -ENOSPC;
    files_.make(to, S_IFREG | (mode & 07777), now());
  } else if ((flags & O_TRUNC) != 0) {
    to.is->bytes.resize(0);
    to.is->modified = to.is->changed = now();
  }
  return number(std::make_shared<open_file>(*this, to.is, flags, path));
}

std::int64_t machine::read_at(int fd, const iovec* to, std::size_t count, std::int64_t offset,
                              bool at_once) noexcept {
  if (!at_once) begin_file_call();
  return on_file(fd, [&](open_file& f) -> std::int64_t {
    if (at_once && happens(how_.delays, "what is read is not in the cache")) return -EAGAIN;
    return f.read_at(static_cast<std::uint64_t>(offset), {to, count});
  });
}

std::int64_t machine::write_at(int fd, const iovec* from, std::size_t count, std::int64_t offset) noexcept {
  begin_file_call();
  return on_file(fd, [&](open_file& f) {
    const parts all{from, count};
    return offset == -1 ? f.append(all) : f.write_at(static_cast<std::uint64_t>(offset), all);
  });
}

int machine::sync(int fd) noexcept {
  begin_file_call();
  return on_file(fd, [](open_file&) { return 0; });
}

int machine::truncate(int fd, std::int64_t size) noexcept {
  begin_file_call();
  return on_file(fd, [&](open_file& f) { return f.truncate(size); });
}

int machine::examine(int fd, struct stat* about) noexcept {
  begin_file_call();
  return on_file(fd, [&](open_file& f) { return f.is().examine(*about), 0; });
}

int machine::examine(const char* path, struct stat* about) noexcept {
  begin_file_call();
  const system_call by(*this);
  file_tree::place to;
  if (const int error = files_.find(path, to)) return error;
  if (to.is == nullptr) return -ENOENT;
  to.is->examine(*about);
  return 0;
}

int machine::remove_file(const char* path) noexcept {
  begin_file_call();
  const system_call by(*this);
  return files_.remove_file(path, now());
}

int machine::remove_directory(const char* path) noexcept {
  begin_file_call();
  const system_call by(*this);
  return files_.remove_directory(path, now());
}

int machine::rename(const char* from, const char* to) noexcept {
  begin_file_call();
  const system_call by(*this);
  return files_.rename(from, to, now());
}

int machine::make_directory(const char* path, unsigned mode) noexcept {
  begin_file_call();
  const system_call by(*this);
  file_tree::place to;
  if (const int error = files_.find(path, to)) return error;
  if (to.is != nullptr) return -EEXIST;
  if (happens(how_.no_space, "there is no space")) return -ENOSPC;
  files_.make(to, S_IFDIR | (mode & 07777), now());
  return 0;
}

int machine::list(const char* path, bool (*take)(void* to, const char* name, mode_t mode), void* to) {
  begin_file_call();
  const system_call by(*this);
  file_tree::place at;
  if (const int error = files_.find(path, at)) return error;
  if (at.is == nullptr) return -ENOENT;
  if (!at.is->is_directory()) return -ENOTDIR;
  for (const auto& [name, each] : at.is->entries) {
    if (!take(to, name.c_str(), each->mode)) return -ENOMEM;
  }
  return 0;
}

}  // namespace weft::sim
