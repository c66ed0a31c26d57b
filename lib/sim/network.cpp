#include "sim/network.hpp"

#include <algorithm>

namespace weft::sim {

bool network::serves_any(const place& p, const net_address& to) noexcept {
  return p.at.is_any() && (p.at.is_v4() == to.is_v4() || (!p.at.is_v4() && p.takes_v4));
}

bool network::collide(const place& a, const place& b) noexcept {
  if (a.type != b.type || a.at.port != b.at.port || (a.may_share && b.may_share)) return false;
  return a.at == b.at || serves_any(a, b.at) || serves_any(b, a.at);
}

int network::bind(place& p) {
  if (!p.at.is_any() && !p.at.is_loopback()) return -EADDRNOTAVAIL;
  if (p.at.port == 0) {
    p.at.port = free_port(p.type);
    if (p.at.port == 0) return -EADDRINUSE;
  } else if (std::any_of(places_.begin(), places_.end(),
                         [&](const place& each) { return collide(p, each); })) {
    return -EADDRINUSE;
  }
  places_.push_back(p);
  return 0;
}

void network::unbind(const socket& who) noexcept {
  std::erase_if(places_, [&](const place& each) { return each.who == &who; });
}

std::uint16_t network::free_port(int type) noexcept {
  const auto is_taken = [&](std::uint16_t port) {
    return std::any_of(places_.begin(), places_.end(),
                       [&](const place& each) { return each.type == type && each.at.port == port; });
  };
  for (int tries = first_port; tries <= last_port; ++tries) {
    last_port_ = last_port_ == last_port ? first_port : static_cast<std::uint16_t>(last_port_ + 1);
    if (!is_taken(last_port_)) return last_port_;
  }
  return 0;
}

}  // namespace weft::sim
