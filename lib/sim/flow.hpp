#pragma once

// flow: bytes on their way in one direction, in order.  What is late is there from its time on, and what was
// sent after it not before that.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include <sys/uio.h>

#include "os/port.hpp"

namespace weft::sim {

/// A call's buffers, as one.
struct parts {
  const iovec* first;
  std::size_t count;

  std::size_t size() const noexcept;
};

/// Of what `from` holds, the first bytes.
void append(std::string& to, const parts& from, std::size_t size);
void scatter(const parts& to, const char* from, std::size_t size) noexcept;

class flow {
 public:
  explicit flow(std::size_t capacity) noexcept : capacity_(capacity) {}

  std::size_t room() const noexcept { return held() < capacity_ ? capacity_ - held() : 0; }

  void capacity(std::size_t bytes) noexcept { capacity_ = bytes; }

  void put(const parts& from, std::size_t size, os::nanos due);
  /// Of what is there.
  void take(const parts& to, std::size_t size);

  std::size_t readable(os::nanos now) noexcept;

  /// There, or on the way.
  std::size_t held() const noexcept { return bytes_.size() - begin_; }

  /// No more is put.  Gives when that is known.
  os::nanos end(os::nanos due) noexcept;
  /// The same at once, and what is still on its way is lost.
  void break_off(os::nanos now);

  bool has_ended(os::nanos now) const noexcept { return end_ <= now; }

  /// When all that was put, and the end, has come.
  os::nanos latest() const noexcept { return latest_; }

  bool reader_gone = false;

 private:
  struct mark {
    std::size_t size;
    os::nanos due;
  };

  std::size_t capacity_;
  std::string bytes_;  // from begin_ on
  std::size_t begin_ = 0;
  std::size_t arrived_ = 0;  // so many of them
  std::deque<mark> late_;    // and then these, in order
  os::nanos latest_ = 0;
  os::nanos end_ = os::never;
};

}  // namespace weft::sim
