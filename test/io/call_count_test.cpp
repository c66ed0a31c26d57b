// How many system calls an operation makes.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <array>
#include <atomic>
#include <functional>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN  // they have a recv() of their own

namespace {

std::atomic<int> receptions{0};

}  // namespace

extern "C" ssize_t recv(int fd, void* to, size_t size, int flags) {
  static const auto real = reinterpret_cast<decltype(&recv)>(::dlsym(RTLD_NEXT, "recv"));
  ++receptions;
  return real(fd, to, size, flags);
}

using namespace weft;

TEST_CASE("over TCP a request is received by one call, of which none is in vain", "[io][tcp][calls]") {
  runtime rt({.workers = 1});
  tcp_listener listener(ip_endpoint::loopback());
  auto serving = rt.go(
      [](tcp_listener& l) -> routine<> {
        tcp_stream s = co_await l.accept();
        std::array<char, 4'096> buffer;
        while (const std::size_t n = co_await s.read_some(buffer))
          co_await s.write_all(const_buffer(buffer.data(), n));
      },
      std::ref(listener));
  tcp_stream here = blocking::wait(tcp_stream::connect(listener.local_endpoint()));
  const int fd = here.release();
  ::fcntl(fd, F_SETFL, 0);
  std::array<char, 64> message{};
  constexpr int rounds = 1'000;
  bool is_right = true;
  const int before = receptions;
  for (int i = 0; i < rounds; ++i) {
    is_right = is_right && ::write(fd, message.data(), message.size()) == 64;
    is_right = is_right && ::read(fd, message.data(), message.size()) == 64;
  }
  const int calls = receptions - before;
  ::close(fd);
  serving.join();
  REQUIRE(is_right);
  REQUIRE(calls >= rounds);
  REQUIRE(calls < rounds + rounds / 10);
}

#endif
