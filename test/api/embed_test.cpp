// A runtime in manual mode: the host's thread drives it, by its own loop or while it waits in a facade call.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

long thread_id() {
  return ::syscall(SYS_gettid);
}

long own_cpu_ms() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return used.tv_sec * 1000 + used.tv_nsec / 1'000'000;
}

/// A host's loop: sleeps in poll(2), without a limit, until the runtime has something to do.
template <typename Done>
std::size_t loop_until(weft::runtime& rt, Done done) {
  std::size_t turns = 0;
  while (!done()) {
    pollfd source{rt.native_handle(), POLLIN, 0};
    ::poll(&source, 1, -1);
    rt.poll();
    ++turns;
  }
  return turns;
}

weft::routine<int> add_one(weft::channel<int> in, weft::channel<int> out, int times) {
  int last = 0;
  for (int i = 0; i < times; ++i) {
    last = *co_await in.recv() + 1;
    co_await out.send(last);
  }
  co_return last;
}

/// A coroutine of a type that weft does not know, resumed by hand.
struct bare {
  struct promise_type {
    bare get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }

    std::suspend_always initial_suspend() noexcept { return {}; }

    std::suspend_never final_suspend() noexcept { return {}; }

    void return_void() {}

    void unhandled_exception() { std::terminate(); }
  };

  std::coroutine_handle<promise_type> handle;
};

bare note_thread(std::atomic<int>& resumed, std::atomic<int>& elsewhere, long host) {
  if (thread_id() != host) elsewhere.fetch_add(1);
  resumed.fetch_add(1);
  co_return;
}

}  // namespace

TEST_CASE("one poll() runs all timers that are due, though they make nothing ready", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  std::vector<std::unique_ptr<weft::later_event>> events;
  auto arms = rt.go([&]() -> weft::routine<> {
    for (int i = 0; i < 2000; ++i) events.emplace_back(new weft::later_event(weft::after(1ms)));
    co_return;
  });
  rt.poll();
  arms.join();
  const auto due = std::chrono::steady_clock::now() + 1ms;
  while (std::chrono::steady_clock::now() <= due) continue;
  rt.poll();
  CHECK(std::all_of(events.begin(), events.end(), [](const auto& e) { return e->is_set(); }));
}

TEST_CASE("in manual mode a plain callable runs on the blocking pool and its result reaches the joiner",
          "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  REQUIRE(rt.go(thread_id).join() != thread_id());
  REQUIRE(rt.go([](int a) { return a + 1; }, 2).join() == 3);
  REQUIRE_THROWS_AS(rt.go([] { throw std::runtime_error("boom"); }).join(), std::runtime_error);
  weft::channel<long> where(1);
  (void)rt.go(weft::spawn_options{.detached = true}, [where] { (void)where.try_send(thread_id()); });
  REQUIRE(*weft::blocking::wait(where.recv()) != thread_id());
}

TEST_CASE("in manual mode plain callables may block on one another and on the host", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  std::vector<weft::blocking::channel<int>> line(51);
  std::vector<weft::join_handle<void>> all;
  for (std::size_t i = 0; i < 50; ++i) {
    all.push_back(rt.go([in = line[i], out = line[i + 1]] { out.send(*in.recv() + 1); }));
  }
  line[0].send(0);
  REQUIRE(line[50].recv() == 50);
  for (auto& h : all) h.join();
}

TEST_CASE("go in a plain callable of a manual runtime starts there", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  const long host = thread_id();
  const long ran =
      rt.go([] { return weft::go([]() -> weft::routine<long> { co_return thread_id(); }).join(); }).join();
  REQUIRE(ran == host);
  REQUIRE(rt.stats().spawned == 2);
}

TEST_CASE("cancellation reaches the facade calls of a plain callable in manual mode",
          "[api][embed][cancel]") {
  weft::runtime rt({.workers = weft::manual});
  weft::blocking::channel<int> never;
  weft::event started;
  auto h = rt.go([never, &started] {
    started.set();
    never.recv();
  });
  weft::blocking::wait(started.wait());
  h.cancel();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
}

TEST_CASE("a plain callable that is cancelled before a thread of the pool is free never runs",
          "[api][embed][cancel]") {
  weft::runtime rt({.workers = weft::manual, .max_blocking_threads = 1});
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  auto first = rt.go([&] {  // occupies the only thread
    char c = 0;
    return ::read(ends[0], &c, 1) == 1;
  });
  std::atomic<bool> ran{false};
  auto second = rt.go([&ran]() -> int {
    ran.store(true);
    return 1;
  });
  second.cancel();
  REQUIRE(::write(ends[1], "!", 1) == 1);
  REQUIRE(first.join());
  REQUIRE_THROWS_AS(second.join(), weft::routine_cancelled);
  REQUIRE_FALSE(ran.load());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a facade call of the host drives its runtime while it waits", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  weft::blocking::channel<int> in, out;
  auto h = rt.go(add_one, in, out, 100);
  for (int i = 0; i < 100; ++i) {
    in.send(i);
    REQUIRE(out.recv() == i + 1);
  }
  REQUIRE(h.join() == 100);
  auto sleeper = rt.go([]() -> weft::routine<long> {
    co_await weft::sleep_for(5ms);
    co_return thread_id();
  });
  REQUIRE(sleeper.join() == thread_id());
  REQUIRE_FALSE(rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); }).join_for(5ms));
}

