#pragma once

// What tests of files share.

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace weft::test {

/// A directory of its own that is removed with what is in it.
class scratch {
 public:
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "weft-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::system_category(), name);
    path_ = name;
  }

  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;

  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  const std::string& path() const noexcept { return path_; }

  /// How many names are in it.
  std::size_t entries() const {
    std::size_t n = 0;
    for (auto at = std::filesystem::directory_iterator(path_); at != std::filesystem::directory_iterator();
         ++at)
      ++n;
    return n;
  }

 private:
  std::string path_;
};

}  // namespace weft::test
