// Threads that are stopped from outside at any instruction - in the middle of a push, with a lock held - and
// whole processes that are: what a debugger, a hypervisor and a laptop's lid do.
//
// A second process, this program anew, attaches to single threads by ptrace (SEIZE, INTERRUPT: no signal is
// seen), holds each for a while and lets it go; or sends SIGSTOP and SIGCONT to all.

#include <weft/runtime.hpp>
#include <weft/stats.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress/load.hpp"
#include "stress/run.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test::stress;

namespace {

constexpr nanoseconds patience = 20s;

// --- the second process ---

constexpr int cannot_attach = 77;

/// What holds a stopped thread has nothing to be woken by.
void hold(nanoseconds d) {
  const timespec length{static_cast<time_t>(d / 1s), static_cast<long>((d % 1s).count())};
  ::nanosleep(&length, nullptr);  // house: sleeps because that is how long the thread is to stand still
}

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> all;
  DIR* tasks = ::opendir(("/proc/" + std::to_string(process) + "/task").c_str());
  if (tasks == nullptr) return all;
  while (const dirent* task = ::readdir(tasks)) {
    if (const int id = std::atoi(task->d_name); id > 0) all.push_back(id);
  }
  ::closedir(tasks);
  return all;
}

/// Errors that a thread's end explains are none.
void freeze_one(pid_t process, dice& d) {
  const std::vector<pid_t> all = threads_of(process);
  if (all.empty()) return;
  const pid_t thread = all[d.roll(static_cast<std::uint32_t>(all.size()))];
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
    if (errno == EPERM) ::_exit(cannot_attach);
    return;
  }
  ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
  int status = 0;
  if (::waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) return;
  hold(d.one_in(4) ? d.below(50ms) : d.below(3ms));
  ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
}

void stop_all(pid_t process, dice& d, nanoseconds longest) {
  const nanoseconds length = 1ms + d.below(longest);
  ::kill(process, SIGSTOP);
  hold(length);
  ::kill(process, SIGCONT);
  hold(d.below(2 * length));  // it gets half of the time
}

/// Until the parent, whose child this is, kills it or is gone.
[[noreturn]] void torment_parent(const std::string& how) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(0);
  const pid_t process = ::getppid();
  dice d(seed());
  for (;;) {
    if (::getppid() != process) ::_exit(0);
    if (how == "threads") {
      freeze_one(process, d);
    } else if (how == "all for long") {
      stop_all(process, d, d.one_in(10) ? 3s : 50ms);
    } else {
      stop_all(process, d, d.one_in(10) ? 300ms : 30ms);
    }
    hold(d.below(5ms));
  }
}

// --- the first ---

/// False: this machine does not allow it.
bool run_frozen(const char* how, unsigned workers, nanoseconds length, std::uint64_t of_seed) {
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);  // refused where nobody asks for it
  std::string wrong;
  int left = 0;
  {
    weft::runtime rt({.workers = workers, .blocking_idle_timeout = 20ms});
    const watched_runtime seen(rt);
    load all(rt, of_seed);
    const int tormentor = start_part(how, of_seed);
    REQUIRE(tormentor > 0);
    all.watch(length, patience);
    ::kill(tormentor, SIGKILL);  // what it held goes on
    left = wait_for(tormentor);
    ::kill(::getpid(), SIGCONT);
    wrong = all.finish();
    rt.stop();
    if (rt.stats().live != 0) wrong += " routines are left";
  }
  if (WIFEXITED(left) && WEXITSTATUS(left) == cannot_attach) return false;
  INFO("seed " << of_seed << ", workers " << workers);
  REQUIRE(wrong == "");
  REQUIRE(WIFSIGNALED(left));
  return true;
}

void run_frozen_or_skip(const char* how, unsigned workers, nanoseconds length, std::uint64_t of_seed) {
  if (!run_frozen(how, workers, length, of_seed)) WARN("skipped: ptrace is not allowed here");
}

}  // namespace

TEST_CASE("single threads that are frozen from outside stop nobody else for good", "[stress]") {
  if (part() != nullptr) torment_parent(part());
  const unsigned workers = GENERATE(1U, 2U, 4U);
  run_frozen_or_skip("threads", workers, 500ms, seed() + workers);
}

TEST_CASE("a long load survives single threads that are frozen from outside", "[.stress]") {
  if (part() != nullptr) torment_parent(part());
  const auto each = length_of_long_case() / 4;
  for (const unsigned workers : {1U, 2U, 4U, 16U}) {
    run_frozen_or_skip("threads", workers, each, seed() + workers);
  }
}

TEST_CASE("a process that is stopped and continued loses nothing and wakes nobody early", "[stress]") {
  if (part() != nullptr) torment_parent(part());
  const unsigned workers = GENERATE(1U, 2U, 4U);
  run_frozen_or_skip("all", workers, 500ms, seed() + workers);
}

TEST_CASE("a long load survives stops of seconds of the whole process", "[.stress]") {
  if (part() != nullptr) torment_parent(part());
  const auto each = length_of_long_case() / 3;
  for (const unsigned workers : {1U, 2U, 16U})
    run_frozen_or_skip("all for long", workers, each, seed() + workers);
}

TEST_CASE("all timers that came due while the process was stopped fire at once when it goes on", "[stress]") {
  if (const char* how = part()) {
    const pid_t parent = ::getppid();
    ::kill(parent, SIGSTOP);
    hold(std::chrono::milliseconds(std::atoi(how)));
    ::kill(parent, SIGCONT);
    std::_Exit(0);
  }
  weft::runtime rt({.workers = 2});
  const watched_runtime seen(rt);
  weft::wait_group armed(300);
  std::vector<weft::join_handle<bool>> sleepers;
  for (int i = 0; i < 300; ++i) {
    sleepers.push_back(rt.go([&armed, i]() -> weft::routine<bool> {
      const auto until = weft::now() + std::chrono::milliseconds(300 + i);
      armed.done();
      co_await weft::sleep_until(until);
      co_return weft::now() >= until;
    }));
  }
  std::atomic<bool> over{false};
  auto ticks = rt.go([&over]() -> weft::routine<std::uint64_t> {
    weft::ticker t(10ms);
    std::uint64_t missed = 0;
    while (!over.load()) missed = std::max(missed, co_await t.tick());
    co_return missed;
  });
  weft::blocking::wait(armed.wait());
  const int stopper = start_part("600", 0);
  REQUIRE(stopper > 0);
  wait_for(stopper);
  over = true;
  for (auto& h : sleepers) REQUIRE(h.join());
  REQUIRE(ticks.join() >= 40);  // of the stop, the ticker says so
}
