// The end of main: the global runtime's threads rest before the first static is destroyed, and unwind
// nothing.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;

namespace {

void say(std::string_view text) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

/// What a program keeps in a function's static.
struct kept {
  std::atomic<bool> alive{true};
  std::atomic<int> uses{0};

  void use() {
    if (!alive.load()) say("used after its end\n");
    uses.fetch_add(1);
  }

  ~kept() {
    alive.store(false);
    for (int i = 0; i < 2'000; ++i) ::sched_yield();  // whoever still runs is seen
  }
};

/// Made by its first user: after the runtime.
kept& made_late() {
  static kept one;
  return one;
}

weft::routine<> uses_it() {
  for (;;) {
    made_late().use();
    co_await weft::yield();
  }
}

void wait_for_uses(int n) {
  while (made_late().uses.load() < n) ::sched_yield();
}

}  // namespace

TEST_CASE("when main returns no routine runs while statics are destroyed, whenever they were made",
          "[api][exit]") {
  const auto d = weft::test::last_words([] {
    for (int i = 0; i < 8; ++i) (void)weft::go(weft::spawn_options{.detached = true}, uses_it);
    wait_for_uses(1'000);
    std::exit(0);
  });
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said == "");
}

TEST_CASE("when main returns a worker that rested runs nothing more", "[api][exit][contention]") {
  const auto d = weft::test::last_words([] {
    weft::init_global_runtime({.workers = 2});
    struct outlasts_a_rest {
      ~outlasts_a_rest() {
        const auto until = std::chrono::steady_clock::now() + 100ms;  // more than the longest rest
        while (std::chrono::steady_clock::now() < until) ::sched_yield();
      }
    };

    static const outlasts_a_rest late;
    static weft::channel<int> line(128);
    for (int i = 0; i < 4; ++i) {
      (void)weft::go(weft::spawn_options{.detached = true}, []() -> weft::routine<> {
        for (;;) {
          made_late().use();
          co_await line.send(1);
        }
      });
      (void)weft::go(weft::spawn_options{.detached = true}, []() -> weft::routine<> {
        for (;;) {
          made_late().use();
          co_await line.recv();
        }
      });
    }
    wait_for_uses(1'000);
    const auto limit = std::chrono::steady_clock::now() + 5s;  // on one processor nobody rests
    const weft::runtime& rt = weft::runtime::global();
    while (rt.stats().resting_workers == 0 && std::chrono::steady_clock::now() < limit) ::sched_yield();
    std::exit(0);
  });
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said == "");
}

TEST_CASE("when main returns plain callables and pool threads that wait stay where they are", "[api][exit]") {
  const auto d = weft::test::last_words([] {
    struct gate_of_two {
      weft::blocking::channel<int> way;

      ~gate_of_two() {  // a value is only sent to who waits, be it now
        for (int passed = 0; passed < 2;) {
          if (way.try_send(1) == weft::try_send_status::sent) {
            ++passed;
          } else {
            ::sched_yield();
          }
        }
        for (int i = 0; i < 2'000; ++i) ::sched_yield();  // whoever goes on is seen
      }
    };

    static gate_of_two gate;
    auto plain = weft::go([] {
      made_late().use();
      (void)gate.way.recv();
      say("a plain callable went on\n");
    });
    auto on_pool = weft::go([]() -> weft::routine<> {
      const auto call = [] {
        made_late().use();
        (void)gate.way.recv();
        say("a call on the pool went on\n");
      };
      co_await weft::block_on_io(call);
      say("a routine went on\n");
    });
    wait_for_uses(2);
    std::exit(0);
  });
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said == "");
}

TEST_CASE("when main returns nothing is unwound, and a stop afterwards returns", "[api][exit]") {
  const auto d = weft::test::last_words([] {
    struct stops_late {
      ~stops_late() { weft::runtime::global().stop(); }
    };

    static const stops_late late;
    auto h = weft::go([]() -> weft::routine<> {
      struct says {
        ~says() { say("unwound\n"); }
      } on_exit;

      made_late().use();
      co_await weft::sleep_for(1h);
    });
    wait_for_uses(1);
    std::exit(0);
  });
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said == "");
}

