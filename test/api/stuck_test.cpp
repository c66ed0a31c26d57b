// Promise 6: a worker that is stuck in a call that nobody announced is noticed and replaced.
//
// Each case has one worker, or as many as get stuck: what stands behind the call would never run otherwise.

#include <weft/dump.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

/// read() on it sleeps until let_go().
class pipe_of_one {
 public:
  pipe_of_one() {
    if (::pipe(ends_.data()) != 0) throw std::runtime_error("no pipe");
  }

  pipe_of_one(const pipe_of_one&) = delete;
  pipe_of_one& operator=(const pipe_of_one&) = delete;

  ~pipe_of_one() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }

  void wait() const {
    char c = 0;
    while (::read(ends_[0], &c, 1) != 1) {
    }
  }

  void let_go(int readers = 1) const {
    for (int i = 0; i < readers; ++i) {
      if (::write(ends_[1], "x", 1) != 1) throw std::runtime_error("the pipe is full");
    }
  }

 private:
  std::array<int, 2> ends_{};
};

void sleep_in_the_kernel(std::chrono::nanoseconds d) {
  timespec left{static_cast<time_t>(d / 1s), static_cast<long>((d % 1s).count())};
  while (::nanosleep(&left, &left) != 0) {  // house: sleeps because a call that blocks is what is tested
  }
}

weft::routine<> let_go_of(const pipe_of_one* p) {
  p->let_go();
  co_return;
}

}  // namespace

TEST_CASE("a worker that is stuck in a call that nobody announced is replaced", "[api][stuck]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  const pipe_of_one gate;
  std::vector<weft::join_handle<void>> stuck;
  for (unsigned i = 0; i < workers; ++i) stuck.push_back(rt.go([&gate] { gate.wait(); }));
  while (rt.stats().blocked_workers < workers) weft::blocking::sleep_for(1ms);
  auto behind = rt.go([&]() -> weft::routine<> {
    gate.let_go(static_cast<int>(workers));
    co_return;
  });
  behind.join();
  for (auto& h : stuck) h.join();
  REQUIRE(rt.stats().unannounced_blocks >= workers);
}

TEST_CASE("what is queued behind a stuck routine runs, wherever it is queued", "[api][stuck]") {
  weft::runtime rt({.workers = 1});
  const pipe_of_one gate;

  SECTION("in the slot") {
    rt.go([&]() -> weft::routine<> {
        auto next = weft::go(let_go_of, &gate);
        gate.wait();
        co_await std::move(next);
      }).join();
  }
  SECTION("in the ring, the last of many") {
    rt.go([&]() -> weft::routine<> {
        std::vector<weft::join_handle<void>> all;
        for (int i = 0; i < 100; ++i) {
          all.push_back(weft::go([&, i]() -> weft::routine<> {
            if (i == 99) gate.let_go(2);
            co_return;
          }));
        }
        all.push_back(weft::go([&]() -> weft::routine<> {  // in the slot: it is next, and sleeps, too
          gate.wait();
          co_return;
        }));
        gate.wait();
        for (auto& h : all) co_await std::move(h);
      }).join();
  }
  SECTION("as a fork, deep in a tree") {
    const auto tree = [&gate](auto self, int depth) -> weft::routine<> {
      if (depth == 0) {
        gate.let_go();
        co_return;
      }
      auto waits = [](const pipe_of_one* p, bool does) -> weft::routine<> {
        if (does) p->wait();
        co_return;
      };
      co_await weft::all(waits(&gate, depth == 1), self(self, depth - 1));
    };
    rt.go([&]() -> weft::routine<> { co_await tree(tree, 5); }).join();
  }
  SECTION("as a timer") {
    rt.go([&]() -> weft::routine<> {
        auto later = weft::go([&]() -> weft::routine<> {
          co_await weft::sleep_for(5ms);
          gate.let_go();
        });
        co_await weft::yield();
        gate.wait();
        co_await std::move(later);
      }).join();
  }
  SECTION("made runnable between two calls") {
    rt.go([&]() -> weft::routine<> {
        sleep_in_the_kernel(2ms);  // replaced here
        auto next = weft::go(let_go_of, &gate);
        gate.wait();
        co_await std::move(next);
      }).join();
  }
  SECTION("injected when it was long stuck") {
    auto stuck = rt.go([&] { gate.wait(); });
    while (rt.stats().blocked_workers == 0) weft::blocking::sleep_for(1ms);
    rt.go(let_go_of, &gate).join();
    stuck.join();
  }
  REQUIRE(rt.stats().unannounced_blocks >= 1);
}

