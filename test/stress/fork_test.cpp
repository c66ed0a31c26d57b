// fork() in a program that has a runtime: the child may exec and may end, and disturbs nobody; if it calls
// weft it gets one sentence, not a hang.

#include <weft/blocking.hpp>
#include <weft/dump.hpp>
#include <weft/runtime.hpp>
#include <weft/schedule.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress/load.hpp"
#include "stress/run.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;
using namespace weft::test::stress;

namespace {

constexpr const char* sentence = "forked child";

/// In the child: its last words go to `fd`, no core, no report of Catch2's, no hang.
void become_child(int fd) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGABRT, SIG_DFL);
  std::signal(SIGALRM, SIG_DFL);
  ::alarm(20);
  ::dup2(fd, STDERR_FILENO);
}

ended read_and_wait(int process, int fd) {
  ended e{-1, {}};
  char piece[1024];
  for (;;) {
    const auto n = ::read(fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    e.said.append(piece, static_cast<std::size_t>(n));
  }
  ::close(fd);
  e.status = wait_for(process);
  return e;
}

/// Calls `f` in a forked child, which exits with 0 if that returns.
ended in_child(const std::function<void()>& f) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    become_child(ends[1]);
    try {
      f();
    } catch (...) {  // not through the test's own frames
      ::_exit(1);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  return read_and_wait(child, ends[0]);
}

std::set<int> open_descriptors() {
  std::set<int> all;
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* each = ::readdir(directory)) {
    if (each->d_name[0] != '.' && std::atoi(each->d_name) != ::dirfd(directory))
      all.insert(std::atoi(each->d_name));
  }
  ::closedir(directory);
  return all;
}

weft::routine<> spins(const std::atomic<bool>& over) {
  while (!over) co_await weft::yield();
}

/// Forks while all kinds of parties are at work, and gives how many children ended otherwise than they should
/// have.
int fork_during_load(nanoseconds length, int at_least, std::uint64_t of_seed, std::string& wrong) {
  int bad = 0, forks = 0;
  weft::runtime rt({.workers = 2, .blocking_idle_timeout = 20ms});
  const watched_runtime seen(rt);
  load all(rt, of_seed);
  dice d(of_seed);
  const auto one = [&] {
    const bool runs = d.one_in(4);
    const pid_t child = ::fork();
    if (child == 0) {
      if (runs) ::execl("/bin/sh", "sh", "-c", "exit 3", nullptr);
      ::_exit(3);
    }
    const int status = wait_for(child);
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 3) ++bad;
    ++forks;
  };
  all.watch(length, 20s, one);
  while (forks < at_least) one();
  wrong = all.finish();
  return bad;
}

}  // namespace

TEST_CASE("children that are forked during load exec and end and nothing is lost in the parent", "[stress]") {
  std::string wrong;
  REQUIRE(fork_during_load(500ms, 60, seed(), wrong) == 0);
  REQUIRE(wrong == "");
}

