#pragma once

// UDP: udp_socket.

#include <weft/io/endpoint.hpp>
#include <weft/io/socket.hpp>

#include <cstddef>

namespace weft {

/// udp_socket::recv_from(): gives the size.
class [[nodiscard("co_await it")]] recv_from_op : public detail::io_wait {
 public:
  WEFT_API recv_from_op(detail::descriptor * on, mutable_buffer to, ip_endpoint * sender) noexcept;
  recv_from_op(const recv_from_op&) = delete;
  recv_from_op& operator=(const recv_from_op&) = delete;

  WEFT_API std::size_t finish(detail::waiter & w);

 private:
  detail::datagram what_;
  ip_endpoint* sender_;
  alignas(8) unsigned char address_[28];
};

/// udp_socket::send_to()
class [[nodiscard("co_await it")]] send_to_op : public detail::io_wait {
 public:
  WEFT_API send_to_op(detail::descriptor * on, const_buffer from, const ip_endpoint& to) noexcept;
  send_to_op(const send_to_op&) = delete;
  send_to_op& operator=(const send_to_op&) = delete;

  void finish(detail::waiter & w) {
    end(w);
  }

 private:
  detail::datagram what_;
  ip_endpoint to_;
};

/// Messages that may be lost, doubled and reordered.
///
/// \throws cancelled, std::system_error; ECONNREFUSED: an earlier message found nobody
class WEFT_API udp_socket {
 public:
  /// Bound there; port 0: the system chooses one.  \throws std::system_error
  explicit udp_socket(const ip_endpoint& on);

  /// Waits for the next message; gives its size, at most the buffer's - what does not fit is lost - and who
  /// sent it.
  recv_from_op recv_from(mutable_buffer to, ip_endpoint& sender) noexcept {
    return recv_from_op(is_.get(), to, &sender);
  }

  recv_from_op recv(mutable_buffer to) noexcept { return recv_from_op(is_.get(), to, nullptr); }

  /// Sends one message, wholly or not at all.
  send_to_op send_to(const_buffer message, const ip_endpoint& to) noexcept {
    return send_to_op(is_.get(), message, to);
  }

  /// From now on only messages of `peer` come in, and send() goes there.  Never waits.
  void connect(const ip_endpoint& peer);

  send_to_op send(const_buffer message) noexcept { return send_to_op(is_.get(), message, {}); }

  void set_option(int level, int name, int value) { detail::set_socket_option(is_, level, name, value); }

  void close() noexcept { is_.close(); }

  [[nodiscard]] bool is_open() const noexcept { return is_.number() >= 0; }

  [[nodiscard]] int native_handle() const noexcept { return is_.number(); }

  [[nodiscard]] ip_endpoint local_endpoint() const { return detail::endpoint_of<ip_endpoint>(is_, false); }

 private:
  detail::descriptor_handle is_;
};

}  // namespace weft