TEST_CASE("a facade call of the host ends at its limit though its routines never rest", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  auto restless = rt.go([]() -> weft::routine<> {
    for (;;) co_await weft::yield();
  });
  REQUIRE_FALSE(restless.join_for(5ms));
  REQUIRE(rt.poll() > 0);  // comes back, too
  restless.cancel();
  REQUIRE_THROWS_AS(restless.join(), weft::routine_cancelled);
}

TEST_CASE("two manual runtimes on one thread drive one another's waits", "[api][embed]") {
  weft::runtime a({.workers = weft::manual}), b({.workers = weft::manual});
  weft::channel<int> there, back;
  auto far = b.go(add_one, there, back, 1'000);
  auto near = a.go([there, back]() -> weft::routine<int> {
    int n = 0;
    for (int i = 0; i < 1'000; ++i) {
      co_await there.send(n);
      n = *co_await back.recv();
    }
    co_return n;
  });
  REQUIRE(near.join() == 1'000);
  REQUIRE(far.join() == 1'000);
}

TEST_CASE("the thread that polls last is the host", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  auto h = rt.go([]() -> weft::routine<long> { co_return thread_id(); });
  long other = 0, ran = 0;
  std::thread host([&] {
    other = thread_id();
    rt.poll();
    ran = h.join();
  });
  host.join();
  REQUIRE(ran == other);
  // The constructor's thread takes it back by polling.
  rt.poll();
  REQUIRE(rt.go([]() -> weft::routine<long> { co_return thread_id(); }).join() == thread_id());
}

TEST_CASE("no wake-up is lost between a host's poll() and its sleep, whoever posts", "[api][embed]") {
  constexpr int threads = 4, each = 2'000;
  weft::runtime rt({.workers = weft::manual});
  std::atomic<int> resumed{0}, elsewhere{0};
  std::vector<std::thread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&, host = thread_id()] {
      for (int i = 0; i < each; ++i) rt.post(note_thread(resumed, elsewhere, host).handle);
    });
  }
  loop_until(rt, [&] { return resumed.load() == threads * each; });
  for (auto& p : posters) p.join();
  REQUIRE(elsewhere.load() == 0);
}

TEST_CASE("what is posted as the host goes to sleep wakes it", "[api][embed][race]") {
  constexpr int rounds = 20'000;
  weft::runtime rt({.workers = weft::manual});
  std::atomic<int> resumed{0}, elsewhere{0};
  std::thread poster([&, host = thread_id()] {
    for (int i = 0; i < rounds; ++i) {
      while (resumed.load() < i) {
      }
      for (int wait = i % 256; wait > 0; --wait) (void)resumed.load();
      rt.post(note_thread(resumed, elsewhere, host).handle);
    }
  });
  loop_until(rt, [&] { return resumed.load() == rounds; });
  poster.join();
  REQUIRE(elsewhere.load() == 0);
}

TEST_CASE("a host that has not run all that is ready finds its descriptor readable", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  const auto yields = []() -> weft::routine<> {
    for (int i = 0; i < 100'000; ++i) co_await weft::yield();  // more than one poll() runs
  };
  auto first = rt.go(yields), second = rt.go(yields);
  REQUIRE(loop_until(rt, [&] { return first.done() && second.done(); }) > 2);
}

TEST_CASE("a manual runtime may go on another thread while its host waits in a facade call", "[api][embed]") {
  for (int round = 0; round < 300; ++round) {
    auto rt = std::make_unique<weft::runtime>(weft::runtime_options{.workers = weft::manual});
    rt->poll();  // this thread is its host
    std::atomic<int> resumed{0}, elsewhere{0};
    weft::event gone;
    std::thread other([&, host = thread_id()] {
      rt->post(note_thread(resumed, elsewhere, host).handle);
      while (resumed.load() == 0) {
      }
      for (int i = round; i > 0; --i) (void)resumed.load();
      rt.reset();
      gone.set();
    });
    weft::blocking::wait(gone.wait());
    other.join();
    REQUIRE(resumed.load() == 1);
  }
}

TEST_CASE("each of many threads that wait for the host is answered", "[api][embed]") {
  constexpr int threads = 4, each = 500;
  weft::runtime rt({.workers = weft::manual});
  std::atomic<int> ended{0};
  std::atomic<long> sum{0};
  std::vector<std::thread> askers;
  for (int t = 0; t < threads; ++t) {
    askers.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        sum.fetch_add(rt.go([i]() -> weft::routine<int> {
                          co_await weft::yield();
                          co_return i;
                        }).join());
      }
      ended.fetch_add(1);
      rt.post(std::noop_coroutine());  // the loop looks again
    });
  }
  loop_until(rt, [&] { return ended.load() == threads; });
  for (auto& a : askers) a.join();
  REQUIRE(sum.load() == threads * (each * (each - 1L) / 2));
}

