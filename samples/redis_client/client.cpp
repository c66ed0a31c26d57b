#include "client.hpp"

#include <weft/error.hpp>
#include <weft/io/tcp.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace {

using namespace std::chrono_literals;

using answers =
    weft::channel<weft::channel_sender<reply>>;  // who waits for one, in the order of the commands

constexpr std::size_t most_under_way = 1024;  // commands without an answer; then say() waits
constexpr std::size_t most_at_once = 65'536;  // bytes that are gathered for one write

// Reads all the time, so that the end of the connection is noticed when nothing is asked, too.
weft::routine<> read_replies(weft::tcp_stream& server, answers waiting) {
  reply_parser parser;
  std::array<char, 65'536> piece;
  while (true) {
    const std::size_t n = co_await server.read_some(piece);
    if (n == 0) throw bad_reply("the server has closed the connection");
    parser.add(std::string_view(piece.data(), n));
    while (auto r = parser.next()) {
      auto next = waiting.try_recv();
      if (!next.value) throw bad_reply("an answer without a question");
      co_await next.value->send(*std::move(r));  // there is room for it
    }
  }
}

}  // namespace

redis_client::redis_client(const weft::ip_endpoint& server) {
  weft::go(keep_connected, server, requests_);
}

redis_client::~redis_client() {
  requests_.close();
}

weft::routine<weft::channel_receiver<reply>> redis_client::say(std::vector<std::string> command) {
  auto [answered, answer] = weft::make_channel<reply>(1);
  request r{encoded(command), std::move(answered)};
  co_await requests_.send(std::move(r));
  co_return std::move(answer);
}

// Ends when the client is gone, which closes the channel.
weft::routine<> redis_client::keep_connected(weft::ip_endpoint server, weft::channel<request> requests) {
  while (auto first = co_await requests.recv()) {
    try {
      co_await talk(server, requests, *std::move(first));
    } catch (const std::exception&) {
      // Whoever waited has lost his sender and knows it.
    }
  }
}

// One connection, from the first command to its end.  What has gathered meanwhile is written at once.
weft::routine<> redis_client::talk(weft::ip_endpoint to, weft::channel<request>& requests, request first) {
  weft::tcp_stream server = co_await weft::with_timeout(5s, weft::tcp_stream::connect(to));
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    answers waiting(most_under_way);
    s.go(read_replies, std::ref(server), waiting);
    std::optional<request> next = std::move(first);
    while (next) {
      std::string bytes;
      while (next) {
        bytes += next->bytes;
        // Only the first may have to wait for room: what is gathered before another is not written yet, and
        // has no answer that would make some.
        co_await waiting.send(std::move(next->answered));
        next.reset();
        const bool has_room = bytes.size() < most_at_once && waiting.size() < most_under_way;
        if (has_room) next = requests.try_recv().value;
      }
      co_await server.write_all(bytes);
      next = co_await requests.recv();
    }
    s.cancel();
  });
}
