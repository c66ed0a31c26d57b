#pragma once

// What tests of http_server ask it with: heads and bodies, and nothing hidden.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace weft::test {

struct response {
  int code = 0;  // 0: the connection ended before the first byte
  bool is_whole = false;
  bool closes = false;
  std::string head;  // with its empty line
  std::string body;

  bool operator==(const response&) const = default;
};

/// One answer out of a connection, and what has come behind it in `rest`.
inline routine<response> read_response(tcp_stream& from, std::string& rest, bool is_head = false) {
  response r;
  std::array<char, 65'536> piece;
  try {
    for (;;) {
      const std::size_t end = rest.find("\r\n\r\n");
      if (end != rest.npos) {
        r.head = rest.substr(0, end + 4);
        const std::size_t length = r.head.find("Content-Length: ");
        const std::size_t size =
            is_head || length == r.head.npos ? 0 : std::stoul(r.head.substr(length + 16, 20));
        r.code = std::stoi(r.head.substr(9, 3));
        r.closes = r.head.find("\r\nConnection: close\r\n") != r.head.npos;
        if (rest.size() >= r.head.size() + size) {
          r.body = rest.substr(r.head.size(), size);
          rest.erase(0, r.head.size() + size);
          r.is_whole = true;
          co_return r;
        }
      }
      const std::size_t n = co_await from.read_some(piece);
      if (n == 0) break;
      rest.append(piece.data(), n);
    }
  } catch (const std::system_error&) {  // reset
  }
  if (r.code == 0 && !rest.empty()) r.code = -1;  // in the middle of a head
  co_return r;
}

/// A connection of plain code.
class http_client {
 public:
  explicit http_client(const ip_endpoint& server) : stream_(blocking::wait(tcp_stream::connect(server))) {}

  void send(std::string_view bytes) { blocking::wait(stream_.write_all(bytes)); }

  response read(bool is_head = false) { return blocking::run(read_response(stream_, rest_, is_head)); }

  response get(std::string_view target, std::string_view fields = "") {
    send("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n");
    return read();
  }

  tcp_stream& stream() { return stream_; }

 private:
  tcp_stream stream_;
  std::string rest_;
};

}  // namespace weft::test
