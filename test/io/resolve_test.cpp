// resolve, connect_tcp.  No test needs a network: numbers, names of this machine, and one that exists
// nowhere, of which only the error's kind is looked at.

#include <weft/blocking.hpp>
#include <weft/io/connect.hpp>
#include <weft/io/resolve.hpp>
#include <weft/sim.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <future>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <dlfcn.h>
#include <netdb.h>

#include "io/support.hpp"
#include "support/catch.hpp"

namespace {

/// Holds the look-up of one name until the test lets it go.
struct slow_name {
  std::promise<void> begun;
  std::promise<void> may_end;
};

constexpr std::string_view slow_host = "slow.invalid";
std::atomic<slow_name*> slow{nullptr};

}  // namespace

/// In the place of the system's.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
  using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto systems = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const bool is_numeric = (hints->ai_flags & AI_NUMERICHOST) != 0;
  if (host == nullptr || host != slow_host || is_numeric) return systems(host, service, hints, found);
  slow_name& now = *slow.load();
  now.begun.set_value();
  now.may_end.get_future().wait();
  return systems("127.0.0.1", service, hints, found);
}

using namespace weft;
using namespace std::chrono_literals;
using test::error_of;

namespace {

routine<endpoint_list> resolve_them(std::string host, std::string service) {
  co_return co_await resolve(host, service);
}

bool has(const endpoint_list& all, const ip_endpoint& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

/// Of a runtime that has made no call on its blocking pool.
bool needs_no_pool(const runtime& rt) {
  return rt.stats().blocking_threads == 0;
}

}  // namespace

TEST_CASE("a host and a service that are numbers are resolved without the pool", "[io][resolve]") {
  runtime rt({.workers = 1});
  for (const char* const host : {"127.0.0.1", "10.1.2.3", "::1", "2001:db8::1"}) {
    const endpoint_list all = rt.go(resolve_them, std::string(host), std::string("80")).join();
    REQUIRE(all.size() == 1);
    REQUIRE(all.front() == ip_endpoint(host, 80));
    REQUIRE(all[0] == *all.begin());
  }
  const endpoint_list by_number = blocking::wait(resolve("127.0.0.1", 65535));
  REQUIRE(by_number.front() == ip_endpoint::loopback(65535));
  REQUIRE(needs_no_pool(rt));
}

TEST_CASE("no host is this one, no service is port 0", "[io][resolve]") {
  const endpoint_list all = blocking::wait(resolve("", ""));
  REQUIRE((has(all, ip_endpoint::loopback()) || has(all, ip_endpoint::loopback_v6())));
}

TEST_CASE("localhost and a service's name are resolved by the system", "[io][resolve]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  std::vector<join_handle<endpoint_list>> all;
  for (int i = 0; i < 20; ++i)
    all.push_back(rt.go(resolve_them, std::string("localhost"), std::string("80")));
  for (auto& each : all) {
    const endpoint_list found = each.join();
    REQUIRE((has(found, ip_endpoint::loopback(80)) || has(found, ip_endpoint::loopback_v6(80))));
  }
  if (::getservbyname("http", "tcp") == nullptr) return;  // a system without /etc/services
  REQUIRE(rt.go(resolve_them, std::string("127.0.0.1"), std::string("http")).join().front() ==
          ip_endpoint::loopback(80));
}

TEST_CASE("a list of addresses is movable, and may be empty", "[io][resolve]") {
  endpoint_list a = blocking::wait(resolve("127.0.0.1", 1));
  endpoint_list b = std::move(a), none;
  REQUIRE(a.empty());
  REQUIRE(b.size() == 1);
  none = std::move(b);
  REQUIRE(none.front().port() == 1);
}

TEST_CASE("what is no name is refused, with an error of the resolver", "[io][resolve]") {
  runtime rt({.workers = 2});
  const auto category_of = [&](std::string host, std::string service) {
    try {
      rt.go(resolve_them, std::move(host), std::move(service)).join();
    } catch (const std::system_error& e) {
      REQUIRE_FALSE(std::string(e.what()).empty());
      return std::string(e.code().category().name());
    }
    return std::string("none");
  };
  REQUIRE(category_of("127.0.0.1", "no-such-service") == "resolver");
  REQUIRE(category_of("a name with spaces", "80") == "resolver");
  REQUIRE(category_of(std::string("local\0host", 10), "80") == "system");
  REQUIRE(resolver_category().message(EAI_NONAME) == ::gai_strerror(EAI_NONAME));
}

TEST_CASE("what is no port is refused, in whatever form it is a number", "[io][resolve]") {
  const std::string service =
      GENERATE("65536", "99999", "4294967376", "18446744073709551696", "-1", "+80", " 80", "80 ");
  const std::string host = GENERATE("127.0.0.1", "localhost");
  runtime rt({.workers = 1});
  try {
    rt.go(resolve_them, host, service).join();
    FAIL("resolved");
  } catch (const std::system_error& e) {
    REQUIRE(e.code() == std::error_code(EAI_SERVICE, resolver_category()));
  }
}

TEST_CASE("a name for which there is no descriptor is not said to be unknown", "[io][resolve]") {
  runtime rt({.workers = 1});
  rt.go(resolve_them, "localhost", "80").join();  // what the C library opens once is open
  auto [at_first, later] =
      rt.go([]() -> routine<std::pair<int, int>> {
          // UBSan, too, opens what it needs for a first failure.
          int error = co_await error_of(resolve_them("localhost", "no-such-service"));
          {
            const test::no_descriptors limited;
            error = co_await error_of(resolve_them("localhost", "http"));
          }
          co_return std::pair{error, co_await error_of(resolve_them("localhost", "http"))};
        }).join();
  REQUIRE(at_first == EMFILE);
  REQUIRE(later == 0);
}

TEST_CASE("a name that nobody answers for can be given up at once", "[io][resolve][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto look_up = [](bool& has_error) -> routine<> {
    try {
      (void)co_await resolve("no-such-host.invalid", "80");
    } catch (const std::system_error&) {
      has_error = true;
    }
  };
  const auto [errors, cancelled] = rt.go([&]() -> routine<std::pair<int, int>> {
                                       std::pair<int, int> n;
                                       for (int i = 0; i < 8; ++i) {
                                         bool has_error = false;
                                         auto h = go(look_up, std::ref(has_error));
                                         for (int j = 0; j < i % 4; ++j) co_await yield();
                                         h.cancel();
                                         try {
                                           co_await std::move(h);
                                         } catch (const routine_cancelled&) {
                                           ++n.second;
                                         }
                                         if (has_error) ++n.first;
                                       }
                                       co_return n;
                                     }).join();
  REQUIRE(errors + cancelled == 8);
}

