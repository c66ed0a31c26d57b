#pragma once

// file: a file that is open.  What is asked of files by their names: <weft/io/directory.hpp>; whole files:
// <weft/io/read_file.hpp>.

#include <weft/config.hpp>
#include <weft/detail/descriptor.hpp>
#include <weft/detail/file_call.hpp>
#include <weft/io/buffer.hpp>
#include <weft/io/path.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace weft {

class file;

/// How a file is opened; combined by |.
enum class open_flags : unsigned {
  read = 1,
  write = 2,
  append = 4,      ///< to be written, at its end only, wherever write_at() says
  create = 8,      ///< if there is none yet
  truncate = 16,   ///< its content is dropped; needs write
  exclusive = 32,  ///< with create: EEXIST if there is one
  no_follow = 64,  ///< ELOOP if the path's last name is a symbolic link
};

constexpr open_flags operator|(open_flags a, open_flags b) noexcept {
  return static_cast<open_flags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

enum class file_kind : std::uint8_t {
  regular,
  directory,
  symbolic_link,
  fifo,
  socket,
  character_device,
  block_device,
  unknown
};

/// What the system knows of a file.
struct file_metadata {
  using time = std::chrono::sys_time<std::chrono::nanoseconds>;  ///< 1677 to 2262; saturates

  file_kind kind = file_kind::unknown;
  std::uint32_t mode = 0;  ///< the permissions, as 0644
  std::uint64_t size = 0;  ///< in bytes
  std::uint64_t inode = 0;
  std::uint64_t device = 0;
  std::uint64_t links = 0;
  std::uint64_t allocated = 0;  ///< bytes on the disk; less than the size: it has holes
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  time modified{};  ///< the content
  time accessed{};
  time changed{};  ///< the content, or what stands here
};

/// Gives how many bytes.
class [[nodiscard("co_await it")]] file_transfer_op : public detail::file_call {
 public:
  std::size_t finish(detail::waiter & w) {
    return static_cast<std::size_t>(end(w));
  }

 private:
  friend class file;

  file_transfer_op(detail::descriptor * on, detail::file_action action, std::uint64_t offset, void* data,
                   std::size_t size) noexcept
      : file_call(action, on) {
    request().offset = offset;
    request().data = data;
    request().size = size;
  }
};

/// Gives nothing.
class [[nodiscard("co_await it")]] file_done_op : public detail::file_call{
  public : template <typename... On>
  explicit file_done_op(detail::file_action action, const On&... on) : file_call(action, on...){}

  file_done_op(detail::file_action action, detail::descriptor* on, std::uint64_t offset) noexcept :
      file_call(action, on){request().offset = offset;
}  // namespace weft

void finish(detail::waiter& w) {
  end(w);
}
}
;

/// metadata()
class [[nodiscard("co_await it")]] metadata_op : public detail::file_call {
 public:
  template <typename On>
  metadata_op(detail::file_action action, const On& on) : file_call(action, on) {
    request().data = &found_;
  }

  file_metadata finish(detail::waiter & w) {
    end(w);
    return found_;
  }

 private:
  file_metadata found_;
};

/// file::size()
class [[nodiscard("co_await it")]] file_size_op : public metadata_op {
 public:
  using metadata_op::metadata_op;

  std::uint64_t finish(detail::waiter & w) {
    return metadata_op::finish(w).size;
  }
};

/// file::open()
class [[nodiscard("co_await it")]] open_op : public detail::file_call {
 public:
  WEFT_API open_op(path_view path, open_flags how, unsigned mode);

  file finish(detail::waiter & w);
};

/// An open file.  Movable; operations that are under way do not move.
///
/// Every operation suspends the routine while the system works, and never blocks its worker; in plain code
/// `blocking::wait(f.read_at(0, buffer))` makes the call on the calling thread.  Each says where in the file,
/// so any number of routines may use one file at the same time.  Buffers are borrowed until the operation has
/// ended; after that nobody touches them any more.
///
/// Cancellation reaches an operation only before the system has been asked: then it has done nothing.  Later
/// the routine waits for its end, and the next wait throws.
///
/// \throws cancelled
/// \throws std::system_error  the system's code.  EBADF: not open, or not for this; EINVAL: at 2^63 or
///                            beyond; ENOTSUP: a file of the system's in a simulated run, which has files of
///                            its own
/// \par Cost  a call on the blocking pool, two thread switches; what of a read is in the system's cache needs
///            none of that, only the system call (up to 256 KiB)
class WEFT_API file {
 public:
  /// Not open.
  file() noexcept = default;

  /// `file f = co_await file::open("notes.txt", open_flags::write | open_flags::create);`
  ///
  /// `mode` are the permissions of one that is created, less the process's umask.  A FIFO without a peer
  /// waits for it, holding a thread of the blocking pool; for those is pipe_end::adopt().
  /// \throws std::system_error  ENOENT, EACCES, EEXIST, EISDIR, EMFILE ...; EINVAL: truncate without write
  static open_op open(path_view path, open_flags how = open_flags::read, unsigned mode = 0666) {
    return {path, how, mode};
  }

  /// Takes over a number of the system's; closes it if this throws std::bad_alloc.  \throws std::system_error
  /// (EBADF) below zero
  static file adopt(int fd) { return file(detail::descriptor_handle(fd)); }

  /// Reads from byte `offset` on until the buffer is full or the file ends, and gives how many bytes; 0: the
  /// end, or an empty buffer.  If it fails, what is in the buffer is unspecified.
  file_transfer_op read_at(std::uint64_t offset, mutable_buffer to) noexcept {
    return {is_.get(), detail::file_action::read, offset, to.data(), to.size()};
  }

  /// The same into several buffers, one after the other.  The list is borrowed, too.
  file_transfer_op read_at(std::uint64_t offset, std::span<const mutable_buffer> to) noexcept {
    return {is_.get(), detail::file_action::scatter, offset, const_cast<mutable_buffer*>(to.data()),
            to.size()};
  }

  /// Writes all of it from byte `offset` on, and gives how many bytes.  If it fails, a part may have been
  /// written.  Beyond the end, what lies between reads as zeros.
  file_transfer_op write_at(std::uint64_t offset, const_buffer from) noexcept {
    return {is_.get(), detail::file_action::write, offset, const_cast<void*>(from.data()), from.size()};
  }

  /// The same from several buffers, one after the other.
  file_transfer_op write_at(std::uint64_t offset, std::span<const const_buffer> from) noexcept {
    return {is_.get(), detail::file_action::gather, offset, const_cast<const_buffer*>(from.data()),
            from.size()};
  }

  /// Writes all of it at the end of the file, wherever that is then: several may append to one file.
  file_transfer_op append(const_buffer from) noexcept {
    return {is_.get(), detail::file_action::append, 0, const_cast<void*>(from.data()), from.size()};
  }

  /// Waits until what was written is on the disk; `data_only`: without the times and what else is not needed
  /// to read it again.
  file_done_op sync(bool data_only = false) noexcept {
    return file_done_op(data_only ? detail::file_action::sync_data : detail::file_action::sync, is_.get());
  }

  /// In bytes.
  file_size_op size() noexcept { return {detail::file_action::examine, is_.get()}; }

  /// Cuts the file off there, or makes it longer by zeros.
  file_done_op truncate(std::uint64_t size) noexcept {
    return {detail::file_action::truncate, is_.get(), size};
  }

  metadata_op metadata() noexcept { return {detail::file_action::examine, is_.get()}; }

  /// Operations that are under way go on to their end, later ones fail by EBADF.  Idempotent.  The destructor
  /// closes, too, without a wait; here it is said if the system could not store what was written before
  /// (EIO, ENOSPC, EDQUOT; on network file systems), and the file is closed nevertheless.
  file_done_op close() noexcept { return file_done_op(detail::file_action::close, is_.get()); }

  [[nodiscard]] bool is_open() const noexcept { return is_.number() >= 0; }

  /// The system's number, for calls that weft does not have; -1 if it is closed.
  [[nodiscard]] int native_handle() const noexcept { return is_.number(); }

  /// Gives the number away; this file is closed then.  \throws std::system_error (EBUSY) while operations are
  /// under way, close() as well
  [[nodiscard]] int release() { return is_.release(); }

 private:
  explicit file(detail::descriptor_handle is) noexcept : is_(std::move(is)) {}

  detail::descriptor_handle is_;
};

inline file open_op::finish(detail::waiter& w) {
  return file::adopt(static_cast<int>(end(w)));
}

}  // namespace weft
