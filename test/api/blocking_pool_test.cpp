// The blocking pool as its users see it: how many threads it has, and when a call can still be cancelled.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Calls that stay in the kernel until it is opened.  Not a wait of weft's, so the pool cannot know.
class kernel_gate {
 public:
  kernel_gate() { REQUIRE(::pipe(ends_) == 0); }

  kernel_gate(const kernel_gate&) = delete;
  kernel_gate& operator=(const kernel_gate&) = delete;

  ~kernel_gate() {
    open();
    ::close(ends_[0]);
  }

  void pass() {
    inside_.fetch_add(1);
    char c = 0;
    while (::read(ends_[0], &c, 1) < 0) {
    }
    inside_.fetch_sub(1);
  }

  void open() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

  void await(int n) const {
    while (inside_.load() < n) ::sched_yield();
  }

  int inside() const { return inside_.load(); }

 private:
  int ends_[2] = {-1, -1};
  std::atomic<int> inside_{0};
};

weft::routine<> pass_through(kernel_gate& gate) {
  auto pass = [&gate] { gate.pass(); };
  co_await weft::block_on_io(pass);
}

}  // namespace

TEST_CASE("the pool grows to max_blocking_threads, queues what is more, and shrinks when idle",
          "[api][pool]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 3, .blocking_idle_timeout = 20ms});
  kernel_gate gate;
  std::vector<weft::join_handle<void>> all;
  for (int i = 0; i < 10; ++i) all.push_back(rt.go(pass_through(gate)));
  gate.await(3);
  while (rt.stats().blocking_queued < 7) ::sched_yield();
  CHECK(rt.stats().blocking_threads == 3);
  CHECK(gate.inside() == 3);
  gate.open();
  for (auto& h : all) h.join();
  CHECK(rt.stats().blocking_jobs == 10);
  CHECK(rt.stats().blocking_queued == 0);
  while (rt.stats().blocking_threads != 0) ::sched_yield();
  // And grows again, over the threads that have ended.
  kernel_gate second;
  for (auto& h : all) h = rt.go(pass_through(second));
  second.await(3);
  second.open();
  for (auto& h : all) h.join();
}

TEST_CASE("calls that are stuck get further threads although nothing else runs", "[api][pool]") {
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 20; ++round) {
    kernel_gate gate;
    std::vector<weft::join_handle<void>> all;
    for (int i = 0; i < 60; ++i) all.push_back(rt.go(pass_through(gate)));
    gate.await(60);
    gate.open();
    for (auto& h : all) h.join();
  }
  CHECK(rt.stats().blocking_most_threads <= 128);
}

TEST_CASE("calls are counted as they begin; hops and what was cancelled before are none", "[api][pool]") {
  weft::runtime rt({.workers = 1, .max_blocking_threads = 1});
  rt.go([]() -> weft::routine<> {
      co_await weft::resume_on(weft::blocking_pool);
      co_await weft::resume_on(weft::workers);
    }).join();
  CHECK(rt.stats().blocking_jobs == 0);
  kernel_gate gate;
  auto begins = rt.go(pass_through(gate));
  gate.await(1);
  CHECK(rt.stats().blocking_jobs == 1);
  auto never_begins = rt.go(pass_through(gate));
  while (rt.stats().blocking_queued == 0) ::sched_yield();
  never_begins.cancel();
  CHECK_THROWS_AS(never_begins.join(), weft::routine_cancelled);
  gate.open();
  begins.join();
  CHECK(rt.stats().blocking_jobs == 1);
}

TEST_CASE("a burst of short calls does not start a thread for each", "[api][pool]") {
  constexpr int calls = 10'000;
  weft::runtime rt({.workers = 2, .max_blocking_threads = calls});
  std::vector<weft::join_handle<void>> all;
  for (int i = 0; i < calls; ++i) {
    all.push_back(rt.go([]() -> weft::routine<> {
      auto call = [] {};
      co_await weft::block_on_io(call);
    }));
  }
  for (auto& h : all) h.join();
  CHECK(rt.stats().blocking_jobs == calls);
  CHECK(rt.stats().blocking_most_threads < calls / 10);
}

TEST_CASE("a pool thread that waits in a facade call does not count", "[api][pool]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  std::vector<weft::blocking::channel<int>> line(21);
  std::vector<weft::join_handle<void>> all;
  for (std::size_t i = 0; i < 20; ++i) {  // all of them have begun before the first can end
    all.push_back(rt.go([in = line[i], out = line[i + 1]]() -> weft::routine<> {
      auto hand_on = [&] { out.send(*in.recv() + 1); };
      co_await weft::block_on_io(hand_on);
    }));
  }
  line[0].send(0);
  REQUIRE(line[20].recv() == 20);
  for (auto& h : all) h.join();
  while (rt.stats().blocking_threads > 1) ::sched_yield();  // back to what there may be, at once
}

TEST_CASE("block_on_io is cancelled before it begins, and the function is not called",
          "[api][pool][cancel]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  kernel_gate gate;
  auto first = rt.go(pass_through(gate));
  gate.await(1);
  std::atomic<bool> called{false};
  auto second = rt.go([&called]() -> weft::routine<> {
    auto call = [&called] { called.store(true); };
    co_await weft::block_on_io(call);
  });
  while (rt.stats().blocking_queued == 0) ::sched_yield();
  second.cancel();
  REQUIRE_THROWS_AS(second.join(), weft::routine_cancelled);  // though the only thread is still busy
  REQUIRE(rt.stats().blocking_queued == 0);
  gate.open();
  first.join();
  REQUIRE_FALSE(called.load());
}

