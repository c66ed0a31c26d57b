// Ends that come at a bad moment: threads that end with what they hold, thread_local destructors that use
// weft, and the process, from every kind of thread, while everything runs.  The orderly end of main is in
// test/api/exit_test.cpp.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stress/load.hpp"
#include "stress/run.hpp"
#include "support/before_all.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test::stress;

namespace {

weft::routine<int> gives(weft::channel<int> from) {
  const auto v = co_await from.recv();
  co_return v.value_or(-1);
}

/// Ends its thread with a use of weft, when all that is local to the thread goes.
struct last_use {
  std::atomic<int>* good = nullptr;
  weft::runtime* rt = nullptr;
  std::optional<weft::join_handle<int>> handle{};
  std::optional<weft::channel<int>> ch{};
  std::unique_ptr<weft::later_event> later{};

  ~last_use() {
    if (good == nullptr) return;
    weft::blocking::channel<int> own(*ch);
    *good += own.send(5) == weft::send_status::sent;
    *good += handle->join() == 5;
    *good += weft::go([] { return 1; }).join();
    *good += rt->go([]() -> weft::routine<int> { co_return 1; }).join();
    weft::blocking::sleep_for(1us);
    weft::blocking::wait(later->wait());
    *good += weft::blocking::run([]() -> weft::routine<int> {
      co_await weft::sleep_for(1us);
      co_return 1;
    }());
  }
};

thread_local last_use at_end;

/// What a program does when it is told to end in the middle of it.
struct busy_program {
  weft::blocking::channel<int> a{1}, b{};
  std::atomic<long> rounds{0};

  void start() {
    for (int i = 0; i < 4; ++i) {
      (void)weft::go(weft::spawn_options{.detached = true}, [this]() -> weft::routine<> {
        weft::channel<int> to(a), from(b);
        for (;;) {
          co_await weft::select(weft::on_send(to, 1), weft::on_recv(from), weft::on_timeout(100us));
          ++rounds;
        }
      });
      (void)weft::go(weft::spawn_options{.detached = true}, [this] {
        for (;;) {
          weft::blocking::select(weft::on_recv(a), weft::on_send(b, 2));
          ++rounds;
        }
      });
      (void)weft::go(weft::spawn_options{.detached = true}, [this]() -> weft::routine<> {
        auto call = [this] { ++rounds; };
        for (;;) {
          co_await weft::block_on_io(call);
          const auto forks = [](int n) -> weft::routine<int> {
            co_await weft::yield();
            co_return n;
          };
          const auto [x, y] = co_await weft::all(forks(1), forks(2));
          rounds += x + y;
        }
      });
      std::thread([this] {
        for (;;) {
          (void)weft::go([] { return 1; }).join();
          ++rounds;
        }
      }).detach();
    }
  }

  void await_rounds(long n) const {
    while (rounds.load() < n) ::sched_yield();
  }
};

constexpr int expected = 7;

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

void end_process(const std::string& how) {
  if (how == "exit") std::exit(expected);
  if (how == "quick_exit") std::quick_exit(expected);
  if (how == "_Exit") std::_Exit(expected);
  if (how == "abort") {
    std::signal(SIGABRT, SIG_DFL);  // not Catch2's report
    std::abort();
  }
  if (how == "terminate") {
    std::signal(SIGABRT, SIG_DFL);
    std::terminate();
  }
}

/// "exit from routine" and so on; in a process of its own.
[[noreturn]] void end_while_busy(const std::string& what) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const std::string how = what.substr(0, what.find(' ')), where = what.substr(what.rfind(' ') + 1);
  static busy_program program;
  weft::init_global_runtime({.workers = 2});
  program.start();
  dice d(seed());
  program.await_rounds(static_cast<long>(d.roll(300)));
  if (where == "main") end_process(how);
  if (where == "routine") {
    (void)weft::go([how]() -> weft::routine<> {
      co_await weft::yield();
      end_process(how);
    });
  }
  if (where == "callable") (void)weft::go([how] { end_process(how); });
  if (where == "pool") {
    (void)weft::go([how]() -> weft::routine<> {
      auto call = [how] { end_process(how); };
      co_await weft::block_on_io(call);
    });
  }
  if (where == "thread") std::thread([how] { end_process(how); }).detach();
  wait_for_ever();
}

