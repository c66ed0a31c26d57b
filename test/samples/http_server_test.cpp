// The programs http_server and http_server_plain, by their sockets and signals.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/support.hpp"
#include "samples/http_client.hpp"
#include "support/catch.hpp"
#include "support/program.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::http_client;
using test::response;

namespace {

/// A server of `www`, beside which lies `secret`.
struct running {
  explicit running(const std::string& face, const test::words& more = {}, const test::words& under = {}) {
    root.write("secret", "secret\n");
    root.write("www/index.html", "<p>index</p>\n");
    root.write("www/sub/index.html", "<p>sub</p>\n");
    root.write("www/large.bin", test::text(0, 200'000));
    test::words argv = under;
    for (const std::string& each : {std::string(WEFT_SAMPLES "/") + face, std::string("--root"),
                                    (root.path() / "www").string(), std::string("--port"), std::string("0")})
      argv.push_back(each);
    argv.insert(argv.end(), more.begin(), more.end());
    server.emplace(argv);
    at = ip_endpoint::loopback(server->read_port());
  }

  test::scratch_directory root;
  std::optional<test::program> server;
  ip_endpoint at;
};

/// What it does not read soon stays where it comes from.
tcp_stream connect_with_little_room(const ip_endpoint& server) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int room = 16'384;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  tcp_stream s = tcp_stream::adopt(fd);
  const int error = ::connect(fd, static_cast<const sockaddr*>(server.native()),
                              static_cast<socklen_t>(server.native_size()));
  if (error != 0 && errno != EINPROGRESS) throw std::system_error(errno, std::system_category(), "connect");
  return s;
}

bool still_listens(const ip_endpoint& server) {
  try {
    blocking::wait(tcp_stream::connect(server));
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

int raise_descriptors() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  return static_cast<int>(std::min<rlim_t>(files.rlim_max, 1'000'000));
}

std::size_t resident_bytes(int process) {
  std::ifstream from("/proc/" + std::to_string(process) + "/statm");
  std::size_t all = 0, resident = 0;
  from >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

const std::string get_large = "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n";

/// Asks again and again.  What was asked before the stop must come wholly; afterwards a connection may end
/// instead of answering.
routine<> ask_until_closed(ip_endpoint at, const std::atomic<bool>& told, std::atomic<int>& answered,
                           std::atomic<int>& lost) {
  try {
    tcp_stream s = co_await tcp_stream::connect(at);
    std::string rest;
    for (;;) {
      const bool was_told = told;
      co_await s.write_all(get_large);
      const response r = co_await test::read_response(s, rest);
      if (!r.is_whole) {
        if (r.code != 0 || !was_told) ++lost;
        co_return;
      }
      ++answered;
      if (r.closes) co_return;
    }
  } catch (const std::system_error&) {
    if (!told) ++lost;
  }
}

}  // namespace

TEST_CASE("both servers answer from the directory and end with 0 on SIGTERM and SIGINT", "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  const int signal = GENERATE(SIGTERM, SIGINT);
  running r(face);
  http_client c(r.at);
  REQUIRE(c.get("/").body == "<p>index</p>\n");
  REQUIRE(c.get("/sub/").body == "<p>sub</p>\n");
  REQUIRE(c.get("/large.bin").body == test::text(0, 200'000));
  REQUIRE(c.get("/large.bin", "Range: bytes=50000-150000\r\n").body == test::text(50'000, 100'001));
  REQUIRE(c.get("/none").code == 404);
  c.send("HEAD /large.bin HTTP/1.1\r\nHost: x\r\n\r\n" + get_large);
  const response head = c.read(true), all = c.read();
  REQUIRE(head.head == all.head);
  REQUIRE(all.body.size() == 200'000);
  r.server->kill(signal);
  REQUIRE(c.read().code == 0);
  REQUIRE(r.server->wait().success());
}

TEST_CASE("nothing outside of the root is served, however it is asked for", "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  running r(face);
  const std::filesystem::path www = r.root.path() / "www";
  std::filesystem::create_symlink(r.root.path() / "secret", www / "absolute");
  std::filesystem::create_symlink("../secret", www / "relative");
  std::filesystem::create_symlink("..", www / "up");
  std::filesystem::create_symlink("large.bin", www / "inside");
  REQUIRE(::mkfifo((www / "fifo").c_str(), 0600) == 0);
  http_client c(r.at);
  for (const char* target :
       {"/../secret", "/%2e%2e/secret", "/sub/../../secret", "/..%2fsecret", "/sub/%2E%2E/%2e%2e/secret"}) {
    CAPTURE(target);
    REQUIRE(c.get(target).code == 400);
  }
  for (const char* target :
       {"/absolute", "/relative", "/up/secret", "/fifo", "/sub", "//etc/passwd", "/inside/x"}) {
    CAPTURE(target);
    REQUIRE(c.get(target).code == 404);
  }
  REQUIRE(c.get("/inside").code == 200);
}

TEST_CASE("a stop answers every request that was begun and closes idle connections at once",
          "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  running r(face);
  std::deque<http_client> idle, begun, sent;
  for (int i = 0; i < 50; ++i) {
    REQUIRE(idle.emplace_back(r.at).get("/").code == 200);
    begun.emplace_back(r.at).send(get_large.substr(0, 1 + static_cast<std::size_t>(i) % 10));
    sent.emplace_back(r.at).send(get_large);  // not even accepted, perhaps
  }
  r.server->kill(SIGTERM);
  for (http_client& c : idle) REQUIRE(c.read().code == 0);
  for (int i = 0; i < 50; ++i)
    begun[static_cast<std::size_t>(i)].send(get_large.substr(1 + static_cast<std::size_t>(i) % 10));
  for (std::deque<http_client>* each : {&begun, &sent})
    for (http_client& c : *each) REQUIRE(c.read().body == test::text(0, 200'000));
  begun.clear();
  sent.clear();
  REQUIRE(r.server->wait().success());
}

TEST_CASE("a client that never pauses does not keep the server from its end", "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  running r(face);
  http_client c(r.at);
  const auto asks = [&]() -> routine<> {
    std::string many;
    for (int i = 0; i < 100; ++i) many += "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    try {
      for (;;) co_await c.stream().write_all(many);
    } catch (const std::system_error&) {
    }
  };
  event is_busy;
  int answered = 0;
  const auto reads = [&]() -> routine<> {
    std::string rest;
    for (;; ++answered) {
      const response got = co_await test::read_response(c.stream(), rest);
      if (!got.is_whole || got.closes) break;
      if (answered == 100) is_busy.set();
    }
    is_busy.set();
  };
  auto asking = go(asks), reading = go(reads);
  blocking::wait(is_busy.wait());
  r.server->kill(SIGTERM);
  REQUIRE(r.server->wait().success());
  reading.join();
  asking.join();
  REQUIRE(answered > 100);
}

TEST_CASE("a request that comes after the stop does not cost the answer before it", "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  // The server waits for 1 s: a run that the machine held up for long shows nothing.
  bool was_in_time = false;
  while (!was_in_time) {
    running r(face);
    tcp_stream c = connect_with_little_room(r.at);
    blocking::wait(c.write_all(get_large));
    std::string rest(1, '\0');
    // Most of the answer waits in the server's system.
    blocking::wait(c.read_exactly(mutable_buffer(rest.data(), 1)));
    const auto told = std::chrono::steady_clock::now();
    r.server->kill(SIGTERM);
    while (still_listens(r.at)) {
    }
    std::string all;
    try {
      blocking::wait(c.write_all(get_large));
      was_in_time = std::chrono::steady_clock::now() - told < 500ms;
      all = blocking::run(test::read_response(c, rest)).body;
    } catch (const std::system_error&) {
    }
    c.close();
    REQUIRE(r.server->wait().success());
    if (was_in_time) REQUIRE(all == test::text(0, 200'000));
  }
}

TEST_CASE("a stop under load loses no request", "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  running r(face);
  std::atomic<bool> told = false;
  std::atomic<int> answered = 0, lost = 0;
  std::vector<join_handle<void>> clients;
  for (int i = 0; i < 40; ++i)
    clients.push_back(go(ask_until_closed, r.at, std::cref(told), std::ref(answered), std::ref(lost)));
  while (answered < 200) blocking::sleep_for(1ms);
  told = true;
  r.server->kill(SIGTERM);
  for (auto& each : clients) each.join();
  REQUIRE(lost == 0);
  REQUIRE(r.server->wait().success());
}

TEST_CASE("a server without descriptors lets clients wait and goes on", "[samples][http]") {
  if (test::under_asan) {
    WARN("skipped: UBSan needs descriptors of its own, to look at memory");
    return;
  }
  const std::string face = GENERATE("http_server", "http_server_plain");
  running r(face, {}, {"prlimit", "--nofile=40:40"});
  REQUIRE(http_client(r.at).get("/").code == 200);  // who waits for the first time needs one, too
  std::deque<http_client> clients;
  for (int i = 0; i < 100; ++i) clients.emplace_back(r.at).send("GET / HTTP/1.0\r\n\r\n");
  int served = 0;
  for (; !clients.empty(); clients.pop_front()) {
    const response got = clients.front().read();
    REQUIRE((got.code == 200 || got.code == 503));
    if (got.code == 200) ++served;
  }
  REQUIRE(served > 0);
  REQUIRE(http_client(r.at).get("/").code == 200);
  r.server->kill(SIGTERM);
  REQUIRE(r.server->wait().success());
}

TEST_CASE("a client that is slow with its head is told so", "[samples][http]") {
  const std::string face = GENERATE("http_server", "http_server_plain");
  running r(face, {"--patience", "1"});
  http_client c(r.at), trickles(r.at);
  c.send("GET / HT");
  auto trickle = go([&]() -> routine<> {
    try {
      for (const char letter : get_large) {
        co_await trickles.stream().write_all(const_buffer(&letter, 1));
        co_await sleep_for(50ms);
      }
    } catch (const std::system_error&) {
    }
  });
  REQUIRE(c.read().code == 408);
  REQUIRE(trickles.read().code == 408);
  trickle.join();
}

TEST_CASE("a file that the system cannot read is answered 500 and the connection goes on",
          "[samples][http]") {
  const std::string folder = "/sys/devices/virtual/net/lo";  // whose `speed` says that it has 4096 bytes
  if (!std::filesystem::exists(folder + "/speed") || std::ifstream(folder + "/speed").get() != EOF) return;
  const std::string face = GENERATE("http_server", "http_server_plain");
  test::program server({WEFT_SAMPLES "/" + face, "--root", folder, "--port", "0"});
  http_client c(ip_endpoint::loopback(server.read_port()));
  REQUIRE(c.get("/speed").code == 500);
  REQUIRE(c.get("/none").code == 404);
}

TEST_CASE("idle connections cost little memory", "[samples][http]") {
  struct face_case {
    std::string face;
    int connections;
    std::size_t bytes;
  };

  const auto [face, wanted, bytes] =
      GENERATE(values<face_case>({{"http_server", test::unless_sanitized(10'000, 300), 4'096},
                                  {"http_server_plain", test::unless_sanitized(1'000, 100), 200'000}}));
  const int each_takes = face == "http_server" ? 1 : 2;  // descriptors of the server
  const int connections = std::min(wanted, (raise_descriptors() - 100) / each_takes);
  running r(face, {"--workers", "2"});
  const std::size_t before = resident_bytes(r.server->id());
  std::deque<http_client> idle;
  for (int i = 0; i < connections; ++i) REQUIRE(idle.emplace_back(r.at).get("/").code == 200);
  const std::size_t each = (resident_bytes(r.server->id()) - before) / static_cast<std::size_t>(connections);
  WARN(face << ": " << connections << " idle connections, " << each << " bytes each");
  if (!test::sanitized) REQUIRE(each < bytes);
  REQUIRE(idle.front().get("/").code == 200);
  r.server->kill(SIGTERM);
  for (http_client& c : idle) REQUIRE(c.read().code == 0);
  REQUIRE(r.server->wait().success());
}
