#include <weft/blocking.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/select.hpp>
#include <weft/io/unix.hpp>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "io/asleep.hpp"
#include "io/support.hpp"
#include "os/port.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::dump_with;
using test::error_in;
using test::error_of;
using test::sleeps;

namespace {

/// Of the system's own making: it blocks.
struct raw_pipe {
  raw_pipe() { static_cast<void>(::pipe2(ends.data(), O_CLOEXEC)); }

  raw_pipe(const raw_pipe&) = delete;
  raw_pipe& operator=(const raw_pipe&) = delete;

  ~raw_pipe() {
    close_from();
    close_to();
  }

  int from() const { return ends[0]; }

  int to() const { return ends[1]; }

  void close_from() { close_one(ends[0]); }

  void close_to() { close_one(ends[1]); }

  void put() const { static_cast<void>(::write(to(), "x", 1) == 1); }

  bool take() const {
    char c;
    return ::read(from(), &c, 1) == 1;
  }

  bool is_empty() const {
    pollfd p{from(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 0;
  }

  static void close_one(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }

  std::array<int, 2> ends{-1, -1};
};

/// That thread of this process sleeps in a select, whose copy is open besides what was.
bool selects(int number, std::size_t before) {
  return test::open_descriptors() > before && sleeps(number);
}

}  // namespace

TEST_CASE("a descriptor that is ready is a case that happens at once", "[io][select]") {
  runtime rt({.workers = 1});
  const raw_pipe p;
  p.put();
  const std::size_t before = test::open_descriptors();
  const auto order = rt.go([&p]() -> routine<std::string> {
                         channel<int> never;
                         std::string said;
                         const auto in = [&said] { said += "r"; };
                         const auto out = [&said] { said += "w"; };
                         const auto a = co_await select(on_recv(never), on_readable(p.from(), in));
                         const auto b = co_await select(on_writable(p.to(), out), on_recv(never));
                         const auto c = co_await select(on_readable(p.from(), in).when(false), otherwise());
                         co_return said + std::to_string(a) + std::to_string(b) + std::to_string(c);
                       }).join();
  REQUIRE(order == "rw101");
  REQUIRE(test::open_descriptors() <= before);  // no copy, so no driver either
}

TEST_CASE("a select waits until a descriptor is ready, and gives its copy back", "[io][select]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  const raw_pipe p;
  const auto wait_for_one = [](int fd) -> routine<std::size_t> {
    channel<int> never;
    co_return co_await select(on_recv(never), on_readable(fd), on_timeout(30s));
  };
  p.put();
  rt.go([](int fd) -> routine<> { co_await select(on_readable(fd), on_timeout(0s)); }, p.from()).join();
  REQUIRE(p.take());
  rt.go([](int fd) -> routine<> { co_await select(on_readable(fd), on_timeout(1ms)); }, p.from()).join();
  const std::size_t before = test::open_descriptors();  // with the driver's
  for (int i = 0; i < 50; ++i) {
    auto waiting = rt.go(wait_for_one, p.from());
    while (test::open_descriptors() == before) blocking::sleep_for(10us);
    p.put();
    REQUIRE(waiting.join() == 1);
    REQUIRE(p.take());
    REQUIRE(test::open_descriptors() == before);
  }
}

TEST_CASE("a select that ends otherwise leaves the descriptor and its copy", "[io][select]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  const raw_pipe p;
  const auto results = rt.go([&p]() -> routine<std::array<std::size_t, 3>> {
                           std::array<std::size_t, 3> all;
                           all[0] = co_await select(on_readable(p.from()), on_timeout(1ms));
                           const std::size_t before = test::open_descriptors();
                           channel<int> ch;
                           auto sending = go([ch]() mutable -> routine<> { co_await ch.send(1); });
                           all[1] = co_await select(on_readable(p.from()), on_recv(ch));
                           co_await std::move(sending);
                           event e;
                           auto waiting = go(
                               [](int fd, event& never) -> routine<> {
                                 co_await select(on_readable(fd), on_writable(fd), on_event(never));
                               },
                               p.from(), std::ref(e));
                           co_await yield();
                           waiting.cancel();
                           try {
                             co_await std::move(waiting);
                           } catch (const routine_cancelled&) {
                           }
                           all[2] = test::open_descriptors() - before;
                           co_return all;
                         }).join();
  REQUIRE(results == std::array<std::size_t, 3>{1, 1, 0});
}

TEST_CASE("of a descriptor and a channel exactly one case happens, whoever is first", "[io][select]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  runtime rt({.workers = width});
  constexpr int total = 2'000;
  const auto counts = rt.go([]() -> routine<std::array<int, 3>> {
                          const raw_pipe p;
                          channel<int> values;
                          auto sending = go(
                              [](channel<int> to) -> routine<> {
                                for (int i = 0; i < total; ++i) co_await to.send(i);
                              },
                              values);
                          auto writing = go(
                              [](int fd) -> routine<> {
                                for (int i = 0; i < total; ++i) {
                                  static_cast<void>(::write(fd, "x", 1) == 1);
                                  co_await yield();
                                }
                              },
                              p.to());
                          int got = 0, bytes = 0, wrong = 0;
                          while (got + bytes < 2 * total) {
                            int calls = 0;
                            const auto take = [&](std::optional<int> v) {
                              ++calls;
                              wrong += v != got++;
                            };
                            const auto read = [&] {
                              ++calls;
                              ++bytes;
                              wrong += !p.take();
                            };
                            co_await select(on_recv(values, take), on_readable(p.from(), read));
                            wrong += calls != 1;
                          }
                          wrong += !p.is_empty();
                          co_await std::move(sending);
                          co_await std::move(writing);
                          co_return std::array{got, bytes, wrong};
                        }).join();
  REQUIRE(counts == std::array{total, total, 0});
}

TEST_CASE("plain code selects on descriptors, and handlers may be coroutines", "[io][select]") {
  namespace b = weft::blocking;
  const raw_pipe p, q;
  std::string said;
  const auto handler = [](std::string& to) -> routine<> {
    co_await yield();
    to += "h";
  };
  auto handle = [&] { return handler(said); };
  REQUIRE(b::select(b::on_readable(p.from(), handle), b::on_timeout(1ms)) == 1);
  auto writing = go(
      [](const raw_pipe& to) -> routine<> {
        co_await yield();
        to.put();
      },
      std::ref(p));
  REQUIRE(b::select(b::on_readable(p.from(), handle), b::on_readable(q.from())) == 0);
  REQUIRE(said == "h");
  writing.join();
  REQUIRE(p.take());
  auto closing = go([&q] { ::write(q.to(), "y", 1); });
  REQUIRE(b::select(b::on_readable(p.from(), handle), b::on_readable(q.from(), [&] { said += "q"; })) == 1);
  closing.join();
  REQUIRE(said == "hq");
}

TEST_CASE("what a descriptor lacks to be waited for is an error, and no other case has happened",
          "[io][select]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  raw_pipe p;
  const auto results =
      rt.go([&p]() -> routine<std::array<int, 4>> {
          channel<int> values;
          int calls = 0;
          const auto one = [&](int fd) -> routine<> {
            const auto count = [&calls] { ++calls; };
            co_await select(on_recv(values, count), on_readable(fd, count), on_send(values, 1, count));
          };
          co_await select(on_readable(p.from()), on_timeout(1ms));  // the driver is there
          const int bad = co_await error_of(one(1'000'000));
          const std::size_t before = test::open_descriptors();
          int none = 0;
          {
            const test::no_descriptors limited;
            none = co_await error_of(one(p.from()));
          }
          co_return std::array{bad, none, calls, static_cast<int>(test::open_descriptors() - before)};
        }).join();
  REQUIRE(results == std::array{EBADF, EMFILE, 0, 0});
}

TEST_CASE("a select on what is closed fails, though it need not wait", "[io][select]") {
  const int closed = GENERATE(-1, -2, 1'000'000);
  REQUIRE(error_in([=] { blocking::select(on_readable(closed), otherwise()); }) == EBADF);
  REQUIRE(error_in([=] { blocking::select(on_writable(closed), on_timeout(1s)); }) == EBADF);
}

TEST_CASE("the end, a failure and a regular file count as readable", "[io][select]") {
  raw_pipe p, q;
  auto closing = go([&] { p.close_to(); });
  REQUIRE(blocking::select(on_readable(p.from()), on_timeout(30s)) == 0);
  closing.join();
  q.close_from();
  REQUIRE(blocking::select(on_writable(q.to()), on_timeout(30s)) == 0);  // EPIPE
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  REQUIRE(blocking::select(on_readable(file), on_timeout(30s)) == 0);
  ::close(file);
}

TEST_CASE("on_writable waits until there is room", "[io][select]") {
  runtime rt({.workers = 2});
  auto [near, far] = unix_stream::pair();
  const std::string much(4'096, 'x');
  while (::write(near.native_handle(), much.data(), much.size()) > 0) {
  }
  auto waiting = rt.go(
      [](int fd) -> routine<std::size_t> {
        channel<int> never;
        co_return co_await select(on_recv(never), on_writable(fd));
      },
      near.native_handle());
  REQUIRE(blocking::select(on_writable(near.native_handle()), on_timeout(1ms)) == 1);
  REQUIRE_FALSE(waiting.done());
  std::vector<char> all(1'000'000);
  while (::read(far.native_handle(), all.data(), all.size()) > 0) {
  }
  REQUIRE(waiting.join() == 1);
}

TEST_CASE("one select waits for both directions, and twice for one descriptor", "[io][select]") {
  runtime rt({.workers = 2});
  auto s = unix_stream::pair();
  const std::string much(4'096, 'x');
  while (::write(s.first.native_handle(), much.data(), much.size()) > 0) {
  }
  const int fd = s.first.native_handle();
  auto waiting = rt.go(
      [](int of) -> routine<std::size_t> {
        const auto which = co_await select(on_writable(of), on_readable(of), on_readable(of));
        co_return which;
      },
      fd);
  blocking::wait(s.second.write_all("y"));
  REQUIRE(waiting.join() != 0);
}

TEST_CASE("a selector waits for descriptors again and again, and keeps none of them open", "[io][select]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  const auto [counts, ended] = rt.go([]() -> routine<std::pair<std::array<int, 3>, std::size_t>> {
                                   std::array<raw_pipe, 3> pipes;
                                   std::array<int, 3> got{};
                                   selector s;
                                   for (raw_pipe& each : pipes) s.add(on_readable(each.from()));
                                   auto writing = go(
                                       [](std::array<raw_pipe, 3>& to) -> routine<> {
                                         for (std::size_t i = 0; i < 300; ++i) {
                                           to[i % 3].put();
                                           if (i % 7 == 0) co_await sleep_for(20us);
                                         }
                                       },
                                       std::ref(pipes));
                                   for (int i = 0; i < 300; ++i) {
                                     const std::size_t which = co_await s.wait();
                                     got[which] += pipes[which].take();
                                   }
                                   co_await std::move(writing);
                                   // Had the selector kept its copy, writing would not fail.
                                   pipes[0].close_from();
                                   pollfd p{pipes[0].to(), POLLOUT, 0};
                                   const bool fails = ::poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
                                   s.enable(0, false);
                                   pipes[1].put();
                                   const std::size_t last = co_await s.wait();
                                   co_return std::pair{got, fails ? last : 9};
                                 }).join();
  REQUIRE(counts == std::array{100, 100, 100});
  REQUIRE(ended == 1);
}

#if !WEFT_TEST_ASAN  // UBSan looks at objects through a pipe of its own, and there is none to be had

TEST_CASE("a selector that has failed for want of a number waits when there are some again", "[io][select]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  const auto [failed, again] =
      rt.go([]() -> routine<std::pair<int, std::size_t>> {
          const raw_pipe p;
          co_await select(on_readable(p.from()), on_timeout(1ms));  // the driver
          selector s;
          s.add(on_timeout(30s));
          s.add(on_readable(p.from()));
          const auto wait_once = [](selector& on) -> routine<> { co_await on.wait(); };
          int none = 0;
          {
            const test::no_descriptors limited;
            none = co_await error_of(wait_once(s));
          }
          auto writing = go(
              [](const raw_pipe& to) -> routine<> {
                co_await yield();
                to.put();
              },
              std::ref(p));
          const std::size_t which = co_await s.wait();
          co_await std::move(writing);
          co_return std::pair{none, which};
        }).join();
  REQUIRE(failed == EMFILE);
  REQUIRE(again == 1);
}

#endif

TEST_CASE("stop() ends selects on descriptors, and leaves no descriptor", "[io][select][stop]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  const std::size_t before = test::open_descriptors();
  {
    const raw_pipe p;
    runtime rt({.workers = width});
    wait_group running;
    running.add(50);
    for (int i = 0; i < 50; ++i) {
      rt.go([&]() -> routine<> {
        running.done();
        channel<int> never;
        co_await select(on_recv(never), on_readable(p.from()));
      });
    }
    blocking::wait(running.wait());
    rt.stop();
    REQUIRE(rt.stats().live == 0);
  }
  REQUIRE(test::open_descriptors() == before);
}

TEST_CASE("a thread's select on a descriptor does not end when the runtime that watches it is stopped",
          "[io][select][stop]") {
  event never;
  for (int i = 0; i < 20; ++i) {  // from the second time on, whoever watches then has slept
    const raw_pipe p;
    blocking::select(on_readable(p.from()), on_timeout(1ms));  // the driver is there
    const std::size_t before = test::open_descriptors();
    const int number = os::thread_number();
    auto stopping = std::thread([&] {
      while (!selects(number, before)) ::sched_yield();
      runtime::global().stop();
      while (!sleeps(number)) ::sched_yield();  // or it has been woken, and finds nothing
      p.put();
    });
    const std::size_t chosen = blocking::select(on_event(never), on_readable(p.from()), on_timeout(30s));
    stopping.join();
    const std::size_t again = blocking::select(on_readable(p.from()), on_timeout(30s));
    init_global_runtime({});
    REQUIRE(chosen == 1);
    REQUIRE(again == 0);
  }
}

#if !WEFT_TEST_ASAN  // as above

TEST_CASE("a thread's select fails where no runtime is left that could watch its descriptor",
          "[io][select][stop]") {
  event never;
  const raw_pipe p;
  blocking::select(on_readable(p.from()), on_timeout(1ms));  // the driver is there
  const std::size_t before = test::open_descriptors();
  const int number = os::thread_number();
  auto stopping = std::thread([&] {
    while (!selects(number, before)) ::sched_yield();
    const test::no_descriptors limited;
    runtime::global().stop();
  });
  const int error = error_in([&] { blocking::select(on_event(never), on_readable(p.from())); });
  stopping.join();
  init_global_runtime({});
  REQUIRE(error == ECANCELED);
}

#endif

// For tsan: the poller's sleep with a time limit is a system call that it does not know.
TEST_CASE("a record's first event may be the first that the poller hears of whoever made it",
          "[io][select]") {
  auto sleeps = go([]() -> routine<> { co_await sleep_for(1h); });
  event never;
  std::vector<std::pair<pipe_end, pipe_end>> kept;
  for (int i = 0; i < 10; ++i) {
    for (int k = 0; k < 32; ++k) kept.push_back(make_pipe());  // a batch of records that nobody has used
    const raw_pipe p;
    const std::size_t before = test::open_descriptors();
    auto writing = std::thread([&] {
      while (test::open_descriptors() < before + 1) {  // the select's copy: it waits, or is about to
      }
      p.put();
    });
    const std::size_t chosen = blocking::select(on_event(never), on_readable(p.from()));
    writing.join();
    REQUIRE(chosen == 1);
  }
  sleeps.cancel();
}

TEST_CASE("a dump names the descriptors of a select", "[io][select][dump]") {
  runtime rt({.workers = 1});
  const raw_pipe p;
  auto waiting = rt.go(
      [](int fd) -> routine<> {
        channel<int> never;
        co_await select(on_recv(never), on_readable(fd));
      },
      p.from());
  const std::string wanted = "read of descriptor " + std::to_string(p.from());
  REQUIRE(dump_with(rt, wanted).find(wanted) != std::string::npos);
  p.put();
  waiting.join();
}