TEST_CASE("a plain callable that calls exit ends the process", "[api][exit]") {
  const auto d = weft::test::last_words([] {
    (void)made_late();
    for (int i = 0; i < 8; ++i) (void)weft::go(weft::spawn_options{.detached = true}, uses_it);
    wait_for_uses(100);
    weft::go([] { std::exit(0); }).join();
    say("not reached\n");
  });
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said.find("not reached") == std::string::npos);
}

TEST_CASE("a thread that ends does not end the global runtime", "[api][exit]") {
  std::thread([] { weft::go([] {}).join(); }).join();
  REQUIRE(weft::go([]() -> weft::routine<int> { co_return 1; }).join() == 1);
}

namespace {

/// Runs `act` among the destructors of the statics, when main has used the global runtime.
template <typename F>
[[noreturn]] void at_the_end(F act) {
  struct acts {
    F f;

    ~acts() { f(); }
  };

  static const acts late{act};
  weft::go([] {}).join();
  std::exit(0);
}

/// What `start` throws there.
template <typename F>
void say_what_is_thrown(F start) {
  try {
    start();
    say("started\n");
  } catch (const weft::stopped& e) {
    say(e.what());
    say("\n");
  }
}

std::size_t times_said(const weft::test::death& d, std::string_view words) {
  std::size_t n = 0;
  for (auto at = d.said.find(words); at != std::string::npos; at = d.said.find(words, at + 1)) ++n;
  return n;
}

weft::routine<> gives_nothing() {
  co_return;
}

}  // namespace

TEST_CASE("when main has returned whatever starts a routine throws stopped and says why", "[api][exit]") {
  const auto d = weft::test::last_words([] {
    at_the_end([] {
      say_what_is_thrown([] { weft::go([] {}).join(); });
      say_what_is_thrown([] { weft::blocking::run(gives_nothing()); });
      say_what_is_thrown([] { weft::blocking::all(gives_nothing(), gives_nothing()); });
      say_what_is_thrown([] { weft::blocking::scope([](weft::task_scope& s) { s.go([] {}); }); });
    });
  });
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE(times_said(d, "main has returned") == 4);
}

TEST_CASE("when main has returned a stop returns, and go throws stopped afterwards", "[api][exit]") {
  const auto d = weft::test::last_words([] {
    at_the_end([] {
      weft::runtime::global().stop();
      say_what_is_thrown([] { weft::go([] {}).join(); });
      say_what_is_thrown([] { weft::runtime::global().go([] {}).join(); });
    });
  });
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.mentions("main has returned"));
  REQUIRE_FALSE(d.mentions("started"));
}

TEST_CASE("when main has returned a call for the pool throws stopped, and a time limit of a wait ends it",
          "[api][exit]") {
  const auto d = weft::test::last_words([] {
    at_the_end([] {
      const auto call = [] { say("called\n"); };
      say_what_is_thrown([&] { weft::blocking::wait(weft::block_on_io(call)); });
      weft::blocking::sleep_for(1ms);
      weft::blocking::channel<int> never;
      (void)never.recv_for(1ms);
      weft::blocking::select(weft::on_recv(never), weft::on_timeout(1ms));
      try {
        weft::blocking::with_timeout(1ms, weft::channel<int>(never).recv());
      } catch (const weft::timeout_error&) {
        say("timed out\n");
      }
    });
  });
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE_FALSE(d.mentions("called"));
  REQUIRE(d.mentions("main has returned"));
  REQUIRE(d.mentions("timed out"));
}

