// Many connections at the same time.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::error_of;
using test::text;

namespace {

/// This process may have as many descriptors as the system lets it.
class many_descriptors {
 public:
  many_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit all{before_.rlim_max, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &all);
  }

  many_descriptors(const many_descriptors&) = delete;
  many_descriptors& operator=(const many_descriptors&) = delete;

  ~many_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  /// Both ends are here.
  std::size_t connections() const { return (before_.rlim_max - 200) / 2; }

 private:
  rlimit before_{};
};

routine<> answer(tcp_stream s) {
  std::array<char, 64> buffer;
  for (;;) {
    const std::size_t n = co_await s.read_some(buffer);
    if (n == 0) co_return;
    co_await s.write_all(const_buffer(buffer.data(), n));
  }
}

routine<> serve(tcp_listener& from, std::size_t connections) {
  for (std::size_t i = 0; i < connections; ++i) {
    tcp_stream s = co_await from.accept();
    go(spawn_options{.detached = true}, error_of(answer(std::move(s))));  // by a reset
  }
}

/// Connects, waits until all have, asks.  True: the answer is right.
routine<bool> ask(ip_endpoint to, std::size_t which, wait_group& connected, event& begin) {
  tcp_stream s = co_await tcp_stream::connect(to);
  s.set_reset_on_close();  // no port stays in TIME_WAIT
  connected.done();
  co_await begin.wait();
  const std::string question = text(which, 64);
  std::string got(64, ' ');
  co_await s.write_all(question);
  co_await s.read_exactly(got);
  co_return got == question;
}

/// How many were answered.
std::size_t answered_of(std::size_t connections) {
  runtime rt({.workers = 2});
  tcp_listener listener(ip_endpoint::loopback(), {.backlog = 65'535});
  auto serving = rt.go(serve, std::ref(listener), connections);
  wait_group connected;
  connected.add(connections);
  event begin;
  std::vector<join_handle<bool>> asking;
  for (std::size_t i = 0; i < connections; ++i)
    asking.push_back(rt.go(ask, listener.local_endpoint(), i, std::ref(connected), std::ref(begin)));
  blocking::wait(connected.wait());
  serving.join();
  begin.set();
  std::size_t right = 0;
  for (auto& each : asking) right += each.join();
  return right;
}

}  // namespace

TEST_CASE("two thousand connections at the same time are answered on two workers", "[io][load]") {
  const many_descriptors limit;
  REQUIRE(limit.connections() >= 2'000);
  const std::size_t before = test::open_descriptors();
  REQUIRE(answered_of(2'000) == 2'000);
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("ten thousand connections, or as many as this process may have, are answered on two workers",
          "[io][load][.stress]") {
  const many_descriptors limit;
  const std::size_t connections = std::min<std::size_t>(limit.connections(), 10'000);
  const std::size_t before = test::open_descriptors();
  REQUIRE(answered_of(connections) == connections);
  REQUIRE(test::open_descriptors() == before);
}
