#pragma once

// open_file: a file or directory of a simulated run that is open.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "sim/file_tree.hpp"
#include "sim/thing.hpp"

namespace weft::sim {

class open_file final : public thing {
 public:
  /// `flags` as open(2) takes them.
  open_file(machine& on, std::shared_ptr<inode> is, int flags, std::string path)
      : thing(on), is_(std::move(is)), flags_(flags), path_(std::move(path)) {}

  open_file* as_file() noexcept override { return this; }

  /// From and to where the last one ended.
  std::int64_t read(system_call& by, const parts& to) override;
  std::int64_t write(system_call& by, const parts& from) override;
  int look() override;

  void close(system_call&) override {}

  std::string description() const override {
    return (is_->is_directory() ? "the directory " : "the file ") + path_;
  }

  std::int64_t read_at(std::uint64_t offset, const parts& to);
  std::int64_t write_at(std::uint64_t offset, const parts& from);
  std::int64_t append(const parts& from);
  int truncate(std::int64_t size);

  const inode& is() const noexcept { return *is_; }

 private:
  bool may_read() const noexcept;
  bool may_write() const noexcept;

  const std::shared_ptr<inode> is_;
  const int flags_;
  const std::string path_;
  std::uint64_t at_ = 0;
};

}  // namespace weft::sim
