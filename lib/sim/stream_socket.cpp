// Streams before they are connected: names, connect, accept.

#include <algorithm>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sim/machine.hpp"
#include "sim/stream.hpp"
#include "sim/system_call.hpp"

namespace weft::sim {

int stream::bind(const void* address, socklen_t size) {
  if (is_bound_) return -EINVAL;
  if (kind_ == kind::local) {
    const auto name = read_local_name(address, size);
    return name ? bind_local(*name) : -EINVAL;
  }
  const auto at = read_address(family_, address, size);
  if (!at) return -EINVAL;
  network::place p{SOCK_STREAM, *at, takes_v4_, may_share_, this};
  if (const int error = on_.net().bind(p)) return error;
  own_ = p.at;
  is_bound_ = true;
  return 0;
}

int stream::bind_local(const std::string& name) {
  if (name.empty()) return -EINVAL;
  if (name[0] == '\0') {
    auto& bound = on_.net().abstract_names[name];
    if (!bound.expired()) return -EADDRINUSE;
    bound = self();
  } else if (const int error = on_.add_socket(name, self())) {
    return error == -EEXIST ? -EADDRINUSE : error;
  }
  own_name_ = name;
  is_bound_ = true;
  return 0;
}

int stream::listen(int backlog) {
  if (connected_ || connecting_) return -EINVAL;
  if (!is_bound_ && kind_ == kind::local) return -EINVAL;
  if (!is_bound_) {
    network::place p{SOCK_STREAM, net_address::any(family_), takes_v4_, may_share_, this};
    if (const int error = on_.net().bind(p)) return error;
    own_ = p.at;
    is_bound_ = true;
  }
  if (line_ == nullptr) line_ = std::make_unique<line>();
  line_->backlog = static_cast<std::size_t>(std::clamp(backlog, 0, 4096));  // as net.core.somaxconn
  return 0;
}

int stream::accept(system_call& by) {
  if (line_ == nullptr) return -EINVAL;
  if (line_->accepted.empty()) return -EAGAIN;
  if (kind_ == kind::tcp && on_.happens(on_.how().resets, "a connection is reset before it is accepted")) {
    const auto lost = line_->accepted.front();
    line_->accepted.pop_front();
    lost->reset_peer(by);
    lost->connected_ = false;
    return -ECONNABORTED;
  }
  const int fd = on_.add(line_->accepted.front());
  if (fd < 0) return fd;
  line_->accepted.pop_front();
  while (!line_->is_full() && !line_->knocking.empty()) {
    const auto next = line_->knocking.front().lock();
    line_->knocking.pop_front();
    if (next != nullptr && next->connecting_) next->meet(by, *this);
  }
  return fd;
}

int stream::connect(system_call& by, const void* address, socklen_t size) {
  if (connected_) return -EISCONN;
  if (connecting_) return -EALREADY;
  if (line_ != nullptr) return -EISCONN;
  if (kind_ == kind::local) {
    const auto name = read_local_name(address, size);
    return name ? connect_local(by, *name) : -EINVAL;
  }
  const auto to = read_address(family_, address, size);
  return to ? connect_tcp(by, to->here()) : -EINVAL;
}

int stream::connect_local(system_call& by, const std::string& name) {
  std::shared_ptr<stream> there;
  if (!name.empty() && name[0] == '\0') {
    const auto found = on_.net().abstract_names.find(name);
    if (found != on_.net().abstract_names.end()) there = found->second.lock();
  } else if (const int error = on_.find_socket(name, there)) {
    return error;
  }
  if (there == nullptr || there->line_ == nullptr) return -ECONNREFUSED;
  if (there->line_->is_full()) return -EAGAIN;
  name_of_peer_ = name;
  meet(by, *there);
  return 0;
}

int stream::connect_tcp(system_call& by, const net_address& to) {
  if (!to.is_loopback()) return -ENETUNREACH;
  of_peer_ = to;
  if (!is_bound_) {
    own_ = net_address::any(to.is_v4() ? AF_INET : AF_INET6).here();
    own_.port = on_.net().free_port(SOCK_STREAM);
  }
  own_ = own_.here();
  connecting_ = true;
  const os::nanos late = on_.delay("a connection is slow");
  if (late == 0) return knock(by);
  on_.later(on_.now() + late, *this, [](system_call& then, thing& it) {
    auto& me = static_cast<stream&>(it);
    if (!me.connecting_) return;
    const int error = me.knock(then);
    if (error == 0 || error == -EINPROGRESS) return;
    me.error_ = -error;
    then.tell_end(me);
  });
  return -EINPROGRESS;
}

int stream::knock(system_call& by) {
  const auto listens = [](const socket& s) { return static_cast<const stream&>(s).line_ != nullptr; };
  auto* const there = static_cast<stream*>(on_.net().server(SOCK_STREAM, of_peer_, listens));
  if (there == nullptr) return connecting_ = false, -ECONNREFUSED;
  if (!there->line_->is_full()) return meet(by, *there), 0;
  there->line_->knocking.push_back(self());
  return -EINPROGRESS;
}

void stream::meet(system_call& by, stream& listener) {
  const auto far = std::make_shared<stream>(on_, kind_, listener.family_);
  connecting_ = false;
  far->receive_buffer_ = listener.receive_buffer_;
  far->send_buffer_ = listener.send_buffer_;
  far->own_ = of_peer_;
  far->of_peer_ = own_;
  far->own_name_ = listener.own_name_;
  far->name_of_peer_ = own_name_;
  join(self(), far);
  listener.line_->accepted.push_back(far);
  by.tell_readable(listener);
  by.tell_writable(*this);
}

void stream::stop_listening(system_call& by) {
  const auto all = std::move(line_);
  for (const auto& far : all->accepted) {
    if (const auto peer = far->peer_.lock()) peer->break_off(by);
  }
  for (const auto& each : all->knocking) {
    const auto who = each.lock();
    if (who == nullptr || !std::exchange(who->connecting_, false)) continue;
    who->error_ = ECONNREFUSED;
    by.tell_end(*who);
  }
}

// --- names and options ---

int stream::name(bool of_peer, void* address, socklen_t* size) const {
  if (of_peer && !connected_) return -ENOTCONN;
  if (kind_ == kind::local) {
    write_local_name(of_peer ? name_of_peer_ : own_name_, address, size);
  } else {
    const bool has_one = of_peer || own_.port != 0;
    write_address(family_, of_peer ? of_peer_ : has_one ? own_ : net_address::any(family_), address, size);
  }
  return 0;
}

std::string stream::local_text(bool of_peer) const {
  std::string name = of_peer ? name_of_peer_ : own_name_;
  if (name.empty()) return "a socket without a name";
  if (name[0] == '\0') name[0] = '@';
  return name;
}

int stream::set_option(int level, int name, const void* value, socklen_t size) {
  int number = 0;
  if (size < sizeof number) return -EINVAL;
  std::memcpy(&number, value, sizeof number);
  if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_SNDBUF)) {
    const auto bytes = static_cast<std::size_t>(std::max(number, 1));
    (name == SO_RCVBUF ? receive_buffer_ : send_buffer_) = bytes;
    const auto peer = peer_.lock();
    if (in_ != nullptr) in_->capacity(receive_buffer_ + (peer == nullptr ? 0 : peer->send_buffer_));
    if (out_ != nullptr && peer != nullptr) out_->capacity(peer->receive_buffer_ + send_buffer_);
    return 0;
  }
  if (level == SOL_SOCKET && name == SO_REUSEPORT) return may_share_ = number != 0, 0;
  if (level == SOL_SOCKET && name == SO_LINGER) {
    linger how{};
    if (size < sizeof how) return -EINVAL;
    std::memcpy(&how, value, sizeof how);
    return resets_on_close_ = how.l_onoff != 0 && how.l_linger == 0, 0;
  }
  if (level == SOL_SOCKET && (name == SO_REUSEADDR || name == SO_KEEPALIVE)) return 0;
  if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && family_ == AF_INET6) return takes_v4_ = number == 0, 0;
  if (level == IPPROTO_TCP && name == TCP_NODELAY && kind_ == kind::tcp) return 0;
  return -ENOPROTOOPT;
}

}  // namespace weft::sim
