#pragma once

// owned_fd: a number of the system's until it is handed to a descriptor; and its errors.

#include <cerrno>
#include <system_error>
#include <utility>

#include "io/system.hpp"

namespace weft::io {

[[noreturn]] inline void throw_errno(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

class owned_fd {
 public:
  /// Below zero: throws what errno says.
  owned_fd(int fd, const char* what) : fd_(fd) {
    if (fd < 0) throw_errno(what);
  }

  owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  owned_fd& operator=(owned_fd&&) = delete;

  ~owned_fd() {
    if (fd_ >= 0) sys::close(fd_);
  }

  int number() const noexcept { return fd_; }

  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// What a caller hands over; below zero it is no number, and errno is not about it.
inline owned_fd taken_over(int fd) {
  if (fd < 0) errno = EBADF;
  return {fd, "weft: adopt"};
}

/// Weft's calls must not block, and children that are executed do not get it.
inline void set_up(const owned_fd& fd) {
  if (sys::set_up(fd.number()) < 0) throw_errno("weft: descriptor");
}

}  // namespace weft::io
