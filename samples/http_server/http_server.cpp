// http_server: static files over HTTP/1.1.
//
// One routine a connection, in a scope that waits for all of them; the connection itself is connection.hpp,
// the parts that read and write nothing are request.hpp and answer.hpp.  SIGTERM and SIGINT cancel: first who
// accepts, then the connections, of which only those hear it that wait for a request.  The same in plain
// code: http_server_plain.cpp.

#include <weft/error.hpp>
#include <weft/io/file.hpp>
#include <weft/io/signal.hpp>
#include <weft/io/tcp.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "answer.hpp"
#include "connection.hpp"
#include "descriptors.hpp"
#include "options.hpp"
#include "site.hpp"

namespace {

using namespace std::chrono_literals;

/// The site, as connection wants it.
class served_directory {
 public:
  explicit served_directory(const std::string& root) : site_(root) {}

  struct document {
    weft::file content;
    file_facts facts;
    status refusal = status::not_found;

    bool is_found() const { return content.is_open(); }

    auto read_at(std::uint64_t offset, weft::mutable_buffer to) { return content.read_at(offset, to); }
  };

  weft::routine<document> open(std::string path) {
    std::optional<site::opened> found = site_.open_cached(path);  // no thread of the pool for what is at hand
    if (!found) found = co_await weft::block_on_io([&] { return site_.open(path); });
    document d;
    d.facts = found->facts;
    d.refusal = found->refusal;
    if (found->file >= 0) d.content = weft::file::adopt(found->file);
    co_return d;
  }

 private:
  site site_;
};

struct server {
  const options& chosen;
  served_directory files{chosen.root};
  weft::tcp_listener listener{weft::ip_endpoint(chosen.address, chosen.port)};
  weft::wait_group starting{};  // accepted, and their routine has not begun to run
};

weft::routine<> serve(server& s, weft::tcp_stream peer) {
  s.starting.done();
  connection<weft::tcp_stream, served_directory> c(std::move(peer), s.files, s.chosen.of_clients);
  co_await c.serve();
}

// Without memory for its routine a client is closed, and the others go on.
void start_serving(server& s, weft::task_scope& connections, weft::tcp_stream peer) {
  s.starting.add();
  try {
    connections.go(serve, std::ref(s), std::move(peer));
  } catch (const std::bad_alloc&) {
    s.starting.done();
  }
}

weft::routine<> accept_all(server& s, weft::task_scope& connections) {
  for (;;) {
    bool has_none_left = false;
    try {
      weft::tcp_stream peer = co_await s.listener.accept();
      start_serving(s, connections, std::move(peer));
    } catch (const std::system_error& e) {
      if (!is_shortage(e)) throw;
      has_none_left = true;
    } catch (const std::bad_alloc&) {
      has_none_left = true;
    }
    if (has_none_left) co_await weft::sleep_for(50ms);  // until some connection has ended; clients wait
  }
}

// Those that have connected and that nobody has accepted: what is ready beats a limit that has passed.
weft::routine<> accept_waiting(server& s, weft::task_scope& connections) {
  try {
    for (int i = 0; i < weft::listen_options().backlog; ++i) {
      weft::tcp_stream peer = co_await weft::with_timeout(0ms, s.listener.accept());
      start_serving(s, connections, std::move(peer));
    }
  } catch (const std::exception&) {  // timeout_error: that was all; else they are lost, and those before not
  }
}

weft::routine<> accept_until(weft::signal_set& signals, server& s, weft::task_scope& connections) {
  co_await weft::scope([&](weft::task_scope& acceptors) -> weft::routine<> {
    acceptors.go(accept_all, std::ref(s), std::ref(connections));
    co_await signals.wait();
    acceptors.cancel();
  });
  co_await accept_waiting(s, connections);
  s.listener.close();
}

weft::routine<> serve_until_told(weft::signal_set& signals, server& s) {
  co_await weft::scope([&](weft::task_scope& connections) -> weft::routine<> {
    co_await accept_until(signals, s, connections);
    co_await s.starting.wait();  // a routine that is cancelled before it runs never does
    connections.cancel();
  });
}

}  // namespace

int main(int argc, char** argv) {
  const options chosen = parse_options(argc, argv);
  raise_descriptor_limit();
  try {
    weft::signal_set signals{SIGTERM, SIGINT};  // before the runtime has threads
    weft::runtime rt({.workers = chosen.workers});
    server s{chosen};
    fmt::print("listening on {}\n", s.listener.local_endpoint().text().view());
    std::fflush(stdout);
    rt.go(serve_until_told, std::ref(signals), std::ref(s)).join();
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "http_server: {}\n", e.what());
    return 1;
  }
}
