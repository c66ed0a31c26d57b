#pragma once

// byte_stream: what connections and pipes have in common.  Reading and writing may go on at the same time, in
// several routines; two that read from one stream take turns in an order that nobody promises.

#include <weft/config.hpp>
#include <weft/detail/descriptor.hpp>
#include <weft/detail/io_wait.hpp>
#include <weft/io/buffer.hpp>

#include <cstddef>
#include <span>
#include <utility>

namespace weft {

/// What the operations of a byte_stream return: gives how many bytes.
class [[nodiscard("co_await it")]] transfer_op : public detail::io_wait {
 public:
  using io_wait::io_wait;

  std::size_t finish(detail::waiter & w) {
    return static_cast<std::size_t>(end(w));
  }
};

/// read_exactly().
class [[nodiscard("co_await it")]] read_exactly_op : public detail::io_wait {
 public:
  using io_wait::io_wait;

  WEFT_API std::size_t finish(detail::waiter & w);
};

/// A descriptor that bytes are read from and written to.  Movable; operations that are under way do not move.
///
/// Each operation suspends the routine while the system is not ready, and never blocks its worker.  In plain
/// code: `blocking::wait(stream.read_some(buffer))`.  Buffers are borrowed until the operation has ended;
/// after that nobody touches them any more, cancelled or not.
///
/// \throws cancelled          the routine was cancelled; `_some` operations have done nothing then
/// \throws std::system_error  the system's code.  EBADF: the stream was closed before; ECANCELED: meanwhile.
///                            A peer that is gone: ECONNRESET, EPIPE - never a signal
/// \par Cost  one system call if the descriptor is ready; else two, one of which is shared by all that wait.
///            A list of buffers and a pipe: one more.  What never has to wait gives way to other routines
///            after 16 calls
class byte_stream {
 public:
  byte_stream(byte_stream&&) noexcept = default;
  byte_stream& operator=(byte_stream&&) noexcept = default;

  /// Waits until at least one byte has come and gives how many, at most the buffer's size.  0: the end, or an
  /// empty buffer.
  transfer_op read_some(mutable_buffer to) noexcept {
    return transfer_op(is_.get(), reads_, false, to.data(), to.size());
  }

  /// The same into several buffers, one after the other.  The list is borrowed, too.
  WEFT_API transfer_op read_some(std::span<const mutable_buffer> to) noexcept;

  /// Fills the buffer.  0: the stream had ended before its first byte; it throws ENODATA if it ends in the
  /// middle.  Cancelled, what has come is in the buffer, but how much is not known.
  read_exactly_op read_exactly(mutable_buffer to) noexcept {
    return read_exactly_op(is_.get(), reads_, true, to.data(), to.size());
  }

  /// Writes at least one byte, if there is one, and gives how many.
  transfer_op write_some(const_buffer from) noexcept {
    return transfer_op(is_.get(), writes_, false, const_cast<void*>(from.data()), from.size());
  }

  /// Writes all of it.  Cancelled or failed, a part may have been written.
  transfer_op write_all(const_buffer from) noexcept {
    return transfer_op(is_.get(), writes_, true, const_cast<void*>(from.data()), from.size());
  }

  /// The same from several buffers, one after the other: one system call for up to 64 of them.
  WEFT_API transfer_op write_all(std::span<const const_buffer> from) noexcept;

  /// Operations that are under way end by ECANCELED, later ones by EBADF.  Idempotent; waits for nothing but,
  /// for 1 ms at most, the kernel's io_uring to let go.
  void close() noexcept { is_.close(); }

  [[nodiscard]] bool is_open() const noexcept { return is_.number() >= 0; }

  /// The system's number, for calls that weft does not have; -1 if it is closed.  Weft needs it non-blocking:
  /// so must whoever else has it leave it.
  [[nodiscard]] int native_handle() const noexcept { return is_.number(); }

  /// Gives the descriptor away; this stream is closed then.  \throws std::system_error (EBUSY) while
  /// operations are under way
  [[nodiscard]] int release() { return is_.release(); }

 protected:
  byte_stream() noexcept = default;

  byte_stream(detail::descriptor_handle is, detail::io_call reads, detail::io_call writes) noexcept
      : is_(std::move(is)), reads_(reads), writes_(writes) {}

  ~byte_stream() = default;

  detail::descriptor_handle is_;

 private:
  detail::io_call reads_ = detail::io_call::read;
  detail::io_call writes_ = detail::io_call::write;
};

}  // namespace weft