TEST_CASE("a look-up that goes on keeps nobody: not the cancelled routine, nor its operation",
          "[io][resolve][cancel]") {
  slow_name held;
  slow = &held;
  {
    runtime rt({.workers = 2});
    auto waiting = rt.go(resolve_them, std::string(slow_host), std::string("80"));
    held.begun.get_future().wait();
    waiting.cancel();
    REQUIRE_THROWS_AS(waiting.join(), routine_cancelled);
    REQUIRE_FALSE(rt.stop_for(1ms));  // the call has not returned
    const std::string left = test::dump_with(rt, "");
    REQUIRE(left.find("a look-up of the name 'slow.invalid'") != std::string::npos);
    REQUIRE(left.find("coroutines of other types") == std::string::npos);
    held.may_end.set_value();
    rt.stop();
  }
  slow = nullptr;
}

TEST_CASE("a plain thread may give up a look-up, too", "[io][resolve][cancel]") {
  slow_name held;
  slow = &held;
  const auto cancel_it = [&held](task_scope& s) -> routine<> {
    const auto wait_there = [&held] { held.begun.get_future().wait(); };
    co_await block_on_io(wait_there);
    s.cancel();
  };
  bool has_resolved = false;
  blocking::scope([&](task_scope& s) {
    s.go(cancel_it, std::ref(s));
    (void)blocking::wait(resolve(slow_host, 80));
    has_resolved = true;
  });
  held.may_end.set_value();
  REQUIRE_FALSE(has_resolved);
  runtime::global().stop();  // waits for the call, which refers to this stack
  init_global_runtime({});
}

TEST_CASE("cancelling ends the wait while the pool is busy, and the look-up never begins",
          "[io][resolve][cancel]") {
  runtime rt({.workers = 2, .max_blocking_threads = 1});
  std::promise<void> go_on;
  std::future<void> may_end = go_on.get_future();
  event busy;
  auto blocker = rt.go(
      [](event& is_busy, std::future<void>& end) -> routine<> {
        const auto wait_there = [&] {
          is_busy.set();
          end.wait();
        };
        co_await block_on_io(wait_there);
      },
      std::ref(busy), std::ref(may_end));
  blocking::wait(busy.wait());
  auto waiting = rt.go(resolve_them, std::string("localhost"), std::string("80"));
  REQUIRE_FALSE(waiting.join_for(1ms));
  waiting.cancel();
  REQUIRE_THROWS_AS(waiting.join(), routine_cancelled);
  REQUIRE(rt.stats().blocking_queued == 0);
  go_on.set_value();
  blocker.join();
}

