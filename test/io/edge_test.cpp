// What peers, hosts and other holders of a descriptor may do, and must not upset.

#include <weft/blocking.hpp>
#include <weft/io/file.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/ready.hpp>
#include <weft/io/select.hpp>
#include <weft/io/tcp.hpp>
#include <weft/io/unix.hpp>
#include <weft/time.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/context.hpp"
#include "io/descriptor.hpp"
#include "io/support.hpp"
#include "os/lock.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/forbid.hpp"
#include "support/skip.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::connect_here;
using test::connection;
using test::error_in;
using test::error_of;
using test::first_byte;
using test::open_descriptors;

namespace {

/// As a peer does that is not weft's.
bool send_by_hand(const tcp_stream& from, const char* text, int flags = 0) {
  const std::size_t n = std::strlen(text);
  return ::send(from.native_handle(), text, n, flags | MSG_DONTWAIT) == static_cast<ssize_t>(n);
}

bool is_readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

routine<> write_text(byte_stream& to, const std::string& text) {
  co_await to.write_all(text);
}

routine<> do_nothing() {
  co_await yield();
}

std::size_t threads_of_process() {
  const std::filesystem::directory_iterator all("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("urgent data in the middle hides nothing of what is behind it", "[io][tcp][edge]") {
  runtime rt({.workers = 1});
  connection c = rt.go(connect_here).join();
  auto first = rt.go(first_byte, std::ref<byte_stream>(c.far));
  rt.go(do_nothing).join();  // it waits
  REQUIRE(send_by_hand(c.near, "!"));
  REQUIRE(first.join() == '!');
  REQUIRE(send_by_hand(c.near, "abc"));
  REQUIRE(send_by_hand(c.near, "X", MSG_OOB));
  REQUIRE(send_by_hand(c.near, "def"));
  std::string got;
  rt.go([&]() -> routine<> {
      for (int i = 0; i < 200; ++i) co_await yield();  // a worker that is busy looks at descriptors meanwhile
      std::array<char, 100> buffer;
      while (got.size() < 6) got.append(buffer.data(), co_await c.far.read_some(buffer));
    }).join();
  REQUIRE(got == "abcdef");
}

TEST_CASE("a local connect to a listener that is full fails by EAGAIN", "[io][unix][edge]") {
  runtime rt({.workers = 1});
  const unix_endpoint where = unix_endpoint::abstract("weft-full-" + std::to_string(::getpid()));
  const unix_listener full(where, 1);
  std::vector<unix_stream> waiting;
  int error = 0;
  for (int i = 0; i < 10 && error == 0; ++i)
    error = error_in([&] { waiting.push_back(blocking::wait(unix_stream::connect(where))); });
  REQUIRE(error == EAGAIN);
  REQUIRE(waiting.size() == 2);  // as Linux counts
}

TEST_CASE("of several descriptors that come at once one is taken, and the others are closed",
          "[io][unix][edge]") {
  runtime rt({.workers = 1});
  auto [from, to] = unix_stream::pair();
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 10; ++i) {
    std::array<int, 2> both{0, 1};
    char byte = 'x';
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof both)> room{};
    msghdr m{};
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = room.data();
    m.msg_controllen = room.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&m);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof both);
    std::memcpy(CMSG_DATA(head), both.data(), sizeof both);
    REQUIRE(::sendmsg(from.native_handle(), &m, 0) == 1);
    const int got = blocking::wait(to.recv_descriptor());
    REQUIRE(got >= 0);
    ::close(got);
  }
  REQUIRE(open_descriptors() == before);
}

TEST_CASE("a descriptor that comes when there is no number for it is an error", "[io][unix][edge]") {
  auto [from, to] = unix_stream::pair();
  blocking::wait(from.send_descriptor(0));
  blocking::wait(from.send_descriptor(0));
  int error = 0;
  {
    const test::no_descriptors limited;
    error = error_in([&end = to] { (void)blocking::wait(end.recv_descriptor()); });
  }
  const int next = blocking::wait(to.recv_descriptor());
  ::close(next);
  REQUIRE(error == EMFILE);
  REQUIRE(next >= 0);
}

