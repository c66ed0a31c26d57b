#include "io/system.hpp"

#include <cstdio>

#include <fcntl.h>

namespace weft::io::sys {

namespace {

std::size_t count(int parts) noexcept {
  return static_cast<std::size_t>(parts);
}

sockaddr* as_address(void* address) noexcept {
  return static_cast<sockaddr*>(address);
}

const sockaddr* as_address(const void* address) noexcept {
  return static_cast<const sockaddr*>(address);
}

}  // namespace

// --- numbers ---

int duplicate(int fd) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::fcntl(fd, F_DUPFD_CLOEXEC, 0) : told(s->duplicate(fd));
}

int set_up(int fd) noexcept {
  if (system* const s = simulated()) return told(s->check(fd));
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
  return ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// --- sockets and pipes ---

int pipe(int* both) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::pipe2(both, O_NONBLOCK | O_CLOEXEC) : told(s->pipe(both));
}

int socket(int family, int type) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
                      : told(s->socket(family, type));
}

int socket_pair(int* both) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both)
                      : told(s->socket_pair(both));
}

int accept(int fd) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC) : told(s->accept(fd));
}

int bind(int fd, const void* address, socklen_t size) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::bind(fd, as_address(address), size) : told(s->bind(fd, address, size));
}

int listen(int fd, int backlog) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::listen(fd, backlog) : told(s->listen(fd, backlog));
}

int connect(int fd, const void* address, socklen_t size) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::connect(fd, as_address(address), size) : told(s->connect(fd, address, size));
}

int shutdown(int fd, int how) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::shutdown(fd, how) : told(s->shut_down(fd, how));
}

int getsockname(int fd, void* address, socklen_t* size) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::getsockname(fd, as_address(address), size)
                      : told(s->name(fd, false, address, size));
}

int getpeername(int fd, void* address, socklen_t* size) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::getpeername(fd, as_address(address), size) : told(s->name(fd, true, address, size));
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::setsockopt(fd, level, name, value, size)
                      : told(s->set_option(fd, level, name, value, size));
}

int take_error(int fd, int* error) noexcept {
  socklen_t size = sizeof *error;
  system* const s = simulated();
  return s == nullptr ? ::getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &size) : told(s->take_error(fd, error));
}

// --- files ---

int open(const char* path, int flags, unsigned mode) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::open(path, flags | O_CLOEXEC | O_NOCTTY, mode) : told(s->open(path, flags, mode));
}

ssize_t preadv(int fd, const iovec* to, int parts, off_t offset) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::preadv(fd, to, parts, offset)
                      : told(s->read_at(fd, to, count(parts), offset, false));
}

ssize_t preadv_at_once(int fd, const iovec* to, int parts, off_t offset) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::preadv2(fd, to, parts, offset, RWF_NOWAIT)
                      : told(s->read_at(fd, to, count(parts), offset, true));
}

ssize_t pwritev(int fd, const iovec* from, int parts, off_t offset) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::pwritev(fd, from, parts, offset)
                      : told(s->write_at(fd, from, count(parts), offset));
}

ssize_t appendv(int fd, const iovec* from, int parts) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::pwritev2(fd, from, parts, -1, RWF_APPEND)  // -1: no offset, for what has none
                      : told(s->write_at(fd, from, count(parts), -1));
}

int fsync(int fd) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::fsync(fd) : told(s->sync(fd));
}

int fdatasync(int fd) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::fdatasync(fd) : told(s->sync(fd));
}

int ftruncate(int fd, off_t size) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::ftruncate(fd, size) : told(s->truncate(fd, size));
}

int fstat(int fd, struct stat* about) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::fstat(fd, about) : told(s->examine(fd, about));
}

int stat(const char* path, struct stat* about) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::stat(path, about) : told(s->examine(path, about));
}

int lstat(const char* path, struct stat* about) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::lstat(path, about) : told(s->examine(path, about));
}

int unlink(const char* path) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::unlink(path) : told(s->remove_file(path));
}

int rmdir(const char* path) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::rmdir(path) : told(s->remove_directory(path));
}

int rename(const char* from, const char* to) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::rename(from, to) : told(s->rename(from, to));
}

int mkdir(const char* path, unsigned mode) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::mkdir(path, mode) : told(s->make_directory(path, mode));
}

}  // namespace weft::io::sys
