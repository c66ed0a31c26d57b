// The system's own limits - memory, threads, descriptors - reached while a runtime is at work: each operation
// fails with its own error, those that need nothing go on, and when the limit is lifted all is as before.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <grp.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stress/run.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;
using namespace weft::test::stress;

namespace {

constexpr int good_end = 7;

/// In a child: says which line was wrong.
#define MUST(condition)                                            \
  do {                                                             \
    if (!(condition)) {                                            \
      std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      std::_Exit(1);                                               \
    }                                                              \
  } while (false)

/// A soft limit, for as long as it lives.
class limit {
 public:
  limit(__rlimit_resource what, rlim_t most) : what_(what) {
    ::getrlimit(what_, &before_);
    rlimit now = before_;
    now.rlim_cur = std::min(most, before_.rlim_max);
    ::setrlimit(what_, &now);
  }

  limit(const limit&) = delete;
  limit& operator=(const limit&) = delete;

  ~limit() { ::setrlimit(what_, &before_); }

 private:
  __rlimit_resource what_;
  rlimit before_{};
};

rlim_t address_space() {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

weft::routine<int> value(int n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<long> answers(weft::channel<int> in, weft::channel<int> out) {
  long n = 0;
  while (auto v = co_await in.recv()) {
    co_await out.send(*v);
    ++n;
  }
  co_return n;
}

/// Two that play ping-pong all the time and need nothing new for it.
class undisturbed {
 public:
  explicit undisturbed(weft::runtime& rt) : other_(rt.go(answers, to_, from_)) {
    player_ = rt.go([this]() -> weft::routine<long> {
      long n = 0;
      for (; !over_; ++n, ++rounds_) {
        co_await to_.send(1);
        co_await from_.recv();
        co_await weft::yield();
      }
      to_.close();
      co_return n;
    });
  }

  /// Waits until they have got on: needs nothing but time.
  bool gets_on() const {
    const long before = rounds_.load();
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (rounds_.load() < before + 10) {
      if (std::chrono::steady_clock::now() > limit) return false;
      ::sched_yield();
    }
    return true;
  }

  bool ends_well() {
    over_ = true;
    const long played = player_.join();
    return other_.join() == played;
  }

 private:
  weft::channel<int> to_, from_;
  std::atomic<bool> over_{false};
  std::atomic<long> rounds_{0};
  weft::join_handle<long> other_, player_;
};

bool lives(weft::runtime& rt) {
  return rt.go(value, 5).join() == 5 && rt.go([] { return 6; }).join() == 6;
}

/// Takes what there is by starting routines, sending, sleeping, making channels, in turn; gives how many have
/// failed. All of it goes at the end.
weft::routine<int> takes_all(dice d, int until_failures) {
  int failures = 0;
  weft::channel<int> gate;
  auto heap = weft::channel<std::array<char, 256>>::unbounded();
  std::vector<weft::join_handle<void>> waiting;
  std::vector<weft::channel<long>> channels;
  const auto waits = [](weft::channel<int> on, std::array<char, 512> ballast) -> weft::routine<> {
    co_await on.recv();
    if (ballast[0] != 1) std::abort();
  };
  const auto sleeps = [](weft::channel<int> on) -> weft::routine<> { (void)co_await on.recv_for(1h); };
  while (failures < until_failures) {
    bool failed = false;
    const std::uint32_t what = d.roll(4);
    try {
      switch (what) {
        case 0: {
          std::array<char, 512> ballast{};
          ballast[0] = 1;
          for (int i = 0; i < 100; ++i) waiting.push_back(weft::go(waits, gate, ballast));
          break;
        }
        case 1:
          for (int i = 0; i < 100; ++i) {
            std::array<char, 256> mine{};
            co_await heap.send(mine);
          }
          break;
        case 2:
          for (int i = 0; i < 100; ++i) waiting.push_back(weft::go(sleeps, gate));
          break;
        default:
          for (int i = 0; i < 10; ++i) channels.emplace_back(1'000);
      }
    } catch (const std::bad_alloc&) {
      failed = true;
    } catch (const std::length_error&) {
      failed = true;
    }
    if (failed) ++failures;
    co_await weft::yield();
  }
  heap.close();
  while (auto v = co_await heap.recv()) {
  }
  gate.close();
  for (auto& h : waiting) {
    try {
      co_await std::move(h);
    } catch (const std::bad_alloc&) {  // its timer
    }
  }
  co_return failures;
}

[[noreturn]] void run_out_of_memory() {
  weft::runtime rt({.workers = 2});
  undisturbed others(rt);
  dice d(seed());
  MUST(lives(rt));
  MUST(others.gets_on());
  for (int round = 0; round < 3; ++round) {
    {
      const limit memory(RLIMIT_AS, address_space() + (48U << 20));
      auto greedy = rt.go(takes_all, dice(d.seed()), 20);
      const int failures = greedy.join();
      MUST(failures == 20);
      MUST(others.gets_on());
    }
    {
      // Threads: their stacks are what cannot be had.
      const limit memory(RLIMIT_AS, address_space() + (1U << 20));
      bool failed = false;
      try {
        const weft::runtime more({.workers = 8});
      } catch (const std::system_error&) {
        failed = true;
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      MUST(failed);
      MUST(others.gets_on());
    }
    MUST(lives(rt));
    const weft::runtime more({.workers = 8});
  }
  MUST(others.ends_well());
  rt.stop();
  MUST(rt.stats().live == 0);
  std::_Exit(good_end);
}

/// Fails as everything does that allocates.
weft::routine<> runs_out(weft::event& go_on) {
  co_await go_on.wait();
  ::operator delete(::operator new(16U << 20));
}

/// Nothing is left, not even for an exception; then `each` ends one by one.
weft::routine<> leaves_nothing(weft::event& go_on, const std::deque<weft::join_handle<void>>& each) {
  struct link {
    link* next;
  };

  const limit memory(RLIMIT_AS, address_space() + (1U << 20));
  link* taken = nullptr;
  for (std::size_t bytes = 1U << 20; bytes >= sizeof(link); bytes /= 2) {
    while (void* more = ::operator new(bytes, std::nothrow)) taken = ::new (more) link{taken};
  }
  go_on.set();
  for (const auto& h : each) {
    while (!h.done()) co_await weft::yield();
  }
  while (taken != nullptr) ::operator delete(std::exchange(taken, taken->next));
}

[[noreturn]] void fail_in_thousands() {
  weft::runtime rt({.workers = 1});
  weft::event go_on;
  std::deque<weft::join_handle<void>> each;
  for (int i = 0; i < 5'000; ++i) each.push_back(rt.go(runs_out, std::ref(go_on)));
  rt.go(leaves_nothing, std::ref(go_on), std::cref(each)).join();
  for (auto& h : each) {
    bool failed = false;
    try {
      h.join();
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    MUST(failed);
  }
  MUST(lives(rt));
  std::_Exit(good_end);
}

bool is_out_of_threads(const std::system_error& e) {
  return e.code() == std::errc::resource_unavailable_try_again;
}

/// The limit does not bind root, so this process is nobody's from here on.
[[noreturn]] void run_out_of_threads() {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 8});
  undisturbed others(rt);
  if (::geteuid() == 0) {
    MUST(::setgroups(0, nullptr) == 0);
    MUST(::setresgid(65534, 65534, 65534) == 0);
    MUST(::setresuid(65534, 65534, 65534) == 0);
  }
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> failed{0}, called{0};
    weft::event go_on;
    {
      const limit threads(RLIMIT_NPROC, 1);
      bool refused = false;
      try {
        const weft::runtime more({.workers = 1});
      } catch (const std::system_error& e) {
        refused = is_out_of_threads(e);
      }
      MUST(refused);
      std::vector<weft::join_handle<void>> callables;
      for (int i = 0; i < 20; ++i) {
        callables.push_back(rt.go([&] {
          try {
            weft::blocking::wait(go_on.wait());
          } catch (const std::system_error& e) {
            if (is_out_of_threads(e)) ++failed;
          }
          ++called;
        }));
      }
      while (called < 20 && failed < 1) ::sched_yield();
      MUST(others.gets_on());
      auto on_pool = rt.go([&]() -> weft::routine<int> {
        auto call = [] { return 1; };
        try {
          co_return co_await weft::block_on_io(call);
        } catch (const std::system_error& e) {
          if (!is_out_of_threads(e)) std::abort();
        }
        co_return 0;
      });
      (void)on_pool.join();
      go_on.set();
      for (auto& h : callables) h.join();
      MUST(called == 20);
      MUST(failed > 0);
      MUST(others.gets_on());
    }
    MUST(lives(rt));
    auto call = [] { return 3; };
    MUST(rt.go([&call]() -> weft::routine<int> { co_return co_await weft::block_on_io(call); }).join() == 3);
    const weft::runtime more({.workers = 2});
  }
  MUST(others.ends_well());
  rt.stop();
  std::_Exit(good_end);
}

void ends_well(const ended& e) {
  INFO(e.how());
  REQUIRE(e.exited(good_end));
}

}  // namespace

TEST_CASE("out of address space each operation fails with its own error and the runtime lives on",
          "[stress]") {
  if (part() != nullptr) run_out_of_memory();
  if (weft::test::sanitized) {
    WARN("skipped: sanitizers need more address space than there is to limit");
    return;
  }
  ends_well(run_part("memory", seed()));
}

TEST_CASE("thousands of routines may end by std::bad_alloc while not a byte is left", "[stress]") {
  if (part() != nullptr) fail_in_thousands();
  if (weft::test::sanitized) {
    WARN("skipped: sanitizers need more address space than there is to limit");
    return;
  }
  ends_well(run_part("thousands", seed()));
}

TEST_CASE("the address space runs out again and again and the runtime lives on", "[.stress]") {
  if (part() != nullptr) run_out_of_memory();
  if (weft::test::sanitized) {
    WARN("skipped: sanitizers need more address space than there is to limit");
    return;
  }
  dice d(seed());
  const auto until = std::chrono::steady_clock::now() + length_of_long_case();
  while (std::chrono::steady_clock::now() < until) ends_well(run_part("memory", d.seed() % 1'000'000));
}

TEST_CASE("beyond the limit of threads calls fail with the system's error and the runtime lives on",
          "[stress]") {
  if (part() != nullptr) run_out_of_threads();
  ends_well(run_part("threads", seed()));
}

TEST_CASE("without descriptors what needs one fails and all else goes on", "[stress]") {
  if (weft::test::sanitized) {
    WARN("skipped: UBSan needs descriptors of its own, to look at memory");
    return;
  }
  weft::runtime rt({.workers = 2});
  undisturbed others(rt);
  bool refused = false, lived = false, got_on = false, made = false;
  {
    const limit descriptors(RLIMIT_NOFILE, 0);
    try {
      const weft::runtime host({.workers = weft::manual});
    } catch (const std::system_error& e) {
      refused = e.code() == std::errc::too_many_files_open;
    }
    lived = lives(rt);
    // A wait that is long enough for the look whether all are asleep, which reads a file.
    weft::event later;
    auto sets = rt.go([&later]() -> weft::routine<> {
      co_await weft::sleep_for(5ms);
      later.set();
    });
    weft::blocking::wait(later.wait());
    sets.join();
    weft::runtime more;  // counts processors in /proc and /sys
    made = more.workers() > 0 && lives(more);
    rt.dump(STDERR_FILENO + 100);  // to nowhere
    got_on = others.gets_on();
  }
  REQUIRE(refused);
  REQUIRE(lived);
  REQUIRE(made);
  REQUIRE(got_on);
  weft::runtime host({.workers = weft::manual});
  REQUIRE(host.go(value, 2).join() == 2);
  REQUIRE(others.ends_well());
}
