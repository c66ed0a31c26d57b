// Sockets: made, named, set up.  None of this waits.

#include <weft/io/tcp.hpp>
#include <weft/io/udp.hpp>
#include <weft/io/unix.hpp>

#include <array>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "io/owned_fd.hpp"
#include "io/system.hpp"

namespace weft {

using detail::descriptor_handle;
using detail::set_socket_option;
using io::owned_fd;

namespace {

static_assert(tcp_stream::socket_type == SOCK_STREAM && unix_stream::socket_type == SOCK_STREAM);

owned_fd new_socket(int family, int type) {
  return {io::sys::socket(family, type), "weft: socket"};
}

int family_of(const void* address) noexcept {
  return static_cast<const sockaddr*>(address)->sa_family;
}

void bind_to(const descriptor_handle& s, const void* address, std::size_t size) {
  if (io::sys::bind(s.number(), address, static_cast<socklen_t>(size)) != 0) io::throw_errno("weft: bind");
}

descriptor_handle listening(descriptor_handle s, int backlog) {
  if (io::sys::listen(s.number(), backlog) != 0) io::throw_errno("weft: listen");
  return s;
}

descriptor_handle bound_tcp(const ip_endpoint& on, const listen_options& how) {
  descriptor_handle s = detail::open_socket(on.native(), SOCK_STREAM);
  if (how.reuse_address) set_socket_option(s, SOL_SOCKET, SO_REUSEADDR, 1);
  if (how.reuse_port) set_socket_option(s, SOL_SOCKET, SO_REUSEPORT, 1);
  if (on.is_v6())
    set_socket_option(s, IPPROTO_IPV6, IPV6_V6ONLY, on == ip_endpoint::any_v6(on.port()) ? 0 : 1);
  bind_to(s, on.native(), on.native_size());
  return s;
}

descriptor_handle bound_unix(const unix_endpoint& on) {
  descriptor_handle s = detail::open_socket(on.native(), SOCK_STREAM);
  bind_to(s, on.native(), on.native_size());
  return s;
}

/// Closes it if it cannot be had.
descriptor_handle adopted(int fd) {
  owned_fd mine = io::taken_over(fd);
  io::set_up(mine);
  return descriptor_handle(mine.release());
}

}  // namespace

namespace detail {

descriptor_handle open_socket(const void* address, int type) {
  return descriptor_handle(new_socket(family_of(address), type).release());
}

void set_socket_option(const descriptor_handle& s, int level, int name, int value) {
  if (io::sys::setsockopt(s.number(), level, name, &value, sizeof value) != 0)
    io::throw_errno("weft: socket option");
}

void shut_down_socket(const descriptor_handle& s, int how) {
  if (io::sys::shutdown(s.number(), how) != 0) io::throw_errno("weft: shutdown");
}

std::size_t name_of_socket(const descriptor_handle& s, bool of_peer, void* address, std::size_t size) {
  auto length = static_cast<socklen_t>(size);
  const int fd = s.number();
  if ((of_peer ? io::sys::getpeername(fd, address, &length) : io::sys::getsockname(fd, address, &length)) !=
      0)
    io::throw_errno(of_peer ? "weft: peer's address" : "weft: own address");
  return length;
}

}  // namespace detail

// --- streams ---

void socket_stream::shutdown_write() {
  detail::shut_down_socket(is_, SHUT_WR);
}

void socket_stream::shutdown_read() {
  detail::shut_down_socket(is_, SHUT_RD);
}

void socket_stream::set_send_buffer(int bytes) {
  set_socket_option(is_, SOL_SOCKET, SO_SNDBUF, bytes);
}

void socket_stream::set_receive_buffer(int bytes) {
  set_socket_option(is_, SOL_SOCKET, SO_RCVBUF, bytes);
}

tcp_stream::tcp_stream(descriptor_handle socket)
    : socket_stream(std::move(socket), detail::io_call::receive_tcp) {
  // A peer that is gone already refuses it; the next operation says so.
  const int on = 1;
  io::sys::setsockopt(is_.number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

tcp_stream tcp_stream::adopt(int socket) {
  return tcp_stream(adopted(socket));
}

void tcp_stream::set_no_delay(bool on) {
  set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

void tcp_stream::set_keep_alive(bool on) {
  set_option(SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);
}

void tcp_stream::set_reset_on_close(bool on) {
  const linger how{on ? 1 : 0, 0};
  if (io::sys::setsockopt(is_.number(), SOL_SOCKET, SO_LINGER, &how, sizeof how) != 0)
    io::throw_errno("weft: socket option");
}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  std::array<int, 2> both;
  if (io::sys::socket_pair(both.data()) != 0) io::throw_errno("weft: socketpair");
  owned_fd second(both[1], "weft: socketpair");
  unix_stream first{descriptor_handle(both[0])};
  return {std::move(first), unix_stream(descriptor_handle(second.release()))};
}

unix_stream unix_stream::adopt(int socket) {
  return unix_stream(adopted(socket));
}

// --- listeners ---

tcp_listener::tcp_listener(const ip_endpoint& on, listen_options how)
    : listening_socket(listening(bound_tcp(on, how), how.backlog)) {}

unix_listener::unix_listener(const unix_endpoint& on, int backlog)
    : listening_socket(listening(bound_unix(on), backlog)) {}

// --- descriptors on their way ---

send_descriptor_op::send_descriptor_op(detail::descriptor* on, int fd) noexcept
    : io_wait(on, detail::io_call::pass_fd, false, &what_, 1), what_{fd} {}

recv_descriptor_op::recv_descriptor_op(detail::descriptor* on) noexcept
    : io_wait(on, detail::io_call::take_fd, false, &what_, 1) {}

int recv_descriptor_op::finish(detail::waiter& w) {
  end(w);
  return std::exchange(what_.fd, -1);
}

// --- datagrams ---

recv_from_op::recv_from_op(detail::descriptor* on, mutable_buffer to, ip_endpoint* sender) noexcept
    : io_wait(on, detail::io_call::message, false, &what_, to.size()),
      what_{to.data(), to.size(), address_, sizeof address_},
      sender_(sender) {}

std::size_t recv_from_op::finish(detail::waiter& w) {
  const std::int64_t n = end(w);
  if (sender_ != nullptr) *sender_ = ip_endpoint::from_native(address_, what_.address_size);
  what_.address_size = sizeof address_;
  return static_cast<std::size_t>(n);
}

send_to_op::send_to_op(detail::descriptor* on, const_buffer from, const ip_endpoint& to) noexcept
    : io_wait(on, detail::io_call::datagram, false, &what_, from.size()),
      what_{const_cast<void*>(from.data()), from.size(), nullptr, to.native_size()},
      to_(to) {
  what_.address = const_cast<void*>(to_.native());
}

udp_socket::udp_socket(const ip_endpoint& on) : is_(detail::open_socket(on.native(), SOCK_DGRAM)) {
  bind_to(is_, on.native(), on.native_size());
}

void udp_socket::connect(const ip_endpoint& peer) {
  if (io::sys::connect(is_.number(), peer.native(), static_cast<socklen_t>(peer.native_size())) != 0)
    io::throw_errno("weft: connect");
}

}  // namespace weft
