// The moment between a waiter's look and its wait: what comes in there must not be lost.
//
// Waiter and waker run side by side and meet again in each round; the waker comes a little later each time,
// so that in some rounds it hits the moment.  A wake-up that is lost hangs.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/foreign.hpp"

namespace {

constexpr int rounds = 20'000;

/// Where the waiter is, for the waker to come at the same time.
struct meeting {
  std::atomic<int> at{-1};

  void arrive(int round) { at.store(round); }

  /// Then a little more, another time in each round.
  void await(int round) const {
    while (at.load() < round) {
    }
    for (int i = round % 64; i > 0; --i) (void)at.load();
  }
};

/// `wait(round)` in a routine, `wake(round)` on this thread.
template <typename Wait, typename Wake>
void meet(Wait wait, Wake wake) {
  meeting both;
  weft::runtime rt({.workers = 1});
  auto waiter = rt.go([&]() -> weft::routine<> {
    for (int round = 0; round < rounds; ++round) {
      both.arrive(round);
      co_await wait(round);
    }
  });
  for (int round = 0; round < rounds; ++round) {
    both.await(round);
    wake(round);
  }
  waiter.join();
}

/// The same with a thread that waits.
template <typename Wait, typename Wake>
void meet_thread(Wait wait, Wake wake) {
  meeting both;
  weft::runtime rt({.workers = 1});
  auto waker = rt.go([&]() -> weft::routine<> {
    for (int round = 0; round < rounds; ++round) {
      both.await(round);
      wake(round);
    }
    co_return;
  });
  for (int round = 0; round < rounds; ++round) {
    both.arrive(round);
    weft::blocking::wait(wait(round));
  }
  waker.join();
}

}  // namespace

TEST_CASE("an event that is set between a look and the wait is seen", "[api][sync][race]") {
  const auto events = std::make_unique<weft::event[]>(rounds);
  const auto wait = [&](int i) { return events[static_cast<std::size_t>(i)].wait(); };
  const auto set = [&](int i) { events[static_cast<std::size_t>(i)].set(); };
  meet(wait, set);
  for (std::size_t i = 0; i < rounds; ++i) events[i].reset();
  meet_thread(wait, set);
}

TEST_CASE(
    "a wait of a foreign coroutine that is served between a look and the wait is forgotten by its runtime",
    "[api][foreign][race]") {
  const auto events = std::make_unique<weft::event[]>(rounds);
  meeting both;
  std::atomic<bool> cancelled{false};
  weft::runtime rt({.workers = 1});
  const auto waiter = [&]() -> weft::test::foreign_task {
    co_await rt.schedule();
    for (int round = 0; round < rounds; ++round) {
      both.arrive(round);
      co_await events[static_cast<std::size_t>(round)].wait();
    }
    try {
      co_await weft::sleep_for(std::chrono::hours(1));
    } catch (const weft::cancelled&) {
      cancelled = true;
    }
  };
  waiter();
  for (int round = 0; round < rounds; ++round) {
    both.await(round);
    events[static_cast<std::size_t>(round)].set();
  }
  rt.stop();  // looks at all that wait
  REQUIRE(cancelled);
}

TEST_CASE("a scope whose last routine ends between a look and the wait is left", "[api][scope][race]") {
  weft::runtime rt({.workers = 2});
  meeting both;
  int ended = 0;
  auto waiter = rt.go([&]() -> weft::routine<> {
    const auto member = [&](int round) -> weft::routine<> {
      both.await(round);
      ++ended;
      co_return;
    };
    const auto nothing = []() -> weft::routine<> { co_return; };
    for (int round = 0; round < rounds / 4; ++round) {
      const auto body = [&](weft::task_scope& s) -> weft::routine<> {
        s.go(nothing);  // enough to do for two workers
        s.go(member, round);
        co_await weft::yield();  // the member runs here, this on the other one
        both.arrive(round);
      };
      co_await weft::scope(body);
    }
  });
  waiter.join();
  REQUIRE(ended == rounds / 4);
}