TEST_CASE("every kind of call and of code that sleeps is noticed", "[api][stuck]") {
  weft::runtime rt({.workers = 1});
  const pipe_of_one gate;
  std::string_view expected = "read";

  SECTION("a mutex") {
    std::mutex m;
    std::unique_lock hold(m);
    auto stuck = rt.go([&] { const std::lock_guard wait(m); });
    while (rt.stats().unannounced_blocks == 0) weft::blocking::sleep_for(1ms);
    hold.unlock();
    stuck.join();
    expected = "futex";
  }
  SECTION("a condition variable") {
    std::mutex m;
    std::condition_variable c;
    bool ready = false;
    auto stuck = rt.go([&] {
      std::unique_lock hold(m);
      c.wait(hold, [&] { return ready; });
    });
    rt.go([&]() -> weft::routine<> {
        {
          const std::lock_guard hold(m);
          ready = true;
        }
        c.notify_one();
        co_return;
      }).join();
    stuck.join();
    expected = "futex";
  }
  SECTION("a handler of a select") {
    weft::channel<int> ch(1);
    auto stuck = rt.go([&]() -> weft::routine<> {
      const auto waits = [&](std::optional<int>) { gate.wait(); };
      co_await weft::select(weft::on_recv(ch, waits));
    });
    REQUIRE(ch.try_send(1) == weft::try_send_status::sent);
    rt.go(let_go_of, &gate).join();
    stuck.join();
  }
  SECTION("a routine") {
    auto stuck = rt.go([&]() -> weft::routine<> {
      gate.wait();
      co_return;
    });
    rt.go(let_go_of, &gate).join();
    stuck.join();
  }
  REQUIRE(rt.stats().unannounced_blocks >= 1);
  REQUIRE(rt.stats().last_unannounced.call == expected);
}

namespace {

struct calls_as_it_goes {
  explicit calls_as_it_goes(const std::function<void()>& f) : call(&f) {}

  calls_as_it_goes(calls_as_it_goes&& from) noexcept : call(std::exchange(from.call, nullptr)) {}

  calls_as_it_goes& operator=(calls_as_it_goes&&) = delete;

  ~calls_as_it_goes() {
    if (call != nullptr) (*call)();
  }

  const std::function<void()>* call;
};

}  // namespace

TEST_CASE("a routine that never begins may wait in the destructors of what it was given", "[api][stuck]") {
  const pipe_of_one gate;
  weft::blocking::channel<int> ch(1);
  std::atomic<bool> waits = false, ran = false;
  std::function<void()> wait, let_go;
  SECTION("in a call that nobody announced") {
    wait = [&] { gate.wait(); };
    let_go = [&] { gate.let_go(); };
  }
  SECTION("in a facade call") {
    wait = [&] { ch.recv(); };
    let_go = [&] { (void)ch.try_send(1); };
  }
  const std::function<void()> as_it_goes = [&] {
    waits = true;
    wait();
  };
  weft::runtime rt({.workers = 2});  // ends before what its routines' destructors use
  auto computes = rt.go([&]() -> weft::routine<bool> {
    auto never_begins =
        weft::go([](calls_as_it_goes) -> weft::routine<> { co_return; }, calls_as_it_goes(as_it_goes));
    never_begins.cancel();
    while (!waits) {  // the other worker takes it out of the slot here
    }
    auto behind = weft::go([&]() -> weft::routine<> {
      ran = true;
      co_return;
    });
    const auto limit = steady_clock::now() + 5s;
    while (!ran && steady_clock::now() < limit) {  // only a spare can run it
    }
    const bool in_time = ran;
    let_go();
    co_await std::move(behind);
    co_return in_time;
  });
  REQUIRE(computes.join());
}

