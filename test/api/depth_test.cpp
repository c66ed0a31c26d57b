// Nesting as deep as memory lets it be, cancelled on the small stack of a worker.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include <pthread.h>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

/// Frames of a sanitizer build are some ten times as large and slow.
constexpr int deep = weft::test::unless_sanitized(150'000, 20'000);

/// Threads that are started from here on have a stack of 1 MiB.
void make_stacks_small() {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 1 << 20);
  pthread_setattr_default_np(&small);
  pthread_attr_destroy(&small);
}

struct nest {
  weft::event deepest{};

  weft::routine<> wait() {
    deepest.set();
    const weft::channel<int> never;
    co_await never.recv();
  }

  static weft::routine<> timeouts(nest& n, int levels) {
    if (levels == 0) co_return co_await n.wait();
    co_await weft::with_timeout(1h, timeouts(n, levels - 1));
  }

  static weft::routine<> scopes(nest& n, int levels) {
    if (levels == 0) co_return co_await n.wait();
    const auto body = [&n, levels](weft::task_scope& s) -> weft::routine<> {
      s.go(&nest::scopes, std::ref(n), levels - 1);
      co_return;
    };
    co_await weft::scope(body);
  }

  static weft::routine<> alls(nest& n, int levels) {
    if (levels == 0) co_return co_await n.wait();
    co_await weft::all(alls(n, levels - 1));
  }

  static weft::routine<> mixed(nest& n, int levels) {
    if (levels == 0) co_return co_await n.wait();
    if (levels % 3 == 0) co_return co_await weft::with_timeout(1h, mixed(n, levels - 1));
    co_await weft::all(mixed(n, levels - 1));
  }
};

using shape = weft::routine<> (*)(nest&, int);

/// A scope's own end is not one of its cancelled routines.
void end_of(weft::join_handle<> victim) {
  try {
    victim.join();
  } catch (const weft::routine_cancelled&) {
  }
  SUCCEED();
}

/// By a routine, on a worker.
void cancel_deep(shape nested) {
  make_stacks_small();
  weft::runtime rt({.workers = 2});
  nest n;
  auto victim = rt.go(nested, std::ref(n), deep);
  auto canceller = rt.go([&]() -> weft::routine<> {
    co_await n.deepest.wait();
    victim.cancel();
  });
  canceller.join();
  end_of(std::move(victim));
}

/// By a thread that stops the runtime.
void stop_deep(shape nested) {
  make_stacks_small();
  weft::runtime rt({.workers = 2});
  nest n;
  auto victim = rt.go(nested, std::ref(n), deep);
  weft::blocking::wait(n.deepest.wait());
  std::thread([&] { rt.stop(); }).join();
  end_of(std::move(victim));
}

}  // namespace

TEST_CASE("time limits nested 150,000 deep are cancelled on a small stack", "[api][cancel][depth]") {
  cancel_deep(&nest::timeouts);
}

TEST_CASE("scopes nested 150,000 deep are cancelled on a small stack", "[api][cancel][depth]") {
  cancel_deep(&nest::scopes);
}

TEST_CASE("all nested 150,000 deep is cancelled on a small stack, and quickly", "[api][cancel][depth]") {
  cancel_deep(&nest::alls);
}

TEST_CASE("time limits and all nested in one another are cancelled on a small stack",
          "[api][cancel][depth]") {
  cancel_deep(&nest::mixed);
}

TEST_CASE("stop ends what is nested 150,000 deep", "[api][cancel][stop][depth]") {
  const shape nested = GENERATE(&nest::timeouts, &nest::scopes);
  stop_deep(nested);
}