void end_main_thread() {
  if (part() == nullptr || std::string(part()) != "pthread_exit from main") return;
  static busy_program program;
  weft::init_global_runtime({.workers = 2});
  program.start();
  program.await_rounds(100);
  std::thread([] {
    for (int i = 0; i < 10'000; ++i) ::sched_yield();  // whatever the end of main does, it does now
    std::_Exit(expected);
  }).detach();
  ::pthread_exit(nullptr);
}

const bool set_before_all = [] {
  weft::test::before_all = &end_main_thread;
  return true;
}();

void check_end(const std::string& what, std::uint64_t of_seed) {
  const ended e = run_part(what, of_seed);
  INFO(what << ", seed " << of_seed << ": " << e.how());
  const bool aborts = what.rfind("abort", 0) == 0 || what.rfind("terminate", 0) == 0;
  REQUIRE((aborts ? e.killed_by(SIGABRT) : e.exited(expected)));
  REQUIRE_FALSE(e.mentions("weft: "));
  REQUIRE_FALSE(e.mentions("hang: "));
  REQUIRE_FALSE(e.mentions("Sanitizer"));
}

}  // namespace

TEST_CASE("a thread may end with all it holds and use weft while its locals go", "[stress]") {
  weft::runtime rt({.workers = 2});
  const watched_runtime seen(rt);
  std::atomic<int> good{0};
  constexpr int rounds = 20, threads = 4;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) {
      all.emplace_back([&] {
        at_end.rt = &rt;
        at_end.ch.emplace(1);
        at_end.handle.emplace(rt.go(gives, *at_end.ch));
        at_end.later = std::make_unique<weft::later_event>(weft::detail::deadline_after(100us));
        at_end.good = &good;
      });
    }
    for (auto& t : all) t.join();
  }
  REQUIRE(good == rounds * threads * 5);
}

TEST_CASE("what a thread drops at its end goes on without it", "[stress]") {
  weft::runtime rt({.workers = 2});
  const watched_runtime seen(rt);
  std::atomic<int> ended{0};
  constexpr int rounds = 200;
  for (int round = 0; round < rounds; ++round) {
    weft::blocking::channel<int> back(1);
    std::thread([&] {
      thread_local std::optional<weft::join_handle<void>> dropped;
      thread_local std::optional<weft::channel_sender<int>> last;
      thread_local std::unique_ptr<weft::later_event> later;
      auto [tx, rx] = weft::make_channel<int>(0);
      last.emplace(std::move(tx));
      later = std::make_unique<weft::later_event>(weft::detail::deadline_after(1h));
      dropped.emplace(rt.go(
          [&ended, back](weft::channel_receiver<int> from) -> weft::routine<> {
            const weft::channel<int> to(back);
            const auto v = co_await from.recv();  // the last sender goes with the thread
            if (!v) ++ended;
            co_await to.send(1);
          },
          std::move(rx)));
    }).join();
    REQUIRE(back.recv() == 1);
  }
  REQUIRE(ended == rounds);
}

TEST_CASE("the thread_local destructors of a runtime's own threads may use weft", "[stress]") {
  struct uses_weft {
    weft::blocking::channel<int>* to = nullptr;
    weft::runtime* other = nullptr;

    ~uses_weft() {
      if (to == nullptr) return;
      to->send(1);
      to->send(other->go([] { return 2; }).join());
    }
  };

  weft::runtime other({.workers = 1});
  weft::blocking::channel<int> told(100);
  int uses = 0;
  {
    weft::runtime rt({.workers = 2});
    const auto marks = [&] {
      thread_local uses_weft here;
      here.to = &told;
      here.other = &other;
    };
    rt.go(marks).join();
    rt.go([&]() -> weft::routine<> { co_await weft::block_on_io(marks); }).join();
    uses = 2;
  }
  int sum = 0;
  while (auto v = told.try_recv()) sum += *v;
  REQUIRE(sum == uses * 3);
}

TEST_CASE("a process may end on any thread in any way while everything runs", "[stress]") {
  if (part() != nullptr) end_while_busy(part());
  REQUIRE(set_before_all);
  dice d(seed());
  for (const char* where : {"main", "routine", "callable", "pool", "thread"}) {
    const std::string how =
        std::vector<std::string>{"exit", "quick_exit", "_Exit", "abort", "terminate"}[d.roll(5)];
    check_end(how + " from " + where, d.seed() % 1'000'000);
  }
  check_end("pthread_exit from main", d.seed() % 1'000'000);
}

TEST_CASE("main returns and processes end a thousand times while everything runs", "[.stress]") {
  if (part() != nullptr) end_while_busy(part());
  dice d(seed());
  const auto until = std::chrono::steady_clock::now() + length_of_long_case();
  for (int i = 0; i < 1'000 && std::chrono::steady_clock::now() < until; ++i) {
    const std::string where =
        std::vector<std::string>{"main", "routine", "callable", "pool", "thread"}[d.roll(5)];
    const std::string how =
        std::vector<std::string>{"exit", "exit", "exit", "quick_exit", "abort"}[d.roll(5)];
    check_end(how + " from " + where, d.seed() % 1'000'000);
  }
}
