#pragma once

// descriptor_handle: owns one open descriptor of the system's, and what weft knows of it.  Functions in
// lib/io/descriptor.cpp.

#include <weft/config.hpp>

#include <utility>

namespace weft::detail {

struct descriptor;

/// Takes over `fd`, which must not block.  Throws std::bad_alloc, and has closed it then.
WEFT_API descriptor* adopt_descriptor(int fd);
/// Idempotent.  What is under way on it ends by ECANCELED, what comes later by EBADF; the number is given
/// back to the system when the last operation that is under way has left it.
WEFT_API void close_descriptor(descriptor& d) noexcept;
/// Closes it; the record is for the next.
WEFT_API void drop_descriptor(descriptor& d) noexcept;
/// Gives the number, the caller's to close, and drops the record.  Throws std::system_error while operations
/// are under way.
WEFT_API int release_descriptor(descriptor& d);
/// -1 if it is closed.
WEFT_API int number_of(const descriptor& d) noexcept;

/// One routine may close what another reads from: the record stays until the handle goes.
class descriptor_handle {
 public:
  descriptor_handle() noexcept = default;

  explicit descriptor_handle(int fd) : is_(adopt_descriptor(fd)) {}

  descriptor_handle(descriptor_handle&& other) noexcept : is_(std::exchange(other.is_, nullptr)) {}

  descriptor_handle& operator=(descriptor_handle&& other) noexcept {
    if (this == &other) return *this;
    drop();
    is_ = std::exchange(other.is_, nullptr);
    return *this;
  }

  ~descriptor_handle() { drop(); }

  descriptor* get() const noexcept { return is_; }

  int number() const noexcept { return is_ == nullptr ? -1 : number_of(*is_); }

  void close() noexcept {
    if (is_ != nullptr) close_descriptor(*is_);
  }

  int release() {
    if (is_ == nullptr) return -1;
    const int fd = release_descriptor(*is_);
    is_ = nullptr;
    return fd;
  }

 private:
  void drop() noexcept {
    if (is_ != nullptr) drop_descriptor(*is_);
  }

  descriptor* is_ = nullptr;
};

}  // namespace weft::detail
