#pragma once

// What the kinds of sockets share: socket_stream, listening_socket, and their connect() and accept().

#include <weft/io/stream.hpp>

#include <cstddef>
#include <utility>

namespace weft {

namespace detail {

/// A new socket of the address's family that does not block.  Throws std::system_error.
WEFT_API descriptor_handle open_socket(const void* address, int type);
WEFT_API void set_socket_option(const descriptor_handle& s, int level, int name, int value);
WEFT_API void shut_down_socket(const descriptor_handle& s, int how);
/// Fills in the socket's own address, or the peer's; gives its size.
WEFT_API std::size_t name_of_socket(const descriptor_handle& s, bool of_peer, void* address,
                                    std::size_t size);

template <typename Endpoint>
Endpoint endpoint_of(const descriptor_handle& s, bool of_peer) {
  alignas(8) unsigned char address[128];
  const std::size_t size = name_of_socket(s, of_peer, address, sizeof address);
  return Endpoint::from_native(address, size);
}

struct held_socket {
  descriptor_handle socket;
};

}  // namespace detail

/// A connection between two sockets.
class WEFT_API socket_stream : public byte_stream {
 public:
  /// No more is written: the peer reads the end when it has read everything.
  void shutdown_write();
  /// A read that waits, and each later one that finds nothing, gives the end.  On Linux what comes after this
  /// is still received, and read.
  void shutdown_read();

  /// The sizes of the system's buffers, in bytes; it takes them as a hint.
  void set_send_buffer(int bytes);
  void set_receive_buffer(int bytes);

  /// Any other option whose value is an int: setsockopt(2).
  void set_option(int level, int name, int value) { detail::set_socket_option(is_, level, name, value); }

 protected:
  socket_stream() noexcept = default;

  socket_stream(detail::descriptor_handle socket, detail::io_call reads) noexcept
      : byte_stream(std::move(socket), reads, detail::io_call::send) {}
};

/// What `Stream::connect()` returns: gives the stream.
template <typename Stream>
class [[nodiscard("co_await it")]] connect_op : detail::held_socket, public detail::io_wait {
 public:
  explicit connect_op(const typename Stream::endpoint& to)
      : held_socket{detail::open_socket(to.native(), Stream::socket_type)},
        io_wait(socket.get(), detail::io_call::connect, false, nullptr, to.native_size()),
        to_(to) {
    from(to_.native());
  }

  connect_op(const connect_op&) = delete;
  connect_op& operator=(const connect_op&) = delete;

  Stream finish(detail::waiter & w) {
    end(w);
    return Stream(std::move(socket));
  }

 private:
  typename Stream::endpoint to_;
};

/// What accept() returns: gives the stream.
template <typename Stream>
class [[nodiscard("co_await it")]] accept_op : public detail::io_wait{
  public : explicit accept_op(detail::descriptor * on) noexcept :
      io_wait(on, detail::io_call::accept, false, nullptr, 0){}

  Stream finish(detail::waiter & w){return Stream(detail::descriptor_handle(static_cast<int>(end(w))));
}  // namespace weft
}
;

/// A socket that connections come to.  Several routines may accept at the same time.
template <typename Stream>
class listening_socket {
 public:
  using endpoint = typename Stream::endpoint;

  /// Waits for the next connection.  One that was reset before it could be accepted is passed over.
  ///
  /// \throws cancelled
  /// \throws std::system_error  EMFILE, ENFILE, ENOBUFS: out of descriptors or memory.  The connection is not
  ///                            lost: accept again when there are some, and wait a little meanwhile.
  ///                            ECANCELED, EBADF: the listener was closed
  accept_op<Stream> accept() noexcept { return accept_op<Stream>(is_.get()); }

  /// An accept() that is under way ends by ECANCELED, and the address is free when it has: unless a child
  /// process still has a copy, or the kernel's io_uring has not let go within 1 ms, for which this waits.
  void close() noexcept { is_.close(); }

  [[nodiscard]] bool is_open() const noexcept { return is_.number() >= 0; }

  [[nodiscard]] int native_handle() const noexcept { return is_.number(); }

  /// With the port that the system has chosen, if it was 0.
  [[nodiscard]] endpoint local_endpoint() const { return detail::endpoint_of<endpoint>(is_, false); }

 protected:
  explicit listening_socket(detail::descriptor_handle socket) noexcept : is_(std::move(socket)) {}

 private:
  detail::descriptor_handle is_;
};

}  // namespace weft
