// samples/http_server/connection.hpp over a pair of sockets, with files that are none.

#include <weft/blocking.hpp>
#include <weft/io/unix.hpp>
#include <weft/stats.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sched.h>

#include "connection.hpp"
#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;

namespace {

/// One file, `file`, of the size that it is told.
class text_site {
 public:
  explicit text_site(std::uint64_t size) : size_(size) {}

  class document {
   public:
    document() = default;

    document(text_site& of, std::uint64_t size) : facts{size, {}, "text/plain"}, of_(&of) {}

    file_facts facts;
    status refusal = status::not_found;

    bool is_found() const { return of_ != nullptr; }

    routine<std::size_t> read_at(std::uint64_t offset, mutable_buffer to) {
      if (offset >= of_->unreadable_from) throw std::system_error(EIO, std::system_category());
      const std::uint64_t left = of_->there - std::min(offset, of_->there);
      const std::string part = test::text(offset, std::min<std::uint64_t>(left, to.size()));
      std::memcpy(to.data(), part.data(), part.size());
      of_->bytes_read += part.size();
      co_return part.size();
    }

   private:
    text_site* of_ = nullptr;
  };

  routine<document> open(std::string path) {
    document d;
    if (path == "file") d = document(*this, size_);
    co_return d;
  }

  std::uint64_t there = ~std::uint64_t{0};  // of the bytes: fewer if the file has become shorter
  std::uint64_t unreadable_from = ~std::uint64_t{0};
  std::atomic<std::uint64_t> bytes_read = 0;

 private:
  std::uint64_t size_;
};

routine<> serve(unix_stream peer, text_site& files, const limits& l, event& has_begun) {
  has_begun.set();
  connection<unix_stream, text_site> c(std::move(peer), files, l);
  co_await c.serve();
}

routine<std::string> read_all(unix_stream& from) {
  std::string all;
  std::array<char, 10'000> piece;
  try {
    for (;;) {
      const std::size_t n = co_await from.read_some(piece);
      if (n == 0) break;
      all.append(piece.data(), n);
    }
  } catch (const std::system_error&) {  // reset
  }
  co_return all;
}

struct served {
  explicit served(std::uint64_t size = 10, const limits& l = limits()) : files(size), of_clients(l) {
    auto [near, far] = unix_stream::pair();
    client = std::move(near);
    server = go(serve, std::move(far), std::ref(files), std::cref(of_clients), std::ref(has_begun));
    blocking::wait(has_begun.wait());
  }

  void send(std::string_view bytes) { blocking::wait(client.write_all(bytes)); }

  /// What comes until the server closes.
  std::string rest() { return blocking::run(read_all(client)); }

  text_site files;
  limits of_clients;
  event has_begun;
  unix_stream client;
  join_handle<void> server;
};

const std::string get = "GET /file HTTP/1.1\r\nHost: x\r\n\r\n";
const std::string last_get = "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// The status lines' codes and the bodies; of each answer that has come wholly.
std::string summary(std::string_view answers) {
  std::string all;
  while (!answers.empty()) {
    const std::size_t end = answers.find("\r\n\r\n");
    if (end == answers.npos || answers.size() < 12) return all + "?";
    const std::string_view head = answers.substr(0, end);
    all += std::string(head.substr(9, 3)) + (head.find("Connection: close") != head.npos ? "c " : " ");
    const std::size_t length = head.find("Content-Length: ");
    const std::size_t size = length == head.npos ? 0 : std::stoul(std::string(head.substr(length + 16, 20)));
    answers.remove_prefix(end + 4);
    if (answers.size() < size) return all + "?";
    answers.remove_prefix(size);
  }
  return all;
}

}  // namespace

TEST_CASE("requests that come together are answered in order", "[samples][http]") {
  served s;
  s.send(get + "GET /none HTTP/1.1\r\nHost: x\r\n\r\n" + get + "FOO / HTTP/1.1\r\nHost: x\r\n\r\n" +
         last_get + get);
  const std::string all = s.rest();
  REQUIRE(summary(all) == "200 404 200 501 200c ");
  REQUIRE(all.find("\r\n\r\n" + test::text(0, 10) + "HTTP/1.1 404") != std::string::npos);
  s.server.join();
}

TEST_CASE("a request that comes byte by byte is answered as one that comes at once", "[samples][http]") {
  served s;
  for (const char c : get + last_get) s.send({&c, 1});
  REQUIRE(summary(s.rest()) == "200 200c ");
}

