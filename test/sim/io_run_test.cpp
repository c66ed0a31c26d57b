// What descriptors do in a simulated run where nothing goes wrong; what the reports say of them.

#include <weft/io/connect.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/tcp.hpp>
#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using Catch::Contains;
using test::connect_here;
using test::connection;
using test::error_of;

namespace {

void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

}  // namespace

TEST_CASE("a connection that finds the line full waits until somebody accepts", "[sim][io]") {
  const auto program = []() -> routine<> {
    tcp_listener listener(ip_endpoint::loopback(), {.backlog = 0});
    const ip_endpoint at = listener.local_endpoint();
    tcp_stream first = co_await tcp_stream::connect(at);
    bool gave_up = false;
    try {
      (void)co_await with_timeout(1h, tcp_stream::connect(at));
    } catch (const timeout_error&) {
      gave_up = true;
    }
    check(gave_up, "there was room");
    auto second =
        go([](ip_endpoint to) -> routine<tcp_stream> { co_return co_await tcp_stream::connect(to); }, at);
    co_await sleep_for(1h);
    check(!second.done(), "there was still room");
    tcp_stream served = co_await listener.accept();
    tcp_stream other = co_await std::move(second);
    auto third = go([](ip_endpoint to) -> routine<> { (void)co_await tcp_stream::connect(to); }, at);
    co_await sleep_for(1h);
    listener.close();
    std::array<char, 1> byte;
    const int error = co_await error_of(
        [](tcp_stream& s, mutable_buffer b) -> routine<> { co_await s.read_some(b); }(other, byte));
    check(error == ECONNRESET, "nobody accepted it");
    int refused = 0;
    try {
      co_await std::move(third);
    } catch (const std::system_error& e) {
      refused = e.code().value();
    }
    check(refused == ECONNREFUSED, "it was let in");
  };
  const auto r = sim::for_each_seed(100, program);
  INFO(r.report);
  REQUIRE(r.ok);
}

TEST_CASE("a deadlock on descriptors is reported with what each waits for, and what is open", "[sim][io]") {
  const auto r = sim::run(1, []() -> routine<> {
    connection c = co_await connect_here();
    const auto wait = [](tcp_stream& from) -> routine<> {
      std::array<char, 1> byte;
      (void)co_await from.read_some(byte);
    };
    auto other = go(spawn_options{.name = "other"}, wait, std::ref(c.near));
    co_await wait(c.far);
  });
  REQUIRE(!r.ok);
  REQUIRE_THAT(r.report, Contains("deadlock") && Contains("'other': waits in read of descriptor 107374182") &&
                             Contains("'main': waits in read of descriptor 107374182") &&
                             Contains(": a connection from 127.0.0.1:"));
}

TEST_CASE("a descriptor that is still open when the program returns is reported", "[sim][io]") {
  std::vector<pipe_end> kept;
  tcp_listener* listener = nullptr;
  const auto r = sim::run(1, [&]() -> routine<> {
    kept.push_back(make_pipe().first);
    listener = new tcp_listener(ip_endpoint::loopback(8'080));
    co_return;
  });
  REQUIRE(!r.ok);
  REQUIRE_THAT(r.report, Contains("has returned and left open") && Contains("a pipe, to read from") &&
                             Contains("a listener at 127.0.0.1:8080"));
  delete listener;
}

TEST_CASE("names are resolved and connected to in a simulated run", "[sim][io]") {
  const auto program = []() -> routine<> {
    tcp_listener listener(ip_endpoint::loopback());
    const std::uint16_t port = listener.local_endpoint().port();
    tcp_stream near = co_await connect_tcp("localhost", port);  // ::1 is refused first
    tcp_stream far = co_await listener.accept();
    check(far.peer_endpoint() == near.local_endpoint(), "another connection");
  };
  const auto r = sim::for_each_seed(100, program, {.schedule = sim::strategy::mixed, .delays = 100});
  INFO(r.report);
  REQUIRE(r.ok);
}
