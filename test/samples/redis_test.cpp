// samples/redis_client: the parser, and the client against a server of the test's.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/io/tcp.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sched.h>

#include "client.hpp"
#include "resp.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;

namespace {

using kind = reply::kind;

const std::string example =
    "+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n:1\r\n*1\r\n$-1\r\n";

std::vector<reply> all_of(reply_parser& p) {
  std::vector<reply> all;
  while (auto r = p.next()) all.push_back(*std::move(r));
  return all;
}

std::vector<reply> parsed(std::string_view bytes) {
  reply_parser p;
  p.add(bytes);
  return all_of(p);
}

/// Answers `most` commands with their number and closes, for one connection after the other.
routine<> serve(tcp_listener& listener, int most) {
  for (int said = 0;;) {
    tcp_stream client = co_await listener.accept();
    std::array<char, 4096> piece;
    for (int left = most; left > 0;) {
      const std::size_t n = co_await client.read_some(piece);
      if (n == 0) break;
      for (std::size_t i = 0; i < n && left > 0; ++i) {
        if (piece[i] != '*') continue;  // a command begins
        --left;
        const std::string answer = ":" + std::to_string(++said) + "\r\n";
        co_await client.write_all(answer);
      }
    }
    // Closed with something unread it would be a reset, which takes answers back that were not read yet.
    client.shutdown_write();
    while (co_await client.read_some(piece) != 0) {
    }
  }
}

std::optional<reply> ask(redis_client& c, const std::string& word) {
  auto answer = blocking::run(c.say({word}));
  return blocking::wait(answer.recv());
}

}  // namespace

TEST_CASE("replies of every kind are parsed, however their bytes come", "[samples][redis]") {
  const std::vector<reply> whole = parsed(example);
  REQUIRE(whole.size() == 9);
  REQUIRE(whole[0] == reply{.is = kind::status, .text = "OK"});
  REQUIRE(whole[1] == reply{.is = kind::error, .text = "ERR no"});
  REQUIRE(whole[2] == reply{.is = kind::integer, .number = -7});
  REQUIRE(whole[3] == reply{.is = kind::text, .text = "a\r\nbc"});
  REQUIRE(whole[4] == reply{.is = kind::text});
  REQUIRE(whole[5] == reply{});
  REQUIRE(whole[6] == reply{});
  REQUIRE(whole[7] == reply{.is = kind::array});
  REQUIRE(whole[8].items.size() == 2);
  REQUIRE(whole[8].items[1].items == std::vector<reply>{reply{}});
  reply_parser p;
  std::vector<reply> one_by_one;
  for (const char c : example) {
    p.add({&c, 1});
    for (reply& r : all_of(p)) one_by_one.push_back(std::move(r));
  }
  REQUIRE(one_by_one == whole);
  REQUIRE(encoded({"SET", "", "a\r\n"}) == "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\na\r\n\r\n");
}

TEST_CASE("what is no reply is refused, and nonsense does nothing worse", "[samples][redis]") {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "*1\r\n";
  for (const std::string& bad :
       {std::string("\r\n"), std::string("?\r\n"), std::string(":x\r\n"), std::string(":1 \r\n"),
        std::string("$-2\r\n"), std::string("$99999999999\r\n"), std::string("$1\r\nabc"),
        std::string("*9999999999\r\n"), std::string(100'000, '+'), deep})
    REQUIRE_THROWS_AS(parsed(bad), bad_reply);
  std::mt19937 draw(3);
  for (int round = 0; round < test::unless_sanitized(20'000, 2'000); ++round) {
    std::string bytes = example;
    for (auto changes = draw() % 4 + 1; changes > 0; --changes)
      bytes[draw() % bytes.size()] = static_cast<char>(draw());
    std::size_t replies = 0;
    try {
      replies = parsed(bytes).size();
    } catch (const bad_reply&) {
    }
    REQUIRE(replies < bytes.size());
  }
}

TEST_CASE("a command whose connection is lost is told so and the next one connects again",
          "[samples][redis]") {
  tcp_listener listener(ip_endpoint::loopback());
  auto server = go(serve, std::ref(listener), 3);
  {
    redis_client c(listener.local_endpoint());
    std::vector<channel_receiver<reply>> answers;
    for (int i = 0; i < 5; ++i) answers.push_back(blocking::run(c.say({"N"})));
    int answered = 0, lost = 0;
    for (auto& each : answers) {
      const auto got = blocking::wait(each.recv());
      if (got)
        REQUIRE(got->number == ++answered);
      else
        ++lost;
    }
    REQUIRE(answered + lost == 5);
    REQUIRE(answered >= 3);
    auto again = ask(c, "N");
    while (!again) again = ask(c, "N");  // said before the end was noticed
    REQUIRE(again->number == answered + 1);
  }
  server.cancel();
  REQUIRE_THROWS_AS(server.join(), routine_cancelled);
}

TEST_CASE("more commands may wait for their answers than the connection keeps track of", "[samples][redis]") {
  constexpr int commands = 3'000;
  tcp_listener listener(ip_endpoint::loopback());
  redis_client c(listener.local_endpoint());
  std::atomic<int> saying = 0, answered = 0;
  const auto say = [&](std::string word) -> routine<> {
    std::vector<std::string> command{std::move(word)};
    ++saying;
    auto answer = co_await c.say(std::move(command));
    if (co_await answer.recv()) ++answered;
  };
  std::vector<join_handle<void>> all;
  all.push_back(go(say, std::string(20'000'000, 'x')));  // until it is written, the others gather
  for (int i = 1; i < commands; ++i) all.push_back(go(say, std::string("N")));
  while (saying < commands) ::sched_yield();
  auto server = go(serve, std::ref(listener), commands + 1);
  for (auto& each : all) each.join();
  REQUIRE(answered == commands);
  server.cancel();
  REQUIRE_THROWS_AS(server.join(), routine_cancelled);
}

TEST_CASE("a server that cannot be reached is an answer that never comes", "[samples][redis]") {
  tcp_listener listener(ip_endpoint::loopback());
  const ip_endpoint nobody = listener.local_endpoint();
  listener.close();
  redis_client c(nobody);
  REQUIRE_FALSE(ask(c, "PING"));
  REQUIRE_FALSE(ask(c, "PING"));
}