TEST_CASE("when main has returned joining a routine that was left as it was aborts with one sentence",
          "[api][exit][misuse]") {
  const auto d = weft::test::last_words([] {
    static weft::join_handle<> left;
    left = weft::go(weft::spawn_options{.name = "left"},
                    []() -> weft::routine<> { co_await weft::sleep_for(1h); });
    at_the_end([] {
      if (left.join_for(1ms)) say("ended\n");
      left.join();
    });
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.said.rfind("weft: misuse: main has returned", 0) == 0);
  REQUIRE(d.mentions("'left'"));
  REQUIRE_FALSE(d.mentions("ended\n"));
}

namespace {

std::atomic<bool> main_is_over{false};

/// Until 120 ms behind main's end: its joiner looks every 50.
void outlasts_main(void (*pause)() = [] {}) {
  while (!main_is_over) pause();
  const auto until = weft::now() + 120ms;
  while (weft::now() < until) pause();
}

}  // namespace

TEST_CASE("when main has returned a routine that still runs may be joined: computing, in a call, on the pool",
          "[api][exit]") {
  const auto d = weft::test::last_words([] {
    static std::atomic<int> begun{0};
    static weft::join_handle<> running[3];
    const auto sleeps = [] { ::poll(nullptr, 0, 10); };
    running[0] = weft::go([=]() -> weft::routine<> {
      co_await weft::resume_on(weft::blocking_pool);
      ++begun;
      outlasts_main(sleeps);
    });
    running[1] = weft::go([=]() -> weft::routine<> {
      ++begun;
      outlasts_main();
      co_return;
    });
    while (begun < 2) ::sched_yield();
    running[2] = weft::go([=] {
      ++begun;
      outlasts_main(sleeps);
    });
    while (begun < 3) ::sched_yield();
    at_the_end([] {
      main_is_over = true;
      for (auto& each : running) {
        each.join();
        say("joined\n");
      }
    });
  });
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE(times_said(d, "joined") == 3);
}

namespace {

/// What a callable has captured may take long to go.
struct slow_to_go {
  slow_to_go() = default;
  slow_to_go(const slow_to_go&) = delete;

  slow_to_go(slow_to_go&& from) noexcept : is_here(std::exchange(from.is_here, false)), begun(from.begun) {}

  ~slow_to_go() {
    if (!is_here) return;
    *begun = true;
    outlasts_main();
  }

  bool is_here = true;
  std::atomic<bool>* begun = nullptr;
};

template <bool Captures>
void joins_what_ends_after_main() {
  static std::atomic<bool> begun{false};
  static weft::join_handle<int> running;
  if constexpr (Captures) {
    slow_to_go slow;
    slow.begun = &begun;
    running = weft::go([s = std::move(slow)] { return 3; });
  } else {
    running = weft::go([]() -> weft::routine<int> {
      const auto brief = []() -> weft::routine<int> { co_return 1; };
      const auto computes = []() -> weft::routine<int> {
        begun = true;
        outlasts_main();
        co_return 2;
      };
      const auto [a, b] = co_await weft::all(brief(), computes());
      co_return a + b;
    });
  }
  while (!begun) ::sched_yield();
  at_the_end([] {
    main_is_over = true;
    if (running.join() == 3) say("joined\n");
  });
}

}  // namespace

TEST_CASE("when main has returned a routine may be joined whose parts run, or that destroys what it captured",
          "[api][exit]") {
  const bool captures = GENERATE(false, true);
  const auto d = weft::test::last_words(captures ? &joins_what_ends_after_main<true>
                                                 : &joins_what_ends_after_main<false>);
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.mentions("joined\n"));
}

namespace {

template <bool Blocks>
void joins_what_waits_after_main() {
  static std::atomic<bool> begun{false};
  static weft::join_handle<> running;
  static weft::event never;
  if constexpr (Blocks) {
    running = weft::go([] {
      begun = true;
      outlasts_main();
      weft::blocking::wait(never.wait());
    });
  } else {
    running = weft::go([]() -> weft::routine<> {
      begun = true;
      outlasts_main();
      co_await never.wait();
    });
  }
  while (!begun) ::sched_yield();
  at_the_end([] {
    main_is_over = true;
    running.join();
  });
}

}  // namespace

TEST_CASE("when main has returned joining a routine that runs, and then waits, aborts with one sentence",
          "[api][exit][misuse]") {
  const bool blocks = GENERATE(false, true);
  const auto d = weft::test::last_words(blocks ? &joins_what_waits_after_main<true>
                                               : &joins_what_waits_after_main<false>);
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.said.rfind("weft: misuse: main has returned", 0) == 0);
}

TEST_CASE("a static destructor may use weft if main has not", "[api][exit]") {
  const auto d = weft::test::last_words([] {
    struct uses {
      ~uses() {
        if (weft::go([] { return 1; }).join() == 1) say("used\n");
      }
    };

    static const uses late;
    std::exit(0);
  });
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said == "used\n");
}
