// http_server_plain: the http_server sample in plain blocking code, without a single co_await.
//
// One thread a connection, in a scope that waits for all of them.  Who waits for a request waits for the
// order to stop as well, by select; whatever has begun has limits and is not disturbed.  The parts that read
// and write nothing are those of http_server.cpp.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/io/file.hpp>
#include <weft/io/select.hpp>
#include <weft/io/signal.hpp>
#include <weft/io/tcp.hpp>
#include <weft/runtime.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "answer.hpp"
#include "descriptors.hpp"
#include "input.hpp"
#include "options.hpp"
#include "request.hpp"
#include "site.hpp"

namespace {

using namespace weft::blocking;
using namespace std::chrono_literals;
using weft::const_buffer;
using weft::mutable_buffer;

struct server {
  const options& chosen;
  site files{chosen.root};
  weft::tcp_listener listener{weft::ip_endpoint(chosen.address, chosen.port)};
  event stopping{};
};

class connection {
 public:
  connection(server& s, weft::tcp_stream peer)
      : server_(s), limits_(s.chosen.of_clients), peer_(std::move(peer)) {}

  void serve() {
    try {
      bool goes_on = true;
      while (goes_on) goes_on = await_request() && exchange();
      part();
    } catch (const std::exception&) {
      // The peer is gone or too slow, or memory has run out: the end of this connection and of no other.
    }
  }

 private:
  static constexpr std::size_t piece_size = 65'536;  // all that one connection holds of a file
  static constexpr std::size_t most_owed = 65'536;

  enum awaited : std::size_t { readable, stopping };  // the cases' places

  // False: the peer has ended or was idle for too long, or the server stops.
  bool await_request() {
    if (!input_.empty()) return true;
    try {
      const std::size_t which = select(biased, on_readable(peer_.native_handle()), on_event(server_.stopping),
                                       on_timeout(limits_.idle));
      if (which == stopping) return look_a_last_time(), !input_.empty();
      if (which != readable) return false;
    } catch (const std::system_error& e) {
      if (!is_shortage(e)) throw;  // select waits on a copy of the descriptor; a read does without
    }
    return read_more(limits_.head_time);
  }

  // What lies there when the server is told to stop has begun, too, and is owed an answer.  What comes later
  // is not: a client that never pauses would keep the server from its end.
  void look_a_last_time() {
    has_looked_ = true;
    while (input_.unread().size() < most_owed &&
           select(on_readable(peer_.native_handle()), otherwise()) == readable && read_more(limits_.idle)) {
    }
    owed_ = input_.unread().size();
  }

  bool read_more(std::chrono::milliseconds limit) {
    const std::size_t n = with_timeout(limit, peer_.read_some(input_.room()));
    input_.add(n);
    return n > 0;
  }

  // Answers one request.  False: it was the last.
  bool exchange() {
    const bool is_stopping = server_.stopping.is_set();
    if (is_stopping && !has_looked_) look_a_last_time();
    request asked;
    const parsed head = read_head(asked);
    if (head.is == parsed::how::incomplete) return false;
    if (head.is == parsed::how::refused) {
      send(answer_without_file(head.refusal, false), false);
      return false;
    }

    // Nobody reads bodies here, and whoever is told to close knows that later requests were not seen.
    const bool is_last = is_stopping && owed_ <= head.size;
    asked.keep_alive = asked.keep_alive && !asked.has_body && !is_last;
    const bool is_sent = send_file(asked, file_of(asked));
    input_.consume(head.size);
    owed_ -= std::min(owed_, head.size);
    return is_sent && asked.keep_alive;
  }

  // Incomplete: the peer has ended in the middle.
  parsed read_head(request& asked) {
    parsed head = parse_head(input_.unread(), limits_, asked);
    if (head.is != parsed::how::incomplete) return head;
    try {
      with_timeout(limits_.head_time, [&] {
        while (head.is == parsed::how::incomplete && read_more(limits_.head_time))
          head = parse_head(input_.unread(), limits_, asked);
      });
    } catch (const weft::timeout_error&) {
      head = {parsed::how::refused, 0, status::request_timeout};
    }
    return head;
  }

