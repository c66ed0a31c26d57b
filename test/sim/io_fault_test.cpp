// Faults of descriptors and files by the seed.

#include <weft/io/directory.hpp>
#include <weft/io/file.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/read_file.hpp>
#include <weft/io/tcp.hpp>
#include <weft/io/udp.hpp>
#include <weft/io/unix.hpp>
#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;
using Catch::Contains;
using test::connect_here;
using test::connection;
using test::error_of;
using test::text;

namespace {

constexpr std::uint64_t seeds = test::sanitized ? 100 : 1'000;

/// Of the runs in the test that compares; never by the compiler, the build type or the run.
constexpr std::uint64_t known_hash = 0x7c1451adc054efae;

constexpr sim::options everything{.schedule = sim::strategy::mixed,
                                  .delayed_wakes = 50,
                                  .spurious_wakes = 50,
                                  .short_transfers = 200,
                                  .delays = 100};

void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

/// None, if it was reset before both sides had it.
routine<std::optional<connection>> connect_if_possible() {
  tcp_listener listener(ip_endpoint::loopback());
  std::optional<tcp_stream> near, far;
  const auto connect = [](ip_endpoint to, std::optional<tcp_stream>& made) -> routine<> {
    made.emplace(co_await tcp_stream::connect(to));
  };
  auto connecting =
      go([](auto f, ip_endpoint to, auto* made) -> routine<> { co_await error_of(f(to, *made)); }, connect,
         listener.local_endpoint(), &near);
  try {
    far.emplace(co_await with_timeout(1h, listener.accept()));
  } catch (const timeout_error&) {
  }
  co_await std::move(connecting);
  if (!near || !far) co_return std::nullopt;
  connection c;
  c.near = std::move(*near);
  c.far = std::move(*far);
  co_return c;
}

template <typename Stream>
routine<> write_in_pieces(Stream& to, std::size_t total) {
  std::size_t done = 0;
  for (std::size_t size = 1; done < total; size = size * 7 % 9'973 + 1) {
    const std::string piece = text(done, std::min(size, total - done));
    done += co_await to.write_some(piece);
  }
}

/// What comes until the end, or an error: whether it is right, and the error.
struct transcript {
  std::size_t bytes = 0;
  bool is_right = true;
  int error = 0;
};

template <typename Stream>
routine<transcript> read_all(Stream& from) {
  transcript r;
  std::array<char, 1'500> buffer;
  try {
    for (;;) {
      const std::size_t n = co_await from.read_some(buffer);
      if (n == 0) break;
      r.is_right = r.is_right && std::string(buffer.data(), n) == text(r.bytes, n);
      r.bytes += n;
    }
  } catch (const std::system_error& e) {
    r.error = e.code().value();
  }
  co_return r;
}

}  // namespace

