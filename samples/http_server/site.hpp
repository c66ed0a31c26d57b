#pragma once

// site: the directory whose files are served.  Opening one may block; both faces run that by block_on_io.

#include <optional>
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

  /// The same, but does not look for names on the disk: nothing if the kernel does not know the way by heart,
  /// nor for what is refused.
  std::optional<opened> open_cached(const std::string& path) const noexcept;

 private:
  opened opened_by(const std::string& path, unsigned way) const noexcept;

  int root_;
};
