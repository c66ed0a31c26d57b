#pragma once

// Sockets within a machine: unix_listener, unix_stream.  They also pass descriptors to another process.

#include <weft/io/endpoint.hpp>
#include <weft/io/socket.hpp>
#include <weft/io/tcp.hpp>

#include <utility>

namespace weft {

/// unix_stream::send_descriptor()
class [[nodiscard("co_await it")]] send_descriptor_op : public detail::io_wait {
 public:
  WEFT_API send_descriptor_op(detail::descriptor * on, int fd) noexcept;
  send_descriptor_op(const send_descriptor_op&) = delete;
  send_descriptor_op& operator=(const send_descriptor_op&) = delete;

  void finish(detail::waiter & w) {
    end(w);
  }

 private:
  detail::passed_descriptor what_;
};

/// unix_stream::recv_descriptor()
class [[nodiscard("co_await it")]] recv_descriptor_op : public detail::io_wait {
 public:
  WEFT_API explicit recv_descriptor_op(detail::descriptor * on) noexcept;
  recv_descriptor_op(const recv_descriptor_op&) = delete;
  recv_descriptor_op& operator=(const recv_descriptor_op&) = delete;

  WEFT_API int finish(detail::waiter & w);

 private:
  detail::passed_descriptor what_;
};

class WEFT_API unix_stream : public socket_stream {
 public:
  using endpoint = unix_endpoint;
  static constexpr int socket_type = 1;  // SOCK_STREAM

  /// Not connected.
  unix_stream() noexcept = default;

  /// Fails by EAGAIN if more connections wait there than the listener lets.
  static connect_op<unix_stream> connect(const unix_endpoint& to) { return connect_op<unix_stream>(to); }

  /// Two that are connected to one another.  \throws std::system_error
  static std::pair<unix_stream, unix_stream> pair();
  /// Takes over a connected socket; closes it if this throws.
  static unix_stream adopt(int socket);

  /// Gives the peer a copy of `fd`, which stays the caller's, beside one byte of the stream.  ENOTSUP: in a
  /// simulated run.
  send_descriptor_op send_descriptor(int fd) noexcept { return send_descriptor_op(is_.get(), fd); }

  /// Waits for the next byte and the descriptor that came with it: the caller's to close, -1 if there was
  /// none, or at the end of the stream.
  /// \throws std::system_error  EMFILE: one came, and there was no number for it; byte and descriptor are
  /// gone
  recv_descriptor_op recv_descriptor() noexcept { return recv_descriptor_op(is_.get()); }

  [[nodiscard]] unix_endpoint local_endpoint() const {
    return detail::endpoint_of<unix_endpoint>(is_, false);
  }

  [[nodiscard]] unix_endpoint peer_endpoint() const { return detail::endpoint_of<unix_endpoint>(is_, true); }

 private:
  friend class connect_op<unix_stream>;
  friend class accept_op<unix_stream>;

  explicit unix_stream(detail::descriptor_handle socket) noexcept
      : socket_stream(std::move(socket), detail::io_call::receive) {}
};

class WEFT_API unix_listener : public listening_socket<unix_stream> {
 public:
  /// Binds and listens; never waits.  A path is left in the file system, as the system does.
  /// \throws std::system_error (EADDRINUSE: something is at the path ...)
  explicit unix_listener(const unix_endpoint& on, int backlog = 4096);
};

}  // namespace weft
