#include <weft/io/endpoint.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <system_error>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace weft {

namespace {

[[noreturn]] void throw_error(int error, const char* what) {
  throw std::system_error(error, std::system_category(), what);
}

[[noreturn]] void throw_no_endpoint() {
  throw_error(EINVAL, "weft: not an endpoint; as 127.0.0.1:80, [::1]:80 or :80 - names are for resolve()");
}

template <typename T>
bool read_number(std::string_view text, T& to) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

/// inet_pton() wants a final zero.
class zero_ended {
 public:
  explicit zero_ended(std::string_view text) {
    if (text.size() >= sizeof text_ || text.find('\0') != std::string_view::npos) throw_no_endpoint();
    std::copy(text.begin(), text.end(), text_);
  }

  const char* text() const noexcept { return text_; }

 private:
  char text_[64]{};
};

std::uint32_t read_scope(std::string_view zone) {
  std::uint32_t scope = 0;
  if (read_number(zone, scope)) return scope;
  scope = ::if_nametoindex(zero_ended(zone).text());
  if (scope == 0) throw_error(errno, "weft: no such network interface");
  return scope;
}

template <typename Native, std::size_t N>
Native as(const std::array<unsigned char, N>& raw) noexcept {
  static_assert(sizeof(Native) <= N);
  Native a;
  std::memcpy(&a, raw.data(), sizeof a);
  return a;
}

sa_family_t family_of(const void* address, std::size_t size) noexcept {
  sockaddr a{};
  std::memcpy(&a, address, std::min(size, sizeof a));
  return size < sizeof a.sa_family ? sa_family_t{AF_UNSPEC} : a.sa_family;
}

ip_endpoint of(const sockaddr_in& a) {
  return ip_endpoint::from_native(&a, sizeof a);
}

ip_endpoint of(const sockaddr_in6& a) {
  return ip_endpoint::from_native(&a, sizeof a);
}

ip_endpoint v4(in_addr_t address, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(address);
  return of(a);
}

ip_endpoint v6(const in6_addr& address, std::uint16_t port) {
  sockaddr_in6 a{};
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(port);
  a.sin6_addr = address;
  return of(a);
}

ip_endpoint parse(std::string_view address, std::uint16_t port) {
  if (address.empty()) return ip_endpoint::any_v6(port);
  in_addr four;
  if (::inet_pton(AF_INET, zero_ended(address).text(), &four) == 1) return v4(ntohl(four.s_addr), port);
  const std::size_t percent = address.find('%');
  sockaddr_in6 a{};
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(port);
  if (::inet_pton(AF_INET6, zero_ended(address.substr(0, percent)).text(), &a.sin6_addr) != 1)
    throw_no_endpoint();
  if (percent != std::string_view::npos) a.sin6_scope_id = read_scope(address.substr(percent + 1));
  return of(a);
}

ip_endpoint parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string_view::npos || !read_number(text.substr(colon + 1), port)) throw_no_endpoint();
  std::string_view address = text.substr(0, colon);
  const bool bracketed = address.size() >= 2 && address.front() == '[' && address.back() == ']';
  if (bracketed) address = address.substr(1, address.size() - 2);
  // ::1:80 could be read in two ways.
  if (bracketed != (address.find(':') != std::string_view::npos)) throw_no_endpoint();
  return parse(address, port);
}

}  // namespace

ip_endpoint::ip_endpoint(std::string_view text) : ip_endpoint(parse(text)) {}

ip_endpoint::ip_endpoint(std::string_view address, std::uint16_t port) : ip_endpoint(parse(address, port)) {}

ip_endpoint ip_endpoint::loopback(std::uint16_t port) noexcept {
  return v4(INADDR_LOOPBACK, port);
}

ip_endpoint ip_endpoint::loopback_v6(std::uint16_t port) noexcept {
  return v6(in6addr_loopback, port);
}

ip_endpoint ip_endpoint::any(std::uint16_t port) noexcept {
  return v4(INADDR_ANY, port);
}

ip_endpoint ip_endpoint::any_v6(std::uint16_t port) noexcept {
  return v6(in6addr_any, port);
}

bool ip_endpoint::is_v4() const noexcept {
  return family_of(raw_.data(), size_) == AF_INET;
}

bool ip_endpoint::is_v6() const noexcept {
  return family_of(raw_.data(), size_) == AF_INET6;
}

// The port stands at the same place in both forms.
static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));

std::uint16_t ip_endpoint::port() const noexcept {
  return ntohs(as<sockaddr_in>(raw_).sin_port);
}