TEST_CASE("a refused head, a body and HTTP/1.0 are a connection's last", "[samples][http]") {
  const std::pair<std::string, std::string> cases[] = {
      {"nonsense\r\n\r\n" + get, "400c "},
      {"GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\n" + get, "414c "},
      {"GET / HTTP/1.1\r\nA: " + std::string(20'000, 'a'), "431c "},
      {"GET / HTTP/2.0\r\n\r\n" + get, "505c "},
      {"POST /file HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789" + get, "405c "},
      {"GET /file HTTP/1.0\r\n\r\n" + get, "200c "},
      {"GET /file HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + last_get, "200 200c "},
  };
  for (const auto& [sent, expected] : cases) {
    CAPTURE(sent.substr(0, 40));
    served s;
    s.send(sent);
    s.client.shutdown_write();
    REQUIRE(summary(s.rest()) == expected);
    s.server.join();
  }
}

TEST_CASE("HEAD says what GET would, without the body", "[samples][http]") {
  served s;
  s.send("HEAD /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string head = s.rest();
  served t;
  t.send(last_get);
  const std::string all = t.rest();
  REQUIRE(head.ends_with("\r\n\r\n"));
  REQUIRE(all.substr(all.find("Last-Modified")) ==
          head.substr(head.find("Last-Modified")) + test::text(0, 10));
}

TEST_CASE("a head that takes too long is told so, and an idle connection is closed", "[samples][http]") {
  limits hasty, lazy;
  hasty.head_time = 20ms;
  lazy.idle = 20ms;
  served slow(10, hasty), idle(10, lazy);
  slow.send("GET /file");
  REQUIRE(summary(slow.rest()) == "408c ");
  REQUIRE(idle.rest().empty());
}

TEST_CASE("a file that becomes shorter ends the connection and not the server", "[samples][http]") {
  served s(200'000);
  s.files.there = 100'000;
  s.send(get);
  const std::string all = s.rest();
  REQUIRE(summary(all) == "200 ?");
  REQUIRE(all.ends_with(test::text(90'000, 10'000)));
  s.server.join();
}

TEST_CASE("a file that cannot be read is an error of the server's as long as that can be said",
          "[samples][http]") {
  served at_once, later(200'000);
  at_once.files.unreadable_from = 0;
  at_once.send(get + "GET /none HTTP/1.1\r\nHost: x\r\n\r\n" + last_get);
  at_once.client.shutdown_write();
  REQUIRE(summary(at_once.rest()) == "500 404 500c ");
  at_once.server.join();
  later.files.unreadable_from = 100'000;
  later.send(get + last_get);
  REQUIRE(summary(later.rest()) == "200 ?");
  later.server.join();
}

TEST_CASE("a peer that stops reading holds one piece of the file, and is given up", "[samples][http]") {
  limits l;
  l.write_time = 30ms;
  served s(100'000'000, l);
  s.send(get);
  s.server.join();
  const std::string all = s.rest();
  REQUIRE(s.files.bytes_read <= all.size() + 2 * 65'536);
  REQUIRE(all.size() < 10'000'000);
}

TEST_CASE("a stop ends what is idle at once and answers what has begun", "[samples][http]") {
  served idle, used, begun, sent;
  used.send(get);
  begun.send(get.substr(0, 7));
  sent.send(get + "GET /f");
  std::array<char, 1> first, of_sent;
  blocking::wait(used.client.read_exactly(first));
  blocking::wait(sent.client.read_exactly(of_sent));
  const auto all_wait = [] {  // what has answered for more
    const runtime_stats s = runtime::global().stats();
    return s.idle_workers == s.workers && s.blocked_workers == 0;
  };
  while (!all_wait()) ::sched_yield();
  for (served* each : {&idle, &used, &begun, &sent}) each->server.cancel();
  REQUIRE(idle.rest().empty());
  REQUIRE(summary(first[0] + used.rest()) == "200 ");
  begun.send(get.substr(7));
  REQUIRE(summary(begun.rest()).starts_with("200"));
  sent.send(get.substr(6) + get);
  REQUIRE(summary(of_sent[0] + sent.rest()) == "200 200 200c ");
}

TEST_CASE("a connection survives nonsense of every kind", "[samples][http]") {
  std::mt19937 draw(2);
  for (int round = 0; round < test::unless_sanitized(300, 60); ++round) {
    CAPTURE(round);
    served s;
    std::string sent = get + last_get + get;
    for (auto changes = draw() % 6; changes > 0; --changes)
      sent[draw() % sent.size()] = static_cast<char>(draw());
    s.send(sent);
    s.client.shutdown_write();
    const std::string all = s.rest();
    REQUIRE((all.empty() || all.starts_with("HTTP/1.1 ")));
    REQUIRE(summary(all).find('?') == std::string::npos);
    s.server.join();
  }
}
