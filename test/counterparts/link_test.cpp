// echo_server behind a link of the kernel's that is slow and loses packets.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "counterparts/support.hpp"
#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/program.hpp"

using namespace weft;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t amount = 200'000;  // bytes, of each connection and direction

/// A network that only this thread is in, what it starts from now on - threads, programs - and nobody else.
/// It goes with the last of them.
class own_network {
 public:
  /// \throws std::system_error  one may not have one here
  own_network() {
    (void)runtime::global();  // stays outside
    outside_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (::unshare(CLONE_NEWNET) == 0) return;
    const int error = errno;
    ::close(outside_);
    throw std::system_error(error, std::system_category(), "a network cannot be made");
  }

  own_network(const own_network&) = delete;
  own_network& operator=(const own_network&) = delete;

  ~own_network() {
    ::setns(outside_, CLONE_NEWNET);
    ::close(outside_);
  }

 private:
  int outside_ = -1;
};

/// Commands that make a link of loopback.
struct shaped_link {
  std::string_view make;
  std::string_view stop, let_go;  // nothing gets through; everything does
};

const shaped_link slow_link{.make = "tc qdisc add dev lo root netem delay 20ms loss 5%",
                            .stop = "tc qdisc change dev lo root netem loss 100%",
                            .let_go = "tc qdisc change dev lo root netem delay 20ms"};

// A queue of at most 20 ms that drops what has no room; and one in twenty of what comes out of it, by a
// program of the packet filter: "if a random number is less than 2^32 / 20, then drop it, else let it pass".
const shaped_link narrow_link{.make =
                                  "loss='4,32 0 0 4294963256,53 1 0 214748364,6 0 0 2,6 0 0 0'\n"
                                  "tc qdisc add dev lo root tbf rate 200mbit burst 3000 latency 20ms &&\n"
                                  "tc qdisc add dev lo clsact &&\n"
                                  "tc filter add dev lo ingress pref 2 bpf da bytecode \"$loss\"",
                              .stop = "tc filter add dev lo ingress pref 1 bpf da bytecode '1,6 0 0 2'",
                              .let_go = "tc qdisc del dev lo clsact"};

/// What is wrong, in one line; empty: it is done.
std::string configure(std::string_view command) {
  const std::string all = "exec 2>&1; PATH=$PATH:/usr/sbin:/sbin\n" + std::string(command);
  const test::outcome o = test::run_program({"/bin/sh", "-c", all});
  if (o.how.success()) return "";
  const std::string first_line = o.output.substr(0, o.output.find('\n'));
  return std::string(command.substr(0, command.find('\n'))) + ": " + first_line;
}

/// False: the test is over, the kernel has not got it.
bool is_made(const shaped_link& l) {
  // What is lost is sent again after 20 ms, not 200: the test is to end soon.
  std::string wrong = configure(
      "ip link set lo mtu 1500 up && "
      "ip route replace local 127.0.0.0/8 dev lo table local rto_min 20ms");
  if (wrong.empty()) wrong = configure(l.make);
  if (!wrong.empty()) test::say_skipped(wrong);
  return wrong.empty();
}

bool is_inside(std::optional<own_network>& network) {
  try {
    network.emplace();
    return true;
  } catch (const std::system_error& e) {
    test::say_skipped(e.what());
    return false;
  }
}

/// Of TCP's packets, in this thread's network.
long sent_again() {
  std::ifstream from("/proc/thread-self/net/snmp");
  std::string names, values, name, value;
  while (names.rfind("Tcp:", 0) != 0 && std::getline(from, names)) {
  }
  std::getline(from, values);
  std::istringstream name_at(names), value_at(values);
  while (name_at >> name && value_at >> value && name != "RetransSegs") {
  }
  return std::stol(value);
}

routine<> send_text(tcp_stream& to, std::size_t seed) {
  const std::string all = test::text(seed, amount);
  co_await to.write_all(all);
}

