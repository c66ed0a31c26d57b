#pragma once

// site: the directory whose files are served.  One plain system call that blocks; both faces run it by
// block_on_io.

#include <string>

#include "answer.hpp"

class site {
 public:
  /// \throws std::system_error  `root` is no directory
  explicit site(const std::string& root);

  site(const site&) = delete;
  site& operator=(const site&) = delete;
  ~site();

  struct opened {
    int file = -1;  // the caller's to close; -1: refused
    file_facts facts{};
    status refusal = status::not_found;
  };

  /// Opens a regular file at `path` beneath the root.  Neither `..` nor a symbolic link leads out of it, not
  /// even while somebody changes the tree: the kernel sees to that.
  opened open(const std::string& path) const noexcept;

 private:
  int root_;
};
