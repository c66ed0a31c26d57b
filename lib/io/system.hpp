#pragma once

// system: the calls of the operating system that this floor makes.  They stand in namespace sys, by their own
// names; in a simulated run they go to the run's own system, which lib/sim implements.  A real run pays one
// load and one branch that is never taken.
//
// The numbers of a simulated run begin at first_simulated.  No real one comes there: it is 2^30, and a
// process has at most fs.nr_open of them, 2^20 unless somebody has changed that.  So outside of its run such
// a number is EBADF; and in a run a real one is ENOTSUP, but closing it closes it.
//
// A descriptor of a simulated run is watched from its adoption to its end by the run's own reactor, which
// tells of each event when it happens: nobody polls.
//
// Rejected: the seam at operations (what loops over short writes, replaces files and passes over connections
//           that are gone would not be what is tested).

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/simulation.hpp"
#include "os/port.hpp"

namespace weft::detail {
struct descriptor;
}

namespace weft::io {

inline constexpr int first_simulated = 1 << 30;

/// Each gives what the call of that name gives, or the error below zero.  None waits, but those of files,
/// which may take time; none fails for want of memory.
class system {
 public:
  // --- numbers ---
  virtual int close(int fd) noexcept = 0;
  virtual int duplicate(int fd) noexcept = 0;
  /// 0: it is one of the run's, open.
  virtual int check(int fd) noexcept = 0;
  /// What poll() gives in revents.
  virtual int poll(int fd, int wanted) noexcept = 0;
  /// Under the descriptor's lock: tells it of its events from now on.
  virtual void watch(detail::descriptor& d) noexcept = 0;

  // --- bytes and messages ---
  virtual std::int64_t read(int fd, const iovec* to, std::size_t parts) noexcept = 0;
  virtual std::int64_t write(int fd, const iovec* from, std::size_t parts) noexcept = 0;
  /// `sender` may be null; else its size is that of the room, and then of the address.
  virtual std::int64_t receive(int fd, const iovec* to, std::size_t parts, void* sender,
                               socklen_t* size) noexcept = 0;
  virtual std::int64_t send(int fd, const iovec* from, std::size_t parts, const void* receiver,
                            socklen_t size) noexcept = 0;

  // --- sockets and pipes: none of these blocks ---
  virtual int pipe(int* both) noexcept = 0;
  virtual int socket(int family, int type) noexcept = 0;
  virtual int socket_pair(int* both) noexcept = 0;
  virtual int bind(int fd, const void* address, socklen_t size) noexcept = 0;
  virtual int listen(int fd, int backlog) noexcept = 0;
  virtual int accept(int fd) noexcept = 0;
  virtual int connect(int fd, const void* address, socklen_t size) noexcept = 0;
  virtual int shut_down(int fd, int how) noexcept = 0;
  virtual int name(int fd, bool of_peer, void* address, socklen_t* size) noexcept = 0;
  virtual int set_option(int fd, int level, int name, const void* value, socklen_t size) noexcept = 0;
  /// What SO_ERROR gives.
  virtual int take_error(int fd, int* error) noexcept = 0;

  // --- files ---
  virtual int open(const char* path, int flags, unsigned mode) noexcept = 0;
  /// `at_once`: -EAGAIN if it would take time.
  virtual std::int64_t read_at(int fd, const iovec* to, std::size_t parts, std::int64_t offset,
                               bool at_once) noexcept = 0;
  /// No offset, -1: at its end.
  virtual std::int64_t write_at(int fd, const iovec* from, std::size_t parts,
                                std::int64_t offset) noexcept = 0;
  virtual int sync(int fd) noexcept = 0;
  virtual int truncate(int fd, std::int64_t size) noexcept = 0;
  virtual int examine(int fd, struct stat* about) noexcept = 0;
  virtual int examine(const char* path, struct stat* about) noexcept = 0;
  virtual int remove_file(const char* path) noexcept = 0;
  virtual int remove_directory(const char* path) noexcept = 0;
  virtual int rename(const char* from, const char* to) noexcept = 0;
  virtual int make_directory(const char* path, unsigned mode) noexcept = 0;
  /// Calls `take` for each name, until that is false.
  virtual int list(const char* path, bool (*take)(void* to, const char* name, mode_t mode), void* to) = 0;

