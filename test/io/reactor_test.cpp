// Which reactor a runtime has, and what must hold of both whichever thread has begun to watch.

#include "io/reactor.hpp"

#include <weft/blocking.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/select.hpp>
#include <weft/io/tcp.hpp>
#include <weft/stats.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <linux/io_uring.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/global.hpp"
#include "io/asleep.hpp"
#include "io/support.hpp"
#include "os/port.hpp"
#include "sched/deadlock.hpp"
#include "sched/scheduler.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/forbid.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::error_in;
using test::error_of;
using test::first_byte;
using test::forbid;
using test::sleeps;
using test::sleeps_in;

namespace {

/// As long as it lives WEFT_REACTOR is so; null: is not set.
class environment {
 public:
  explicit environment(const char* word) {
    if (const char* const now = std::getenv(name)) before_ = now;
    set(word);
  }

  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

  ~environment() { set(before_ ? before_->c_str() : nullptr); }

 private:
  static constexpr const char* name = "WEFT_REACTOR";

  static void set(const char* word) { word != nullptr ? ::setenv(name, word, 1) : ::unsetenv(name); }

  std::optional<std::string> before_;
};

/// A byte that comes late.
void wait_once(runtime& rt) {
  auto ends = make_pipe();
  auto reading = rt.go(first_byte, std::ref<byte_stream>(ends.first));
  rt.go([](pipe_end& to) -> routine<> { co_await to.write_all("x"); }, std::ref(ends.second)).join();
  reading.join();
}

using seen = std::pair<reactor_in_use, int>;

seen seen_of(reactor_kind option) {
  runtime rt({.workers = 1, .reactor = option});
  auto ends = make_pipe();
  auto reading = rt.go(first_byte, std::ref<byte_stream>(ends.first));
  while (rt.stats().reactor == reactor_in_use::none) ::sched_yield();
  const runtime_stats s = rt.stats();
  ends.second.close();
  reading.join();
  return {s.reactor, s.io_uring_error};
}

bool has_io_uring() {
  const environment none(nullptr);
  if (seen_of(reactor_kind::io_uring).first == reactor_in_use::io_uring) return true;
  WARN("the system refuses io_uring");
  return false;
}

void say(const char* what, const seen& s) {
  const std::string line = std::string(what) +
                           (s.first == reactor_in_use::epoll ? ": epoll, " : ": other, ") +
                           std::to_string(s.second) + "\n";
  [[maybe_unused]] const auto n = ::write(STDERR_FILENO, line.data(), line.size());
}

/// All its workers and its monitor, and none for descriptors.
bool is_asleep(const sched::scheduler& rt) {
  sched::stillness found;
  rt.add_stillness(found);
  return found.still;
}

}  // namespace

TEST_CASE("a runtime has no reactor until it waits for a descriptor", "[io][reactor]") {
  runtime rt({.workers = 1});
  rt.go([]() -> routine<> { co_await sleep_for(1ms); }).join();
  REQUIRE(rt.stats().reactor == reactor_in_use::none);
  REQUIRE(rt.stats().io_uring_error == 0);
}

TEST_CASE(
    "the option chooses the reactor, WEFT_REACTOR goes before it, and what is no reactor there counts for "
    "nothing",
    "[io][reactor]") {
  if (!has_io_uring()) return;
  const seen epoll{reactor_in_use::epoll, 0}, io_uring{reactor_in_use::io_uring, 0};
  {
    const environment unset(nullptr);
    CHECK(seen_of(reactor_kind::epoll) == epoll);
    CHECK(seen_of(reactor_kind::io_uring) == io_uring);
    CHECK(seen_of(reactor_kind::automatic) == epoll);
  }
  {
    const environment says("io_uring");
    CHECK(seen_of(reactor_kind::epoll) == io_uring);
    CHECK(seen_of(reactor_kind::automatic) == io_uring);
  }
  {
    const environment says("epoll");
    CHECK(seen_of(reactor_kind::io_uring) == epoll);
  }
  for (const char* nonsense : {"", "kqueue", "IO_URING", "io_uring "}) {
    const environment says(nonsense);
    CHECK(seen_of(reactor_kind::io_uring) == io_uring);
    CHECK(seen_of(reactor_kind::epoll) == epoll);
  }
}

