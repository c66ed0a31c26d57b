// Clean-up in plain code: what a cancelled callable shields, or runs as a routine that shields, is done.

#include <weft/weft.hpp>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace wb = weft::blocking;

namespace {

/// Sends "bye" in a shield, and then waits without one.
weft::routine<bool> says_bye(weft::channel<int> to) {
  const auto bye = [](weft::channel<int> ch) -> weft::routine<> {
    co_await weft::yield();
    co_await ch.send(1);
  };
  co_await weft::shield(bye(to));
  bool cancelled = false;
  try {
    co_await weft::yield();
  } catch (const weft::cancelled&) {
    cancelled = true;
  }
  co_return cancelled;
}

/// Runs `act` in a plain callable that is cancelled by now.
template <typename F>
bool when_cancelled(F act) {
  weft::runtime rt({.workers = 2});
  weft::event begun, never;
  auto h = rt.go([&] {
    begun.set();
    try {
      wb::wait(never.wait());
    } catch (const weft::cancelled&) {
      return act();
    }
    return false;
  });
  wb::wait(begun.wait());
  h.cancel();
  return h.join();
}

}  // namespace

TEST_CASE("a cancelled plain callable may wait for a shielded operation", "[api][facade][shield]") {
  REQUIRE(when_cancelled([] {
    weft::channel<int> ch(1);
    wb::wait(weft::shield(weft::sleep_for(1ms)));
    wb::wait(weft::shield(weft::yield()));
    return wb::wait(weft::shield(ch.send(1))) == weft::send_status::sent &&
           wb::wait(weft::shield(ch.recv())) == 1;
  }));
}

TEST_CASE("a cancelled plain callable may join in a shield", "[api][facade][shield]") {
  REQUIRE(when_cancelled([] {
    auto h = wb::go([]() -> weft::routine<int> {
      co_await weft::yield();
      co_return 5;
    });
    return wb::wait(weft::shield(std::move(h))) == 5;
  }));
}

TEST_CASE("a shield in a cancelled plain callable keeps its own limit", "[api][facade][shield]") {
  REQUIRE(when_cancelled([] {
    weft::event never;
    try {
      wb::wait(weft::shield(weft::with_timeout(1ms, never.wait())));
    } catch (const weft::timeout_error&) {
      return true;
    }
    return false;
  }));
}

TEST_CASE("a cancelled plain callable waits in vain for what is not shielded", "[api][facade]") {
  REQUIRE(when_cancelled([] {
    int refused = 0;
    const auto try_to = [&](auto wait) {
      try {
        wait();
      } catch (const weft::cancelled&) {
        ++refused;
      }
    };
    try_to([] { wb::wait(weft::sleep_for(0ms)); });
    try_to([] { wb::wait(weft::with_timeout(1h, weft::yield())); });
    try_to([] { wb::run([]() -> weft::routine<> { co_await weft::yield(); }()); });
    try_to([] { wb::wait(weft::all([]() -> weft::routine<> { co_return; }())); });
    return refused == 4;
  }));
}

TEST_CASE("a routine that a cancelled plain callable runs begins, and what it shields is done",
          "[api][facade][shield]") {
  REQUIRE(when_cancelled([] {
    weft::channel<int> ch(1);
    return wb::run(says_bye(ch)) && ch.size() == 1;
  }));
}

TEST_CASE("a routine that a thread runs in a cancelled scope begins, and what it shields is done",
          "[api][facade][shield]") {
  weft::channel<int> ch(1);
  bool cancelled = false;
  wb::scope([&](weft::task_scope& s) {
    s.cancel();
    cancelled = wb::run(says_bye(ch));
  });
  REQUIRE(cancelled);
  REQUIRE(ch.size() == 1);
}

TEST_CASE("a plain callable that stop() has ended may clean up in a shield", "[api][facade][shield][stop]") {
  weft::channel<int> ch(2);
  {
    weft::runtime rt({.workers = 2});
    weft::event begun, never;
    auto h = rt.go([&] {
      begun.set();
      try {
        wb::wait(never.wait());
      } catch (const weft::cancelled&) {
        wb::run(says_bye(ch));
        wb::wait(weft::shield(ch.send(2)));
      }
    });
    wb::wait(begun.wait());
    rt.stop();
    h.join();
  }
  REQUIRE(ch.size() == 2);
}
