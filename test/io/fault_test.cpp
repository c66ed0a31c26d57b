// What goes wrong around descriptors: signals, numbers that run out, peers that stop, sizes beyond the
// system's.

#include <weft/blocking.hpp>
#include <weft/io/file.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/resolve.hpp>
#include <weft/io/tcp.hpp>
#include <weft/io/unix.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"
#include "support/signal_storm.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::connect_here;
using test::connection;
using test::error_in;
using test::error_of;
using test::signal_storm;
using test::text;

namespace {

/// In bytes.
std::size_t resident() {
  std::array<char, 200> line{};
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t n = ::read(fd, line.data(), line.size() - 1);
  ::close(fd);
  const std::string all(line.data(), static_cast<std::size_t>(n));
  return std::stoul(all.substr(all.find(' '))) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

routine<> echo(tcp_stream s) {
  std::array<char, 1'000> buffer;
  for (;;) {
    const std::size_t n = co_await s.read_some(buffer);
    if (n == 0) co_return;
    co_await s.write_all(const_buffer(buffer.data(), n));
  }
}

}  // namespace

TEST_CASE("signals that interrupt a thread's system calls are none of its reads' and writes' business",
          "[io][fault]") {
  runtime rt({.workers = 2});
  tcp_listener listener(ip_endpoint::loopback());
  const long before = signal_storm::taken();
  const signal_storm signals(500'000, ::gettid());
  int rounds = 0, wrong = 0;
  while (signal_storm::taken() < before + 400) {
    auto peer = rt.go(
        [](ip_endpoint to) -> routine<> {
          tcp_stream s = co_await tcp_stream::connect(to);
          co_await echo(std::move(s));
        },
        listener.local_endpoint());
    tcp_stream here = blocking::wait(listener.accept());
    const std::string much = text(0, 300'000);
    auto writing =
        rt.go([](tcp_stream& to, const std::string& all) -> routine<> { co_await to.write_all(all); },
              std::ref(here), std::cref(much));
    std::string got(much.size(), ' ');
    wrong += blocking::wait(here.read_exactly(got)) != much.size() || got != much;
    writing.join();
    for (int i = 0; i < 100; ++i) {
      blocking::wait(here.write_all("ping"));
      std::array<char, 4> pong;
      wrong += blocking::wait(here.read_exactly(pong)) != 4;
    }
    auto accepting = rt.go([](tcp_listener& l) -> routine<tcp_stream> { co_return co_await l.accept(); },
                           std::ref(listener));
    tcp_stream near = blocking::wait(tcp_stream::connect(listener.local_endpoint()));
    tcp_stream far = accepting.join();
    try {
      std::array<char, 1> byte;
      blocking::with_timeout(5ms, far.read_some(byte));
      ++wrong;
    } catch (const timeout_error&) {
    }
    here.close();
    peer.join();
    ++rounds;
  }
  REQUIRE(wrong == 0);
  REQUIRE(rounds > 0);
}

TEST_CASE("a read that another holder of the pipe has made block goes on after signals", "[io][fault]") {
  auto ends = make_pipe();
  ::fcntl(ends.first.native_handle(), F_SETFL, 0);
  const long before = signal_storm::taken();
  const signal_storm signals(500'000, ::gettid());
  std::thread writing([&] {
    while (signal_storm::taken() < before + 100) ::sched_yield();
    static_cast<void>(::write(ends.second.native_handle(), "x", 1));
  });
  std::array<char, 1> byte{};
  const int error = error_in([&] { blocking::wait(ends.first.read_some(byte)); });
  writing.join();
  REQUIRE(error == 0);
  REQUIRE(byte[0] == 'x');
}

TEST_CASE("a thousand connections, one after the other, leave no descriptor", "[io][fault]") {
  const unsigned width = GENERATE(1U, 2U);
  const std::size_t before = test::open_descriptors();
  {
    runtime rt({.workers = width});
    const auto good = rt.go([]() -> routine<int> {
                          tcp_listener listener(ip_endpoint::loopback());
                          auto serving = go(
                              [](tcp_listener& from) -> routine<> {
                                for (int i = 0; i < 1'000; ++i) {
                                  tcp_stream s = co_await from.accept();
                                  co_await error_of(echo(std::move(s)));
                                }
                              },
                              std::ref(listener));
                          int same = 0;
                          for (int i = 0; i < 1'000; ++i) {
                            tcp_stream s = co_await tcp_stream::connect(listener.local_endpoint());
                            s.set_reset_on_close();  // or a thousand ports stay in TIME_WAIT
                            const std::string asked = text(static_cast<std::size_t>(i), 100);
                            co_await s.write_all(asked);
                            std::string answer(100, ' ');
                            co_await s.read_exactly(answer);
                            same += answer == asked;
                          }
                          co_await std::move(serving);
                          co_return same;
                        }).join();
    REQUIRE(good == 1'000);
  }
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("accept without a number for the connection costs nothing while its caller backs off",
          "[io][fault]") {
  runtime rt({.workers = 2, .stall_threshold = 1h});  // a monitor that looks at threads has numbers, too
  tcp_listener listener(ip_endpoint::loopback());

  struct outcome {
    int refused = 0;
    std::int64_t busy = 0;
    bool served = false;
  };

  const auto accepts = [&listener]() -> routine<outcome> {
    tcp_stream client = co_await tcp_stream::connect(listener.local_endpoint());
    outcome o;
    std::optional<test::no_descriptors> limited(std::in_place);
    const std::int64_t before = test::cpu_time();
    tcp_stream served;
    while (!served.is_open()) {
      int error = 0;
      try {
        served = co_await listener.accept();
      } catch (const std::system_error& e) {
        error = e.code().value();
      }
      if (error == 0) break;
      if (error != EMFILE) co_return o;
      if (++o.refused == 20) limited.reset();
      co_await sleep_for(10ms);
    }
    o.busy = test::cpu_time() - before;
    o.served = served.peer_endpoint() == client.local_endpoint();
    co_return o;
  };
  const outcome got = rt.go(accepts).join();
  REQUIRE(got.refused == 20);
  REQUIRE(got.served);
  REQUIRE(got.busy < 100'000'000);  // of 200 ms on each processor
}

TEST_CASE("a peer that stops reading keeps its writer waiting, and no memory", "[io][fault]") {
  runtime rt({.workers = 2});
  const auto [grown, error] = rt.go([]() -> routine<std::pair<std::size_t, int>> {
                                  std::vector<connection> all;
                                  for (int i = 0; i < 20; ++i) all.push_back(co_await connect_here());
                                  const std::string piece(100'000, 'x');
                                  std::atomic<std::size_t> written{0};
                                  const auto write = [&](tcp_stream& to) -> routine<> {
                                    for (;;) written += co_await to.write_some(piece);
                                  };
                                  const std::size_t before = resident();
                                  std::vector<join_handle<int>> writers;
                                  for (connection& each : all)
                                    writers.push_back(go(error_of(write(each.near))));
                                  std::size_t seen = 1;
                                  while (seen != written) {  // the system's buffers are full
                                    seen = written;
                                    co_await sleep_for(20ms);
                                  }
                                  const std::size_t after = resident();
                                  for (connection& each : all) each.near.close();
                                  int last = 0;
                                  for (auto& each : writers) last = co_await std::move(each);
                                  co_return std::pair{after > before ? after - before : 0, last};
                                }).join();
  REQUIRE(grown < 4'000'000);
  REQUIRE((error == ECANCELED || error == EBADF));  // the last look may have found a little room
}

TEST_CASE("write_all goes on where the system cuts, beyond 2 GiB", "[io][fault]") {
  if (test::sanitized) return;  // 2 GiB are copied
  constexpr std::size_t total = (std::size_t{2} << 30) + 12'345;
  // One page of zeros, again and again.
  void* const zeros = ::mmap(nullptr, total, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(zeros != MAP_FAILED);
  runtime rt({.workers = 2});
  const auto sums = rt.go([zeros]() -> routine<std::array<std::size_t, 3>> {
                        // What discards takes all at once: the system's own limit is what cuts.
                        pipe_end sink = pipe_end::adopt(::open("/dev/null", O_WRONLY | O_CLOEXEC));
                        const std::size_t some = co_await sink.write_some(const_buffer(zeros, total));
                        const std::size_t all = co_await sink.write_all(const_buffer(zeros, total));
                        auto [near, far] = unix_stream::pair();
                        near.set_send_buffer(4'000'000);
                        auto reading = go(
                            [](unix_stream& from) -> routine<std::size_t> {
                              std::vector<char> buffer(1'000'000);
                              std::size_t sum = 0;
                              for (;;) {
                                const std::size_t n = co_await from.read_some(buffer);
                                if (n == 0) co_return sum;
                                sum += n;
                              }
                            },
                            std::ref(far));
                        co_await near.write_all(const_buffer(zeros, total));
                        near.close();
                        const std::size_t read = co_await std::move(reading);
                        co_return std::array{some, all, read};
                      }).join();
  ::munmap(zeros, total);
  REQUIRE(sums[0] < total);
  REQUIRE(sums[1] == total);
  REQUIRE(sums[2] == total);
}

TEST_CASE("an end that is closed in the middle of the other's write_all is an error of that", "[io][fault]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto errors = rt.go([]() -> routine<std::array<int, 3>> {
                          const auto write = [](auto& to) -> routine<> {
                            const std::string much(10'000'000, 'x');
                            co_await to.write_all(much);
                          };
                          std::array<char, 1'000> some;
                          auto pipe = make_pipe();
                          auto local = unix_stream::pair();
                          connection c = co_await connect_here();
                          auto first = go(error_of(write(pipe.second)));
                          auto second = go(error_of(write(local.second)));
                          auto third = go(error_of(write(c.near)));
                          co_await pipe.first.read_exactly(some);
                          co_await local.first.read_exactly(some);
                          co_await c.far.read_exactly(some);
                          pipe.first.close();
                          local.first.close();
                          c.far.close();  // with bytes unread: resets
                          std::array<int, 3> all{};
                          all[0] = co_await std::move(first);
                          all[1] = co_await std::move(second);
                          all[2] = co_await std::move(third);
                          co_return all;
                        }).join();
  REQUIRE(errors[0] == EPIPE);
  REQUIRE((errors[1] == EPIPE || errors[1] == ECONNRESET));
  REQUIRE((errors[2] == EPIPE || errors[2] == ECONNRESET));
}

TEST_CASE("a wait for which no thread can be had keeps no hold of what it was to wait for", "[io][fault]") {
  const std::size_t before = test::open_descriptors();
  {
    runtime rt({.workers = 1, .max_threads = 1});
    const auto errors =
        rt.go([] {
            auto [from, to] = make_pipe();
            file zeros = file::adopt(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
            std::array<char, 4> some;
            const std::array all{error_in([&] { blocking::wait(from.read_some(some)); }),
                                 error_in([&] { blocking::wait(wait_readable(from.native_handle())); }),
                                 error_in([&] { blocking::wait(zeros.sync()); }),
                                 error_in([&] { (void)blocking::wait(resolve("localhost", "http")); })};
            // Not while somebody uses them.
            ::close(from.release());
            ::close(zeros.release());
            return all;
          }).join();
    REQUIRE(errors == std::array{EAGAIN, EAGAIN, EAGAIN, EAGAIN});
  }
  REQUIRE(test::open_descriptors() == before);
}
