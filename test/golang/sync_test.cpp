// Locks and groups: Go's sync/mutex_test.go, waitgroup_test.go; runtime's sema_test.go; and of proc_test.go
// what is about scheduling: TestYieldProgress, TestGoroutineParallelism, TestPingPongHog.
//
// weft has no Cond, Once, RWMutex, Pool and Map (yet).  Misuse - more done than add, unlocking what is not
// locked - aborts: test/api/misuse_test.cpp.  That a semaphore hands over (TestSemaHandoff):
// test/api/order_test.cpp; that who looked in vain is handed the mutex: test/api/mutex_test.cpp.  Not here:
// LockOSThread (a plain callable has its thread), garbage collection, preemption, stacks; TestStealOrder and
// TestSchedLocalQueue*: test/sched/run_queue_test.cpp, test/model/queues_model_test.cpp; TestNetpollBreak:
// test/api/embed_test.cpp.

#include <array>
#include <atomic>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using namespace std::chrono_literals;
using weft::test::everywhere;
using weft::test::task;

namespace {

constexpr auto hammer_mutex = [](auto f, weft::mutex* m, long* inside, int n) -> task<decltype(f), long> {
  long taken = 0;
  for (int i = 0; i < n; ++i) {
    if (i % 3 == 0) {
      if (!m->try_lock()) continue;
      ++*inside;
      m->unlock();
    } else {
      auto held = co_await f.wait(m->scoped());
      ++*inside;
    }
    ++taken;
  }
  co_return taken;
};

constexpr auto hammer_semaphore = [](auto f, weft::semaphore* s, std::atomic<int>* inside, int permits,
                                     int n) -> task<decltype(f), bool> {
  bool good = true;
  for (int i = 0; i < n; ++i) {
    co_await f.wait(s->acquire());
    good &= inside->fetch_add(1) < permits;
    co_await f.yield();
    inside->fetch_sub(1);
    s->release();
  }
  co_return good;
};

/// Holds the mutex nearly always.
constexpr auto hog_mutex = [](auto f, weft::mutex* m, weft::event* done) -> task<decltype(f)> {
  while (!done->is_set()) {
    auto held = co_await f.wait(m->scoped());
    co_await f.wait(weft::sleep_for(100us));
  }
};

constexpr auto meet = [](auto f, weft::wait_group* first, weft::wait_group* second,
                         weft::channel<bool> met) -> task<decltype(f)> {
  first->done();
  co_await f.wait(second->wait());
  co_await f.send(met, true);
};

constexpr auto done_once = [](auto f, std::atomic<int>* n, weft::wait_group* g) -> task<decltype(f)> {
  n->fetch_add(1);
  g->done();
  co_return;
};

constexpr auto yield_until_closed = [](auto f, weft::channel<int> ch) -> task<decltype(f)> {
  for (;;) {
    const std::size_t which = co_await f.select(weft::on_recv(ch), weft::otherwise());
    if (which == 0) co_return;
    co_await f.yield();
  }
};

/// Takes its turn without ever yielding.
constexpr auto spin_for_turn = [](auto f, std::atomic<int>* turn, int me, int parties,
                                  int rounds) -> task<decltype(f)> {
  for (int i = 0; i < rounds; ++i) {
    while (turn->load() != i * parties + me) {
    }
    turn->store(i * parties + me + 1);
  }
  co_return;
};

constexpr auto count_until = [](auto f, weft::event* done, long* count) -> task<decltype(f)> {
  for (; !done->is_set(); ++*count) co_await f.yield();
};

/// Passes a ball on until it is taken away.
constexpr auto return_ball = [](auto f, weft::channel<long> in,
                                weft::channel<long> out) -> task<decltype(f)> {
  while (auto v = co_await f.recv(in)) {
    const weft::send_status s = co_await f.send(out, *v + 1);
    if (s == weft::send_status::closed) break;
  }
  out.close();
};

}  // namespace

TEST_CASE("a mutex that ten hammer, by lock and by try_lock, keeps one inside", "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::mutex m;
    long inside = 0, taken = 0;
    std::vector<weft::join_handle<long>> all;
    for (int i = 0; i < (f.simulated() ? 3 : 10); ++i) all.push_back(f.go(hammer_mutex, &m, &inside, n));
    for (auto& h : all) taken += co_await f.join(std::move(h));
    f.expect(taken == inside, "no update is lost");
    f.expect(m.try_lock(), "it is free");
    m.unlock();
  };
  everywhere(body, weft::test::unless_sanitized(1'000, 200), 5);
}

TEST_CASE("a semaphore that ten hammer lets in as many as it has permits", "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int permits = 1; permits < 4; ++permits) {
      weft::semaphore s(static_cast<std::uint64_t>(permits));
      std::atomic<int> inside{0};
      std::vector<weft::join_handle<bool>> all;
      for (int i = 0; i < (f.simulated() ? 4 : 10); ++i) {
        all.push_back(f.go(hammer_semaphore, &s, &inside, permits, n));
      }
      bool good = true;
      for (auto& h : all) {
        const bool one = co_await f.join(std::move(h));
        good &= one;
      }
      f.expect(good && s.available() == static_cast<std::uint64_t>(permits),
               "never more, and all given back");
    }
  };
  everywhere(body, weft::test::unless_sanitized(200, 50), 2);
}