TEST_CASE("a descriptor comes though the program has asked who sends it", "[io][unix][edge]") {
  auto [from, to] = unix_stream::pair();
  to.set_option(SOL_SOCKET, SO_PASSCRED, 1);
  blocking::wait(from.send_descriptor(0));
  const int got = blocking::wait(to.recv_descriptor());
  ::close(got);
  REQUIRE(got >= 0);
}

TEST_CASE("the pidfd that comes because the program has asked for it is closed", "[io][unix][edge]") {
  constexpr int so_passpidfd = 76;  // Linux 6.5
  auto [from, to] = unix_stream::pair();
  if (error_in([&receiver = to] { receiver.set_option(SOL_SOCKET, so_passpidfd, 1); }) == ENOPROTOOPT) {
    test::say_skipped("this kernel has no SO_PASSPIDFD");
    return;
  }
  for (const int also_who_sends : {0, 1}) {
    to.set_option(SOL_SOCKET, SO_PASSCRED, also_who_sends);
    const std::size_t before = open_descriptors();
    blocking::wait(from.send_descriptor(0));
    const int got = blocking::wait(to.recv_descriptor());
    ::close(got);
    blocking::wait(from.write_all("x"));
    const int none = blocking::wait(to.recv_descriptor());
    REQUIRE(got >= 0);
    REQUIRE(none == -1);
    REQUIRE(open_descriptors() == before);
  }
}

TEST_CASE("closed is closed, while an operation still leaves it", "[io][edge]") {
  runtime rt({.workers = 1});
  auto [from, to] = make_pipe();
  auto reading = rt.go(error_of<char>, first_byte(from));
  rt.go(do_nothing).join();
  from.close();
  REQUIRE_FALSE(from.is_open());
  REQUIRE(from.native_handle() == -1);
  REQUIRE(reading.join() == ECANCELED);
}

TEST_CASE("what is under way when a stream is closed does nothing any more", "[io][edge]") {
  runtime rt({.workers = 1});
  auto [from, to] = unix_stream::pair();
  const std::string much(10'000'000, 'x');
  auto writing =
      rt.go([](unix_stream& s,
               const std::string& all) -> routine<int> { co_return co_await error_of(write_text(s, all)); },
            std::ref(from), std::cref(much));
  while (!is_readable(to.native_handle())) {
  }
  // The worker is kept from it until the peer has room again.
  std::size_t drained = 0;
  rt.go([&, fd = to.native_handle()]() -> routine<> {
      from.close();
      std::array<char, 65'536> buffer;
      while (const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT)) {
        if (n < 0) break;
        drained += static_cast<std::size_t>(n);
      }
      co_return;
    }).join();
  REQUIRE(writing.join() == ECANCELED);
  std::array<char, 1> byte;
  REQUIRE(blocking::wait(to.read_some(byte)) == 0);
  REQUIRE(drained < much.size());
}

