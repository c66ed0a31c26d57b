#pragma once

// What is asked of files by their names; directories.
//
// Every operation here is one call on the blocking pool, during which the routine is suspended; in plain code
// `blocking::wait(metadata(path))`.  Paths are copied.  Cancellation reaches it only before the call has
// begun: then it has done nothing.  Errors: cancelled, std::system_error with the system's code (ENOENT,
// EACCES ...).

#include <weft/io/file.hpp>
#include <weft/io/path.hpp>

#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>

namespace weft {

/// Of the file at `path`; a symbolic link is followed.
inline metadata_op metadata(path_view path) {
  return {detail::file_action::examine_path, path.text()};
}

/// The same of a link itself.
inline metadata_op link_metadata(path_view path) {
  return {detail::file_action::examine_link, path.text()};
}

/// Removes the name; the file goes with its last name and its last user.  EISDIR: it is a directory.
inline file_done_op remove_file(path_view path) {
  return file_done_op(detail::file_action::remove_file, path.text());
}

/// ENOTEMPTY: there is something in it.
inline file_done_op remove_directory(path_view path) {
  return file_done_op(detail::file_action::remove_directory, path.text());
}

/// What was at `to` is replaced, in one step.  EXDEV: on another file system.
inline file_done_op rename_file(path_view from, path_view to) {
  return file_done_op(detail::file_action::rename, from.text(), to.text());
}

/// make_directory()
class [[nodiscard("co_await it")]] make_directory_op
    : public detail::file_call{public : make_directory_op(path_view path, unsigned mode) : file_call(
          detail::file_action::make_directory, path.text()){request().mode = mode;
}  // namespace weft

void finish(detail::waiter& w) {
  end(w);
}
}
;

/// `mode` are its permissions, less the process's umask.  EEXIST: there is something.
inline make_directory_op make_directory(path_view path, unsigned mode = 0777) {
  return {path, mode};
}

/// Of a directory_listing, which owns the name.
struct directory_entry {
  std::string_view name;  ///< without the directory's; a final zero follows
  file_kind kind;         ///< a symbolic link is one
};

/// What was in a directory, without "." and "..", in the system's order.
class directory_listing {
 public:
  directory_listing() noexcept = default;

  class iterator {
   public:
    using value_type = directory_entry;
    using reference = directory_entry;
    using pointer = void;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::forward_iterator_tag;

    iterator() noexcept = default;

    directory_entry operator*() const noexcept {
      return {std::string_view(at_ + 1), static_cast<file_kind>(*at_)};
    }

    iterator& operator++() noexcept {
      at_ += 1 + std::string_view(at_ + 1).size() + 1;
      return *this;
    }

    iterator operator++(int) noexcept {
      const iterator before = *this;
      ++*this;
      return before;
    }

    bool operator==(const iterator&) const noexcept = default;

   private:
    friend class directory_listing;

    explicit iterator(const char* at) noexcept : at_(at) {}

    const char* at_ = nullptr;  // the kind, the name, a zero
  };

  iterator begin() const noexcept { return iterator(entries_.data()); }

  iterator end() const noexcept { return iterator(entries_.data() + entries_.size()); }

  [[nodiscard]] bool empty() const noexcept { return entries_.size() == 0; }

 private:
  friend class list_directory_op;

  explicit directory_listing(detail::owned_bytes entries) noexcept : entries_(std::move(entries)) {}

  detail::owned_bytes entries_;
};

/// list_directory()
class [[nodiscard("co_await it")]] list_directory_op : public detail::file_call {
 public:
  explicit list_directory_op(path_view path) : file_call(detail::file_action::list, path.text()) {
    request().data = &found_;
  }

  directory_listing finish(detail::waiter & w) {
    end(w);
    return directory_listing(std::move(found_));
  }

 private:
  detail::owned_bytes found_;
};

/// Reads all of a directory: its names must fit into memory.  One that is added or removed meanwhile is there
/// or not.  ENOTDIR: it is none.  \throws std::bad_alloc
inline list_directory_op list_directory(path_view path) {
  return list_directory_op(path);
}

}  // namespace weft
