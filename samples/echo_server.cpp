// echo_server: sends back whatever comes, to any number of clients, until SIGTERM or SIGINT.
//
//   echo_server [PORT]      on loopback; without PORT one that is free, which is printed
//
// One routine a client, one that accepts, all in one scope: the signal cancels it, every wait in it ends, and
// the streams close as their routines go.

#include <weft/io/signal.hpp>
#include <weft/io/tcp.hpp>
#include <weft/weft.hpp>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <system_error>
#include <utility>

#include <fmt/core.h>

namespace {

using namespace std::chrono_literals;

weft::routine<> echo(weft::tcp_stream client) {
  std::array<char, 4096> buffer;
  try {
    while (true) {
      const std::size_t n = co_await client.read_some(buffer);
      if (n == 0) co_return;  // the client has nothing more to say
      co_await client.write_all(weft::const_buffer(buffer.data(), n));
    }
  } catch (const std::system_error&) {
    // The client is gone.  What leaves a routine of the scope would end the others.
  }
}

bool is_shortage(const std::system_error& e) {
  const int code = e.code().value();
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

// An accept() that fails for want of descriptors or memory has lost nothing: the client waits until there are
// some.
weft::routine<> accept_clients(weft::tcp_listener& listener, weft::task_scope& clients) {
  while (true) {
    try {
      weft::tcp_stream client = co_await listener.accept();
      clients.go(echo, std::move(client));
      continue;
    } catch (const std::system_error& e) {
      if (!is_shortage(e)) throw;
    }
    co_await weft::sleep_for(50ms);
  }
}

weft::routine<> serve(weft::tcp_listener& listener, weft::signal_set& signals) {
  co_await weft::scope([&](weft::task_scope& clients) -> weft::routine<> {
    clients.go(accept_clients, std::ref(listener), std::ref(clients));
    co_await signals.wait();
    clients.cancel();
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), port);
  try {
    weft::signal_set signals{SIGTERM,
                             SIGINT};  // before the runtime has threads, so that none of them takes one
    weft::tcp_listener listener(weft::ip_endpoint::loopback(port));
    fmt::print("listening on {}\n", listener.local_endpoint().text().view());
    std::fflush(stdout);
    weft::go(serve, std::ref(listener), std::ref(signals)).join();
  } catch (const std::system_error& e) {
    fmt::print(stderr, "echo_server: {}\n", e.what());
    return 1;
  }
}