 protected:
  system() = default;
  system(const system&) = default;
  system& operator=(const system&) = default;
  ~system() = default;
};

/// That of the run which the calling thread is in; null on all others.
inline system* simulated() noexcept {
  if (!os::may_be_simulated()) [[likely]]
    return nullptr;
  core::simulation* const run = core::simulation_of(os::current_port());
  return run == nullptr ? nullptr : &run->system();
}

/// As the system's calls tell it.
template <typename Number>
Number told(Number n) noexcept {
  if (n >= 0) return n;
  errno = static_cast<int>(-n);
  return -1;
}

namespace sys {

inline int close(int fd) noexcept {
  if (fd < first_simulated) [[likely]]
    return ::close(fd);
  system* const s = simulated();
  return told(s == nullptr ? -EBADF : s->close(fd));
}

/// One more number, which a child that is executed does not get.
int duplicate(int fd) noexcept;
/// Weft's calls must not block, and children that are executed do not get it.
int set_up(int fd) noexcept;

inline int poll(pollfd* one) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::poll(one, 1, 0);
  const int found = s->poll(one->fd, one->events);
  one->revents = static_cast<short>(found < 0 ? 0 : found);
  return found > 0 ? 1 : told(found);
}

inline ssize_t read(int fd, void* to, std::size_t size) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::read(fd, to, size);
  const iovec one{to, size};
  return told(s->read(fd, &one, 1));
}

inline ssize_t write(int fd, const void* from, std::size_t size) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::write(fd, from, size);
  const iovec one{const_cast<void*>(from), size};
  return told(s->write(fd, &one, 1));
}

inline ssize_t readv(int fd, const iovec* to, int parts) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::readv(fd, to, parts) : told(s->read(fd, to, static_cast<std::size_t>(parts)));
}

inline ssize_t writev(int fd, const iovec* from, int parts) noexcept {
  system* const s = simulated();
  return s == nullptr ? ::writev(fd, from, parts) : told(s->write(fd, from, static_cast<std::size_t>(parts)));
}

inline ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::recv(fd, to, size, flags);
  const iovec one{to, size};
  return told(s->receive(fd, &one, 1, nullptr, nullptr));
}

inline ssize_t send(int fd, const void* from, std::size_t size, int flags) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::send(fd, from, size, flags);
  const iovec one{const_cast<void*>(from), size};
  return told(s->send(fd, &one, 1, nullptr, 0));
}

/// No descriptor comes along in a simulated run, and none is sent: ENOTSUP.
inline ssize_t recvmsg(int fd, msghdr* m, int flags) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::recvmsg(fd, m, flags);
  m->msg_controllen = 0;
  return told(s->receive(fd, m->msg_iov, m->msg_iovlen, m->msg_name, &m->msg_namelen));
}

inline ssize_t sendmsg(int fd, const msghdr* m, int flags) noexcept {
  system* const s = simulated();
  if (s == nullptr) [[likely]]
    return ::sendmsg(fd, m, flags);
  if (m->msg_controllen != 0) return told(-ENOTSUP);
  return told(s->send(fd, m->msg_iov, m->msg_iovlen, m->msg_name, m->msg_namelen));
}

/// These do not block, and children that are executed do not get them.
int pipe(int* both) noexcept;
int socket(int family, int type) noexcept;
int socket_pair(int* both) noexcept;
int accept(int fd) noexcept;

int bind(int fd, const void* address, socklen_t size) noexcept;
int listen(int fd, int backlog) noexcept;
int connect(int fd, const void* address, socklen_t size) noexcept;
int shutdown(int fd, int how) noexcept;
int getsockname(int fd, void* address, socklen_t* size) noexcept;
int getpeername(int fd, void* address, socklen_t* size) noexcept;
int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept;
/// SO_ERROR
int take_error(int fd, int* error) noexcept;

int open(const char* path, int flags, unsigned mode = 0) noexcept;
ssize_t preadv(int fd, const iovec* to, int parts, off_t offset) noexcept;
/// What is in the system's cache.
ssize_t preadv_at_once(int fd, const iovec* to, int parts, off_t offset) noexcept;
ssize_t pwritev(int fd, const iovec* from, int parts, off_t offset) noexcept;
/// At the file's end.
ssize_t appendv(int fd, const iovec* from, int parts) noexcept;
int fsync(int fd) noexcept;
int fdatasync(int fd) noexcept;
int ftruncate(int fd, off_t size) noexcept;
int fstat(int fd, struct stat* about) noexcept;
int stat(const char* path, struct stat* about) noexcept;
int lstat(const char* path, struct stat* about) noexcept;
int unlink(const char* path) noexcept;
int rmdir(const char* path) noexcept;
int rename(const char* from, const char* to) noexcept;
int mkdir(const char* path, unsigned mode) noexcept;

}  // namespace sys

}  // namespace weft::io
