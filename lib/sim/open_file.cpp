#include "sim/open_file.hpp"

#include <algorithm>
#include <limits>

#include <fcntl.h>
#include <poll.h>

#include "sim/machine.hpp"

namespace weft::sim {

namespace {

constexpr std::uint64_t longest = std::numeric_limits<std::int64_t>::max();

}  // namespace

bool open_file::may_read() const noexcept {
  return (flags_ & O_ACCMODE) != O_WRONLY;
}

bool open_file::may_write() const noexcept {
  return (flags_ & O_ACCMODE) != O_RDONLY;
}

std::int64_t open_file::read(system_call&, const parts& to) {
  const std::int64_t n = read_at(at_, to);
  if (n > 0) at_ += static_cast<std::uint64_t>(n);
  return n;
}

std::int64_t open_file::write(system_call&, const parts& from) {
  const std::int64_t n = write_at(at_, from);
  if (n > 0) at_ = (flags_ & O_APPEND) != 0 ? is_->bytes.size() : at_ + static_cast<std::uint64_t>(n);
  return n;
}

int open_file::look() {
  return POLLIN | POLLOUT;
}

std::int64_t open_file::read_at(std::uint64_t offset, const parts& to) {
  if (!may_read()) return -EBADF;
  if (is_->is_directory()) return -EISDIR;
  if (offset > longest) return -EINVAL;
  const std::uint64_t size = is_->bytes.size();
  if (offset >= size) return 0;
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(to.size(), size - offset));
  const std::size_t n = on_.cut(most, "a read is short");
  is_->bytes.read(offset, to, n);
  return static_cast<std::int64_t>(n);
}

std::int64_t open_file::write_at(std::uint64_t offset, const parts& from) {
  if (!may_write()) return -EBADF;
  if (offset > longest) return -EINVAL;
  if ((flags_ & O_APPEND) != 0) offset = is_->bytes.size();
  if (from.size() > longest - offset) return -EFBIG;
  if (from.size() == 0) return 0;
  if (on_.happens(on_.how().no_space, "there is no space")) return -ENOSPC;
  const std::size_t n = on_.cut(from.size(), "a write is short");
  is_->bytes.write(offset, from, n);
  is_->modified = is_->changed = on_.now();
  return static_cast<std::int64_t>(n);
}

std::int64_t open_file::append(const parts& from) {
  return write_at(is_->bytes.size(), from);
}

int open_file::truncate(std::int64_t size) {
  if (size < 0 || !may_write()) return -EINVAL;
  is_->bytes.resize(static_cast<std::uint64_t>(size));
  is_->modified = is_->changed = on_.now();
  return 0;
}

}  // namespace weft::sim
