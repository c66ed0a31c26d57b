#pragma once

// TCP: tcp_listener, tcp_stream.

#include <weft/io/endpoint.hpp>
#include <weft/io/socket.hpp>

#include <utility>

namespace weft {

/// A connection.  Small writes are sent at once (TCP_NODELAY), as Go does.
class WEFT_API tcp_stream : public socket_stream {
 public:
  using endpoint = ip_endpoint;
  static constexpr int socket_type = 1;  // SOCK_STREAM

  /// Not connected.
  tcp_stream() noexcept = default;

  /// `co_await tcp_stream::connect(to)`; with a limit, `with_timeout(2s, tcp_stream::connect(to))`.
  /// \throws std::system_error (ECONNREFUSED, also where TCP would connect it to itself; ETIMEDOUT ...),
  ///         cancelled
  static connect_op<tcp_stream> connect(const ip_endpoint& to) { return connect_op<tcp_stream>(to); }

  /// Takes over a connected socket; closes it if this throws.
  static tcp_stream adopt(int socket);

  /// Small writes wait a little for more to be sent with them (false), or do not.
  void set_no_delay(bool on = true);
  /// The system probes a connection that is idle.
  void set_keep_alive(bool on = true);
  /// close() discards what has not been sent, and resets the connection.
  void set_reset_on_close(bool on = true);

  [[nodiscard]] ip_endpoint local_endpoint() const { return detail::endpoint_of<ip_endpoint>(is_, false); }

  [[nodiscard]] ip_endpoint peer_endpoint() const { return detail::endpoint_of<ip_endpoint>(is_, true); }

 private:
  friend class connect_op<tcp_stream>;
  friend class accept_op<tcp_stream>;

  explicit tcp_stream(detail::descriptor_handle socket);
};

struct listen_options {
  int backlog = 4096;  ///< connections that nobody has accepted yet; the system's own limit may be less
  bool reuse_address = true;  ///< also while connections of an earlier listener are closing
  bool reuse_port = false;    ///< several listeners share the port, and its connections
};

class WEFT_API tcp_listener : public listening_socket<tcp_stream> {
 public:
  /// Binds and listens; never waits.  `tcp_listener l(":8080");` takes both families.
  /// \throws std::system_error (EADDRINUSE, EACCES ...)
  explicit tcp_listener(const ip_endpoint& on, listen_options how = {});
};

}  // namespace weft
