// redis_client: speaks to a Redis server.
//
//   redis_client PORT       on loopback; says each line of its input, and prints the answers in that order
//
// No line waits for the answers to those before it: they are pipelined.  One routine says the lines, another
// prints the answers; the client (client.hpp) has two of its own for the connection.  One that is lost is
// told to those who wait, and made anew with the next command.

#include <weft/weft.hpp>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "client.hpp"
#include "resp.hpp"

namespace {

using answer = weft::channel_receiver<reply>;

void print(const reply& r, const std::string& indent = "") {
  switch (r.is) {
    case reply::kind::status:
      fmt::print("{}\n", r.text);
      break;
    case reply::kind::error:
      fmt::print("(error) {}\n", r.text);
      break;
    case reply::kind::integer:
      fmt::print("(integer) {}\n", r.number);
      break;
    case reply::kind::text:
      fmt::print("\"{}\"\n", r.text);
      break;
    case reply::kind::nil:
      fmt::print("(nil)\n");
      break;
    case reply::kind::array:
      if (r.items.empty()) fmt::print("(empty array)\n");
      for (std::size_t i = 0; i < r.items.size(); ++i) {
        const std::string number = fmt::format("{}) ", i + 1);
        fmt::print("{}{}", i == 0 ? "" : indent, number);
        print(r.items[i], indent + std::string(number.size(), ' '));
      }
  }
}

std::optional<std::string> read_line() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

weft::routine<> say_lines(redis_client& redis, weft::channel_sender<answer> said) {
  while (auto line = co_await weft::block_on_io(read_line)) {
    std::istringstream words(*line);
    std::vector<std::string> command;
    for (std::string word; words >> word;) command.push_back(word);
    if (command.empty()) continue;
    answer coming = co_await redis.say(std::move(command));
    co_await said.send(std::move(coming));
  }
}

weft::routine<> print_answers(weft::channel_receiver<answer> said) {
  while (auto coming = co_await said.recv()) {
    const std::optional<reply> got = co_await coming->recv();
    if (got)
      print(*got);
    else
      fmt::print("(lost)\n");
    std::fflush(stdout);
  }
}

weft::routine<> talk(weft::ip_endpoint server) {
  redis_client redis(server);
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    auto [said, to_print] = weft::make_channel<answer>(1000);
    s.go(say_lines, std::ref(redis), std::move(said));
    s.go(print_answers, std::move(to_print));
    co_return;
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), port);
  if (port == 0) {
    fmt::print(stderr, "usage: redis_client PORT\n");
    return 2;
  }
  weft::go(talk, weft::ip_endpoint::loopback(port)).join();
  weft::runtime::global().stop();
}
