#include <weft/blocking.hpp>
#include <weft/io/pipe.hpp>
#include <weft/io/select.hpp>
#include <weft/io/signal.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <vector>

#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"

using namespace weft;
using namespace std::chrono_literals;
using test::error_in;
using test::error_of;

namespace {

void send(int signal) {
  ::kill(::getpid(), signal);
}

bool is_blocked(int signal) {
  sigset_t now;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
  return ::sigismember(&now, signal) == 1;
}

}  // namespace

TEST_CASE("a signal is given to who waits for it, with its sender", "[io][signal]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  signal_set s{SIGTERM, SIGINT};
  event first;
  runtime rt({.workers = width});
  auto waiting = rt.go(
      [](signal_set& of, event& had_one) -> routine<std::array<signal_info, 2>> {
        std::array<signal_info, 2> all;
        all[0] = co_await of.wait();
        had_one.set();
        all[1] = co_await of.wait();
        co_return all;
      },
      std::ref(s), std::ref(first));
  send(SIGINT);
  sigval value;
  value.sival_int = 42;
  blocking::wait(first.wait());
  ::sigqueue(::getpid(), SIGTERM, value);
  const auto got = waiting.join();
  REQUIRE(got[0].number == SIGINT);
  REQUIRE(got[0].code == SI_USER);
  REQUIRE(got[0].sender == ::getpid());
  REQUIRE(got[0].user == ::getuid());
  REQUIRE(got[1].number == SIGTERM);
  REQUIRE(got[1].code == SI_QUEUE);
  REQUIRE(got[1].value == 42);
}

TEST_CASE("plain code waits for signals, also for one that came before", "[io][signal]") {
  signal_set s{SIGUSR1, SIGRTMIN + 3};
  send(SIGUSR1);
  REQUIRE(blocking::wait(s.wait()).number == SIGUSR1);
  for (int i = 0; i < 3; ++i) send(SIGRTMIN + 3);  // these queue
  for (int i = 0; i < 3; ++i) REQUIRE(blocking::wait(s.wait()).number == SIGRTMIN + 3);
  bool expired = false;
  try {
    blocking::with_timeout(5ms, s.wait());
  } catch (const timeout_error&) {
    expired = true;
  }
  REQUIRE(expired);
  auto sending = go([] { send(SIGUSR1); });
  REQUIRE(blocking::wait(s.wait()).number == SIGUSR1);
  sending.join();
}

TEST_CASE("sets come one after the other, each restores what it has blocked", "[io][signal]") {
  const std::size_t before = test::open_descriptors();
  REQUIRE_FALSE(is_blocked(SIGTERM));
  for (int i = 0; i < 3; ++i) {
    {
      signal_set s{SIGTERM};
      REQUIRE(is_blocked(SIGTERM));
      {
        signal_set inner{SIGTERM, SIGHUP};
        send(SIGHUP);
        REQUIRE(blocking::wait(inner.wait()).number == SIGHUP);
      }
      REQUIRE(is_blocked(SIGTERM));
      REQUIRE_FALSE(is_blocked(SIGHUP));
      send(SIGTERM);
      REQUIRE(blocking::wait(s.wait()).number == SIGTERM);
    }
    REQUIRE_FALSE(is_blocked(SIGTERM));
  }
  REQUIRE(test::open_descriptors() <= before + 2);  // the global runtime's driver
}

TEST_CASE("what cannot be waited for is refused", "[io][signal]") {
  for (const int each : {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV})
    REQUIRE(error_in([&] { const signal_set s{each}; }) == EINVAL);
  REQUIRE(error_in([] { const signal_set s{}; }) == EINVAL);
  REQUIRE_FALSE(is_blocked(SIGTERM));
}

