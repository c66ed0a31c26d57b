#include <weft/blocking.hpp>
#include <weft/dump.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <csignal>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

#include <sched.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

std::string text_of(const weft::runtime& rt) {
  std::string text;
  weft::dump(rt, [&](std::string_view piece) { text += piece; });
  return text;
}

bool has(const std::string& text, std::string_view what) {
  return text.find(what) != std::string::npos;
}

/// Dumps until the routines have come to where the test wants them; a hang is the test's failure.
std::string text_with(const weft::runtime& rt, std::initializer_list<std::string_view> all) {
  for (;;) {
    std::string text = text_of(rt);
    bool complete = true;
    for (const std::string_view each : all) complete = complete && has(text, each);
    if (complete) return text;
    ::sched_yield();
  }
}

/// The paragraph that begins with the routine's name.
std::string paragraph(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("'" + name + "'");
  if (at == std::string::npos) return {};
  std::size_t end = text.find('\n', at);
  while (end != std::string::npos && text.compare(end + 1, 4, "    ") == 0) end = text.find('\n', end + 1);
  return text.substr(at, end - at);
}

weft::spawn_options named(std::string_view name) {
  return {.name = name};
}

constexpr int inner_line = __LINE__ + 3;

weft::routine<int> inner(weft::channel<int> ch) {
  co_return (co_await ch.recv()).value_or(0);
}

constexpr int outer_line = __LINE__ + 3;

weft::routine<int> outer(weft::channel<int> ch) {
  const int n = co_await inner(ch);
  co_return n;
}

}  // namespace

TEST_CASE("a dump names every routine, what it waits for and each await on the way there", "[api][dump]") {
  weft::runtime rt({.workers = 2});
  weft::channel<int> empty;
  weft::channel<int> full;
  weft::event never;
  weft::mutex taken;
  weft::semaphore none(0);
  weft::wait_group busy;
  busy.add(1);
  REQUIRE(taken.try_lock());

  auto recv = rt.go(named("receiver"), outer, empty);
  auto send = rt.go(named("sender"), [full]() mutable -> weft::routine<> { co_await full.send(1); });
  auto sleep = rt.go(named("sleeper"), []() -> weft::routine<> { co_await weft::sleep_for(1h); });
  auto join =
      rt.go(named("joiner"), [h = std::move(recv)]() mutable -> weft::routine<> { co_await std::move(h); });
  auto select = rt.go(named("selector"), [empty, &never]() mutable -> weft::routine<> {
    co_await weft::select(weft::on_recv(empty), weft::on_event(never), weft::on_timeout(1h));
  });
  auto event = rt.go(named("event's"), [&]() -> weft::routine<> { co_await never.wait(); });
  auto mutex = rt.go(named("mutex's"), [&]() -> weft::routine<> { co_await taken.lock(); });
  auto semaphore = rt.go(named("semaphore's"), [&]() -> weft::routine<> { co_await none.acquire(); });
  auto group = rt.go(named("group's"), [&]() -> weft::routine<> { co_await busy.wait(); });
  auto scope = rt.go(named("scope's"), [&]() -> weft::routine<> {
    co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
      s.go(named("child"), [&]() -> weft::routine<> { co_await never.wait(); });
      co_return;
    });
  });
  auto plain = rt.go(named("plain"), [empty] { (void)weft::blocking::channel<int>(empty).recv(); });

  const std::string text = text_with(
      rt, {"'receiver': waits in recv on channel 0x", "'sender': waits in send on channel 0x",
           "'sleeper': waits in sleep, 3", "'joiner': waits in join of routine 1\n",
           "'selector': waits in select; ", "'event's': waits in event 0x", "'mutex's': waits in mutex 0x",
           "'semaphore's': waits in semaphore 0x", "'group's': waits in wait_group 0x",
           "'scope's': waits in scope, for its children", "'child': waits in event",
           "'plain': blocks its thread in recv on channel 0x", "12 live routines"});
  INFO(text);
  const std::string receiver = paragraph(text, "receiver");
  const std::size_t first = receiver.find("dump_test.cpp:" + std::to_string(inner_line) + " in ");
  const std::size_t second = receiver.find("dump_test.cpp:" + std::to_string(outer_line) + " in ");
  REQUIRE(first != std::string::npos);
  REQUIRE(second != std::string::npos);
  REQUIRE(first < second);
  REQUIRE(has(receiver, "started at"));
  const std::string selector = paragraph(text, "selector");
  REQUIRE(has(selector, "recv on channel 0x"));
  REQUIRE(has(selector, "event 0x"));
  REQUIRE(has(selector, "a timeout"));
  rt.stop();
  taken.unlock();
}

