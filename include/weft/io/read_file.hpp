#pragma once

// read_file, write_file: whole files.  Their twins for plain code: <weft/io/blocking_file.hpp>.

#include <weft/config.hpp>
#include <weft/detail/file_call.hpp>
#include <weft/io/buffer.hpp>
#include <weft/io/path.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

namespace weft {

/// The bytes of a file.  Movable.
class file_contents {
 public:
  file_contents() noexcept = default;

  const char* data() const noexcept { return bytes_.data(); }

  std::size_t size() const noexcept { return bytes_.size(); }

  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  const char* begin() const noexcept { return data(); }

  const char* end() const noexcept { return data() + size(); }

  /// Refers to this object.
  std::string_view view() const noexcept { return {data(), size()}; }

  operator std::string_view() const& noexcept { return view(); }

  operator std::string_view() const&& = delete;

  std::span<const std::byte> bytes() const noexcept { return std::as_bytes(std::span(data(), size())); }

  /// A copy, as anything that is made of two pointers: std::string, std::vector<char>.
  template <typename Container>

  requires(!std::same_as<Container, std::string_view> &&
           requires(const char* p) { Container(p, p).size(); }) explicit
  operator Container() const {
    return Container(begin(), end());
  }

 private:
  friend class read_file_op;

  explicit file_contents(detail::owned_bytes bytes) noexcept : bytes_(std::move(bytes)) {}

  detail::owned_bytes bytes_;
};

struct write_options {
  /// What was there is replaced in one step by the whole new content, which is on the disk then: others see
  /// the one or the other, after a crash, too.  Takes the right to create files in the directory.  A symbolic
  /// link is replaced itself; the new file has `mode`.
  bool atomic = false;
  /// Waits until it is on the disk, its name as well: a directory that may be written to but not read costs a
  /// sync of its whole file system.  What knows no disk, as a FIFO and /dev/null, is not waited for.
  bool sync = false;
  unsigned mode = 0666;  ///< permissions of a new file, less the process's umask
};

/// read_file()
class [[nodiscard("co_await it")]] read_file_op : public detail::file_call {
 public:
  explicit read_file_op(path_view path) : file_call(detail::file_action::read_whole, path.text()) {
    request().data = &found_;
  }

  file_contents finish(detail::waiter & w) {
    end(w);
    return file_contents(std::move(found_));
  }

 private:
  detail::owned_bytes found_;
};

/// write_file()
class [[nodiscard("co_await it")]] write_file_op : public detail::file_call{
  public : write_file_op(path_view path, const_buffer bytes, const write_options& how) :
      file_call(how.atomic ? detail::file_action::replace_whole : detail::file_action::write_whole,
                path.text()){request().data = const_cast<void*>(bytes.data());
request().size = bytes.size();
request().mode = how.mode;
request().also_sync = how.sync;
}  // namespace weft

void finish(detail::waiter& w) {
  end(w);
}
}
;

/// `std::string text(co_await read_file("notes.txt"));`
///
/// Reads the whole file, or whatever else ends: a FIFO, a file of /proc.  The routine is suspended while a
/// thread of the blocking pool reads; once that has begun it cannot be cancelled, so a FIFO that nobody
/// writes to keeps a thread.  The path is copied.
///
/// \throws cancelled, std::system_error (ENOENT, EACCES, EISDIR ...; ENOTSUP: in a simulated run),
///         std::bad_alloc
/// \par Cost  One call on the blocking pool: two thread switches, four system calls.
template <detail::path_like P>
read_file_op read_file(const P& path) {
  return read_file_op(path);
}

/// `co_await write_file("notes.txt", text);`
///
/// The file has this content afterwards, and no other.  `bytes` are borrowed, the path is copied.  If it
/// fails, what is in the file is unspecified; with `atomic` it is what was there before, and nothing else is
/// left - unless the error is that of the directory's sync, or the process ends in between, which may leave a
/// file `.weft-*.tmp`.  Cancellation reaches it only before it has begun: then nothing was written.
///
/// \throws cancelled, std::system_error (EACCES, ENOSPC, EISDIR ...; ENOTSUP: in a simulated run)
/// \par Cost  One call on the blocking pool.
template <detail::path_like P, std::convertible_to<const_buffer> B>
write_file_op write_file(const P& path, B&& bytes, write_options how = {}) {
  return write_file_op(path, static_cast<B&&>(bytes), how);
}

}  // namespace weft
