// A server for a protocol of lines, in simulated runs with everything that can go wrong: each request that
// was begun is answered, or its connection is gone.

#include <weft/io/tcp.hpp>
#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t seeds = test::sanitized ? 100 : 1'000;

/// Lines of a stream.
class line_reader {
 public:
  explicit line_reader(tcp_stream& from) : from_(from) {}

  /// Without its end; none: the stream has ended.
  routine<std::optional<std::string>> next() {
    for (;;) {
      const std::size_t end = held_.find('\n');
      if (end != std::string::npos) {
        std::string line = held_.substr(0, end);
        held_.erase(0, end + 1);
        co_return line;
      }
      std::array<char, 64> piece;
      const std::size_t n = co_await from_.read_some(piece);
      if (n == 0) co_return std::nullopt;
      held_.append(piece.data(), n);
    }
  }

 private:
  tcp_stream& from_;
  std::string held_;
};

/// "set name value", "get name", "quit".
class server {
 public:
  explicit server(const ip_endpoint& at) : listener_(at) {}

  ip_endpoint address() const { return listener_.local_endpoint(); }

  /// Until stop().
  routine<> run() {
    const auto serve_all = [this](task_scope& s) -> routine<> {
      for (;;) {
        int error = 0;
        std::optional<tcp_stream> next;
        try {
          next.emplace(co_await listener_.accept());
        } catch (const std::system_error& e) {
          error = e.code().value();
        }
        if (error == ECANCELED || error == EBADF) co_return;
        if (error != 0) {
          co_await sleep_for(1ms);  // out of descriptors
          continue;
        }
        s.go([](server* self, tcp_stream with) -> routine<> { co_await self->serve(std::move(with)); }, this,
             std::move(*next));
      }
    };
    co_await scope(serve_all);
  }

  void stop() { listener_.close(); }

  int served = 0;

 private:
  routine<> serve(tcp_stream with) {
    try {
      line_reader lines(with);
      for (;;) {
        const std::optional<std::string> line = co_await lines.next();
        if (!line || *line == "quit") break;
        const std::string reply = co_await answer(*line);
        co_await with.write_all(reply);
        ++served;
      }
    } catch (const std::system_error&) {  // the peer is gone
    }
  }

  routine<std::string> answer(std::string_view request) {
    auto held = co_await guard_.scoped();
    const std::string_view what = request.substr(0, 4),
                           rest = request.substr(std::min<std::size_t>(4, request.size()));
    if (what == "get ") {
      const auto found = values_.find(rest);
      co_return found == values_.end() ? "none\n" : "value " + found->second + "\n";
    }
    const std::size_t space = rest.find(' ');
    if (what != "set " || space == std::string_view::npos) co_return "what?\n";
    values_[std::string(rest.substr(0, space))] = rest.substr(space + 1);
    co_return "ok\n";
  }

  tcp_listener listener_;
  mutex guard_;
  std::map<std::string, std::string, std::less<>> values_;
};

struct tally {
  int answered = 0;
  int broken = 0;  // connections
};

/// Sets its own name again and again, and reads it back; connects anew when the connection is gone.
routine<tally> use(ip_endpoint to, int me, int requests) {
  tally seen;
  const std::string name = "name" + std::to_string(me);
  for (int i = 0; i < requests;) {
    try {
      tcp_stream with = co_await tcp_stream::connect(to);
      line_reader lines(with);
      for (; i < requests; ++i) {
        const std::string set = "set " + name + " " + std::to_string(i) + "\n";
        co_await with.write_all(set);
        const auto done = co_await with_timeout(1h, lines.next());
        if (!done) throw std::system_error(ECONNRESET, std::system_category(), "ended");
        if (*done != "ok") throw std::runtime_error("not ok: " + *done);
        ++seen.answered;
        const std::string get = "get " + name + "\n";
        co_await with.write_all(get);
        const auto value = co_await with_timeout(1h, lines.next());
        if (!value) throw std::system_error(ECONNRESET, std::system_category(), "ended");
        // What a connection that is gone has asked for may be done late, even now.
        const bool is_mine = seen.broken == 0 ? *value == "value " + std::to_string(i)
                                              : value->starts_with("value ") && value->back() <= '0' + i;
        if (!is_mine) throw std::runtime_error("another value: " + *value);
        ++seen.answered;
      }
      co_await with.write_all("quit\n");
    } catch (const std::system_error& e) {
      const int code = e.code().value();
      const bool is_gone = code == ECONNRESET || code == EPIPE || code == EMFILE;
      if (!is_gone) throw;
      ++seen.broken;
    }
  }
  co_return seen;
}

}  // namespace

TEST_CASE("every request that was begun is answered, or its connection is gone", "[sim][io][server]") {
  int answered = 0, broken = 0;
  const auto program = [&]() -> routine<> {
    std::optional<server> made;
    while (!made) {
      try {
        made.emplace(ip_endpoint::loopback());
      } catch (const std::system_error& e) {
        if (e.code().value() != EMFILE) throw;
      }
    }
    server& s = *made;
    auto running = go([](server* of) -> routine<> { co_await of->run(); }, &s);
    std::vector<join_handle<tally>> users;
    for (int i = 0; i < 3; ++i) users.push_back(go(use, s.address(), i, 3));
    int here = 0;
    for (auto& each : users) {
      const tally t = co_await std::move(each);
      here += t.answered;
      broken += t.broken;
    }
    s.stop();
    co_await std::move(running);
    if (s.served < here) throw std::runtime_error("an answer that nobody gave");
    answered += here;
  };
  const auto r = sim::for_each_seed(seeds, program,
                                    {.schedule = sim::strategy::mixed,
                                     .delayed_wakes = 30,
                                     .spurious_wakes = 30,
                                     .short_transfers = 100,
                                     .delays = 50,
                                     .resets = 10,
                                     .no_descriptors = 20});
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(answered >= static_cast<int>(seeds) * 18);
  REQUIRE(broken > static_cast<int>(seeds) / 10);
}
