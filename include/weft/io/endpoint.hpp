#pragma once

// ip_endpoint: an address of IPv4 or IPv6 and a port.

#include <weft/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weft {

/// An endpoint as text, without an allocation.
class endpoint_text {
 public:
  std::string_view view() const noexcept { return {text_.data(), size_}; }

  operator std::string_view() const noexcept { return view(); }

 private:
  friend class ip_endpoint;
  friend class unix_endpoint;
  std::array<char, 112> text_{};
  std::size_t size_ = 0;
};

class WEFT_API ip_endpoint {
 public:
  /// No address.
  ip_endpoint() noexcept = default;

  /// "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80"; ":80" is every address of this host, of both families.
  /// Names are for resolve().  \throws std::system_error (EINVAL) for anything else
  ip_endpoint(std::string_view text);

  ip_endpoint(const char* text) : ip_endpoint(std::string_view(text)) {}

  /// The same with the port apart.
  ip_endpoint(std::string_view address, std::uint16_t port);

  /// This host alone.
  static ip_endpoint loopback(std::uint16_t port = 0) noexcept;
  static ip_endpoint loopback_v6(std::uint16_t port = 0) noexcept;
  /// Every address of this host, for a listener.
  static ip_endpoint any(std::uint16_t port = 0) noexcept;
  static ip_endpoint any_v6(std::uint16_t port = 0) noexcept;

  [[nodiscard]] bool is_v4() const noexcept;
  [[nodiscard]] bool is_v6() const noexcept;
  [[nodiscard]] std::uint16_t port() const noexcept;
  void port(std::uint16_t p) noexcept;
  [[nodiscard]] endpoint_text text() const noexcept;

  bool operator==(const ip_endpoint& other) const noexcept;

  /// The system's form: a sockaddr_in or sockaddr_in6, and its size.
  const void* native() const noexcept { return raw_.data(); }

  std::size_t native_size() const noexcept { return size_; }

  /// \throws std::system_error (EAFNOSUPPORT) for another family
  static ip_endpoint from_native(const void* address, std::size_t size);

 private:
  alignas(8) std::array<unsigned char, 28> raw_{};
  std::uint32_t size_ = 0;
};

/// A local address: a path, or a name of the kernel's own ("abstract") that no file stands for.
class WEFT_API unix_endpoint {
 public:
  /// Of whoever did not bind.
  unix_endpoint() noexcept = default;
  /// \throws std::system_error (ENAMETOOLONG) beyond 107 bytes, EINVAL for an empty path
  unix_endpoint(std::string_view path);

  unix_endpoint(const char* path) : unix_endpoint(std::string_view(path)) {}

  static unix_endpoint abstract(std::string_view name);

  [[nodiscard]] bool is_abstract() const noexcept;
  /// The path, or the name; empty if there is none.
  [[nodiscard]] std::string_view path() const noexcept;

  const void* native() const noexcept { return raw_.data(); }

  std::size_t native_size() const noexcept { return size_; }

  static unix_endpoint from_native(const void* address, std::size_t size);

 private:
  alignas(8) std::array<unsigned char, 110> raw_{};
  std::uint32_t size_ = 2;
};

}  // namespace weft