TEST_CASE("a call on the pool that is cancelled as it begins is called or cancelled, never both",
          "[api][pool][cancel]") {
  weft::runtime rt({.workers = 1});
  int neither_nor = 0, called_and_given = 0;
  for (int round = 0; round < 10'000; ++round) {
    std::atomic<bool> begins{false}, called{false};
    bool cancelled = false;
    auto h = rt.go([&]() -> weft::routine<> {
      const auto call = [&called] { called.store(true); };
      begins.store(true);
      try {
        co_await weft::block_on_io(call);
      } catch (const weft::cancelled&) {
        cancelled = true;
      }
    });
    while (!begins.load()) {
    }
    for (int i = round % 512; i > 0; --i) (void)begins.load();
    h.cancel();
    try {
      h.join();
    } catch (const weft::routine_cancelled&) {
    }
    neither_nor += called.load() == cancelled ? 1 : 0;
    called_and_given += called.load() ? 1 : 0;
  }
  CAPTURE(called_and_given);
  REQUIRE(neither_nor == 0);
}

TEST_CASE("a call that comes as the only thread goes to rest is run", "[api][pool][race]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  constexpr int rounds = 20'000;
  int called = 0;  // on one thread
  const auto calls = [&called]() -> weft::routine<> {
    const auto call = [&called] { ++called; };
    std::atomic<int> passes{0};
    for (int round = 0; round < rounds; ++round) {
      co_await weft::block_on_io(call);
      for (int i = round % 512; i > 0; --i) (void)passes.load();
    }
  };
  auto first = rt.go(calls), second = rt.go(calls);
  first.join();
  second.join();
  REQUIRE(called == 2 * rounds);
}

TEST_CASE("calls that wait for a thread run in order though one between them or the last was cancelled",
          "[api][pool][cancel]") {
  weft::runtime rt({.workers = 1, .max_blocking_threads = 1});
  const std::size_t cancelled = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2});
  kernel_gate gate;
  auto first = rt.go(pass_through(gate));
  gate.await(1);
  std::vector<std::size_t> order;
  std::vector<weft::join_handle<>> all;
  const auto calls = [&order](std::size_t i) -> weft::routine<> {
    const auto call = [&order, i] { order.push_back(i); };
    co_await weft::block_on_io(call);
  };
  const auto queue_one = [&] {
    all.push_back(rt.go(calls, all.size()));
    while (rt.stats().blocking_queued < all.size() - (all.size() > 3 ? 1 : 0)) ::sched_yield();
  };
  for (int i = 0; i < 3; ++i) queue_one();
  all[cancelled].cancel();
  REQUIRE_THROWS_AS(all[cancelled].join(), weft::routine_cancelled);
  for (int i = 0; i < 2; ++i) queue_one();
  gate.open();
  first.join();
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i == cancelled) continue;
    all[i].join();
    expected.push_back(i);
  }
  REQUIRE(order == expected);
}

TEST_CASE("block_on_io that has begun gives its result though its routine was cancelled",
          "[api][pool][cancel]") {
  weft::runtime rt({.workers = 2});
  kernel_gate gate;
  std::atomic<int> got{0};
  auto h = rt.go([&]() -> weft::routine<> {
    auto call = [&gate] {
      gate.pass();
      return 7;
    };
    got.store(co_await weft::block_on_io(call));
    co_await weft::yield();  // here it ends
    got.store(-1);
  });
  gate.await(1);
  h.cancel();
  REQUIRE_FALSE(h.join_for(1ms));
  gate.open();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(got.load() == 7);
}

TEST_CASE("stop waits for the call that has begun and drops those that have not", "[api][pool][stop]") {
  weft::runtime rt({.workers = 2, .max_blocking_threads = 2});
  kernel_gate gate;
  for (int i = 0; i < 20; ++i) {
    (void)rt.go(weft::spawn_options{.detached = true}, pass_through(gate));
  }
  gate.await(2);
  while (rt.stats().blocking_queued < 18) ::sched_yield();
  REQUIRE_FALSE(rt.stop_for(20ms));
  while (rt.stats().live != 2) ::sched_yield();
  gate.open();
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}

TEST_CASE("block_on_io is cancelled while it begins, on as many threads as there are", "[api][blocking]") {
  weft::runtime rt({.workers = 4, .max_blocking_threads = 4});
  const auto calls = [](int n) -> weft::routine<> {
    for (int i = 0; i < n; ++i) {
      int x = i;
      co_await weft::block_on_io([](int* p) { ++*p; }, &x);
    }
  };
  for (int round = 0; round < 20; ++round) {
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < 64; ++i) all.push_back(rt.go(calls, 1'000));
    for (auto& h : all) h.cancel();
    for (auto& h : all) REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  }
}

TEST_CASE("a call that is awaited again destroys what it gave before", "[api][blocking]") {
  weft::runtime rt({.workers = 2});
  using kept = std::pair<const std::shared_ptr<int>, int>;  // const: a move leaves it where it was
  auto h = rt.go([]() -> weft::routine<bool> {
    const auto gives = [] { return kept(std::make_shared<int>(1), 1); };
    auto call = weft::block_on_io(gives);
    const std::weak_ptr<int> first = (co_await call).first;
    const std::weak_ptr<int> second = (co_await call).first;
    co_return first.expired() && !second.expired();
  });
  REQUIRE(h.join());
}
