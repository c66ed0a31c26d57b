#pragma once

// net_address: an address of IP in one form for both families; and the names of local sockets.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <sys/socket.h>

namespace weft::sim {

/// IPv4 is mapped into IPv6, as ::ffff:127.0.0.1.
struct net_address {
  std::array<unsigned char, 16> bytes{};
  std::uint16_t port = 0;

  bool operator==(const net_address&) const = default;

  bool is_v4() const noexcept;
  /// 0.0.0.0, ::
  bool is_any() const noexcept;
  /// 127.0.0.0/8, ::1
  bool is_loopback() const noexcept;
  /// The one that a connection to `any` goes to.
  net_address here() const noexcept;
  /// "127.0.0.1:80"
  std::string text() const;

  static net_address any(int family) noexcept;
};

/// Null: too short, or of another family.
std::optional<net_address> read_address(int family, const void* from, socklen_t size) noexcept;

/// As the system does: cut to the room, and the size is what it would take.
void write_address(int family, const net_address& from, void* to, socklen_t* size) noexcept;

/// The name of a local socket: a path, or a zero and any bytes; empty: it has none.  Null: not one.
std::optional<std::string> read_local_name(const void* from, socklen_t size);
void write_local_name(const std::string& from, void* to, socklen_t* size) noexcept;

}  // namespace weft::sim
