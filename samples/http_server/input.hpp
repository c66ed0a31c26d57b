#pragma once

// input: what a connection has brought and nobody has used yet.  Small while the connection is idle.

#include <weft/io/buffer.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

class input_buffer {
 public:
  std::string_view unread() const { return {bytes_.data() + begin_, end_ - begin_}; }

  bool empty() const { return begin_ == end_; }

  /// Where to read to; then add() says how much has come.  What unread() referred to has moved.
  weft::mutable_buffer room() {
    if (empty() && bytes_.size() > smallest) bytes_ = {};
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
    end_ -= begin_;
    begin_ = 0;
    bytes_.resize(end_ < smallest ? smallest : 2 * end_);
    return {bytes_.data() + end_, bytes_.size() - end_};
  }

  void add(std::size_t n) { end_ += n; }

  void consume(std::size_t n) {
    begin_ += n;
    if (empty()) begin_ = end_ = 0;
  }

 private:
  static constexpr std::size_t smallest = 1024;  // most heads fit in

  std::vector<char> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};
