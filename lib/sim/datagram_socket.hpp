#pragma once

// datagram_socket: UDP.  What is late is overtaken by what is not, and what finds no room is lost.

#include <cstddef>
#include <deque>
#include <optional>
#include <string>

#include "sim/net_address.hpp"
#include "sim/thing.hpp"

namespace weft::sim {

class datagram_socket final : public socket {
 public:
  datagram_socket(machine& on, int family) noexcept : socket(on), family_(family) {}

  std::int64_t read(system_call& by, const parts& to) override;
  std::int64_t write(system_call& by, const parts& from) override;
  std::int64_t receive(system_call& by, const parts& to, void* sender, socklen_t* size) override;
  std::int64_t send(system_call& by, const parts& from, const void* receiver, socklen_t size) override;
  int look() override;
  void close(system_call& by) override;
  std::string description() const override;
  int bind(const void* address, socklen_t size) override;

  int listen(int) override { return -EOPNOTSUPP; }

  int accept(system_call&) override { return -EOPNOTSUPP; }

  int connect(system_call& by, const void* address, socklen_t size) override;

  int shut_down(system_call&, int) override { return -ENOTCONN; }

  int name(bool of_peer, void* address, socklen_t* size) const override;
  int set_option(int level, int name, const void* value, socklen_t size) override;

 private:
  struct message {
    net_address from;
    std::string bytes;
  };

  int bind_to(const net_address& at);
  void arrive(system_call& by, const net_address& to, message m);

  const int family_;
  std::deque<message> came_;
  std::size_t held_ = 0;  // bytes of them
  std::optional<net_address> own_, peer_;
  bool takes_v4_ = true;
  bool may_share_ = false;
};

}  // namespace weft::sim