void ip_endpoint::port(std::uint16_t p) noexcept {
  p = htons(p);
  std::memcpy(raw_.data() + offsetof(sockaddr_in, sin_port), &p, sizeof p);
}

endpoint_text ip_endpoint::text() const noexcept {
  endpoint_text out;
  char* at = out.text_.data();
  char* const end = at + out.text_.size();
  const auto append = [&](std::string_view more) { at = std::copy(more.begin(), more.end(), at); };
  char address[INET6_ADDRSTRLEN];
  if (is_v4()) {
    const auto a = as<sockaddr_in>(raw_);
    append(::inet_ntop(AF_INET, &a.sin_addr, address, sizeof address));
  } else if (is_v6()) {
    const auto a = as<sockaddr_in6>(raw_);
    append("[");
    append(::inet_ntop(AF_INET6, &a.sin6_addr, address, sizeof address));
    if (a.sin6_scope_id != 0) {
      append("%");
      at = std::to_chars(at, end, a.sin6_scope_id).ptr;
    }
    append("]");
  } else {
    append("none");
    return out.size_ = static_cast<std::size_t>(at - out.text_.data()), out;
  }
  append(":");
  at = std::to_chars(at, end, port()).ptr;
  out.size_ = static_cast<std::size_t>(at - out.text_.data());
  return out;
}

bool ip_endpoint::operator==(const ip_endpoint& other) const noexcept {
  if (is_v4() && other.is_v4()) {
    const auto a = as<sockaddr_in>(raw_), b = as<sockaddr_in>(other.raw_);
    return a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr;
  }
  if (is_v6() && other.is_v6()) {
    const auto a = as<sockaddr_in6>(raw_), b = as<sockaddr_in6>(other.raw_);
    return a.sin6_port == b.sin6_port && a.sin6_scope_id == b.sin6_scope_id &&
           std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0;
  }
  return size_ == other.size_;
}

ip_endpoint ip_endpoint::from_native(const void* address, std::size_t size) {
  const sa_family_t family = family_of(address, size);
  const std::size_t wanted = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  ip_endpoint e;
  if (size == 0) return e;
  if ((family != AF_INET && family != AF_INET6) || size < wanted)
    throw_error(EAFNOSUPPORT, "weft: not an address of IPv4 or IPv6");
  std::memcpy(e.raw_.data(), address, wanted);
  e.size_ = static_cast<std::uint32_t>(wanted);
  return e;
}

// --- local ones ---

namespace {

constexpr std::size_t path_at = offsetof(sockaddr_un, sun_path);
constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

void set_family(std::array<unsigned char, 110>& raw) noexcept {
  const sa_family_t family = AF_UNIX;
  std::memcpy(raw.data(), &family, sizeof family);
}

}  // namespace

unix_endpoint::unix_endpoint(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos)
    throw_error(EINVAL, "weft: the path of a socket is empty, or has a zero in it");
  if (path.size() > longest_path)
    throw_error(ENAMETOOLONG, "weft: the path of a socket has more than 107 bytes");
  set_family(raw_);
  std::memcpy(raw_.data() + path_at, path.data(), path.size());
  size_ = static_cast<std::uint32_t>(path_at + path.size() + 1);
}

unix_endpoint unix_endpoint::abstract(std::string_view name) {
  if (name.size() > longest_path)
    throw_error(ENAMETOOLONG, "weft: the name of a socket has more than 107 bytes");
  unix_endpoint e;
  set_family(e.raw_);
  std::memcpy(e.raw_.data() + path_at + 1, name.data(), name.size());
  e.size_ = static_cast<std::uint32_t>(path_at + 1 + name.size());
  return e;
}

bool unix_endpoint::is_abstract() const noexcept {
  return size_ > path_at && raw_[path_at] == 0;
}

std::string_view unix_endpoint::path() const noexcept {
  if (size_ <= path_at) return {};
  const auto* const at = reinterpret_cast<const char*>(raw_.data()) + path_at;
  if (is_abstract()) return {at + 1, size_ - path_at - 1};
  return {at, ::strnlen(at, size_ - path_at)};
}

unix_endpoint unix_endpoint::from_native(const void* address, std::size_t size) {
  unix_endpoint e;
  if (size == 0) return e;
  if (family_of(address, size) != AF_UNIX || size > sizeof(sockaddr_un) + 1)
    throw_error(EAFNOSUPPORT, "weft: not a local address");
  size = std::min(size, sizeof(sockaddr_un));  // a path of 108 bytes counts with its zero, which is not there
  std::memcpy(e.raw_.data(), address, size);
  e.size_ = static_cast<std::uint32_t>(size);
  return e;
}

}  // namespace weft