TEST_CASE("who wants a mutex that another holds nearly always gets it", "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::mutex m;
    weft::event done;
    auto hog = f.go(hog_mutex, &m, &done);
    const auto begin = weft::now();
    for (int i = 0; i < n; ++i) {
      co_await f.wait(weft::sleep_for(100us));
      auto held = co_await f.wait(m.scoped());
    }
    f.expect(weft::now() - begin < 10s, "Go's limit");
    done.set();
    co_await f.join(std::move(hog));
  };
  everywhere(body, 10, 5);
}

TEST_CASE("two wait groups bring sixteen together, and again", "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const auto parties = static_cast<std::uint64_t>(n);
    weft::wait_group first, second;
    for (int again = 0; again < 8; ++again) {
      first.add(parties);
      second.add(parties);
      weft::channel<bool> met(parties);
      std::vector<weft::join_handle<>> all;
      for (int i = 0; i < n; ++i) all.push_back(f.go(meet, &first, &second, met));
      co_await f.wait(first.wait());
      for (int i = 0; i < n; ++i) {
        f.expect(met.try_recv().status == weft::recv_status::empty, "nobody has passed the second");
        second.done();
      }
      for (int i = 0; i < n; ++i) co_await f.recv(met);
      for (auto& h : all) co_await f.join(std::move(h));
    }
  };
  everywhere(body, 16, 3);
}

TEST_CASE("a wait group may be gone as soon as the wait has ended", "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      std::atomic<int> count{0};
      std::vector<weft::join_handle<>> all;
      {
        weft::wait_group group;
        group.add();
        all.push_back(f.go(done_once, &count, &group));
        group.add();
        all.push_back(f.go(done_once, &count, &group));
        co_await f.wait(group.wait());
        f.expect(count == 2, "both are done");
      }
      for (auto& h : all) co_await f.join(std::move(h));
    }
  };
  everywhere(body, 500, 3);
}

TEST_CASE("a routine that only yields lets others go on, and they it", "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> ch;
    auto h = f.go(yield_until_closed, ch);
    for (int i = 0; i < n; ++i) co_await f.yield();
    co_await f.send(ch, 1);
    co_await f.join(std::move(h));
  };
  everywhere(body, 100, 5);
}

TEST_CASE("routines that never yield run in parallel, on workers of their own", "[golang][sync]") {
  const auto body = [](auto f, int rounds) -> task<decltype(f)> {
    constexpr int parties = 4;
    std::atomic<int> turn{0};
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < parties; ++i) all.push_back(f.go(spin_for_turn, &turn, i, parties, rounds));
    for (auto& h : all) co_await f.join(std::move(h));
    f.expect(turn == parties * rounds, "each had its turns");
  };
  // Every turn costs a time slice of the system where there are fewer CPUs.
  for (const auto how : {weft::test::faces::coroutine, weft::test::faces::facade, weft::test::faces::mixed}) {
    weft::test::on_workers(8, how, body, 5);
  }
}

TEST_CASE("two that play ball and two that only yield get on beside one another on one worker",
          "[golang][sync]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::event done;
    std::array<long, 2> hogs{0, 0};
    auto a = f.go(count_until, &done, &hogs[0]), b = f.go(count_until, &done, &hogs[1]);
    weft::channel<long> there, back;
    auto player = f.go(return_ball, there, back);
    long ball = 0;
    for (int i = 0; i < n; ++i) {
      co_await f.send(there, ball);
      const auto v = co_await f.recv(back);
      ball = v.value_or(-1);
    }
    there.close();
    done.set();
    co_await f.join(std::move(a));
    co_await f.join(std::move(b));
    co_await f.join(std::move(player));
    f.expect(ball == n, "the ball came back each time");
    if (f.only_routines() && f.workers() == 1) {
      // A ball is two resumptions; weft promises one of 64 (k + 1) to who has k before him.  Go, which can
      // interrupt, allows a factor of 20 between the hog's turns and the balls.
      const long least = 2L * n / (64 * 3);
      f.expect(hogs[0] >= least && hogs[1] >= least, "those who yield have their share");
      f.expect(hogs[0] < 20L * n && hogs[1] < 20L * n, "and no more");
    }
  };
  everywhere(body, 1'000, 5);
}