TEST_CASE("a thousand children that are forked during load disturb nothing", "[.stress]") {
  std::string wrong;
  // ThreadSanitizer takes a tenth of a second for each.
  REQUIRE(fork_during_load(length_of_long_case(), weft::test::sanitized ? 60 : 1'000, seed(), wrong) == 0);
  REQUIRE(wrong == "");
}

TEST_CASE("a forked child that calls weft says so and ends", "[stress]") {
  weft::runtime rt({.workers = 2});
  weft::runtime host({.workers = weft::manual});
  const weft::blocking::channel<int> ch;
  weft::event never;
  weft::runtime::global().go([] {}).join();
  auto waits = rt.go([&never]() -> weft::routine<> { co_await never.wait(); });
  const auto says_so = [](const std::function<void()>& f) {
    const ended e = in_child(f);
    INFO(e.how());
    REQUIRE(e.killed_by(SIGABRT));
    REQUIRE(e.mentions(sentence));
    REQUIRE(e.said.find(sentence) == e.said.rfind(sentence));
  };
  says_so([] { (void)weft::go([] {}); });
  says_so([&] { (void)rt.go([]() -> weft::routine<> { co_return; }); });
  says_so([&] { (void)ch.recv(); });
  says_so([&] { waits.join(); });
  says_so([] { weft::blocking::sleep_for(1ms); });
  says_so([&] { weft::blocking::select(weft::on_recv(ch), weft::on_timeout(1ms)); });
  says_so([] { (void)weft::runtime::global(); });
  says_so([&] { rt.stop(); });
  says_so([&] { (void)host.poll(); });
  says_so([] { const weft::runtime more({.workers = 1}); });
  says_so([] { weft::init_global_runtime({}); });
  says_so([] { const auto e = weft::after(1ms); });
  // The parent is as it was.
  REQUIRE(rt.go([] { return 1; }).join() == 1);
  never.set();
  waits.join();
}

TEST_CASE("a routine that forks goes on in the parent alone", "[stress]") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t parent = ::getpid();
  std::atomic<bool> over{false};
  weft::runtime rt({.workers = 1});              // ends before what `tells` looks at
  const auto tells = [&]() -> weft::routine<> {  // would run next, on both sides
    while (!over) {
      if (::getpid() != parent) {
        [[maybe_unused]] const auto n = ::write(STDERR_FILENO, "doubled", 7);
      }
      co_await weft::yield();
    }
  };
  const auto forks = [&]() -> weft::routine<pid_t> {
    co_await weft::yield();
    const pid_t child = ::fork();
    if (child == 0) become_child(ends[1]);
    co_await weft::yield();
    co_return child;
  };
  for (int i = 0; i < 4; ++i) (void)rt.go(weft::spawn_options{.detached = true}, tells);
  const pid_t child = rt.go(forks).join();
  ::close(ends[1]);
  const ended e = read_and_wait(child, ends[0]);
  over = true;
  INFO(e.how());
  REQUIRE(e.killed_by(SIGABRT));
  REQUIRE(e.mentions(sentence));
  REQUIRE_FALSE(e.mentions("doubled"));
}

TEST_CASE("a call on the blocking pool that forks goes on in the parent alone", "[stress]") {
  weft::runtime rt({.workers = 1});
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  auto forks = [&ends] {
    const pid_t made = ::fork();
    if (made == 0) become_child(ends[1]);
    return made;
  };
  const auto calls = [&]() -> weft::routine<pid_t> { co_return co_await weft::block_on_io(forks); };
  const pid_t child = rt.go(calls).join();
  ::close(ends[1]);
  const ended e = read_and_wait(child, ends[0]);
  INFO(e.how());
  REQUIRE(e.killed_by(SIGABRT));
  REQUIRE(e.mentions(sentence));
}

namespace {

struct sends_at_its_end {
  weft::channel<int> buffered{1};

  ~sends_at_its_end() {
    const weft::blocking::channel<int> plain(buffered);
    plain.send(1);  // waits for nobody
    (void)plain.recv();
  }
};

}  // namespace

TEST_CASE("a forked child that calls exit ends at once and cleanly", "[stress]") {
  if (part() != nullptr) {  // a program with runtimes of both kinds, statics and routines at work
    static std::atomic<bool> over{false};
    static weft::runtime own({.workers = 2});
    static weft::channel<int> never;
    static std::optional<weft::join_handle<void>> handle;
    static const sends_at_its_end sends;
    for (int i = 0; i < 4; ++i) {
      (void)weft::go(weft::spawn_options{.detached = true}, spins, std::cref(over));
      (void)own.go(weft::spawn_options{.detached = true}, spins, std::cref(over));
    }
    handle.emplace(own.go([]() -> weft::routine<> { co_await never.recv(); }));
    int bad = 0;
    for (int i = 0; i < 20; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::alarm(10);
        std::exit(0);
      }
      const int status = wait_for(child);
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        std::fprintf(stderr, "a child ended with %d\n", status);
        ++bad;
      }
    }
    over = true;
    own.stop();
    std::exit(bad == 0 ? 7 : 8);
  }
  if (weft::test::sanitized) {
    // LeakSanitizer looks for the stacks of the parent's threads in the child, and finds none.
    WARN("skipped: sanitizers' own exit is not made for a forked child");
    return;
  }
  const ended e = run_part("exit");
  INFO(e.how());
  REQUIRE(e.exited(7));
  REQUIRE(e.said == "");
}

TEST_CASE("a child that is forked when all runtimes have ended may have its own", "[stress]") {
  if (part() != nullptr) {
    {
      weft::runtime rt({.workers = 2});
      rt.go([] {}).join();
    }
    weft::go([] {}).join();
    weft::runtime::global().stop();
    const pid_t child = ::fork();
    if (child == 0) {
      weft::runtime rt({.workers = 2});
      const bool good = rt.go([]() -> weft::routine<int> { co_return 5; }).join() == 5;
      rt.stop();
      std::_Exit(good ? 7 : 8);
    }
    const int status = wait_for(child);
    std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 9);
  }
  const ended e = run_part("own");
  INFO(e.how());
  REQUIRE(e.exited(7));
}

TEST_CASE("no descriptor of weft's survives an exec", "[stress]") {
  const std::set<int> before = open_descriptors();
  weft::runtime rt({.workers = 2});
  weft::runtime host({.workers = weft::manual});
  rt.dump_on_signal(SIGUSR1);
  (void)host.poll();
  rt.go([] {}).join();
  int own = 0;
  for (const int fd : open_descriptors()) {
    if (before.count(fd) != 0) continue;
    ++own;
    REQUIRE((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  REQUIRE(own >= 3);
}
