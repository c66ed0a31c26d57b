#pragma once

// file_tree: the files of a simulated run.  At its beginning there are "/", where relative paths begin, too,
// and "/tmp".  Nobody is kept from anything by permissions, there are no links, and the umask is 022.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include "os/port.hpp"
#include "sim/flow.hpp"

namespace weft::sim {

class stream;

/// What a file holds; holes take no memory.
class file_bytes {
 public:
  std::uint64_t size() const noexcept { return size_; }

  /// In blocks of 512 bytes.
  std::uint64_t blocks() const noexcept { return pages_.size() * (page_size / 512); }

  /// At most what there is from `offset` on.
  void read(std::uint64_t offset, const parts& to, std::size_t size) const;
  void write(std::uint64_t offset, const parts& from, std::size_t size);
  void resize(std::uint64_t size);

 private:
  static constexpr std::size_t page_size = 4096;

  std::map<std::uint64_t, std::array<char, page_size>> pages_;
  std::uint64_t size_ = 0;
};

struct inode {
  std::uint64_t number;
  mode_t mode;
  unsigned names = 0;  // of a file
  os::nanos modified = 0;
  os::nanos changed = 0;
  file_bytes bytes;
  std::map<std::string, std::shared_ptr<inode>, std::less<>> entries;  // of a directory
  std::weak_ptr<stream> server;                                        // of a socket

  bool is_directory() const noexcept { return S_ISDIR(mode); }

  void examine(struct stat& to) const noexcept;
};

/// Errors are those of the system, below zero.
class file_tree {
 public:
  /// Where a path leads.
  struct place {
    std::shared_ptr<inode> in;  // null: it ends in ".", ".." or is the root
    std::string name;
    std::shared_ptr<inode> is;                   // null: there is none of that name
    std::vector<std::shared_ptr<inode>> on_way;  // the directories
    bool must_be_directory = false;              // a slash is its end
  };

  file_tree();

  int find(std::string_view path, place& to) const;
  /// In a place where there is none.
  std::shared_ptr<inode> make(place& at, mode_t mode, os::nanos now);
  int remove_file(std::string_view path, os::nanos now);
  int remove_directory(std::string_view path, os::nanos now);
  int rename(std::string_view from, std::string_view to, os::nanos now);

 private:
  static int check_replacement(const place& from, const place& to);

  std::uint64_t last_number_ = 0;
  std::shared_ptr<inode> root_;
};

}  // namespace weft::sim
