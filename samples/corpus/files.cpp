#include "files.hpp"

#include <algorithm>
#include <utility>

namespace {

constexpr std::size_t largest_piece = 262'144;  // 256 KiB: a system call then costs little beside its copying

}  // namespace

std::string path_in(const std::string& directory, std::string_view name) {
  std::string path = directory;
  if (!path.ends_with('/')) path += '/';
  return path.append(name);
}

void require_regular(const weft::file_metadata& about) {
  if (about.kind != weft::file_kind::regular)
    throw std::system_error(std::make_error_code(std::errc::invalid_argument));
}

piece_cutter::piece_cutter(const weft::file_metadata& about)
    : piece_size_(std::clamp<std::size_t>(about.size + 1, 4096, largest_piece)) {
}  // + 1: the end is seen at once

weft::mutable_buffer piece_cutter::room() {
  rest_ = text_.size();
  text_.resize(rest_ + piece_size_);
  return {text_.data() + rest_, piece_size_};
}

piece piece_cutter::cut(std::size_t n) {
  is_at_end_ = n < piece_size_;
  text_.resize(rest_ + n);
  piece out;
  out.counted.bytes = n;
  out.counted.files = is_at_end_ ? 1 : 0;

  std::string left;  // for the next piece
  const std::size_t begin = skip_long_word(out.counted);
  std::size_t end = text_.size();
  if (!is_at_end_ && !is_in_long_word_) {
    end = std::max(begin, text_.find_last_of(white_space) + 1);  // npos + 1 is 0
    if (text_.size() - end <= longest_ranked) {
      left = text_.substr(end);
    } else {
      is_in_long_word_ = true;
      is_printable_ = has_printable(std::string_view(text_).substr(end));
    }
  }
  text_.resize(end);
  text_.erase(0, begin);
  out.text = std::exchange(text_, std::move(left));
  return out;
}

// Where the long word that we are in, if any, ends.
std::size_t piece_cutter::skip_long_word(tally& counted) {
  if (!is_in_long_word_) return 0;
  const std::size_t end = std::min(text_.find_first_of(white_space), text_.size());
  is_printable_ |= has_printable(std::string_view(text_).substr(0, end));
  if (end < text_.size() || is_at_end_) {
    is_in_long_word_ = false;
    counted.words += is_printable_ ? 1 : 0;
    counted.not_ranked += is_printable_ ? 1 : 0;
  }
  return end;
}