TEST_CASE("a wait for signals is cancelled, and stopped, and loses none", "[io][signal][cancel]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  signal_set s{SIGUSR1};
  {
    runtime rt({.workers = width});
    const auto forever = [](signal_set& of) -> routine<> {
      for (;;) (void)co_await of.wait();
    };
    auto waiting = rt.go(forever, std::ref(s));
    auto selecting = rt.go([&s]() -> routine<> { co_await select(on_signal(s), on_timeout(30s)); });
    waiting.cancel();
    selecting.cancel();
    int cancelled = 0;
    for (auto* each : {&waiting, &selecting}) {
      try {
        each->join();
      } catch (const routine_cancelled&) {
        ++cancelled;
      }
    }
    REQUIRE(cancelled == 2);
    auto last = rt.go(forever, std::ref(s));
    rt.stop();
    REQUIRE(rt.stats().live == 0);
  }
  send(SIGUSR1);
  REQUIRE(blocking::wait(s.wait()).number == SIGUSR1);
}

TEST_CASE("a select takes a signal if and only if that case happens", "[io][signal][select]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  signal_set s{SIGUSR1};
  runtime rt({.workers = width});
  send(SIGUSR1);
  const auto [picked, sort] = rt.go([&s]() -> routine<std::pair<int, int>> {
                                  channel<int> ready(1), never;
                                  co_await ready.send(1);
                                  int order = 0;
                                  int number = 0;
                                  const auto keep = [&number](signal_info i) { number = i.number; };
                                  const auto first =
                                      co_await select(biased, on_recv(ready), on_signal(s, keep));
                                  order += static_cast<int>(first);
                                  if (number != 0) order += 100;
                                  const auto second = co_await select(on_signal(s, keep), on_recv(never));
                                  order += static_cast<int>(second) * 10;
                                  co_return std::pair{order, number};
                                }).join();
  REQUIRE(picked == 0);
  REQUIRE(sort == SIGUSR1);
  // It waits, and is woken.
  auto waiting = rt.go([&s]() -> routine<std::size_t> {
    channel<int> never;
    co_return co_await select(on_recv(never), on_timeout(30s), on_signal(s));
  });
  send(SIGUSR1);
  REQUIRE(waiting.join() == 2);
  auto sending = go([] { send(SIGUSR1); });
  int seen = 0;
  const auto keep = [&seen](signal_info i) { seen = i.sender; };
  REQUIRE(blocking::select(on_signal(s, keep), on_timeout(30s)) == 0);
  REQUIRE(seen == ::getpid());
  sending.join();
}

TEST_CASE("each signal goes to one of many selects and waits, and none twice", "[io][signal][select]") {
  const unsigned width = GENERATE(1U, 2U, 8U);
  constexpr int total = 300;
  signal_set s{SIGRTMIN + 4};
  runtime rt({.workers = width});
  std::atomic<int> got{0}, late{0};
  event end;
  const auto by_select = [&]() -> routine<> {
    for (bool over = false; !over;) {
      const auto count = [&] { ++got; };
      const auto stop = [&] { over = true; };
      const auto expired = [&] { ++late; };
      co_await select(on_signal(s, count), on_event(end, stop), on_timeout(30s, expired));
    }
  };
  const auto by_selector = [&]() -> routine<> {
    selector all;
    all.add(on_signal(s));
    all.add(on_event(end));
    for (;;) {
      const auto which = co_await all.wait();
      if (which == 1) co_return;
      ++got;
    }
  };
  std::vector<join_handle<void>> parties;
  for (int i = 0; i < 4; ++i) {
    parties.push_back(rt.go(by_select));
    parties.push_back(rt.go(by_selector));
  }
  auto waits = rt.go([&]() -> routine<> {
    for (;;) {
      (void)co_await s.wait();
      ++got;
    }
  });
  const sigval none{};
  for (int i = 0; i < total; ++i) {
    while (::sigqueue(::getpid(), SIGRTMIN + 4, none) != 0) blocking::sleep_for(1ms);
    if (i % 10 == 0) blocking::sleep_for(100us);
  }
  while (got != total) blocking::sleep_for(1ms);
  end.set();
  for (auto& each : parties) each.join();
  waits.cancel();
  bool cancelled = false;
  try {
    waits.join();
  } catch (const routine_cancelled&) {
    cancelled = true;
  }
  REQUIRE(cancelled);
  REQUIRE(got == total);
  REQUIRE(late == 0);
}
