#pragma once

// files: directories and files, with plain system calls that block.  Both faces run them by block_on_io.

#include <cstddef>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "text.hpp"

/// Something that cannot be read.
struct problem {
  std::string path;
  std::error_code why;
};

struct listing {
  std::vector<std::string> directories;
  std::vector<std::string> files;  // regular ones
  std::vector<problem> problems;
};

/// What is in one directory.  Neither follows symbolic links nor names them.
listing list_directory(const std::string& path);

/// A stretch of a file, and what was counted of it when it was read.
struct piece {
  std::string text;  // begins and ends where words do
  tally counted;
};

/// A file, read piece by piece: no piece splits a word.  Whatever the file is like, memory stays bounded: of
/// a word longer than longest_ranked the text is dropped while it is read.
class text_file {
 public:
  explicit text_file(std::string path) : path_(std::move(path)) {}

  text_file(const text_file&) = delete;
  text_file& operator=(const text_file&) = delete;
  ~text_file();

  /// Opens the file the first time.  False with the last piece.
  /// \throws std::system_error  also if it is no regular file any more
  bool next(piece& out);

 private:
  void open();
  bool read_up_to(std::size_t size, std::string& text);
  std::size_t skip_long_word(const std::string& text, bool is_at_end, tally& counted);

  std::string path_;
  int fd_ = -1;
  std::size_t piece_size_ = 0;
  std::string rest_;  // the last, unfinished word of the previous piece
  bool is_in_long_word_ = false;
  bool is_printable_ = false;  // the long word has a printable character
};
