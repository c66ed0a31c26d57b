#include <weft/io/endpoint.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using test::error_in;

TEST_CASE("an endpoint reads what it writes", "[io][endpoint]") {
  for (const char* const text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:1",
                                 "[2001:db8::8a2e:370:7334]:443", "[fe80::1%1]:22"}) {
    REQUIRE(ip_endpoint(text).text().view() == text);
    REQUIRE(ip_endpoint(text) == ip_endpoint(ip_endpoint(text).text().view()));
  }
  REQUIRE(ip_endpoint("127.0.0.1:80") == ip_endpoint::loopback(80));
  REQUIRE(ip_endpoint("::1", 80) == ip_endpoint::loopback_v6(80));
  REQUIRE(ip_endpoint(":80") == ip_endpoint::any_v6(80));
  REQUIRE(ip_endpoint().text().view() == "none");
}

TEST_CASE("what is no endpoint is refused with the right form", "[io][endpoint]") {
  for (const char* const text :
       {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80 ", "localhost:80",
        "::1:80", "[::1]", "[127.0.0.1]:80", "1.2.3:80", "[::1%nosuchinterface]:80", "999.0.0.1:1"}) {
    INFO(text);
    const int error = error_in([&] { const ip_endpoint e(text); });
    REQUIRE((error == EINVAL || error == ENODEV || error == ENXIO));
  }
  REQUIRE(error_in([] { const ip_endpoint e(std::string(200, '1') + ":80"); }) == EINVAL);
  REQUIRE(error_in([] { const ip_endpoint e(std::string("127.0.0.1\0x:80", 14)); }) == EINVAL);
  REQUIRE(error_in([] { const ip_endpoint e(std::string("[::1\0x]:80", 10)); }) == EINVAL);
}

TEST_CASE("a local endpoint is a path or a name of the kernel's", "[io][endpoint]") {
  REQUIRE(unix_endpoint("/tmp/x").path() == "/tmp/x");
  REQUIRE_FALSE(unix_endpoint("/tmp/x").is_abstract());
  REQUIRE(unix_endpoint::abstract("x").path() == "x");
  REQUIRE(unix_endpoint::abstract("x").is_abstract());
  REQUIRE(unix_endpoint().path().empty());
  REQUIRE(error_in([] { const unix_endpoint e(std::string(108, 'a')); }) == ENAMETOOLONG);
  REQUIRE(error_in([] { const unix_endpoint e(""); }) == EINVAL);
  REQUIRE(unix_endpoint(std::string(107, 'a')).path().size() == 107);
}

TEST_CASE("a peer whose path is as long as paths can be has an endpoint", "[io][endpoint]") {
  sockaddr_un native{};
  native.sun_family = AF_UNIX;
  std::memset(native.sun_path, 'a', sizeof native.sun_path);
  const unix_endpoint e = unix_endpoint::from_native(&native, sizeof native + 1);  // as the kernel counts
  REQUIRE(e.path() == std::string(108, 'a'));
  REQUIRE(e.native_size() == sizeof native);
}
