#include <weft/io/connect.hpp>

#include <exception>
#include <system_error>

namespace weft {

namespace {

/// Throws the error of the first address if all fail.  There is one.
routine<tcp_stream> connect_one_of(endpoint_list addresses) {
  std::exception_ptr first_error;
  for (const ip_endpoint& each : addresses) {
    try {
      co_return co_await tcp_stream::connect(each);
    } catch (const std::system_error&) {
      if (!first_error) first_error = std::current_exception();
    }
  }
  std::rethrow_exception(first_error);
}

}  // namespace

routine<tcp_stream> connect_tcp(std::string_view host, std::string_view service) {
  endpoint_list addresses = co_await resolve(host, service);
  co_return co_await connect_one_of(std::move(addresses));
}

routine<tcp_stream> connect_tcp(std::string_view host, std::uint16_t port) {
  endpoint_list addresses = co_await resolve(host, port);
  co_return co_await connect_one_of(std::move(addresses));
}

}  // namespace weft
