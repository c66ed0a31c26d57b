#include "sim/file_tree.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <limits.h>

namespace weft::sim {

namespace {

constexpr mode_t umask = 022;

timespec time_of(os::nanos t) noexcept {
  constexpr os::nanos second = 1'000'000'000;
  return {static_cast<time_t>(t / second), static_cast<long>(t % second)};
}

/// Of what is left of a path, without the slashes around it.
std::string_view take_name(std::string_view& path) noexcept {
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view name = path.substr(0, end);
  path.remove_prefix(std::min(path.find_first_not_of('/', end), path.size()));
  return name;
}

}  // namespace

// --- bytes ---

void file_bytes::read(std::uint64_t offset, const parts& to, std::size_t size) const {
  std::string out;
  while (out.size() < size) {
    const std::uint64_t at = offset + out.size();
    const std::size_t in_page = at % page_size;
    const std::size_t n = std::min(size - out.size(), page_size - in_page);
    const auto page = pages_.find(at / page_size);
    if (page == pages_.end()) {
      out.append(n, '\0');
    } else {
      out.append(page->second.data() + in_page, n);
    }
  }
  scatter(to, out.data(), size);
}

void file_bytes::write(std::uint64_t offset, const parts& from, std::size_t size) {
  std::string in;
  append(in, from, size);
  for (std::size_t done = 0; done < size;) {
    const std::uint64_t at = offset + done;
    const std::size_t in_page = at % page_size;
    const std::size_t n = std::min(size - done, page_size - in_page);
    std::memcpy(pages_[at / page_size].data() + in_page, in.data() + done, n);
    done += n;
  }
  if (size != 0) size_ = std::max(size_, offset + size);
}

void file_bytes::resize(std::uint64_t size) {
  if (size < size_) {
    pages_.erase(pages_.lower_bound((size + page_size - 1) / page_size), pages_.end());
    const auto last = pages_.find(size / page_size);
    if (last != pages_.end()) std::fill(last->second.begin() + size % page_size, last->second.end(), '\0');
  }
  size_ = size;
}

void inode::examine(struct stat& to) const noexcept {
  to = {};
  to.st_dev = 1;
  to.st_ino = number;
  to.st_mode = mode;
  to.st_nlink = names;
  to.st_size = static_cast<off_t>(is_directory() ? 4096 : bytes.size());
  to.st_blocks = static_cast<blkcnt_t>(bytes.blocks());
  to.st_blksize = 4096;
  to.st_mtim = to.st_atim = time_of(modified);
  to.st_ctim = time_of(changed);
}

// --- names ---

file_tree::file_tree() : root_(std::make_shared<inode>()) {
  root_->number = ++last_number_;
  root_->mode = S_IFDIR | 0755;
  root_->names = 2;
  place tmp;
  static_cast<void>(find("/tmp", tmp));
  make(tmp, S_IFDIR | 0777, 0);
}

int file_tree::find(std::string_view path, place& to) const {
  if (path.empty()) return -ENOENT;
  if (path.size() >= PATH_MAX) return -ENAMETOOLONG;
  to.must_be_directory = path.back() == '/';
  to.on_way = {root_};
  to.is = root_;
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  while (!path.empty()) {
    const std::string_view name = take_name(path);
    if (to.is == nullptr) return -ENOENT;
    if (!to.is->is_directory()) return -ENOTDIR;
    if (name.size() > NAME_MAX) return -ENAMETOOLONG;
    if (name == "." || name == "..") {
      if (name == ".." && to.on_way.size() > 1) to.on_way.pop_back();
      to.is = to.on_way.back();
      to.in = nullptr;
      continue;
    }
    to.in = to.is;
    to.name = name;
    const auto found = to.in->entries.find(name);
    to.is = found == to.in->entries.end() ? nullptr : found->second;
    if (to.is != nullptr && to.is->is_directory()) to.on_way.push_back(to.is);
  }
  return to.must_be_directory && to.is != nullptr && !to.is->is_directory() ? -ENOTDIR : 0;
}

std::shared_ptr<inode> file_tree::make(place& at, mode_t mode, os::nanos now) {
  const auto made = std::make_shared<inode>();
  made->number = ++last_number_;
  made->mode = mode & ~umask;
  made->names = S_ISDIR(mode) ? 2 : 1;
  made->modified = made->changed = at.in->modified = at.in->changed = now;
  if (S_ISDIR(mode)) ++at.in->names;
  at.in->entries[at.name] = made;
  return at.is = made;
}

int file_tree::remove_file(std::string_view path, os::nanos now) {
  place at;
  if (const int error = find(path, at)) return error;
  if (at.is == nullptr) return -ENOENT;
  if (at.is->is_directory()) return -EISDIR;
  at.in->entries.erase(at.name);
  --at.is->names;
  at.is->changed = at.in->modified = at.in->changed = now;
  return 0;
}

int file_tree::remove_directory(std::string_view path, os::nanos now) {
  place at;
  if (const int error = find(path, at)) return error;
  if (at.is == nullptr) return -ENOENT;
  if (!at.is->is_directory()) return -ENOTDIR;
  if (at.is == root_) return -EBUSY;
  if (at.in == nullptr) return path.ends_with("..") ? -ENOTEMPTY : -EINVAL;
  if (!at.is->entries.empty()) return -ENOTEMPTY;
  at.in->entries.erase(at.name);
  --at.in->names;
  at.is->names = 0;
  at.in->modified = at.in->changed = now;
  return 0;
}

int file_tree::check_replacement(const place& from, const place& to) {
  if (from.in == nullptr || to.in == nullptr) return -EBUSY;
  if (from.is == nullptr) return -ENOENT;
  if (!from.is->is_directory() && to.must_be_directory) return -ENOTDIR;
  const auto inside = std::find(to.on_way.begin(), to.on_way.end(), from.is);
  if (inside != to.on_way.end() && to.is != from.is) return -EINVAL;
  if (to.is == nullptr || to.is == from.is) return 0;
  if (from.is->is_directory() != to.is->is_directory()) return to.is->is_directory() ? -EISDIR : -ENOTDIR;
  return to.is->entries.empty() ? 0 : -ENOTEMPTY;
}

int file_tree::rename(std::string_view from, std::string_view to, os::nanos now) {
  place before, after;
  if (const int error = find(from, before)) return error;
  if (const int error = find(to, after)) return error;
  if (const int error = check_replacement(before, after)) return error;
  if (before.is == after.is) return 0;
  if (before.is->is_directory()) {
    --before.in->names;
    if (after.is == nullptr) ++after.in->names;
  }
  if (after.is != nullptr) {
    after.is->names = 0;
    after.is->changed = now;
  }
  before.in->entries.erase(before.name);
  after.in->entries[after.name] = before.is;
  for (const place* each : {&before, &after}) each->in->modified = each->in->changed = now;
  before.is->changed = now;
  return 0;
}

}  // namespace weft::sim
