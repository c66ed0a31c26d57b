// That TCP connects no socket to itself.  The system draws the port of the calling end; here it draws the one
// that is called.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <atomic>
#include <cerrno>

#include <dlfcn.h>
#include <sys/socket.h>

#include "io/support.hpp"
#include "support/catch.hpp"

namespace {

std::atomic<bool> draws_the_same{false};

}  // namespace

extern "C" int connect(int fd, const sockaddr* to, socklen_t size) {
  static const auto real = reinterpret_cast<decltype(&connect)>(::dlsym(RTLD_NEXT, "connect"));
  if (draws_the_same && ::bind(fd, to, size) != 0) return -1;
  return real(fd, to, size);
}

using namespace weft;
using test::error_in;

TEST_CASE("a connection that TCP would make to itself is refused, and leaves the port", "[io][tcp]") {
  const ip_endpoint nobody = [&] {
    const ip_endpoint any = GENERATE(ip_endpoint::loopback(), ip_endpoint::loopback_v6());
    return tcp_listener(any).local_endpoint();
  }();
  draws_the_same = true;
  const int error = error_in([&] { (void)blocking::wait(tcp_stream::connect(nobody)); });
  draws_the_same = false;
  REQUIRE(error == ECONNREFUSED);
  // At once, or when the kernel's io_uring has let go; TIME_WAIT would keep it for a minute.
  int kept = EADDRINUSE;
  while (kept == EADDRINUSE) kept = error_in([&] { const tcp_listener listener(nobody); });
  REQUIRE(kept == 0);
}
