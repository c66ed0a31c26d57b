#pragma once

// network: who is bound where, in a simulated run.  There is one host, with loopback and nothing else.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/net_address.hpp"

namespace weft::sim {

class socket;
class stream;

class network {
 public:
  /// What a socket binds to, as far as others care.
  struct place {
    int type;
    net_address at;
    bool takes_v4;   // of an IPv6 socket: that of any address serves both families
    bool may_share;  // SO_REUSEPORT
    socket* who;
  };

  /// Chooses the port if it is 0.  Gives 0 or the error.
  int bind(place& p);
  void unbind(const socket& who) noexcept;

  /// Who serves `to`: the one that is bound to the address before the one that is bound to any; those that
  /// share a port in turn.  Null: nobody.
  template <typename Accepts>
  socket* server(int type, const net_address& to, const Accepts& accepts) {
    auto found = places_.end();
    for (auto each = places_.begin(); each != places_.end(); ++each) {
      if (each->type != type || each->at.port != to.port || !accepts(*each->who)) continue;
      if (each->at == to) {
        found = each;
        break;
      }
      if (found == places_.end() && serves_any(*each, to)) found = each;
    }
    if (found == places_.end()) return nullptr;
    socket* const who = found->who;
    if (found->may_share) std::rotate(found, found + 1, places_.end());
    return who;
  }

  /// One that nobody is bound to.
  std::uint16_t free_port(int type) noexcept;

  /// Local sockets with an abstract name.
  std::map<std::string, std::weak_ptr<stream>> abstract_names;

 private:
  static bool serves_any(const place& p, const net_address& to) noexcept;
  static bool collide(const place& a, const place& b) noexcept;

  std::vector<place> places_;
  std::uint16_t last_port_ = first_port - 1;

  static constexpr std::uint16_t first_port = 32'768, last_port = 60'999;  // as Linux's ip_local_port_range
};

}  // namespace weft::sim