TEST_CASE("a handler of unhandled exceptions may sleep", "[api][stuck]") {
  static pipe_of_one* waits_at;
  pipe_of_one gate;
  waits_at = &gate;
  const weft::exception_handler handler{[](void*, const weft::unhandled_exception&) { waits_at->wait(); },
                                        nullptr};
  weft::runtime rt({.workers = 1, .on_unhandled_exception = handler});
  rt.go(weft::spawn_options{.detached = true}, [] { throw std::runtime_error("boom"); });
  rt.go(let_go_of, &gate).join();
  rt.stop();
  REQUIRE(rt.stats().live == 0);
}

TEST_CASE("a stuck routine is named with its spawn site and system call", "[api][stuck]") {
  weft::runtime rt({.workers = 1});
  const pipe_of_one gate;
  const unsigned line = __LINE__ + 1;
  auto stuck = rt.go(weft::spawn_options{.name = "reader"}, [&gate]() -> weft::routine<> {
    gate.wait();
    co_return;
  });
  while (rt.stats().blocked_workers == 0) weft::blocking::sleep_for(1ms);
  const weft::unannounced_block who = rt.stats().last_unannounced;
  std::string text;
  weft::dump(rt, [&](std::string_view part) { text += part; });
  gate.let_go();
  const std::uint64_t id = stuck.id();
  stuck.join();
  REQUIRE(who.routine == id);
  REQUIRE(who.name == std::string("reader"));
  REQUIRE(who.line == line);
  REQUIRE(std::string_view(who.file).ends_with("stuck_test.cpp"));
  REQUIRE(who.call == std::string("read"));
  REQUIRE(who.nanoseconds > 0);
  REQUIRE(text.find("stuck in read (system call 0) since") != std::string::npos);
  REQUIRE(text.find("unannounced, in routine " + std::to_string(id) + " 'reader'") != std::string::npos);
}

TEST_CASE("a call that nobody announced has ended when its routine announces the next", "[api][stuck]") {
  weft::runtime rt({.workers = 1});
  const pipe_of_one gate;
  weft::blocking::channel<int> ch;
  auto stuck = rt.go([&] {
    gate.wait();
    ch.recv();
  });
  while (rt.stats().blocked_workers == 0) weft::blocking::sleep_for(1ms);
  gate.let_go();
  const auto length = [&] { return rt.stats().last_unannounced.nanoseconds; };
  const auto limit = steady_clock::now() + 2s;
  bool ended = false;
  while (!ended && steady_clock::now() < limit) {
    const auto before = length();
    ended = before != 0 && before == length();
  }
  ch.send(1);
  stuck.join();
  REQUIRE(ended);
}

TEST_CASE("announced and unannounced calls may be in each other", "[api][stuck]") {
  weft::runtime rt({.workers = 1});
  const pipe_of_one gate;
  weft::blocking::channel<int> ch;

  SECTION("an unannounced one in an announced one") {
    const auto both = [&]() -> weft::routine<> {
      auto next = weft::go(let_go_of, &gate);
      {
        const weft::blocking_region here;
        gate.wait();
      }
      co_await std::move(next);
    };
    weft::runtime_stats before, after;
    do {
      before = rt.stats();
      rt.go(both).join();
      after = rt.stats();
    } while (weft::test::under_tsan && after.spares != before.spares);  // who starts a thread sleeps there
    INFO("in " << after.last_unannounced.call << ", worker " << after.last_unannounced.worker);
    REQUIRE(after.unannounced_blocks == before.unannounced_blocks);
  }
  SECTION("an announced one behind an unannounced one, before the worker is back") {
    rt.go([&] {
        sleep_in_the_kernel(2ms);
        auto next =
            weft::go([to = weft::channel<int>(ch)]() mutable -> weft::routine<> { co_await to.send(1); });
        ch.recv();
        next.join();
      }).join();
  }
  SECTION("one after the other, many times") {
    rt.go([&] {
        for (int i = 0; i < 20; ++i) {
          sleep_in_the_kernel(500us);
          auto next =
              weft::go([to = weft::channel<int>(ch)]() mutable -> weft::routine<> { co_await to.send(1); });
          ch.recv();
          auto other = weft::go(let_go_of, &gate);
          gate.wait();
          next.join();
          other.join();
        }
      }).join();
  }
  rt.stop();
  REQUIRE(rt.stats().live == 0);
  REQUIRE(rt.stats().blocked_workers == 0);
}