TEST_CASE("every byte comes once and in order, however short the transfers are, and however late",
          "[sim][io]") {
  const auto program = []() -> routine<> {
    static constexpr std::size_t total = 30'000;
    connection c = co_await connect_here();
    auto ends = make_pipe();
    auto local = unix_stream::pair();
    c.far.set_receive_buffer(2'000);
    const auto write = [](auto* to) -> routine<> {
      co_await write_in_pieces(*to, total);
      to->close();
    };
    auto first = go(write, &c.near);
    auto second = go(write, &ends.second);
    auto third = go(write, &local.first);
    const auto [x, y, z] = co_await all(read_all(c.far), read_all(ends.first), read_all(local.second));
    for (const transcript& each : {x, y, z})
      check(each.bytes == total && each.is_right && each.error == 0, "not what was written");
    co_await std::move(first);
    co_await std::move(second);
    co_await std::move(third);
  };
  const auto r = sim::for_each_seed(seeds / 2, program, everything);
  INFO(r.report);
  REQUIRE(r.ok);
}

TEST_CASE("after a reset the bytes that have come are the first that were sent, and both sides know it",
          "[sim][io]") {
  int resets = 0, whole = 0;
  const auto program = [&]() -> routine<> {
    static constexpr std::size_t total = 20'000;
    auto c = co_await connect_if_possible();
    if (!c) co_return;
    const auto write = [](tcp_stream& to) -> routine<int> {
      const int error = co_await error_of(write_in_pieces(to, total));
      to.close();
      co_return error;
    };
    auto writing = go(write, std::ref(c->near));
    const transcript got = co_await read_all(c->far);
    const int error = co_await std::move(writing);
    check(got.is_right, "other bytes");
    check(got.error == 0 || got.error == ECONNRESET || got.error == EPIPE, "another error of the reader");
    check(error == 0 || error == ECONNRESET || error == EPIPE, "another error of the writer");
    check(got.bytes == total || got.error != 0 || error != 0, "bytes were lost, and nobody was told");
    (got.error != 0 || error != 0 ? resets : whole) += 1;
  };
  sim::options how = everything;
  how.resets = 30;
  const auto r = sim::for_each_seed(seeds, program, how);
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(resets > 10);
  REQUIRE(whole > 10);
}

TEST_CASE("who takes it that a read fills the buffer is found out, and the failure is shrunk and replays",
          "[sim][io]") {
  const auto program = []() -> routine<> {
    connection c = co_await connect_here();
    auto writing =
        go([](tcp_stream& to) -> routine<> { co_await to.write_all("a whole line"); }, std::ref(c.near));
    std::array<char, 12> line;
    const std::size_t n = co_await c.far.read_some(line);
    co_await std::move(writing);
    check(n == line.size(), "half a line");
  };
  const sim::options how{.schedule = sim::strategy::mixed, .short_transfers = 50};
  const auto found = sim::for_each_seed(200, program, how);
  REQUIRE(!found.ok);
  REQUIRE_THAT(found.report, Contains("half a line") && Contains("is short"));
  REQUIRE(std::count(found.schedule.begin(), found.schedule.end(), '=') == 1);
  const auto again = sim::replay(found.schedule, program, how);
  REQUIRE(!again.ok);
  REQUIRE(again.hash == found.hash);
  const auto explored = sim::explore(program, {.preemptions = 0}, how);
  REQUIRE(!explored.ok);
  REQUIRE_THAT(explored.failure.report, Contains("a read is short"));
}

TEST_CASE("the same seed is the same run, with all that descriptors do", "[sim][io]") {
  const auto program = []() -> routine<> {
    auto c = co_await connect_if_possible();
    if (!c) co_return;
    auto writing = go(
        [](tcp_stream& to) -> routine<int> {
          const int error = co_await error_of(write_in_pieces(to, 5'000));
          to.close();
          co_return error;
        },
        std::ref(c->near));
    const transcript got = co_await read_all(c->far);
    (void)co_await std::move(writing);
    std::string name = "/tmp/";
    name += std::to_string(got.bytes);
    (void)co_await error_of([](const std::string& to) -> routine<> {
      co_await write_file(to, "content", {.atomic = true});
      (void)co_await read_file(to);
    }(name));
    udp_socket a(ip_endpoint::loopback()), b(ip_endpoint::loopback());
    co_await a.send_to("x", b.local_endpoint());
  };
  sim::options how = everything;
  how.resets = how.no_space = how.lost_datagrams = 50;
  std::set<std::uint64_t> hashes;
  std::uint64_t all = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto a = sim::run(seed, program, how), b = sim::run(seed, program, how);
    INFO("seed " << seed << "\n" << a.report);
    REQUIRE(a.ok);
    REQUIRE(a.hash == b.hash);
    hashes.insert(a.hash);
    all = all * 3 + a.hash;
  }
  REQUIRE(hashes.size() == 50);
  REQUIRE(all == known_hash);
}

TEST_CASE("what is late takes virtual time, and time limits see it", "[sim][io]") {
  int in_time = 0, late = 0;
  const auto program = [&]() -> routine<> {
    tcp_listener listener(ip_endpoint::loopback());
    bool timed_out = false;
    try {
      tcp_stream near = co_await with_timeout(1ms, tcp_stream::connect(listener.local_endpoint()));
      tcp_stream far = co_await listener.accept();
      co_await near.write_all("x");
      std::array<char, 1> byte;
      const auto before = now();
      co_await with_timeout(1ms, far.read_exactly(byte));
      check(now() - before < 1ms, "longer than the limit");
    } catch (const timeout_error&) {
      timed_out = true;
    }
    (timed_out ? late : in_time) += 1;
  };
  const auto r = sim::for_each_seed(200, program, {.delays = 500});
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(in_time > 20);
  REQUIRE(late > 20);
}

TEST_CASE("an atomic write that fails leaves the old content, and no temporary file", "[sim][io][file]") {
  int failed = 0, replaced = 0;
  const auto program = [&]() -> routine<> {
    const std::string old_content = text(0, 3'000), new_content = text(7, 9'000);
    // The old content is there: that may take some tries.
    for (int error = 1; error != 0;) {
      error = co_await error_of([](const std::string& content) -> routine<> {
        co_await write_file("/tmp/a", content);
      }(old_content));
    }
    const int error = co_await error_of([](const std::string& content) -> routine<> {
      co_await write_file("/tmp/a", content, {.atomic = true, .sync = true});
    }(new_content));
    check(error == 0 || error == ENOSPC, "another error");
    const file_contents all = co_await read_file("/tmp/a");
    check(all.view() == (error == 0 ? new_content : old_content), "another content");
    const directory_listing names = co_await list_directory("/tmp");
    check(std::next(names.begin()) == names.end(), "something else is left");
    (error == 0 ? replaced : failed) += 1;
  };
  sim::options how = everything;
  how.no_space = 100;
  const auto r = sim::for_each_seed(seeds, program, how);
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(failed > 10);
  REQUIRE(replaced > 10);
}

TEST_CASE("without a descriptor each call fails by EMFILE, and no connection is lost by it", "[sim][io]") {
  int refused = 0;
  const auto program = [&]() -> routine<> {
    std::set<int> errors;
    const auto insist = [&](auto make) -> routine<> {
      for (int error = 1; error != 0;) {
        error = co_await error_of(make());
        errors.insert(error);
      }
    };
    std::vector<tcp_stream> all;
    auto* const kept = &all;
    std::vector<tcp_listener> listeners;
    co_await insist([&]() -> routine<> {
      listeners.emplace_back(ip_endpoint::loopback());
      co_return;
    });
    auto* const listener = &listeners.front();
    co_await insist(
        [=]() -> routine<> { kept->push_back(co_await tcp_stream::connect(listener->local_endpoint())); });
    co_await insist([=]() -> routine<> { kept->push_back(co_await listener->accept()); });
    co_await insist([]() -> routine<> {
      (void)make_pipe();
      co_return;
    });
    co_await insist(
        []() -> routine<> { (void)co_await file::open("/tmp/x", open_flags::write | open_flags::create); });
    check(all[1].peer_endpoint() == all[0].local_endpoint(), "another connection");
    check(std::all_of(errors.begin(), errors.end(), [](int e) { return e == 0 || e == EMFILE; }),
          "another error");
    refused += errors.size() > 1;
  };
  const auto r = sim::for_each_seed(300, program, {.no_descriptors = 200});
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(refused > 50);
}

TEST_CASE("without memory an operation throws bad_alloc, and no descriptor is left", "[sim][io]") {
  int failed = 0, passed = 0;
  const auto program = [&]() -> routine<> {
    bool has_failed = false;
    const auto talk = [](ip_endpoint to, bool* fails) -> routine<> {
      try {
        tcp_stream s = co_await tcp_stream::connect(to);
        co_await s.write_all("x");
      } catch (const std::exception&) {
        *fails = true;
      }
    };
    try {
      tcp_listener listener(ip_endpoint::loopback());
      auto talking = go(talk, listener.local_endpoint(), &has_failed);
      try {
        tcp_stream s = co_await with_timeout(1h, listener.accept());
        std::array<char, 1> byte;
        co_await s.read_exactly(byte);
      } catch (const std::exception&) {
        has_failed = true;
      }
      listener.close();
      co_await std::move(talking);
      (void)make_pipe();
      (void)unix_stream::pair();
      file f = co_await file::open("/tmp/a", open_flags::write | open_flags::create);
      co_await write_file("/tmp/b", "content", {.atomic = true});
      const directory_listing names = co_await list_directory("/tmp");
      check(!names.empty(), "nothing is there");
    } catch (const std::bad_alloc&) {
      has_failed = true;
    }
    (has_failed ? failed : passed) += 1;
  };
  const sim::options how{.schedule = sim::strategy::mixed, .failing_allocations = 60};
  const auto r = sim::for_each_seed(seeds, program, how);
  INFO(r.report);
  REQUIRE(r.ok);
  REQUIRE(failed > 20);
  REQUIRE(passed > 20);
  REQUIRE(sim::run(3, program, how).hash == sim::run(3, program, how).hash);
}

TEST_CASE("datagrams are lost, and overtake one another", "[sim][io]") {
  std::set<std::string> orders;
  const auto program = [&]() -> routine<> {
    udp_socket a(ip_endpoint::loopback()), b(ip_endpoint::loopback());
    for (const std::string_view each : {"1", "2", "3"}) co_await a.send_to(each, b.local_endpoint());
    std::string order;
    try {
      for (;;) {
        std::array<char, 1> one;
        co_await with_timeout(1h, b.recv(one));
        order += one[0];
      }
    } catch (const timeout_error&) {
    }
    orders.insert(order);
  };
  const auto r = sim::for_each_seed(300, program, {.delays = 300, .lost_datagrams = 200});
  INFO(r.report);
  REQUIRE(r.ok);
  for (const char* const each : {"", "1", "3", "13", "123", "213", "312", "32"})
    REQUIRE(orders.contains(each));
}

TEST_CASE("a run that is cancelled in the middle of everything comes to its end", "[sim][io]") {
  const auto program = []() -> routine<> {
    connection c = co_await connect_here();
    const auto busy = [](tcp_stream& a, tcp_stream& b) -> routine<> {
      const auto write = [](tcp_stream& to) -> routine<> {
        const std::string much(100'000, 'x');
        for (;;) co_await to.write_all(much);
      };
      const auto read = [](tcp_stream& from) -> routine<> {
        std::array<char, 1'000> some;
        for (;;) (void)co_await from.read_some(some);
      };
      const auto files = []() -> routine<> {
        for (;;) {
          co_await write_file("/tmp/a", "content", {.atomic = true});
          (void)co_await read_file("/tmp/a");
        }
      };
      co_await all(write(a), read(b), files());
    };
    auto working = go(busy, std::ref(c.near), std::ref(c.far));
    for (auto turns = sim::random() % 300; turns != 0; --turns) co_await yield();
    working.cancel();
    try {
      co_await std::move(working);
    } catch (const routine_cancelled&) {
      co_return;
    }
    check(false, "it has ended");
  };
  const auto r = sim::for_each_seed(seeds / 2, program, everything);
  INFO(r.report);
  REQUIRE(r.ok);
}
