#include "os/port.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <limits>
#include <string>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <sys/prctl.h>

#include "support/catch.hpp"

using namespace weft::os;

namespace {

constexpr nanos millisecond = 1'000'000;

/// A port that differs from the real one in its identity only.
class other_port final : public port {
 public:
  nanos now() noexcept override { return real_port().now(); }

  std::uint64_t random() noexcept override { return 4; }

  bool simulated() const noexcept override { return true; }

  bool wait(const std::uint32_t& word, std::uint32_t expected, nanos deadline) noexcept override {
    return real_port().wait(word, expected, deadline);
  }

  void wake(const std::uint32_t& word, int count) noexcept override { real_port().wake(word, count); }

  thread_id start(thread_entry entry, void* argument, const char* name) override {
    return real_port().start(entry, argument, name);
  }

  void join(thread_id thread) noexcept override { real_port().join(thread); }
};

/// Runs `body` on a thread of the real port's, to its end.
template <typename Body>
void on_new_thread(Body body, const char* name = "test") {
  const auto thread = real_port().start([](void* raw) { (*static_cast<Body*>(raw))(); }, &body, name);
  real_port().join(thread);
}

}  // namespace

TEST_CASE("the real port's clock does not go back and is the steady clock", "[os][port]") {
  auto& port = real_port();
  nanos last = std::chrono::steady_clock::now().time_since_epoch().count();
  bool back = false;
  for (int i = 0; i < 1000; ++i) {
    const auto now = port.now();
    back = back || now < last;
    last = now;
  }
  CHECK(!back);
  CHECK(last <= std::chrono::steady_clock::now().time_since_epoch().count());
  CHECK(!port.simulated());
  CHECK(port.pick(7, nullptr) == 0);
  CHECK(port.random() != port.random());
}

TEST_CASE("a wait ends with false at its deadline and not before", "[os][port]") {
  auto& port = real_port();
  const std::uint32_t word = 1;
  const auto deadline = port.now() + 2 * millisecond;
  while (port.wait(word, 1, deadline)) {
  }
  CHECK(port.now() >= deadline);
  CHECK(!port.wait(word, 1, deadline));
  CHECK(!port.wait(word, 1, 0));
  CHECK(!port.wait(word, 1, std::numeric_limits<nanos>::min()));
}

TEST_CASE("a wait on a word that has changed already returns at once", "[os][port]") {
  const std::uint32_t word = 1;
  CHECK(real_port().wait(word, 0, never));
  CHECK(real_port().wait(word, 0, 0));
}

TEST_CASE("a wake ends a wait", "[os][port]") {
  std::uint32_t ping = 0;
  std::uint32_t pong = 0;
  const auto await = [](std::uint32_t& word, std::uint32_t old) {
    while (std::atomic_ref(word).load() == old) real_port().wait(word, old, never);
  };
  const auto set = [](std::uint32_t& word, std::uint32_t now) {
    std::atomic_ref(word).store(now);
    real_port().wake(word, 1);
  };
  constexpr std::uint32_t rounds = 200;
  std::thread other([&] {
    for (std::uint32_t i = 0; i < rounds; ++i) {
      await(ping, i);
      set(pong, i + 1);
    }
  });
  for (std::uint32_t i = 0; i < rounds; ++i) {
    set(ping, i + 1);
    await(pong, i);
  }
  other.join();
  CHECK(std::atomic_ref(pong).load() == rounds);
}

TEST_CASE("a wake uses the address alone: an object that is gone does no harm", "[os][port]") {
  constexpr std::uintptr_t never_mapped = 4096;
  real_port().wake(*reinterpret_cast<const std::uint32_t*>(never_mapped), 1);
  SUCCEED();
}

TEST_CASE("a thread inherits the port of the one that started it", "[os][port]") {
  CHECK(&current_port() == &real_port());
  other_port other;
  port* inherited = nullptr;
  set_current_port(&other);
  on_new_thread([&] { inherited = &current_port(); });
  CHECK(&current_port() == &other);
  set_current_port(nullptr);
  CHECK(&current_port() == &real_port());
  CHECK(inherited == &other);
  on_new_thread([&] { inherited = &current_port(); });
  CHECK(inherited == &real_port());
}

TEST_CASE("a started thread has its name, no timer slack, and no signal but its own faults", "[os][port]") {
  std::array<char, 64> name{};
  int slack = 0;
  sigset_t blocked;
  on_new_thread(
      [&] {
        pthread_getname_np(pthread_self(), name.data(), name.size());
        slack = ::prctl(PR_GET_TIMERSLACK);
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      },
      "weft-a-very-long-name");
  CHECK(std::string(name.data()) == "weft-a-very-lon");
  CHECK(slack == 1);
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGCHLD, SIGALRM, SIGPIPE})
    CHECK(sigismember(&blocked, signal) == 1);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    CHECK(sigismember(&blocked, signal) == 0);

  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  CHECK(sigismember(&own, SIGINT) == 0);
}

TEST_CASE("a thread that cannot be started is an error with a sentence, and the next one can be",
          "[os][port]") {
  int started = 0;
  fail_thread_start_after(1);
  on_new_thread([&] { ++started; });
  std::string sentence;
  try {
    on_new_thread([&] { ++started; });
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::resource_unavailable_try_again);
    sentence = error.what();
  }
  CHECK(sentence.find("cannot start a thread") != std::string::npos);
  on_new_thread([&] { ++started; });
  CHECK(started == 2);

  fail_thread_start_after(0);
  fail_thread_start_after(-1);
  on_new_thread([&] { ++started; });
  CHECK(started == 3);
}