TEST_CASE("a wait_group that is done between a look and the wait is seen", "[api][sync][race]") {
  std::vector<std::unique_ptr<weft::wait_group>> groups;
  for (int i = 0; i < rounds; ++i) groups.push_back(std::make_unique<weft::wait_group>(1));
  const auto wait = [&](int i) { return groups[static_cast<std::size_t>(i)]->wait(); };
  const auto done = [&](int i) { groups[static_cast<std::size_t>(i)]->done(); };
  meet(wait, done);
  for (const auto& g : groups) g->add(1);
  meet_thread(wait, done);
}

TEST_CASE("a permit that is released between a look and the wait is taken", "[api][sync][race]") {
  weft::semaphore permits(0);
  const auto acquire = [&](int) { return permits.acquire(); };
  const auto release = [&](int) { permits.release(); };
  meet(acquire, release);
  meet_thread(acquire, release);
}

TEST_CASE("a value that is sent between a look and the wait is received", "[api][channel][race]") {
  const weft::channel<int> numbers(1);
  const auto receive = [&](int) { return numbers.recv(); };
  const auto send = [&](int i) { weft::blocking::wait(numbers.send(i)); };
  meet(receive, send);
  meet_thread(receive, [&](int i) { (void)numbers.try_send(i); });
}

TEST_CASE("room that comes between a look and the wait is taken", "[api][channel][race]") {
  const weft::channel<int> numbers(1);
  REQUIRE(numbers.try_send(-1) == weft::try_send_status::sent);
  const auto send = [&](int i) { return numbers.send(i); };
  const auto receive = [&](int) { (void)numbers.try_recv(); };
  meet(send, receive);
  meet_thread(send, receive);
}

TEST_CASE("a select sees what becomes ready between its look and its wait", "[api][select][race]") {
  const weft::channel<int> numbers(1), never;
  const auto receive = [&](int) { return weft::select(weft::on_recv(numbers), weft::on_recv(never)); };
  const auto send = [&](int i) { (void)numbers.try_send(i); };
  meet(receive, send);
  meet_thread(receive, send);
}

TEST_CASE("a routine that ends while a select begins to wait for it may be forgotten at once",
          "[api][select][race]") {
  weft::runtime rt({.workers = 2});
  meeting both;
  weft::event never;
  int too_early = 0;
  auto waiter = rt.go([&]() -> weft::routine<> {
    const auto nothing = []() -> weft::routine<> { co_return; };
    const auto ends = [&](int round, bool* ended) -> weft::routine<> {
      both.await(round);
      *ended = true;
      co_return;
    };
    for (int round = 0; round < rounds / 4; ++round) {
      bool ended = false;
      auto first = weft::go(nothing);  // enough to do for two workers
      auto second = weft::go(ends, round, &ended);
      co_await weft::yield();  // it runs here, this on the other one
      both.arrive(round);
      (void)co_await weft::select(weft::on_join(second), weft::on_event(never));
      if (!ended) ++too_early;
    }
  });
  waiter.join();
  REQUIRE(too_early == 0);
}

TEST_CASE("a cancellation between a look and the wait ends the wait once", "[api][cancel][race]") {
  const weft::channel<int> never, never_either;
  weft::mutex held;
  REQUIRE(held.try_lock());
  weft::event unset;
  weft::semaphore none(0);
  weft::wait_group one(1);
  meeting both;
  const auto waits = [&](int round) -> weft::routine<> {
    both.arrive(round);
    switch (round % 7) {
      case 0:
        (void)co_await weft::select(weft::on_recv(never), weft::on_recv(never_either));
        break;
      case 1:
        (void)co_await never.recv_for(std::chrono::hours(1));
        break;
      case 2:
        co_await held.lock();
        break;
      case 3:
        co_await unset.wait();
        break;
      case 4:
        co_await none.acquire();
        break;
      case 5:
        co_await one.wait();
        break;
      default:
        (void)co_await never.recv();
    }
  };
  weft::runtime rt({.workers = 1});
  int ended = 0;
  for (int round = 0; round < rounds; ++round) {
    auto h = rt.go(waits, round);
    both.await(round);
    h.cancel();
    try {
      h.join();
    } catch (const weft::routine_cancelled&) {
      ++ended;
    }
  }
  REQUIRE(ended == rounds);
  REQUIRE(never.try_send(1) == weft::try_send_status::full);  // nobody waits any more
  held.unlock();
}