TEST_CASE("an operation that was cancelled or has ended may be awaited again", "[io][resolve]") {
  runtime rt({.workers = 2});
  const auto wait_for = [](resolve_op& op) -> routine<std::size_t> {
    const endpoint_list all = co_await op;
    co_return all.size();
  };
  const auto last = rt.go([&]() -> routine<std::size_t> {
                        auto op = resolve("localhost", "80");
                        for (int i = 0; i < 20; ++i) {
                          try {
                            co_await with_timeout(std::chrono::microseconds(i * 20), wait_for(op));
                          } catch (const timeout_error&) {
                          }
                        }
                        co_return co_await wait_for(op);
                      }).join();
  REQUIRE(last >= 1);
}

TEST_CASE("the names of /etc/hosts have the addresses that stand there", "[io][resolve]") {
  std::ifstream hosts("/etc/hosts");
  for (std::string line; std::getline(hosts, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string address, name;
    words >> address;
    if (address.rfind("127.", 0) != 0) continue;
    while (words >> name) {
      INFO(name);
      const endpoint_list all = blocking::wait(resolve(name, 80));
      REQUIRE(has(all, ip_endpoint(address, 80)));
    }
  }
}

TEST_CASE("connect_tcp reaches a listener by its host's name, whichever address that has", "[io][resolve]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  tcp_listener listener(ip_endpoint::loopback());  // not ::1, which may be the first
  const std::uint16_t port = listener.local_endpoint().port();
  auto accepting = rt.go(
      [](tcp_listener& on) -> routine<> {
        for (int i = 0; i < 3; ++i) {
          tcp_stream s = co_await on.accept();
          co_await s.write_all("hello");
        }
      },
      std::ref(listener));
  const auto greeting = [](tcp_stream s) -> routine<std::string> {
    std::string text(5, ' ');
    co_await s.read_exactly(text);
    co_return text;
  };
  REQUIRE(rt.go([&]() -> routine<std::string> {
              tcp_stream s = co_await connect_tcp("localhost", port);
              co_return co_await greeting(std::move(s));
            }).join() == "hello");
  REQUIRE(rt.go([&]() -> routine<std::string> {
              const std::string number = std::to_string(port);
              tcp_stream s = co_await connect_tcp("127.0.0.1", number);
              co_return co_await greeting(std::move(s));
            }).join() == "hello");
  REQUIRE(blocking::run(greeting(blocking::wait(connect_tcp("localhost", port)))) == "hello");
  accepting.join();
}

TEST_CASE("connect_tcp gives the error of the first address, or the resolver's", "[io][resolve]") {
  runtime rt({.workers = 1});
  std::uint16_t port = 0;
  {
    const tcp_listener listener(ip_endpoint::loopback());
    port = listener.local_endpoint().port();
  }
  const auto to = [](std::string host, std::uint16_t p) -> routine<> { co_await connect_tcp(host, p); };
  REQUIRE(rt.go(error_of(to("127.0.0.1", port))).join() == ECONNREFUSED);
  REQUIRE(rt.go(error_of(to("a name with spaces", port))).join() != 0);
}

TEST_CASE("a simulated run knows numbers and localhost, and asks nobody", "[io][resolve][sim]") {
  std::vector<std::size_t> found;
  std::vector<int> errors;
  bool is_loopback = false;
  const sim::result r = sim::run(1, [&]() -> routine<> {
    const std::vector<std::string> hosts{"10.1.2.3", "::1", "localhost", ""};
    for (const std::string& host : hosts) {
      const endpoint_list all = co_await resolve_them(host, "80");
      found.push_back(all.size());
      is_loopback = has(all, ip_endpoint::loopback(80)) && has(all, ip_endpoint::loopback_v6(80));
    }
    errors.push_back(co_await error_of(resolve_them("example.org", "80")));
    errors.push_back(co_await error_of(resolve_them("localhost", "http")));
  });
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(found == std::vector<std::size_t>{1, 1, 2, 2});
  REQUIRE(is_loopback);
  REQUIRE(errors == std::vector<int>{EAI_NONAME, EAI_SERVICE});
}