namespace {

void compute_for(std::chrono::nanoseconds d) {
  const auto until = steady_clock::now() + d;
  while (steady_clock::now() < until) {
  }
}

/// Two workers that compute for so long each.
void require_no_spare_while_computing() {
  weft::runtime rt({.workers = 2});
  std::vector<weft::join_handle<void>> all;
  for (int i = 0; i < 8; ++i) all.push_back(rt.go([] { compute_for(25ms); }));
  for (auto& h : all) h.join();
  REQUIRE(rt.stats().spares == 0);
  REQUIRE(rt.stats().unannounced_blocks == 0);
}

}  // namespace

TEST_CASE("one that computes is not replaced", "[api][stuck]") {
  require_no_spare_while_computing();
}

TEST_CASE("one that the host descheduled is not replaced", "[api][stuck]") {
  std::atomic<bool> ends = false;
  std::vector<std::thread> burners;
  for (int i = 0; i < 8; ++i) {
    burners.emplace_back([&] {
      while (!ends.load()) compute_for(1ms);
    });
  }
  require_no_spare_while_computing();
  ends = true;
  for (std::thread& t : burners) t.join();
}

TEST_CASE("past max_threads a stuck worker is counted and the others go on", "[api][stuck]") {
  weft::runtime rt({.workers = 2, .max_threads = 2});
  const pipe_of_one gate;
  auto stuck = rt.go([&] { gate.wait(); });
  while (rt.stats().blocks_not_replaced == 0) weft::blocking::sleep_for(1ms);
  for (int i = 0; i < 100; ++i) rt.go([]() -> weft::routine<> { co_return; }).join();
  gate.let_go();
  stuck.join();
  REQUIRE(rt.stats().unannounced_blocks == 0);
  REQUIRE(rt.stats().threads == 2);
}

TEST_CASE("a stop waits for a routine that is stuck, and names it", "[api][stuck]") {
  weft::runtime rt({.workers = 1});
  const pipe_of_one gate;
  auto stuck = rt.go([&] { gate.wait(); });
  while (rt.stats().blocked_workers == 0) weft::blocking::sleep_for(1ms);
  REQUIRE_FALSE(rt.stop_for(5ms));
  gate.let_go();
  rt.stop();
  REQUIRE(rt.stats().live == 0);
  REQUIRE(rt.stats().blocked_workers == 0);
}

TEST_CASE("a storm of calls that sleep ends soon, twice in a row, and the surplus rests", "[api][stuck]") {
  weft::runtime rt({.workers = 2, .blocking_idle_timeout = 20ms});
  for (int round = 0; round < 2; ++round) {
    const auto begin = steady_clock::now();
    std::vector<weft::join_handle<void>> all;
    for (int i = 0; i < 200; ++i) all.push_back(rt.go([] { sleep_in_the_kernel(10ms); }));
    for (auto& h : all) h.join();
    REQUIRE(steady_clock::now() - begin < 900ms);  // 1 s on two workers
    REQUIRE(rt.stats().unannounced_blocks >= 100);
  }
  while (rt.stats().threads > 2) weft::blocking::sleep_for(1ms);
  REQUIRE(rt.stats().idle_workers == 2);
}
