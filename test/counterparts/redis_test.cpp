// redis_client and a real redis-server.

#include <weft/blocking.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "counterparts/support.hpp"
#include "support/sanitizers.hpp"

using namespace weft;

namespace {

struct redis {
  redis() { start(); }

  void start() {
    server.emplace(test::words{*test::program_path("redis-server"), "--port", std::to_string(port), "--bind",
                               "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
                               root.path().string()});
    test::await_line(*server, "Ready to accept connections");
  }

  void stop() {
    server->kill(SIGTERM);
    server->read_rest();
    REQUIRE(server->wait().success());
  }

  const test::scratch_directory root;
  const std::uint16_t port = test::free_port();
  std::optional<test::program> server;
};

/// The client, and what it answers to one line.
struct client {
  explicit client(const redis& to) : is({WEFT_SAMPLES "/redis_client", std::to_string(to.port)}, true) {}

  std::string ask(const std::string& line) {
    is.write(line + "\n");
    return is.read_line();
  }

  test::program is;
};

const std::string lost = "(lost)";

}  // namespace

TEST_CASE("redis_client says what redis-server answers, of every kind", "[counterparts][redis]") {
  if (test::is_missing("redis-server")) return;
  const redis r;
  client c(r);
  REQUIRE(c.ask("PING") == "PONG");
  REQUIRE(c.ask("SET key value") == "OK");
  REQUIRE(c.ask("GET key") == "\"value\"");
  REQUIRE(c.ask("GET none") == "(nil)");
  REQUIRE(c.ask("INCR key") == "(error) ERR value is not an integer or out of range");
  REQUIRE(c.ask("NONSENSE").starts_with("(error) ERR unknown command"));
  REQUIRE(c.ask("RPUSH list a b c") == "(integer) 3");
  REQUIRE(c.ask("LRANGE list 0 -1") == "1) \"a\"");
  REQUIRE(c.is.read_line() == "2) \"b\"");
  REQUIRE(c.is.read_line() == "3) \"c\"");
  REQUIRE(c.ask("KEYS none*") == "(empty array)");
  REQUIRE(c.ask("STRLEN key") == "(integer) 5");
  c.is.end_input();
  REQUIRE(c.is.wait().success());
}

TEST_CASE("thousands of commands to redis-server are pipelined and answered in order",
          "[counterparts][redis]") {
  if (test::is_missing("redis-server")) return;
  const redis r;
  client c(r);
  constexpr int commands = test::unless_sanitized(10'000, 1'000);
  auto asking = go([&]() {
    std::string all;
    for (int i = 0; i < commands; ++i) all += i % 100 == 99 ? "LPUSH n x\n" : "INCR n\n";
    c.is.write(all);
    c.is.end_input();
  });
  const auto lines = test::lines_of(c.is.read_rest());
  asking.join();
  REQUIRE(c.is.wait().success());
  REQUIRE(lines.size() == commands);
  int n = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i % 100 == 99)
      REQUIRE(lines[i].starts_with("(error) WRONGTYPE"));
    else
      REQUIRE(lines[i] == "(integer) " + std::to_string(++n));
  }
}

TEST_CASE("redis_client connects again after its connection or redis-server has gone",
          "[counterparts][redis]") {
  if (test::is_missing("redis-server")) return;
  redis r;
  client c(r), killer(r);
  REQUIRE(c.ask("SET key 1") == "OK");
  REQUIRE(killer.ask("CLIENT KILL TYPE normal") == "(integer) 1");
  // A command that was written before the end was noticed is lost, and said to be; the next is not.
  std::string answer = c.ask("INCR key");
  if (answer == lost) answer = c.ask("INCR key");
  REQUIRE(answer.starts_with("(integer) "));
  REQUIRE(c.ask("BLPOP nothing 0.01") == "(nil)");
  r.stop();
  answer = c.ask("PING");
  REQUIRE(answer == lost);
  r.start();
  answer = c.ask("PING");
  if (answer == lost) answer = c.ask("PING");
  REQUIRE(answer == "PONG");
  c.is.end_input();
  REQUIRE(c.is.wait().success());
}
