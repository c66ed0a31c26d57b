// What the operating system may do at any time: futex waits that return for no reason, and a clock that
// stands still, repeats itself, goes back a little or leaps.

#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "os/port.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using weft::os::nanos;

/// The real port with faults.  The threads of a runtime that is made under it inherit it.
class faulty_port final : public weft::os::port {
 public:
  explicit faulty_port(bool spurious, nanos quantum = 0, bool leaps = false)
      : spurious_(spurious), quantum_(quantum), leaps_(leaps) {
    weft::os::set_current_port(this);
  }

  ~faulty_port() override { weft::os::set_current_port(nullptr); }

  void leap(std::chrono::nanoseconds by) { ahead_ += by.count(); }

  nanos now() noexcept override {
    nanos t = real().now();
    if (quantum_ != 0) t = t / quantum_ * quantum_ - static_cast<nanos>(calls_.fetch_add(1) % 2);
    return t + ahead_;
  }

  std::uint64_t random() noexcept override { return real().random(); }

  bool simulated() const noexcept override { return false; }

  bool wait(const std::uint32_t& word, std::uint32_t expected, nanos deadline) noexcept override {
    if (spurious_ && calls_.fetch_add(1) % 2 == 0) return true;
    const bool never = deadline == weft::os::never;
    nanos until = never ? deadline : deadline - ahead_;
    // The kernel's clock does not leap with this one: so look again now and then.
    if (leaps_) until = std::min(until, real().now() + 1'000'000);
    return real().wait(word, expected, until) || never || now() < deadline;
  }

  void wake(const std::uint32_t& word, int count) noexcept override {
    real().wake(word, spurious_ ? count + 2 : count);
  }

  weft::os::thread_id start(weft::os::thread_entry entry, void* argument, const char* name) override {
    return real().start(entry, argument, name);  // which inherits the current port
  }

  void join(weft::os::thread_id thread) noexcept override { real().join(thread); }

 private:
  static port& real() noexcept { return weft::os::real_port(); }

  const bool spurious_;
  const nanos quantum_;
  const bool leaps_;
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<nanos> ahead_{0};
};

weft::routine<int> echo(weft::channel<int> in, weft::channel<int> out) {
  int n = 0;
  while (auto v = co_await in.recv()) {
    co_await out.send(*v + 1);
    ++n;
  }
  co_return n;
}

weft::routine<int> adds(weft::mutex& m, int& to) {
  for (int i = 0; i < 50; ++i) {
    auto hold = co_await m.scoped();
    const int before = to;
    co_await weft::yield();
    to = before + 1;
  }
  co_return 1;
}

/// Something of everything that sleeps in a futex or asks for the time; the number of times that it was
/// early.
int early_in(weft::runtime& rt) {
  std::atomic<int> early{0};
  weft::blocking::channel<int> to, from;
  auto echoes = rt.go(echo, to, from);
  for (int i = 0; i < 300; ++i) {
    to.send(i);
    if (*from.recv() != i + 1) ++early;
  }
  int counted = 0;
  weft::mutex m;
  auto a = rt.go(adds, std::ref(m), std::ref(counted)), b = rt.go(adds, std::ref(m), std::ref(counted));
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(rt.go([&early, i]() -> weft::routine<> {
      const auto until = weft::now() + i * 50us;
      co_await weft::sleep_until(until);
      if (weft::now() + 1ns < until) ++early;  // it may have gone back since
      weft::channel<int> never;
      const auto limit = weft::now() + 100us;
      if (co_await never.recv_until(limit)) ++early;
      if (weft::now() + 1ns < limit) ++early;
      auto call = [] {};
      co_await weft::block_on_io(call);
    }));
    all.push_back(rt.go([&early, i] {
      weft::blocking::channel<int> never;
      const auto limit = weft::now() + i * 50us;
      if (never.recv_until(limit)) ++early;
      if (weft::now() + 1ns < limit) ++early;
    }));
  }
  for (auto& h : all) h.join();
  a.join();
  b.join();
  to.close();
  return early + (counted == 100 ? 0 : 1) + (echoes.join() == 300 ? 0 : 1);
}

}  // namespace

TEST_CASE("futex waits that return for no reason, and wakes that wake too many, change nothing",
          "[core][port]") {
  faulty_port port(true);
  for (int round = 0; round < 5; ++round) {
    weft::runtime rt({.workers = 1 + static_cast<unsigned>(round)});
    REQUIRE(early_in(rt) == 0);
    auto endless = rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
    rt.stop();
    REQUIRE_THROWS_AS(endless.join(), weft::routine_cancelled);
  }
}

TEST_CASE("a clock that stands still for a while and goes back by a nanosecond makes nobody early",
          "[core][port]") {
  faulty_port port(false, 100'000);
  weft::runtime rt({.workers = 2});
  REQUIRE(early_in(rt) == 0);
}

TEST_CASE("when the clock leaps every limit that has passed ends and no other", "[core][port]") {
  faulty_port port(false, 0, true);
  weft::runtime rt({.workers = 2});
  const auto soon = weft::now() + 1h;  // so it has passed for those, too, that begin to wait after the leap
  auto sleeper = rt.go([&]() -> weft::routine<> { co_await weft::sleep_until(soon); });
  auto limited = rt.go([&]() -> weft::routine<bool> {
    weft::channel<int> never;
    co_return bool(co_await never.recv_until(soon));
  });
  auto far = rt.go([&]() -> weft::routine<> { co_await weft::sleep_until(soon + 23h); });
  port.leap(2h);
  sleeper.join();
  REQUIRE_FALSE(limited.join());
  REQUIRE_FALSE(far.done());
  rt.stop();
  REQUIRE_THROWS_AS(far.join(), weft::routine_cancelled);
}