TEST_CASE("where io_uring is refused a runtime waits by epoll, and says why", "[io][reactor]") {
  const auto said = test::last_words([] {
    const environment unset(nullptr);
    constexpr std::array setup_errors{std::pair{"ENOSYS", ENOSYS}, std::pair{"EPERM", EPERM},
                                      std::pair{"ENOMEM", ENOMEM}, std::pair{"EMFILE", EMFILE}};
    for (const auto& [name, error] : setup_errors) {
      forbid(SYS_io_uring_setup, error);
      say(name, seen_of(reactor_kind::io_uring));
    }
    runtime rt({.workers = 2, .reactor = reactor_kind::io_uring});
    for (int i = 0; i < 100; ++i) wait_once(rt);
    say("works", {rt.stats().reactor, 0});
  });
  INFO(said.said);
  REQUIRE_FALSE(said.aborted);
  for (const auto& [name, error] : {std::pair{"ENOSYS", ENOSYS}, std::pair{"EPERM", EPERM},
                                    std::pair{"ENOMEM", ENOMEM}, std::pair{"EMFILE", EMFILE}}) {
    REQUIRE(said.mentions((std::string(name) + ": epoll, " + std::to_string(error)).c_str()));
  }
  REQUIRE(said.mentions("works: epoll"));
}

TEST_CASE("where the probe of io_uring's operations is refused a runtime waits by epoll, and says why",
          "[io][reactor]") {
  const auto said = test::last_words([] {
    const environment unset(nullptr);
    forbid(SYS_io_uring_register, EACCES);
    say("probe", seen_of(reactor_kind::io_uring));
  });
  INFO(said.said);
  // Or there is no ring to ask.
  REQUIRE((said.mentions(("probe: epoll, " + std::to_string(EACCES)).c_str()) ||
           said.mentions("probe: epoll, ")));
  REQUIRE_FALSE(said.mentions("other"));
}

TEST_CASE("io_uring that is forbidden while a runtime waits by it ends the program with that sentence",
          "[io][reactor]") {
  if (!has_io_uring()) return;
  const auto said = test::last_words([] {
    const environment unset(nullptr);
    // No monitor at work in the ring, too, for which the worker may wait in the call before it sleeps there.
    runtime rt({.workers = 1, .stall_threshold = 1h, .reactor = reactor_kind::io_uring});
    wait_once(rt);
    const int number = rt.go([] { return os::thread_number(); }).join();
    forbid(SYS_io_uring_enter, EPERM);
    auto ends = make_pipe();
    std::atomic<bool> begun = false;
    auto reading = rt.go([&]() -> routine<> {
      begun = true;
      std::array<char, 1> byte;
      co_await ends.first.read_some(byte);
    });
    while (!begun || !sleeps_in(number, SYS_io_uring_enter)) ::sched_yield();
    ends.first.close();  // here, where it is forbidden
    reading.join();
  });
  INFO(said.said);
  REQUIRE(said.aborted);
  REQUIRE(said.mentions("io_uring_enter has worked before and fails now"));
}

TEST_CASE("a descriptor that a thread has begun to watch is watched when that has ended", "[io][reactor]") {
  runtime rt({.workers = 2});
  int wrong = 0;
  for (int i = 0; i < 20; ++i) {
    auto ends = make_pipe();
    auto other = make_pipe();  // its reader has somebody sleep in the reactor meanwhile
    auto beside = rt.go(
        [](pipe_end& from) -> routine<int> {
          std::array<char, 1> byte;
          co_return static_cast<int>(co_await from.read_some(byte));
        },
        std::ref(other.first));
    std::thread([&] {
      std::array<char, 1> byte;
      try {
        blocking::with_timeout(100us, ends.first.read_some(byte));
      } catch (const timeout_error&) {
      }
    }).join();
    auto reading = rt.go(
        [](pipe_end& from) -> routine<std::string> {
          std::string all;
          for (;;) {
            std::array<char, 8> some;
            const std::size_t n = co_await from.read_some(some);
            if (n == 0) co_return all;
            all.append(some.data(), n);
          }
        },
        std::ref(ends.first));
    while (rt.stats().idle_workers < 2) ::sched_yield();
    blocking::wait(ends.second.write_all("one"));
    while (rt.stats().idle_workers < 2) ::sched_yield();
    blocking::wait(ends.second.write_all("two"));
    ends.second.close();
    wrong += reading.join() != "onetwo";
    other.second.close();
    beside.join();
  }
  REQUIRE(wrong == 0);
}

TEST_CASE("a thread that waits for a descriptor wakes a runtime that sleeps to attend to it",
          "[io][reactor]") {
  sched::scheduler& home = core::hold_global();
  while (!is_asleep(home)) ::sched_yield();
  auto ends = make_pipe();
  const int number = os::thread_number();
  std::thread writing([&] {
    while (!sleeps(number)) ::sched_yield();
    static_cast<void>(::write(ends.second.native_handle(), "x", 1));
  });
  std::array<char, 1> byte{};
  blocking::wait(ends.first.read_some(byte));
  writing.join();
  home.drop();
  REQUIRE(byte[0] == 'x');
}