TEST_CASE("a timer makes the host's descriptor readable, whoever armed it", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  SECTION("one of its routines") {
    int ticks = 0;
    auto h = rt.go([&ticks]() -> weft::routine<> {
      weft::ticker clock(1ms);
      for (; ticks < 20; ++ticks) co_await clock.tick();
    });
    const std::size_t turns = loop_until(rt, [&] { return h.done(); });
    REQUIRE(ticks == 20);
    REQUIRE(turns < 200);  // it slept in between
  }
  SECTION("another thread, while the host waits for a later one") {
    auto late = rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
    rt.poll();
    weft::blocking::channel<int> never;
    auto h = rt.go([never]() -> bool {  // on a thread of the pool; the timer is the runtime's
      try {
        weft::blocking::with_timeout(2ms, [&] { never.recv(); });
        return false;
      } catch (const weft::timeout_error&) {
        return true;
      }
    });
    std::thread waker([&] {  // a time-out alone resumes nothing here: its routine is a thread
      (void)h.join_for(1h);
      rt.post(std::noop_coroutine());
    });
    loop_until(rt, [&] { return h.done(); });
    waker.join();
    REQUIRE(h.join());
  }
}

TEST_CASE("block_on_io in manual mode runs elsewhere and goes on on the host", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  auto h = rt.go([]() -> weft::routine<bool> {
    const long before = thread_id();
    const long inside = co_await weft::block_on_io(thread_id);
    co_return inside != before&& thread_id() == before;
  });
  loop_until(rt, [&] { return h.done(); });
  REQUIRE(h.join());
}

TEST_CASE("run_for sleeps while there is nothing to do, and runs what comes", "[api][embed]") {
  weft::runtime rt({.workers = weft::manual});
  std::atomic<int> resumed{0}, elsewhere{0};
  const long before = own_cpu_ms();
  const auto start = weft::now();
  std::thread other([&, host = thread_id()] { rt.post(note_thread(resumed, elsewhere, host).handle); });
  rt.run_for(200ms);
  REQUIRE(weft::now() - start >= 200ms);
  REQUIRE(own_cpu_ms() - before < 100);
  other.join();
  rt.poll();
  REQUIRE(resumed.load() == 1);
  REQUIRE(elsewhere.load() == 0);
}

TEST_CASE("stop of a manual runtime drains on its caller and sleeps while a call is out",
          "[api][embed][stop]") {
  weft::runtime rt({.workers = weft::manual});
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  weft::event reading;
  bool unwound = false;
  auto h = rt.go([&]() -> weft::routine<> {
    auto read_one = [&] {  // a call that nobody can cancel
      reading.set();
      char c = 0;
      return ::read(ends[0], &c, 1) == 1;
    };
    unwound = co_await weft::block_on_io(read_one);
    co_await weft::sleep_for(1h);
  });
  auto sleeper = rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
  weft::blocking::channel<int> never;
  auto plain = rt.go([never] { never.recv(); });
  weft::blocking::wait(reading.wait());
  const long before = own_cpu_ms();
  REQUIRE_FALSE(rt.stop_for(100ms));  // and says on standard error what is left
  REQUIRE(own_cpu_ms() - before < 50);
  REQUIRE(::write(ends[1], "!", 1) == 1);
  rt.stop();
  REQUIRE(unwound);
  REQUIRE(rt.stats().live == 0);
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE_THROWS_AS(sleeper.join(), weft::routine_cancelled);
  REQUIRE_THROWS_AS(plain.join(), weft::routine_cancelled);
  REQUIRE_THROWS_AS(rt.go([] {}), weft::stopped);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a thread other than the host may stop a manual runtime", "[api][embed][stop]") {
  weft::runtime rt({.workers = weft::manual});
  for (int i = 0; i < 100; ++i) {
    (void)rt.go(weft::spawn_options{.detached = true},
                []() -> weft::routine<> { co_await weft::sleep_for(1h); });
  }
  std::atomic<bool> stopped{false};
  std::thread other([&] {
    rt.stop();
    stopped.store(true);
  });
  while (!stopped.load()) rt.run_for(1ms);
  other.join();
  REQUIRE(rt.stats().live == 0);
}
