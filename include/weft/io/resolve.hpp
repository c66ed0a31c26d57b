#pragma once

// resolve: the addresses of a host's name.  To connect to one of them: <weft/io/connect.hpp>.

#include <weft/config.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/own_text.hpp>
#include <weft/io/endpoint.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>

namespace weft {

namespace detail {

struct resolution;

}  // namespace detail

/// The category of the errors of name resolution: EAI_NONAME, EAI_AGAIN ... of <netdb.h>.
WEFT_API const std::error_category& resolver_category() noexcept;

/// What resolve() gives: addresses with the port, in the order in which the system would try them.  Movable.
class WEFT_API endpoint_list {
 public:
  endpoint_list() noexcept = default;

  endpoint_list(endpoint_list&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), size_(std::exchange(other.size_, 0)) {}

  endpoint_list& operator=(endpoint_list&& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(size_, other.size_);
    return *this;
  }

  ~endpoint_list();

  const ip_endpoint* begin() const noexcept { return first_; }

  const ip_endpoint* end() const noexcept { return first_ + size_; }

  const ip_endpoint& front() const noexcept { return *first_; }

  const ip_endpoint& operator[](std::size_t i) const noexcept { return first_[i]; }

  std::size_t size() const noexcept { return size_; }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  friend struct detail::resolution;

  ip_endpoint* first_ = nullptr;
  std::size_t size_ = 0;
};

/// resolve()
class WEFT_API [[nodiscard("co_await it")]] resolve_op : public detail::op_base {
 public:
  resolve_op(std::string_view host, std::string_view service) : host_(host), service_(service) {}
  resolve_op(std::string_view host, std::uint16_t port);
  resolve_op(const resolve_op&) = delete;
  resolve_op& operator=(const resolve_op&) = delete;

  bool ready(detail::waiter & w) noexcept;
  bool park(detail::waiter & w) noexcept;
  void give_up() noexcept;
  endpoint_list finish(detail::waiter & w);

 private:
  detail::own_text host_;
  detail::own_text service_;
  detail::resolution* state_ = nullptr;
};

/// `for (const ip_endpoint& to : co_await resolve("example.org", "http"))`
///
/// Gives at least one address, of IPv4 and IPv6 as they come.  `service` is a name of /etc/services, or a
/// number; no service is port 0.  No host is this one's loopback.  Both are copied.
///
/// The system's own resolver works on a thread of the blocking pool, while the routine is suspended; a host
/// and a service that are numbers need none of that.  Cancelled, the routine goes on at once; the resolver
/// goes on by itself, for seconds if the network does not answer, and stop() waits for it.
///
/// \throws cancelled
/// \throws std::system_error  of resolver_category(): "Name or service not known"; ENOTSUP: in a simulated
///                            run
/// \par Cost  one call on the blocking pool, and an allocation
inline resolve_op resolve(std::string_view host, std::string_view service) {
  return {host, service};
}

/// The same with a number.
inline resolve_op resolve(std::string_view host, std::uint16_t port) {
  return {host, port};
}

}  // namespace weft
