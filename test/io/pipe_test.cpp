#include <weft/blocking.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/udp.hpp>
#include <weft/io/unix.hpp>
#include <weft/sim.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <set>
#include <string>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::dump_with;
using test::error_in;
using test::error_of;
using test::text;

TEST_CASE("a pipe carries what is written, to its end", "[io][pipe]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const auto got = rt.go([]() -> routine<std::size_t> {
                       auto ends = make_pipe();
                       auto writing = go(
                           [](pipe_end to) -> routine<> {
                             const std::string all = text(0, 500'000);
                             co_await to.write_all(all);
                           },
                           std::move(ends.second));
                       std::string all(500'001, ' ');
                       std::size_t n = 0;
                       for (;;) {
                         const std::size_t more =
                             co_await ends.first.read_some(mutable_buffer(all.data() + n, all.size() - n));
                         if (more == 0) break;
                         n += more;
                       }
                       co_await std::move(writing);
                       co_return all.substr(0, n) == text(0, 500'000) ? n : 0;
                     }).join();
  REQUIRE(got == 500'000);
}

TEST_CASE("writing to a pipe that nobody reads is EPIPE, and no signal on any thread", "[io][pipe]") {
  struct sigaction as_it_was;
  ::sigaction(SIGPIPE, nullptr, &as_it_was);
  REQUIRE(as_it_was.sa_handler == SIG_DFL);  // which would end this process
  auto ends = make_pipe();
  ends.first.close();
  const auto writes = [&] { blocking::wait(ends.second.write_all("x")); };
  REQUIRE(error_in(writes) == EPIPE);
  REQUIRE(go([&] { return error_in(writes); }).join() == EPIPE);
  sigset_t pending;
  ::sigpending(&pending);
  REQUIRE(::sigismember(&pending, SIGPIPE) == 0);
}

TEST_CASE("a SIGPIPE that the program waits for itself is not taken away", "[io][pipe]") {
  sigset_t pipe, before;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before);
  ::pthread_kill(::pthread_self(), SIGPIPE);
  auto ends = make_pipe();
  ends.first.close();
  REQUIRE(error_in([&] { blocking::wait(ends.second.write_all("x")); }) == EPIPE);
  const timespec now{};
  REQUIRE(::sigtimedwait(&pipe, nullptr, &now) == SIGPIPE);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("a local connection goes by path and by abstract name", "[io][unix]") {
  const std::string path = "/tmp/weft-test-" + std::to_string(::getpid());
  for (const unix_endpoint& at : {unix_endpoint(path), unix_endpoint::abstract(path)}) {
    unix_listener listener(at);
    const unix_stream near = blocking::wait(unix_stream::connect(at));
    unix_stream far = blocking::wait(listener.accept());
    REQUIRE(near.peer_endpoint().path() == path);
    REQUIRE(error_in([&] { const unix_listener second(at); }) == EADDRINUSE);
  }
  ::unlink(path.c_str());
}

TEST_CASE("a descriptor is passed to the peer", "[io][unix]") {
  auto [near, far] = unix_stream::pair();
  auto ends = make_pipe();
  auto sending = go(
      [](unix_stream& to, int fd) -> routine<> {
        co_await to.send_descriptor(fd);
        co_await to.write_all("y");
        to.close();
      },
      std::ref(near), ends.second.native_handle());
  pipe_end copy = pipe_end::adopt(blocking::wait(far.recv_descriptor()));
  sending.join();
  ends.second.close();
  blocking::wait(copy.write_all("through"));
  copy.close();
  std::string got(7, ' ');
  blocking::wait(ends.first.read_exactly(got));
  REQUIRE(got == "through");
  REQUIRE(blocking::wait(far.recv_descriptor()) == -1);  // a byte alone
  REQUIRE(blocking::wait(far.recv_descriptor()) == -1);  // the end
}

TEST_CASE("what stands behind a passed descriptor is read though nothing more comes", "[io][unix]") {
  auto [near, far] = unix_stream::pair();
  auto reading = go(
      [](unix_stream& from) -> routine<std::string> {
        std::string all;
        std::array<char, 100> piece;
        while (all.size() < 5) {
          const std::size_t n = co_await from.read_some(piece);
          all.append(piece.data(), n);
        }
        co_return all;
      },
      std::ref(far));
  while (runtime::global().stats().idle_workers != runtime::global().workers()) blocking::sleep_for(1ms);
  blocking::wait(near.write_all("ab"));
  blocking::wait(near.send_descriptor(0));
  blocking::wait(near.write_all("cd"));
  std::string got = reading.join();
  got.erase(2, 1);  // the byte that went with the descriptor
  REQUIRE(got == "abcd");
}

TEST_CASE("datagrams come with their sender, cut to the buffer", "[io][udp]") {
  udp_socket a(ip_endpoint::loopback()), b(ip_endpoint::loopback());
  auto receiving = go(
      [](udp_socket& s) -> routine<std::pair<std::string, ip_endpoint>> {
        std::string buffer(4, ' ');
        ip_endpoint from;
        const std::size_t n = co_await s.recv_from(buffer, from);
        co_return std::pair{buffer.substr(0, n), from};
      },
      std::ref(b));
  blocking::wait(a.send_to("12345678", b.local_endpoint()));
  const auto [got, from] = receiving.join();
  REQUIRE(got == "1234");
  REQUIRE(from == a.local_endpoint());
  b.connect(a.local_endpoint());
  blocking::wait(b.send("back"));
  std::string answer(9, ' ');
  REQUIRE(blocking::wait(a.recv(answer)) == 4);
  REQUIRE(error_in([&] { blocking::wait(a.send_to(std::string(70'000, 'x'), b.local_endpoint())); }) ==
          EMSGSIZE);
}

TEST_CASE("wait_readable and wait_writable tell of descriptors of others", "[io][ready]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  std::array<int, 2> raw;
  REQUIRE(::pipe(raw.data()) == 0);  // they block
  const int from = raw[0], to = raw[1];
  auto reader = rt.go([from]() -> routine<char> {
    char c = 0;
    co_await wait_readable(from);
    if (::read(from, &c, 1) != 1) co_return '?';
    co_return c;
  });
  auto second = rt.go([from]() -> routine<> { co_await wait_readable(from); });
  rt.go([to]() -> routine<> { co_await wait_writable(to); }).join();
  REQUIRE_FALSE(reader.done());
  REQUIRE(::write(to, "!", 1) == 1);
  REQUIRE(reader.join() == '!');
  ::close(to);  // the end counts
  second.join();
  blocking::wait(wait_readable(from));
  ::close(from);
  REQUIRE(error_in([&] { blocking::wait(wait_readable(from)); }) == EBADF);
}

TEST_CASE("one descriptor is waited for in both directions at once", "[io][ready]") {
  runtime rt({.workers = 2});
  auto s = unix_stream::pair();
  const int fd = s.first.native_handle();
  auto reading = rt.go([fd]() -> routine<> { co_await wait_readable(fd); });
  auto own = rt.go(
      [](unix_stream& from) -> routine<std::size_t> {
        std::array<char, 1> byte;
        co_return co_await from.read_exactly(byte);
      },
      std::ref(s.first));
  rt.go([fd]() -> routine<> { co_await wait_writable(fd); }).join();
  blocking::wait(s.second.write_all("x"));
  REQUIRE(own.join() == 1);
  blocking::wait(s.second.write_all("y"));
  reading.join();
}

TEST_CASE("a regular file is always ready", "[io][ready]") {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  blocking::wait(wait_readable(fd));
  ::close(fd);
}

TEST_CASE("a dump says which descriptor a routine waits for", "[io][dump]") {
  runtime rt({.workers = 1});
  auto ends = make_pipe();
  auto reading = rt.go(test::first_byte, std::ref<byte_stream>(ends.first));
  const std::string wanted = "waits in read of descriptor " + std::to_string(ends.first.native_handle());
  REQUIRE(dump_with(rt, wanted).find(wanted) != std::string::npos);
  ends.second.close();
  reading.join();
}

TEST_CASE("in a simulated run the real descriptors are refused, and closed by who took them", "[io][sim]") {
  const std::size_t before = test::open_descriptors();
  std::array<int, 3> errors{};
  const auto result = sim::run(1, [&] {
    errors[0] = error_in([] { blocking::wait(wait_readable(0)); });
    errors[1] = error_in([] { (void)pipe_end::adopt(::dup(0)); });
    errors[2] = error_in([] {
      auto [near, far] = unix_stream::pair();
      blocking::wait(near.send_descriptor(0));
    });
  });
  INFO(result.report);
  REQUIRE(result.ok);
  REQUIRE(errors == std::array{ENOTSUP, ENOTSUP, ENOTSUP});
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("a number of a simulated run is none outside of it", "[io][sim]") {
  pipe_end out;
  const auto result = sim::run(1, [&] { out = make_pipe().second; });
  REQUIRE(result.report.find("a pipe, to write to") != std::string::npos);
  REQUIRE(error_in([&] { blocking::wait(out.write_all("x")); }) == EBADF);
}

TEST_CASE("a host's descriptor is readable when one that its routines wait for is", "[io][embed]") {
  runtime rt({.workers = manual});
  auto ends = make_pipe();
  auto reading = rt.go(
      [](pipe_end& from) -> routine<char> {
        std::array<char, 1> byte;
        co_await from.read_exactly(byte);
        co_return byte[0];
      },
      std::ref(ends.first));
  while (rt.poll() != 0) {
  }
  pollfd host{rt.native_handle(), POLLIN, 0};
  REQUIRE(::poll(&host, 1, 0) == 0);
  REQUIRE(::write(ends.second.native_handle(), "z", 1) == 1);
  REQUIRE(::poll(&host, 1, 10'000) == 1);
  rt.poll();
  REQUIRE(reading.done());
  REQUIRE(reading.join() == 'z');
  rt.stop();
}
