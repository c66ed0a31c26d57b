// Everything at once, for a while, on more workers than there are processors, while others want them too:
// every party gets on, and nothing is lost.

#include "stress/load.hpp"

#include <weft/runtime.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stress/run.hpp"
#include "support/catch.hpp"
#include "support/hang.hpp"

using namespace std::chrono_literals;
using namespace weft::test::stress;

namespace {

/// Without that a party is stuck: a hundred times what it takes on a loaded machine.
constexpr nanoseconds patience = 20s;

/// Programs that compute, until the object goes, or this process, however it ends.
class burners {
 public:
  static constexpr const char* role = "burn";

  explicit burners(int n) {
    for (int i = 0; i < n; ++i) {
      if (const int child = start_part(role, static_cast<std::uint64_t>(::getpid())); child > 0)
        children_.push_back(child);
    }
  }

  /// The child's whole life.
  [[noreturn]] static void burn() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    weft::test::watch(role, 0);  // no limit but the parent's life
    const auto parent = static_cast<pid_t>(seed());
    for (volatile std::uint32_t i = 0; ::getppid() == parent;) {
      do i = i + 1;
      while (i % 1'000'000 != 0);
    }
    ::_exit(0);  // it was gone before the prctl
  }

  burners(const burners&) = delete;
  burners& operator=(const burners&) = delete;

  ~burners() {
    for (const int child : children_) {
      ::kill(child, SIGKILL);
      wait_for(child);
    }
  }

 private:
  std::vector<int> children_;
};

/// One of this process's threads, drawn.
pid_t random_thread(dice& d) {
  std::vector<pid_t> all;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* task = ::readdir(tasks)) {
    if (const int id = std::atoi(task->d_name); id > 0) all.push_back(id);
  }
  ::closedir(tasks);
  return all[d.roll(static_cast<std::uint32_t>(all.size()))];
}

/// Moves threads between processors and makes them wait for others: an idle-class thread beside a burner gets
/// next to nothing.  What is refused is not done.
void disturb(dice& d) {
  const pid_t thread = random_thread(d);
  switch (d.roll(4)) {
    case 0: {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(d.roll(std::max(1U, std::thread::hardware_concurrency())), &one);
      ::sched_setaffinity(thread, sizeof one, &one);
      break;
    }
    case 1: {
      cpu_set_t all;
      CPU_ZERO(&all);
      for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) CPU_SET(i, &all);
      ::sched_setaffinity(thread, sizeof all, &all);
      break;
    }
    case 2:
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), static_cast<int>(d.roll(20)));
      break;
    default: {
      const sched_param none{};
      ::sched_setscheduler(thread, d.one_in(4) ? SCHED_IDLE : SCHED_OTHER, &none);
    }
  }
}

void run_load(unsigned workers, nanoseconds length, std::uint64_t of_seed, bool disturbed) {
  std::optional<burners> others;
  if (disturbed) others.emplace(2);
  std::string wrong;
  {
    weft::runtime rt({.workers = workers, .blocking_idle_timeout = 20ms});
    const watched_runtime seen(rt);
    load all(rt, of_seed);
    dice d(of_seed + 1);
    all.watch(length, patience, [&] {
      if (disturbed) disturb(d);
    });
    wrong = all.finish();
    rt.stop();
    if (rt.stats().live != 0) wrong += " routines are left";
  }
  INFO("seed " << of_seed << ", workers " << workers);
  REQUIRE(wrong == "");
}

}  // namespace

TEST_CASE("all kinds of parties get on beside one another and nothing is lost", "[stress]") {
  const unsigned workers = GENERATE(1U, 2U, 4U, 16U);
  run_load(workers, 300ms, seed() + workers, false);
}

TEST_CASE("a long load on 1 to 16 workers gets on and loses nothing", "[.stress]") {
  const auto each = length_of_long_case() / 4;
  for (const unsigned workers : {1U, 2U, 4U, 16U}) run_load(workers, each, seed() + workers, false);
}

TEST_CASE("all parties get on while their threads are moved and kept waiting", "[stress]") {
  if (part() != nullptr) burners::burn();
  const unsigned workers = GENERATE(2U, 16U);
  run_load(workers, 300ms, seed() + workers, true);
}

TEST_CASE("a long load gets on beside programs that compute and threads that are kept waiting", "[.stress]") {
  if (part() != nullptr) burners::burn();
  const auto each = length_of_long_case() / 3;
  for (const unsigned workers : {2U, 3U, 16U}) run_load(workers, each, seed() + workers, true);
}