TEST_CASE("a runtime that sleeps is woken to attend to what a stopped one has watched for a thread",
          "[io][reactor][stop]") {
  int error = 0;
  const io::reactor* const heir = io::reactor_of_threads(error);
  REQUIRE(heir != nullptr);
  while (!is_asleep(heir->home())) ::sched_yield();
  auto ends = make_pipe();
  const int fd = ends.first.native_handle(), number = os::thread_number();
  blocking::select(on_readable(fd), on_timeout(1ms));  // the global runtime's driver is there
  const std::size_t before = test::open_descriptors();
  std::thread stopping([&] {
    // In the select, on its copy.
    while (test::open_descriptors() == before || !sleeps(number)) ::sched_yield();
    runtime::global().stop();
    static_cast<void>(::write(ends.second.native_handle(), "x", 1));
  });
  event never;
  const std::size_t chosen = blocking::select(on_event(never), on_readable(fd));
  stopping.join();
  init_global_runtime({});
  REQUIRE(chosen == 1);
}

TEST_CASE("a worker that was woken in the reactor for something else sleeps there again", "[io][reactor]") {
  runtime rt({.workers = 1});
  auto ends = make_pipe();
  auto reading = rt.go(first_byte, std::ref<byte_stream>(ends.first));
  int number = 0;
  for (int i = 0; i < 10; ++i) {
    while (rt.stats().idle_workers == 0) ::sched_yield();
    number = rt.go([] { return os::thread_number(); }).join();
  }
  for (int in_a_row = 0; in_a_row < 100; ::sched_yield()) in_a_row = sleeps(number) ? in_a_row + 1 : 0;
  ends.second.close();
  REQUIRE(reading.join() == 0);
}

TEST_CASE("a port is free when its listener has been closed, whoever waits on it", "[io][reactor]") {
  const unsigned width = GENERATE(1U, 2U);
  runtime rt({.workers = width});
  ip_endpoint at = ip_endpoint::loopback();
  int refused = 0, other = 0;
  for (int i = 0; i < 100; ++i) {
    std::optional<tcp_listener> listener;
    refused += error_in([&] { listener.emplace(at); }) != 0;
    if (!listener) break;
    at = listener->local_endpoint();
    auto accepting = rt.go(error_of([](tcp_listener& l) -> routine<> { co_await l.accept(); }(*listener)));
    if (i % 2 != 0) {
      while (rt.stats().idle_workers < width) ::sched_yield();
    }
    listener->close();
    const int error = accepting.join();
    other += error != ECANCELED && error != EBADF;
  }
  REQUIRE(refused == 0);
  REQUIRE(other == 0);
}

TEST_CASE("over io_uring a number that was closed behind weft's back is an error of who waits on it",
          "[io][reactor]") {
  if (!has_io_uring()) return;
  const environment unset(nullptr);
  // No monitor, which would submit the request.
  runtime rt({.workers = 1, .stall_threshold = 1h, .reactor = reactor_kind::io_uring});
  const int error = rt.go([]() -> routine<int> {
                        auto ends = make_pipe();
                        auto reading = go(error_of([](pipe_end& from) -> routine<> {
                          std::array<char, 1> byte;
                          co_await from.read_some(byte);
                        }(ends.first)));
                        co_await yield();  // it waits now, and its request has not been submitted
                        ::close(ends.first.native_handle());  // a mistake of somebody's
                        co_return co_await std::move(reading);
                      }).join();
  REQUIRE(error == EBADF);
}

TEST_CASE(
    "over io_uring such a mistake is an error of who waits next, though the number is another's by then",
    "[io][reactor]") {
  if (!has_io_uring()) return;
  const environment unset(nullptr);
  // No monitor, which would submit the request.
  runtime rt({.workers = 1, .stall_threshold = 1h, .reactor = reactor_kind::io_uring});
  event is_refused;
  std::atomic<int> waiting{0};
  auto all = rt.go([&]() -> routine<int> {
    auto ends = make_pipe();
    auto other = make_pipe();
    const int number = ends.first.native_handle();
    auto reading = go(first_byte, std::ref<byte_stream>(ends.first));
    co_await yield();  // its request has not been submitted
    ::close(number);
    reading.cancel();
    try {
      co_await std::move(reading);
    } catch (const routine_cancelled&) {
    }
    waiting = os::thread_number();
    co_await is_refused.wait();
    ::dup2(other.first.native_handle(), number);
    co_return co_await error_of(first_byte(ends.first));
  });
  while (waiting == 0 || !sleeps(waiting)) ::sched_yield();  // it has submitted what there was
  is_refused.set();
  REQUIRE(all.join() == EBADF);
}
