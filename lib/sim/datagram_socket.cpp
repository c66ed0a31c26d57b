#include "sim/datagram_socket.hpp"

#include <algorithm>
#include <cstring>

#include <netinet/in.h>
#include <poll.h>

#include "sim/machine.hpp"
#include "sim/system_call.hpp"

namespace weft::sim {

namespace {

constexpr std::size_t longest_message = 65'507;
constexpr std::size_t most_held = 212'992;  // as net.core.rmem_default

}  // namespace

std::int64_t datagram_socket::read(system_call& by, const parts& to) {
  return receive(by, to, nullptr, nullptr);
}

std::int64_t datagram_socket::write(system_call& by, const parts& from) {
  return send(by, from, nullptr, 0);
}

std::int64_t datagram_socket::receive(system_call&, const parts& to, void* sender, socklen_t* size) {
  if (error_ != 0) return -take_error();
  if (came_.empty()) return -EAGAIN;
  const message m = std::move(came_.front());
  came_.pop_front();
  held_ -= m.bytes.size();
  const std::size_t n = std::min(m.bytes.size(), to.size());
  scatter(to, m.bytes.data(), n);
  if (sender != nullptr) write_address(family_, m.from, sender, size);
  return static_cast<std::int64_t>(n);
}

std::int64_t datagram_socket::send(system_call& by, const parts& from, const void* receiver, socklen_t size) {
  const auto named = receiver == nullptr ? peer_ : read_address(family_, receiver, size);
  if (!named) return receiver == nullptr ? -EDESTADDRREQ : -EINVAL;
  if (error_ != 0) return -take_error();
  const std::size_t bytes = from.size();
  if (bytes > longest_message) return -EMSGSIZE;
  const net_address to = named->here();
  if (!to.is_loopback()) return -ENETUNREACH;
  if (!own_) {
    if (const int error = bind_to(net_address::any(family_))) return error;
  }
  message m{own_->is_any() && to.is_v4() ? net_address::any(AF_INET).here() : own_->here(), {}};
  m.from.port = own_->port;
  append(m.bytes, from, bytes);
  if (on_.happens(on_.how().lost_datagrams, "a datagram is lost")) return static_cast<std::int64_t>(bytes);
  const os::nanos late = on_.delay("a datagram is late");
  if (late == 0) {
    arrive(by, to, std::move(m));
  } else {
    on_.later(on_.now() + late, *this, [to, m](system_call& then, thing& it) {
      static_cast<datagram_socket&>(it).arrive(then, to, m);
    });
  }
  return static_cast<std::int64_t>(bytes);
}

/// Where it was sent to.
void datagram_socket::arrive(system_call& by, const net_address& to, message m) {
  const auto wants = [&](const socket& s) {
    const auto& there = static_cast<const datagram_socket&>(s);
    return !there.peer_ || *there.peer_ == m.from;
  };
  auto* const there = static_cast<datagram_socket*>(on_.net().server(SOCK_DGRAM, to, wants));
  if (there == nullptr) {
    if (!peer_ || *peer_ != to) return;
    error_ = ECONNREFUSED;
    by.tell_readable(*this);
    by.tell_writable(*this);
  } else if (there->held_ + m.bytes.size() <= most_held) {
    there->held_ += m.bytes.size();
    there->came_.push_back(std::move(m));
    by.tell_readable(*there);
  }
}

int datagram_socket::look() {
  if (error_ != 0) return POLLERR | POLLIN | POLLOUT;
  return POLLOUT | (came_.empty() ? 0 : POLLIN);
}

void datagram_socket::close(system_call&) {
  on_.net().unbind(*this);
}

std::string datagram_socket::description() const {
  return "a socket for datagrams" + (own_ ? " at " + own_->text() : std::string());
}

// --- names and options ---

int datagram_socket::bind(const void* address, socklen_t size) {
  if (own_) return -EINVAL;
  const auto at = read_address(family_, address, size);
  return at ? bind_to(*at) : -EINVAL;
}

int datagram_socket::bind_to(const net_address& at) {
  network::place p{SOCK_DGRAM, at, takes_v4_, may_share_, this};
  const int error = on_.net().bind(p);
  if (error == 0) own_ = p.at;
  return error;
}

int datagram_socket::connect(system_call&, const void* address, socklen_t size) {
  const auto to = read_address(family_, address, size);
  if (!to) return -EINVAL;
  if (!to->here().is_loopback()) return -ENETUNREACH;
  peer_ = to->here();
  return 0;
}

int datagram_socket::name(bool of_peer, void* address, socklen_t* size) const {
  if (of_peer && !peer_) return -ENOTCONN;
  const auto& said = of_peer ? peer_ : own_;
  write_address(family_, said ? *said : net_address::any(family_), address, size);
  return 0;
}

int datagram_socket::set_option(int level, int name, const void* value, socklen_t size) {
  int number = 0;
  if (size < sizeof number) return -EINVAL;
  std::memcpy(&number, value, sizeof number);
  if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && family_ == AF_INET6) return takes_v4_ = number == 0, 0;
  if (level != SOL_SOCKET) return -ENOPROTOOPT;
  if (name == SO_REUSEPORT) return may_share_ = number != 0, 0;
  const bool is_known =
      name == SO_REUSEADDR || name == SO_BROADCAST || name == SO_RCVBUF || name == SO_SNDBUF;
  return is_known ? 0 : -ENOPROTOOPT;
}

}  // namespace weft::sim