TEST_CASE("a dump shows a routine that computes, and what its thread does", "[api][dump]") {
  weft::runtime rt({.workers = 1});
  std::atomic<bool> over{false};
  auto h = rt.go(named("computer"), [&]() -> weft::routine<> {
    while (!over.load(std::memory_order_relaxed)) {  // relaxed: an end, it orders nothing
    }
    co_return;
  });
  const std::string text = text_with(rt, {"'computer': runs on worker 0 (computes)"});
  REQUIRE(has(text, "worker 0: busy"));
  over.store(true, std::memory_order_relaxed);  // relaxed: as above
  h.join();
}

TEST_CASE("a dump shows the system call of a call on the blocking pool", "[api][dump]") {
  weft::runtime rt({.workers = 1});
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  auto h = rt.go(named("reader"), [&]() -> weft::routine<> {
    char byte;
    co_await weft::block_on_io([&] { (void)!::read(ends[0], &byte, 1); });
  });
  const std::string text = text_with(rt, {"'reader': in block_on_io (sleeps in read (system call 0))"});
  REQUIRE(has(text, "blocking thread: runs a call for routine"));
  REQUIRE(::write(ends[1], "x", 1) == 1);
  h.join();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("dumps of a runtime whose routines start, wait and end all the time read nothing that is gone",
          "[api][dump]") {
  weft::runtime rt({.workers = 2});
  std::atomic<bool> over{false};
  weft::channel<int> ch(1);
  const auto churn = [&]() -> weft::routine<> {
    while (!over.load(std::memory_order_relaxed)) {  // relaxed: an end, it orders nothing
      const std::string name(1 + weft::this_routine::id() % 40, 'n');
      auto sender = weft::go(named(name), [ch, name]() mutable -> weft::routine<> { co_await ch.send(1); });
      auto receiver = weft::go(named(name), outer, ch);
      co_await weft::all(inner(ch),
                         [](weft::channel<int> to) -> weft::routine<> { co_await to.send(2); }(ch));
      co_await std::move(sender);
      co_await std::move(receiver);
    }
  };
  auto a = rt.go(named("churn"), churn);
  auto b = rt.go(named("churn"), churn);
  std::size_t bytes = 0;
  for (int i = 0; i < 300; ++i) bytes += text_of(rt).size();
  over.store(true, std::memory_order_relaxed);  // relaxed: as above
  a.join();
  b.join();
  REQUIRE(bytes != 0);
}

TEST_CASE("the signal dumps every runtime that asked for it, and goes back when they have ended",
          "[api][dump]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);

  struct sigaction before {};

  REQUIRE(::sigaction(SIGQUIT, nullptr, &before) == 0);
  {
    weft::runtime first({.workers = 1, .name = "first"});
    weft::runtime second({.workers = 1, .name = "second"});
    weft::event never;
    auto h = first.go(named("sleeper"), [&]() -> weft::routine<> { co_await never.wait(); });
    (void)text_with(first, {"'sleeper': waits in event"});
    const int error = ::dup(STDERR_FILENO);
    first.dump_on_signal(SIGQUIT);
    first.dump_on_signal(SIGQUIT);
    second.dump_on_signal(SIGQUIT);
    ::dup2(ends[1], STDERR_FILENO);
    ::raise(SIGQUIT);
    std::string text;
    char buffer[4096];
    while (!has(text, "'sleeper': waits in event") || !has(text, "runtime 'second'")) {
      const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    ::dup2(error, STDERR_FILENO);
    ::close(error);
    REQUIRE(has(text, "runtime 'first'"));
    REQUIRE_THROWS_AS(first.dump_on_signal(SIGKILL), std::system_error);
    REQUIRE_THROWS_AS(first.dump_on_signal(4711), std::system_error);
    never.set();
    h.join();
  }

  struct sigaction after {};

  REQUIRE(::sigaction(SIGQUIT, nullptr, &after) == 0);
  REQUIRE(after.sa_handler == before.sa_handler);
  ::close(ends[0]);
  ::close(ends[1]);
}