TEST_CASE("a write that never has to wait lets others run, and can be cancelled", "[io][edge]") {
  runtime rt({.workers = 1});
  pipe_end sink = pipe_end::adopt(::open("/dev/null", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  const std::vector<const_buffer> parts(20'000, const_buffer("x", 1));  // 64 a call
  bool is_cancelled = false;
  const int turns = rt.go([&]() -> routine<int> {
                        auto whole = go([&]() -> routine<> { co_await sink.write_all(parts); });
                        int n = 0;
                        while (!whole.done()) {
                          ++n;
                          co_await yield();
                        }
                        co_await std::move(whole);
                        auto part = go([&]() -> routine<> { co_await sink.write_all(parts); });
                        co_await yield();
                        part.cancel();
                        try {
                          co_await std::move(part);
                        } catch (const routine_cancelled&) {
                          is_cancelled = true;
                        }
                        co_return n;
                      }).join();
  REQUIRE(turns >= 10);
  REQUIRE(is_cancelled);
}

TEST_CASE("another holder of a local socket who makes it block does not block a worker", "[io][unix][edge]") {
  runtime rt({.workers = 1});
  auto [near, far] = unix_stream::pair();
  const int copy = ::dup(near.native_handle());
  auto first = rt.go(first_byte, std::ref<byte_stream>(near));
  blocking::wait(far.write_all("a"));
  REQUIRE(first.join() == 'a');
  ::fcntl(copy, F_SETFL, 0);
  ::close(copy);
  auto next = rt.go(first_byte, std::ref<byte_stream>(near));
  rt.go(do_nothing).join();
  blocking::wait(far.write_all("b"));
  REQUIRE(next.join() == 'b');
  REQUIRE(rt.stats().unannounced_blocks == 0);
}

TEST_CASE("a manual runtime whose host is away keeps no other runtime's routine from a descriptor",
          "[io][embed][edge]") {
  runtime away({.workers = manual});
  runtime rt({.workers = 1});
  auto ends = make_pipe();
  auto first = away.go(first_byte, std::ref<byte_stream>(ends.first));
  while (away.poll() != 0) {
  }
  blocking::wait(ends.second.write_all("a"));
  REQUIRE(first.join() == 'a');
  auto others = away.go(first_byte, std::ref<byte_stream>(ends.first));  // is woken to wait anew
  while (away.poll() != 0) {
  }
  auto next = rt.go(first_byte, std::ref<byte_stream>(ends.first));
  rt.go(do_nothing).join();
  char got = 0;
  std::thread other([&] {
    blocking::wait(ends.second.write_all("b"));
    got = next.join();
  });
  other.join();
  REQUIRE(got == 'b');
  blocking::wait(ends.second.write_all("c"));
  REQUIRE(others.join() == 'c');
}

TEST_CASE("a host that waits for a descriptor needs no other runtime", "[io][embed][edge]") {
  const std::size_t before = threads_of_process();
  runtime rt({.workers = manual});
  auto ends = make_pipe();
  auto writing = rt.go([&]() -> routine<> { co_await ends.second.write_all("a"); });
  std::array<char, 1> byte{};
  REQUIRE(blocking::wait(ends.first.read_some(byte)) == 1);
  REQUIRE(threads_of_process() == before);
  writing.join();
}

TEST_CASE("a thread's wait for a descriptor does not end with the global runtime", "[io][edge][stop]") {
  auto ends = make_pipe();
  std::array<char, 1> first{}, second{};
  std::atomic<bool> begins = false;
  std::thread waits([&] {
    begins = true;
    blocking::wait(ends.first.read_some(first));
  });
  while (!begins) {
  }
  for (int i = 0; i < 1'000; ++i) ::sched_yield();
  runtime::global().stop();
  blocking::wait(ends.second.write_all("a"));
  waits.join();
  std::thread writes([&] {
    for (int i = 0; i < 1'000; ++i) ::sched_yield();
    blocking::wait(ends.second.write_all("b"));
  });
  blocking::wait(ends.first.read_some(second));
  writes.join();
  init_global_runtime({});
  REQUIRE(first[0] == 'a');
  REQUIRE(second[0] == 'b');
}

TEST_CASE("where epoll_pwait2 is forbidden, limits and events come all the same", "[io][edge]") {
  bool has_timed_out = false;
  char got = 0;
  std::thread forbidden([&] {
    test::forbid(SYS_epoll_pwait2, EPERM);
    runtime rt({.workers = 1});
    auto ends = make_pipe();
    rt.go([&]() -> routine<> {
        std::array<char, 1> byte;
        try {
          co_await with_timeout(100ms, ends.first.read_some(byte));
        } catch (const timeout_error&) {
          has_timed_out = true;
        }
      }).join();
    auto reading = rt.go(first_byte, std::ref<byte_stream>(ends.first));
    blocking::wait(ends.second.write_all("a"));
    got = reading.join();
  });
  forbidden.join();
  REQUIRE(has_timed_out);
  REQUIRE(got == 'a');
}

TEST_CASE("an event that was under way when its descriptor was closed is not taken for the next one's",
          "[io][edge]") {
  runtime rt({.workers = 1});
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  detail::descriptor_handle old(::dup(fd));
  const detail::descriptor& record = *old.get();
  const std::uint64_t ticket = io::ticket_of(record);
  old = {};
  std::size_t chosen = 9;
  auto selecting = rt.go([&]() -> routine<> {
    chosen = co_await select(on_readable(fd), on_timeout(50ms));  // on a copy, which has that record
  });
  bool is_next = false;
  core::winners won;
  while (!selecting.done()) {
    is_next = is_next || detail::number_of(record) >= 0;
    io::note_event(ticket, {.readable = true, .writable = true, .mixed = false}, won);
    won.deliver_all();
  }
  selecting.join();
  ::close(fd);
  REQUIRE(is_next);  // else this says nothing
  REQUIRE(chosen == 1);
}

TEST_CASE("a connect that is woken before there is a connection waits on", "[io][tcp][edge]") {
  runtime rt({.workers = 1});
  // The system drops what it has no room for.
  const tcp_listener full(ip_endpoint::loopback(), {.backlog = 0});
  std::vector<tcp_stream> all;
  bool has_given_up = false, is_its = false;
  // Again if this thread did not run while it waited.
  for (int i = 0; !(has_given_up && is_its) && i < 100; ++i) {
    is_its = false;
    detail::descriptor_handle old(::dup(0));
    detail::descriptor& record = *old.get();
    old = {};
    auto connecting = rt.go([&]() -> routine<> {  // a socket that has that record
      try {
        all.push_back(co_await with_timeout(50ms, tcp_stream::connect(full.local_endpoint())));
      } catch (const timeout_error&) {
        has_given_up = true;
      }
    });
    core::winners won;
    while (!connecting.done()) {
      std::uint64_t ticket = 0;
      {
        const os::guard hold(record.lock);
        ticket = io::ticket_of(record);
        is_its = is_its || record.owned;
      }
      io::note_event(ticket, {.readable = false, .writable = true, .mixed = false}, won);
      won.deliver_all();
    }
    connecting.join();
  }
  REQUIRE(has_given_up);
  REQUIRE(is_its);
  for (const tcp_stream& each : all) REQUIRE(error_in([&] { (void)each.peer_endpoint(); }) == 0);
}

TEST_CASE("a forked child that closes its copy of a descriptor leaves the parent's", "[io][edge][fork]") {
  runtime rt({.workers = 2});
  auto ends = make_pipe();
  auto first = rt.go(first_byte, std::ref<byte_stream>(ends.first));
  while (rt.stats().idle_workers < 2) ::sched_yield();
  blocking::wait(ends.second.write_all("1"));
  REQUIRE(first.join() == '1');
  const pid_t child = ::fork();
  if (child == 0) {
    ends.first.close();
    ::_exit(0);
  }
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  REQUIRE(status == 0);
  auto second = rt.go(first_byte, std::ref<byte_stream>(ends.first));
  while (rt.stats().idle_workers < 2) ::sched_yield();
  blocking::wait(ends.second.write_all("2"));
  REQUIRE(second.join() == '2');
}

TEST_CASE("adopting a number that is none says EBADF, whatever went wrong before", "[io][edge]") {
  errno = 0;
  REQUIRE(error_in([] { (void)tcp_stream::adopt(-1); }) == EBADF);
  REQUIRE(error_in([] { (void)unix_stream::adopt(-1); }) == EBADF);
  errno = ENOENT;
  REQUIRE(error_in([] { (void)pipe_end::adopt(-7); }) == EBADF);
  REQUIRE(error_in([] { (void)file::adopt(-1); }) == EBADF);
}

TEST_CASE("two that await one operation on a descriptor at the same time abort", "[io][edge][misuse]") {
  const auto d = test::last_words([] {
    runtime rt({.workers = 1});
    auto [from, to] = make_pipe();
    std::array<char, 1> byte{};
    auto op = from.read_some(byte);
    const auto awaits = [&]() -> routine<> { co_await op; };
    auto first = rt.go(awaits);
    rt.go(spawn_options{.name = "second"}, awaits).join();
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("one operation on a descriptor is awaited twice at the same time"));
  REQUIRE(d.mentions("'second'"));
}

TEST_CASE("an operation on a descriptor may be awaited again when it is over or was cancelled",
          "[io][edge]") {
  auto [from, to] = make_pipe();
  std::array<char, 1> byte{};
  auto op = from.read_some(byte);
  REQUIRE_THROWS_AS(blocking::with_timeout(1ms, [&] { blocking::wait(op); }), timeout_error);
  for (int i = 0; i < 3; ++i) {
    blocking::wait(to.write_all("x"));
    REQUIRE(blocking::wait(op) == 1);
  }
  to.close();
  REQUIRE(blocking::wait(op) == 0);
}
