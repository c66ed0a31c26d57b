#pragma once

// byte_room: memory that grows while bytes come, until somebody takes it.

#include <weft/detail/file_call.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <utility>

namespace weft::io {

class byte_room {
 public:
  byte_room() noexcept = default;
  byte_room(const byte_room&) = delete;
  byte_room& operator=(const byte_room&) = delete;

  ~byte_room() { std::free(data_); }

  /// Behind what is there.  False: no memory.
  bool make_room(std::size_t more) noexcept {
    if (capacity_ - size_ >= more) return true;
    if (more > max_size - size_) return false;
    return resize(std::max({size_ + more, std::min(capacity_, max_size / 2) * 2, least}));
  }

  std::size_t room() const noexcept { return capacity_ - size_; }

  char* end() const noexcept { return data_ + size_; }

  void add(std::size_t more) noexcept { size_ += more; }

  /// Gives back what is too much, if it is.
  detail::owned_bytes take() noexcept {
    if (size_ == 0) return {};
    if (room() > size_ / 8 + least) resize(size_);
    return {std::exchange(data_, nullptr), std::exchange(size_, 0)};
  }

 private:
  static constexpr std::size_t least = 4096;
  static constexpr std::size_t max_size = PTRDIFF_MAX;

  bool resize(std::size_t capacity) noexcept {
    void* const moved = std::realloc(data_, capacity);
    if (moved == nullptr) return false;
    data_ = static_cast<char*>(moved);
    capacity_ = capacity;
    return true;
  }

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace weft::io
