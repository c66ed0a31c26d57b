#pragma once

// What tests of simulated descriptors share.

#include <weft/io/tcp.hpp>
#include <weft/weft.hpp>

#include <system_error>
#include <utility>

#include "io/support.hpp"
#include "support/faces.hpp"

namespace weft::test {

/// The code that `make()`, an operation, ends with; 0: it ends without an error.
template <typename Face, typename Make>
task<Face, int> error_of_op(Face f, Make make) {
  int code = 0;
  try {
    (void)co_await f.wait(make());
  } catch (const std::system_error& e) {
    code = e.code().value();
  }
  co_return code;
}

inline constexpr auto connect_to = [](auto f, ip_endpoint to) -> task<decltype(f), tcp_stream> {
  co_return co_await f.wait(tcp_stream::connect(to));
};

/// Over loopback.
template <typename Face>
task<Face, connection> connect_by(Face f) {
  tcp_listener listener(ip_endpoint::loopback());
  auto near = f.go(connect_to, listener.local_endpoint());
  connection c;
  c.far = co_await f.wait(listener.accept());
  c.near = co_await f.join(std::move(near));
  co_return c;
}

}  // namespace weft::test
