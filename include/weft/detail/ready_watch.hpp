#pragma once

// ready_watch: how a select case waits for a descriptor.  Functions in lib/io/ready_case.cpp.

#include <weft/config.hpp>
#include <weft/detail/descriptor.hpp>
#include <weft/detail/io_wait.hpp>

#include <cstddef>

namespace weft::detail {

/// On a copy, which is there while the select waits.  Its case happens when the descriptor is ready; or, if
/// something is to be read, when that has been read.
class WEFT_API ready_watch {
 public:
  ready_watch(int fd, io_call call) noexcept : ready_watch(fd, call, nullptr, 0) {}

  ready_watch(int fd, io_call call, void* to, std::size_t size) noexcept
      : fd_(fd), call_(call), to_(to), size_(size) {}

  ready_watch(const ready_watch&) = delete;
  ready_watch& operator=(const ready_watch&) = delete;

  void start() noexcept {
    has_looked_ = false;
    error_ = 0;
  }

  /// After the wait: has read, or reads.  False: somebody else was quicker.
  bool take() noexcept;
  /// When its case has happened.  Throws std::system_error: by failing.
  void check() const;

 private:
  friend struct ready_steps;

  int fd_;
  int error_ = 0;
  io_call call_;
  bool has_looked_ = false;  // and found it ready
  void* to_;
  std::size_t size_;
  descriptor_handle own_;
  sched::scheduler* kept_ = nullptr;  // whose driver it is, of a thread without a runtime
};

}  // namespace weft::detail
