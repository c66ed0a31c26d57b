#pragma once

// own_text: a copy of a path or a name, with a final zero, for the time of an operation.

#include <weft/config.hpp>

#include <cstddef>
#include <string_view>

namespace weft::detail {

class WEFT_API own_text {
 public:
  own_text() noexcept = default;
  /// \throws std::bad_alloc
  explicit own_text(std::string_view text);
  own_text(const own_text&) = delete;
  own_text& operator=(const own_text&) = delete;
  ~own_text();

  const char* text() const noexcept { return long_ != nullptr ? long_ : short_; }

  /// The system would see another name.
  bool has_zero() const noexcept { return has_zero_; }

 private:
  char* long_ = nullptr;
  bool has_zero_ = false;
  char short_[55] = {};  // most paths; the whole is 64 bytes
};

}  // namespace weft::detail