/// Whether it comes as it was sent.
routine<bool> has_come(tcp_stream& from, std::size_t seed) {
  std::string all(amount, test::poison);
  const std::size_t n = co_await from.read_exactly(all);
  co_return n == amount&& all == test::text(seed, amount);
}

routine<bool> carry(ip_endpoint to, std::size_t seed) {
  tcp_stream s = co_await tcp_stream::connect(to);
  const auto [sent, is_right] = co_await all(send_text(s, seed), has_come(s, seed));
  s.shutdown_write();
  std::array<char, 1> more;
  const std::size_t n = co_await s.read_some(more);
  co_return is_right&& n == 0;
}

void carry_through(const shaped_link& l) {
  if (test::is_missing("tc") || test::is_missing("ip")) return;
  std::optional<own_network> network;
  if (!is_inside(network) || !is_made(l)) return;
  test::program server({WEFT_SAMPLES "/echo_server"});
  const ip_endpoint at = ip_endpoint::loopback(server.read_port());
  runtime rt({.workers = 2});
  std::vector<join_handle<bool>> connections;
  for (std::size_t i = 0; i < 24; ++i) connections.push_back(rt.go(carry, at, i));
  for (auto& each : connections) REQUIRE(each.join());
  REQUIRE(sent_again() > 0);
  server.kill(SIGTERM);
  REQUIRE(server.wait().success());
}

routine<tcp_stream> connect_and_hear(ip_endpoint to) {
  tcp_stream s = co_await tcp_stream::connect(to);
  std::array<char, 1> echo{'!'};
  co_await s.write_all(echo);
  co_await s.read_exactly(echo);
  co_return s;
}

/// How long a read with a limit takes that nothing comes for.
routine<std::chrono::nanoseconds> wait_in_vain(tcp_stream& s, std::chrono::milliseconds limit) {
  std::array<char, 1> none;
  const auto begin = now();
  try {
    (void)co_await with_timeout(limit, s.read_some(none));
  } catch (const timeout_error&) {
    co_return now() - begin;
  }
  co_return -1ns;  // something has come
}

void stop_and_let_go(const shaped_link& l) {
  if (test::is_missing("tc") || test::is_missing("ip")) return;
  std::optional<own_network> network;
  if (!is_inside(network) || !is_made(l)) return;
  test::program server({WEFT_SAMPLES "/echo_server"});
  const ip_endpoint at = ip_endpoint::loopback(server.read_port());
  runtime rt({.workers = 2});
  std::vector<join_handle<tcp_stream>> connecting;
  for (int i = 0; i < 8; ++i) connecting.push_back(rt.go(connect_and_hear, at));
  std::vector<tcp_stream> streams;
  for (auto& each : connecting) streams.push_back(each.join());
  REQUIRE(configure(l.stop).empty());
  std::vector<join_handle<void>> sending;
  std::vector<join_handle<std::chrono::nanoseconds>> waiting;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    sending.push_back(rt.go(send_text, std::ref(streams[i]), i));
    waiting.push_back(rt.go(wait_in_vain, std::ref(streams[i]), 200ms));
  }
  for (auto& each : waiting) {
    const std::chrono::nanoseconds took = each.join();
    REQUIRE(took >= 200ms);
    REQUIRE(took < 1s);
  }
  REQUIRE(configure(l.let_go).empty());
  for (std::size_t i = 0; i < streams.size(); ++i) REQUIRE(rt.go(has_come, std::ref(streams[i]), i).join());
  for (auto& each : sending) each.join();
}

}  // namespace

TEST_CASE("a link that delays and loses packets carries everything, whole and in order",
          "[counterparts][link]") {
  carry_through(slow_link);
}

TEST_CASE("a link whose queue overflows carries everything, whole and in order", "[counterparts][link]") {
  carry_through(narrow_link);
}

TEST_CASE("on a link that delays and then stops limits expire in time, and what was sent comes later",
          "[counterparts][link]") {
  stop_and_let_go(slow_link);
}

TEST_CASE("on a narrow link that stops limits expire in time, and what was sent comes later",
          "[counterparts][link]") {
  stop_and_let_go(narrow_link);
}
