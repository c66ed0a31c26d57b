#include "sim/net_address.hpp"

#include <weft/io/endpoint.hpp>

#include <algorithm>
#include <cstring>

#include <netinet/in.h>
#include <sys/un.h>

namespace weft::sim {

namespace {

constexpr std::size_t v4_at = 12;  // in the mapped form

constexpr std::size_t path_at = offsetof(sockaddr_un, sun_path);

void copy_out(const void* from, std::size_t bytes, void* to, socklen_t* size) noexcept {
  if (to != nullptr && *size != 0) std::memcpy(to, from, std::min<std::size_t>(*size, bytes));
  *size = static_cast<socklen_t>(bytes);
}

sockaddr_in v4_of(const net_address& a) noexcept {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(a.port);
  std::memcpy(&out.sin_addr, a.bytes.data() + v4_at, sizeof out.sin_addr);
  return out;
}

sockaddr_in6 v6_of(const net_address& a) noexcept {
  sockaddr_in6 out{};
  out.sin6_family = AF_INET6;
  out.sin6_port = htons(a.port);
  std::memcpy(&out.sin6_addr, a.bytes.data(), sizeof out.sin6_addr);
  return out;
}

}  // namespace

bool net_address::is_v4() const noexcept {
  constexpr std::array<unsigned char, v4_at> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

bool net_address::is_any() const noexcept {
  const auto from = bytes.begin() + (is_v4() ? v4_at : 0);
  return std::all_of(from, bytes.end(), [](unsigned char c) { return c == 0; });
}

bool net_address::is_loopback() const noexcept {
  if (is_v4()) return bytes[v4_at] == 127;
  return bytes[15] == 1 &&
         std::all_of(bytes.begin(), bytes.begin() + 15, [](unsigned char c) { return c == 0; });
}

net_address net_address::here() const noexcept {
  net_address a = *this;
  if (!is_any()) return a;
  if (is_v4()) a.bytes[v4_at] = 127;
  a.bytes[15] = 1;
  return a;
}

std::string net_address::text() const {
  const auto said = [](const auto& native) {
    return std::string(ip_endpoint::from_native(&native, sizeof native).text().view());
  };
  return is_v4() ? said(v4_of(*this)) : said(v6_of(*this));
}

net_address net_address::any(int family) noexcept {
  net_address a;
  if (family == AF_INET) a.bytes[10] = a.bytes[11] = 0xff;
  return a;
}

std::optional<net_address> read_address(int family, const void* from, socklen_t size) noexcept {
  net_address a = net_address::any(family);
  sa_family_t given = AF_UNSPEC;
  if (size >= sizeof given) std::memcpy(&given, from, sizeof given);
  if (given != family) return std::nullopt;
  if (family == AF_INET) {
    sockaddr_in in;
    if (size < sizeof in) return std::nullopt;
    std::memcpy(&in, from, sizeof in);
    std::memcpy(a.bytes.data() + v4_at, &in.sin_addr, sizeof in.sin_addr);
    a.port = ntohs(in.sin_port);
  } else {
    sockaddr_in6 in;
    if (size < sizeof in) return std::nullopt;
    std::memcpy(&in, from, sizeof in);
    std::memcpy(a.bytes.data(), &in.sin6_addr, sizeof in.sin6_addr);
    a.port = ntohs(in.sin6_port);
  }
  return a;
}

void write_address(int family, const net_address& from, void* to, socklen_t* size) noexcept {
  if (family == AF_INET) {
    const sockaddr_in out = v4_of(from);
    copy_out(&out, sizeof out, to, size);
  } else {
    const sockaddr_in6 out = v6_of(from);
    copy_out(&out, sizeof out, to, size);
  }
}

std::optional<std::string> read_local_name(const void* from, socklen_t size) {
  sockaddr_un in{};
  if (size < path_at || size > sizeof in) return std::nullopt;
  std::memcpy(&in, from, size);
  if (in.sun_family != AF_UNIX) return std::nullopt;
  if (size == path_at) return std::string();
  const std::string all(in.sun_path, size - path_at);
  return all[0] == '\0' ? all : std::string(all.c_str());
}

void write_local_name(const std::string& from, void* to, socklen_t* size) noexcept {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  from.copy(out.sun_path, sizeof out.sun_path - 1);
  const bool is_path = !from.empty() && from[0] != '\0';
  copy_out(&out, path_at + from.size() + (is_path ? 1 : 0), to, size);
}

}  // namespace weft::sim