  bool send_file(const request& asked, const file_request& wanted) {
    site::opened found{.refusal = wanted.refusal.value_or(status::not_found)};
    if (!wanted.refusal) found = block_on_io([&] { return server_.files.open(wanted.path); });
    if (found.file < 0)
      return send(answer_without_file(found.refusal, asked.keep_alive), asked.method == "HEAD");
    return send(answer_with(asked, found.facts), asked.method == "HEAD", weft::file::adopt(found.file));
  }

  // The head and the first piece go in one system call.  False: the file has become shorter meanwhile, which
  // only the end of the connection can tell.
  bool send(answer a, bool is_head, weft::file file = {}) {
    std::uint64_t at = a.first;
    std::uint64_t left = is_head ? 0 : a.length;
    std::vector<char> piece(std::min<std::uint64_t>(left, piece_size));
    std::size_t n = 0;
    try {
      if (left > 0) n = wait(file.read_at(at, piece));
    } catch (const std::system_error&) {  // which can still be said
      a = answer_without_file(status::internal_server_error, a.keep_alive);
      left = 0;
    }
    const std::string head = head_of(a, is_head, now());
    const std::array both{const_buffer(head), const_buffer(piece.data(), n)};
    with_timeout(limits_.write_time, peer_.write_all(both));
    while (n > 0 && n < left) {
      at += n;
      left -= n;
      n = wait(file.read_at(at, mutable_buffer(piece.data(), std::min<std::uint64_t>(left, piece.size()))));
      with_timeout(limits_.write_time, peer_.write_all(const_buffer(piece.data(), n)));
    }
    return n == left;
  }

  // Bytes that lie unread in a socket that is closed, or come to it later, are a reset for the peer, which
  // may overtake the answer.
  void part() {
    peer_.shutdown_write();
    with_timeout(1s, [&] {
      do input_.consume(input_.unread().size());
      while (read_more(1s));
    });
  }

  static http_time now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }

  server& server_;
  const limits& limits_;
  weft::tcp_stream peer_;
  input_buffer input_;
  bool has_looked_ = false;  // since the server was told to stop
  std::size_t owed_ = 0;     // bytes of requests that had come by then
};

void serve(server& s, weft::tcp_stream peer) {
  connection(s, std::move(peer)).serve();
}

void accept_all(server& s, task_scope& connections) {
  while (true) {
    try {
      connections.go(serve, std::ref(s), wait(s.listener.accept()));
      continue;
    } catch (const std::system_error& e) {
      if (!is_shortage(e)) throw;
    } catch (const std::bad_alloc&) {
    }
    sleep_for(50ms);  // until some connection has ended; clients wait
  }
}

// Those that have connected and that nobody has accepted: what is ready beats a limit that has passed.
void accept_waiting(server& s, task_scope& connections) {
  try {
    for (int i = 0; i < weft::listen_options().backlog; ++i)
      connections.go(serve, std::ref(s), with_timeout(0ms, s.listener.accept()));
  } catch (const std::exception&) {  // timeout_error: that was all; else they are lost, and those before not
  }
}

void serve_until_told(signal_set& signals, server& s) {
  scope([&](task_scope& connections) {
    scope([&](task_scope& acceptors) {
      acceptors.go(accept_all, std::ref(s), std::ref(connections));
      wait(signals.wait());
      acceptors.cancel();
    });
    accept_waiting(s, connections);
    s.listener.close();
    s.stopping.set();
  });
}

}  // namespace

int main(int argc, char** argv) {
  const options chosen = parse_options(argc, argv);
  raise_descriptor_limit();
  try {
    signal_set signals{SIGTERM, SIGINT};  // before the runtime has threads
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
