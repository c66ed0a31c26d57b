#pragma once

// connect_tcp: to a host by its name.

#include <weft/config.hpp>
#include <weft/io/resolve.hpp>
#include <weft/io/tcp.hpp>
#include <weft/routine.hpp>

#include <cstdint>
#include <string_view>

namespace weft {

/// `tcp_stream s = co_await connect_tcp("example.org", "http");`
///
/// Resolves the name and tries the addresses one after the other, each until the system gives it up, which
/// may take minutes where nobody answers: `with_timeout(10s, connect_tcp(...))` is a limit for all of it.
/// The texts are borrowed until it has ended; go(connect_tcp, std::string(host), "http") keeps them.
///
/// \throws cancelled
/// \throws std::system_error  what resolve() throws; else the error of the first address
WEFT_API routine<tcp_stream> connect_tcp(std::string_view host, std::string_view service);

/// The same with a number.
WEFT_API routine<tcp_stream> connect_tcp(std::string_view host, std::uint16_t port);

}  // namespace weft
