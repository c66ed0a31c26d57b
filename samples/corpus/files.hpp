#pragma once

// files: the bytes of a file as pieces that split no word.  Nothing here reads anything: both faces do.

#include <weft/io/file.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "text.hpp"

/// Something that cannot be read.
struct problem {
  std::string path;
  std::error_code why;
};

/// The name of an entry of a directory.
std::string path_in(const std::string& directory, std::string_view name);

/// The walk saw a regular file, but others may have replaced it since.
/// \throws std::system_error  it is none any more
void require_regular(const weft::file_metadata& about);

/// A stretch of a file, and what was counted of it when it was read.
struct piece {
  std::string text;  // begins and ends where words do
  tally counted;
};

/// Cuts a file that is read from its begin to its end.  Whatever the file is like, memory stays bounded: of a
/// word longer than longest_ranked the text is dropped while it is read.
class piece_cutter {
 public:
  explicit piece_cutter(const weft::file_metadata& about);

  /// Where to read the next bytes to, behind what is left of the last piece.
  weft::mutable_buffer room();

  /// `n` bytes were read there, and if they do not fill it the file has ended.
  piece cut(std::size_t n);

  bool is_at_end() const { return is_at_end_; }

 private:
  std::size_t skip_long_word(tally& counted);

  std::size_t piece_size_;
  std::string text_;      // ends with the last, unfinished word of the previous piece
  std::size_t rest_ = 0;  // its size
  bool is_at_end_ = false;
  bool is_in_long_word_ = false;
  bool is_printable_ = false;  // the long word has a printable character
};
