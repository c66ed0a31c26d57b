// What descriptors do over the kernel and in a simulated run alike: each body runs on both.

#include <weft/io/pipe.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/select.hpp>
#include <weft/io/tcp.hpp>
#include <weft/io/unix.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

#include "sim/io_support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::connect_by;
using test::connection;
using test::error_of_op;
using test::everywhere;
using test::letter;
using test::task;
using test::text;

namespace {

constexpr auto write_in_pieces = [](auto f, auto* to, std::size_t total) -> task<decltype(f), std::size_t> {
  std::size_t done = 0;
  for (std::size_t size = 1; done < total; size = size * 3 % 65'521 + 1) {
    const std::string piece = text(done, std::min(size, total - done));
    done += co_await f.wait(to->write_all(piece));
  }
  co_return done;
};

/// How many bytes are right, from the start to the end of the stream.
constexpr auto read_in_pieces = [](auto f, auto* from) -> task<decltype(f), std::size_t> {
  std::vector<char> buffer(40'009);
  std::size_t right = 0;
  for (std::size_t size = 1;; size = size * 5 % 40'009 + 1) {
    const std::size_t n = co_await f.wait(from->read_some(mutable_buffer(buffer.data(), size)));
    if (n == 0) co_return right;
    for (std::size_t i = 0; i < n; ++i) {
      if (buffer[i] != letter(right)) co_return right;
      ++right;
    }
  }
};

}  // namespace

TEST_CASE("on both systems what one side of a connection writes the other reads, both ways at once",
          "[sim][io]") {
  const auto body = [](auto f, int thousands) -> task<decltype(f)> {
    const std::size_t total = static_cast<std::size_t>(thousands) * 1'000 + 17;
    connection c = co_await connect_by(f);
    const auto write = [](auto g, tcp_stream* to, std::size_t n) -> task<decltype(g), std::size_t> {
      const std::size_t done = co_await write_in_pieces(g, to, n);
      to->shutdown_write();
      co_return done;
    };
    auto a = f.go(write, &c.near, total), b = f.go(write, &c.far, total);
    auto x = f.go(read_in_pieces, &c.near), y = f.go(read_in_pieces, &c.far);
    std::array<std::size_t, 4> sums{};
    sums[0] = co_await f.join(std::move(a));
    sums[1] = co_await f.join(std::move(b));
    sums[2] = co_await f.join(std::move(x));
    sums[3] = co_await f.join(std::move(y));
    f.expect(sums == std::array{total, total, total, total}, "every byte");
  };
  everywhere(body, 1'000, 100);
}

TEST_CASE("on both systems a pipe carries what is written, to its end", "[sim][io]") {
  const auto body = [](auto f, int thousands) -> task<decltype(f)> {
    const std::size_t total = static_cast<std::size_t>(thousands) * 1'000;
    auto ends = make_pipe();
    const auto write = [](auto g, pipe_end* to, std::size_t n) -> task<decltype(g), std::size_t> {
      const std::size_t done = co_await write_in_pieces(g, to, n);
      to->close();
      co_return done;
    };
    auto writing = f.go(write, &ends.second, total);
    const std::size_t n = co_await read_in_pieces(f, &ends.first);
    f.expect(n == total, "every byte");
    co_await f.join(std::move(writing));
    const int error = co_await error_of_op(f, [&] { return ends.second.write_all("x"); });
    f.expect(error == EBADF, "a closed end is EBADF");
  };
  everywhere(body, 500, 90);
}

TEST_CASE("on both systems writing where nobody reads any more is EPIPE", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    auto ends = make_pipe();
    ends.first.close();
    int error = co_await error_of_op(f, [&] { return ends.second.write_all("x"); });
    f.expect(error == EPIPE, "of a pipe");
    auto [near, far] = unix_stream::pair();
    far.close();
    error = co_await error_of_op(f, [&] { return near.write_all("x"); });
    f.expect(error == EPIPE, "of a local connection");
    auto [left, right] = unix_stream::pair();
    right.shutdown_read();
    error = co_await error_of_op(f, [&] { return left.write_all("x"); });
    f.expect(error == EPIPE, "after shutdown_read");
    left.shutdown_write();
    error = co_await error_of_op(f, [&] { return left.write_all("x"); });
    f.expect(error == EPIPE, "after shutdown_write");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems a closed end ends the other's write_all in the middle", "[sim][io]") {
  const auto body = [](auto f, int thousands) -> task<decltype(f)> {
    const auto write = [](auto g, auto* to, std::size_t n) -> task<decltype(g), int> {
      const std::string much(n, 'x');
      co_return co_await error_of_op(g, [&] { return to->write_all(much); });
    };
    const std::size_t much = static_cast<std::size_t>(thousands) * 1'000;
    std::array<char, 100> some;
    auto pipe = make_pipe();
    auto local = unix_stream::pair();
    connection c = co_await connect_by(f);
    auto first = f.go(write, &pipe.second, much);
    auto second = f.go(write, &local.second, much);
    auto third = f.go(write, &c.near, much);
    co_await f.wait(pipe.first.read_exactly(some));
    co_await f.wait(local.first.read_exactly(some));
    co_await f.wait(c.far.read_exactly(some));
    pipe.first.close();
    local.first.close();
    c.far.close();  // with bytes unread: resets
    std::array<int, 3> all{};
    all[0] = co_await f.join(std::move(first));
    all[1] = co_await f.join(std::move(second));
    all[2] = co_await f.join(std::move(third));
    f.expect(all[0] == EPIPE, "of the pipe");
    f.expect(all[1] == EPIPE || all[1] == ECONNRESET, "of the local connection");
    f.expect(all[2] == EPIPE || all[2] == ECONNRESET, "of the connection");
  };
  everywhere(body, 10'000, 300);
}

TEST_CASE("on both systems a peer that stops writing reads on what is answered", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    connection c = co_await connect_by(f);
    co_await f.wait(c.near.write_all("question"));
    c.near.shutdown_write();
    std::string asked(8, ' '), answer(6, ' ');
    co_await f.wait(c.far.read_exactly(asked));
    std::array<char, 1> more;
    const std::size_t end = co_await f.wait(c.far.read_some(more));
    co_await f.wait(c.far.write_all("answer"));
    c.far.close();
    co_await f.wait(c.near.read_exactly(answer));
    const std::size_t last = co_await f.wait(c.near.read_some(more));
    f.expect(asked == "question" && answer == "answer", "both were read");
    f.expect(end == 0 && last == 0, "and both ends");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems read_exactly tells an end before the first byte from one in the middle",
          "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    connection c = co_await connect_by(f);
    co_await f.wait(c.near.write_all("abcde"));
    c.near.close();
    std::array<char, 3> three;
    const std::size_t n = co_await f.wait(c.far.read_exactly(three));
    f.expect(n == 3, "three");
    const int error = co_await error_of_op(f, [&] { return c.far.read_exactly(three); });
    f.expect(error == ENODATA, "two");
    const std::size_t end = co_await f.wait(c.far.read_exactly(three));
    f.expect(end == 0, "the end");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems a peer that resets is an error of reads and writes", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    connection c = co_await connect_by(f);
    const auto read = [](auto g, tcp_stream* from) -> task<decltype(g), int> {
      std::array<char, 1> byte;
      co_return co_await error_of_op(g, [&] { return from->read_exactly(byte); });
    };
    auto reading = f.go(read, &c.far);
    c.near.set_reset_on_close();
    c.near.close();
    int error = co_await f.join(std::move(reading));
    f.expect(error == ECONNRESET, "the reader's");
    error = co_await error_of_op(f, [&] { return c.far.write_all("x"); });
    f.expect(error == EPIPE, "the writer's");
    std::array<char, 1> byte;
    const std::size_t n = co_await f.wait(c.far.read_some(byte));
    f.expect(n == 0, "and then the end");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems who answers a peer that has gone is told by the second write", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    connection c = co_await connect_by(f);
    c.near.close();
    std::array<char, 1> byte;
    const std::size_t end = co_await f.wait(c.far.read_some(byte));
    f.expect(end == 0, "it reads the end");
    co_await f.wait(c.far.write_all("x"));
    const std::size_t again = co_await f.wait(c.far.read_some(byte));
    f.expect(again == 0, "it reads the end again");
    const int error = co_await error_of_op(f, [&] { return c.far.write_all("x"); });
    f.expect(error == EPIPE, "the second write");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems a connection that nobody listens for is refused, a taken port is taken",
          "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    ip_endpoint nobody;
    {
      const tcp_listener listener(ip_endpoint::loopback());
      nobody = listener.local_endpoint();
      const int error = test::error_in([&] { const tcp_listener second(nobody); });
      f.expect(error == EADDRINUSE, "taken");
      f.expect(nobody.port() != 0, "a port was chosen");
    }
    int error = co_await error_of_op(f, [&] { return tcp_stream::connect(nobody); });
    f.expect(error == ECONNREFUSED, "refused");
    const unix_endpoint name = unix_endpoint::abstract("weft-nobody");
    error = co_await error_of_op(f, [&] { return unix_stream::connect(name); });
    f.expect(error == ECONNREFUSED, "no such name");
    const unix_endpoint path("/tmp/weft-test-nobody");
    error = co_await error_of_op(f, [&] { return unix_stream::connect(path); });
    f.expect(error == ENOENT, "no such path");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems each connection goes to one of those that accept", "[sim][io]") {
  const auto body = [](auto f, int connections) -> task<decltype(f)> {
    tcp_listener listener(ip_endpoint::loopback());
    channel<int> served(static_cast<std::size_t>(connections));
    const auto accept = [](auto g, tcp_listener* from, channel<int> told) -> task<decltype(g), int> {
      int error = 0;
      try {
        for (;;) {
          tcp_stream s = co_await g.wait(from->accept());
          std::array<char, 1> number;
          co_await g.wait(s.read_exactly(number));
          co_await g.send(told, int{number[0]});
        }
      } catch (const std::system_error& e) {
        error = e.code().value();
      }
      co_return error;
    };
    const auto connect = [](auto g, ip_endpoint to, int which) -> task<decltype(g)> {
      tcp_stream s = co_await g.wait(tcp_stream::connect(to));
      const char number = static_cast<char>(which);
      co_await g.wait(s.write_all(const_buffer(&number, 1)));
    };
    std::vector<join_handle<int>> accepting;
    std::vector<join_handle<>> connecting;
    for (int i = 0; i < 3; ++i) accepting.push_back(f.go(accept, &listener, served));
    for (int i = 0; i < connections; ++i) connecting.push_back(f.go(connect, listener.local_endpoint(), i));
    std::set<int> all;
    for (int i = 0; i < connections; ++i) {
      const auto which = co_await f.recv(served);
      all.insert(*which);
    }
    for (auto& each : connecting) co_await f.join(std::move(each));
    listener.close();
    for (auto& each : accepting) {
      const int error = co_await f.join(std::move(each));
      f.expect(error == ECANCELED || error == EBADF, "ended by the close");
    }
    f.expect(all.size() == static_cast<std::size_t>(connections), "each was served once");
  };
  everywhere(body, 60, 7);
}

TEST_CASE("on both systems a connection knows both addresses, and one listener takes both families",
          "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    tcp_listener listener(":0");
    const std::uint16_t port = listener.local_endpoint().port();
    const tcp_stream four = co_await f.wait(tcp_stream::connect(ip_endpoint::loopback(port)));
    const tcp_stream a = co_await f.wait(listener.accept());
    const tcp_stream six = co_await f.wait(tcp_stream::connect(ip_endpoint::loopback_v6(port)));
    const tcp_stream b = co_await f.wait(listener.accept());
    f.expect(four.peer_endpoint() == ip_endpoint::loopback(port), "the address that was asked for");
    f.expect(four.local_endpoint().port() != port, "a port of its own");
    f.expect(a.peer_endpoint().text().view().find("127.0.0.1") != std::string_view::npos, "an IPv4 peer");
    f.expect(a.peer_endpoint().port() == four.local_endpoint().port(), "with its port");
    f.expect(b.peer_endpoint() == six.local_endpoint(), "an IPv6 peer");
    f.expect(b.local_endpoint() == six.peer_endpoint(), "and how it sees us");
    const int error = test::error_in([] { (void)tcp_stream().local_endpoint(); });
    f.expect(error == EBADF, "no socket has no address");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems local connections go by path and by abstract name", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    const std::string path = "/tmp/weft-test-" + std::to_string(::getpid());
    const std::array all{unix_endpoint(path), unix_endpoint::abstract(path)};
    for (const unix_endpoint& at : all) {
      unix_listener listener(at);
      unix_stream near = co_await f.wait(unix_stream::connect(at));
      unix_stream far = co_await f.wait(listener.accept());
      f.expect(near.peer_endpoint().path() == path && far.local_endpoint().path() == path, "the name");
      f.expect(far.peer_endpoint().path().empty(), "the client has none");
      f.expect(test::error_in([&] { const unix_listener second(at); }) == EADDRINUSE, "taken");
      co_await f.wait(near.write_all("hello"));
      near.close();
      std::string got(5, ' ');
      co_await f.wait(far.read_exactly(got));
      f.expect(got == "hello", "the bytes");
    }
    const int error = co_await error_of_op(f, [&] { return unix_stream::connect(all[0]); });
    f.expect(error == ECONNREFUSED, "the path outlives its listener");
    if (!f.simulated()) ::unlink(path.c_str());
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems what is under way when a stream is closed ends by ECANCELED", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    auto ends = make_pipe();
    const auto read = [](auto g, pipe_end* from) -> task<decltype(g), int> {
      std::array<char, 1> byte;
      co_return co_await error_of_op(g, [&] { return from->read_some(byte); });
    };
    auto a = f.go(read, &ends.first), b = f.go(read, &ends.first);
    co_await f.yield();
    ends.first.close();
    for (auto* each : {&a, &b}) {
      const int error = co_await f.join(std::move(*each));
      f.expect(error == ECANCELED || error == EBADF, "which of the two is a matter of time");
    }
    f.expect(ends.first.native_handle() == -1, "it has no number any more");
  };
  everywhere(body, 0, 0);
}

TEST_CASE("on both systems a number is waited for, also by select", "[sim][io]") {
  const auto body = [](auto f, int) -> task<decltype(f)> {
    auto ends = make_pipe();
    const int from = ends.first.native_handle(), to = ends.second.native_handle();
    const auto wait = [](auto g, int fd) -> task<decltype(g)> { co_await g.wait(wait_readable(fd)); };
    auto waiting = f.go(wait, from);
    co_await f.wait(wait_writable(to));
    const std::size_t first = co_await f.select(on_readable(from), on_writable(to));
    f.expect(first == 1, "only writing is possible");
    co_await f.wait(ends.second.write_all("x"));
    co_await f.join(std::move(waiting));
    std::array<char, 1> byte;
    co_await f.wait(ends.first.read_exactly(byte));
    const auto close = [](auto g, pipe_end* end) -> task<decltype(g)> {
      co_await g.yield();
      end->close();
    };
    auto closing = f.go(close, &ends.second);
    const std::size_t second = co_await f.select(on_readable(from), on_timeout(1h));
    f.expect(second == 0, "the end of the stream is readable");
    co_await f.join(std::move(closing));
  };
  everywhere(body, 0, 0);
}
