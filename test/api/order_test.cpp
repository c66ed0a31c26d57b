// Who waits longest comes first; several that one call wakes go on in the order in which they began to wait.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "support/catch.hpp"

namespace {

constexpr int many = 20;

struct log {
  std::vector<int> waited, went_on;
};

/// Waits by `wait()`, and writes down when.
template <typename Wait>
weft::routine<> waiter(int me, log* seen, weft::semaphore* begun, Wait wait) {
  seen->waited.push_back(me);
  begun->release();
  co_await wait();
  seen->went_on.push_back(me);
}

weft::routine<> nothing() {
  co_return;
}

/// One worker: `wake` is called when all wait, by a routine or by this thread.  True if they went on in
/// order.
template <typename Wait, typename Wake>
bool in_order(bool by_a_routine, Wait wait, Wake wake) {
  log seen;
  weft::semaphore begun(0);
  weft::runtime rt({.workers = 1});
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < many; ++i) all.push_back(rt.go(waiter<Wait>, i, &seen, &begun, wait));
  for (int i = 0; i < many; ++i) weft::blocking::wait(begun.acquire());
  rt.go(nothing).join();  // the last has parked
  if (by_a_routine) {
    rt.go([&wake]() -> weft::routine<> {
        wake();
        co_return;
      }).join();
  } else {
    wake();
  }
  for (auto& h : all) h.join();
  return seen.waited.size() == many && seen.went_on == seen.waited;
}

}  // namespace

TEST_CASE("a wait_group that one is missing from lets nobody go on", "[api][sync]") {
  weft::runtime rt({.workers = 1});
  const auto program = []() -> weft::routine<bool> {
    weft::wait_group group(3);
    bool gone_on = false;
    auto waits = weft::go([&]() -> weft::routine<> {
      co_await group.wait();
      gone_on = true;
    });
    bool too_early = false;
    for (int i = 0; i < 3; ++i) {
      for (int k = 0; k < 3; ++k) co_await weft::yield();  // one worker: it has run if it can
      too_early = too_early || gone_on;
      group.done();
    }
    co_await std::move(waits);
    co_return gone_on && !too_early;
  };
  REQUIRE(rt.go(program).join());
}

TEST_CASE("several that one call wakes go on in the order in which they began to wait", "[api][sync]") {
  const bool by_a_routine = GENERATE(true, false);
  weft::event happened;
  REQUIRE(in_order(
      by_a_routine, [&] { return happened.wait(); }, [&] { happened.set(); }));
  weft::semaphore permits(0);
  REQUIRE(in_order(
      by_a_routine, [&] { return permits.acquire(); }, [&] { permits.release(many); }));
  weft::wait_group all_done(1);
  REQUIRE(in_order(
      by_a_routine, [&] { return all_done.wait(); }, [&] { all_done.done(); }));
  const weft::channel<int> closes;
  REQUIRE(in_order(
      by_a_routine, [&] { return closes.recv(); }, [&] { closes.close(); }));
  const weft::channel<int> full(0);
  REQUIRE(in_order(
      by_a_routine, [&] { return full.send(1); }, [&] { full.close(); }));
}

TEST_CASE("who waits longest is served first and nobody barges in", "[api][fifo]") {
  weft::runtime rt({.workers = 1});
  weft::channel<int> ch;
  weft::channel<int> order(16);
  std::vector<weft::join_handle<void>> waiting;
  weft::wait_group begun(8);
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(rt.go([=, &begun]() -> weft::routine<> {
      begun.done();
      const auto v = co_await ch.recv();
      co_await order.send(i * 100 + *v);
    }));
  }
  // One worker: when this one runs all eight wait, in the order in which they began.
  auto sends = rt.go([=, &begun]() -> weft::routine<int> {
    co_await begun.wait();
    int barged = 0;
    for (int i = 0; i < 8; ++i) {
      co_await ch.send(int{i});
      barged += ch.try_recv().status == weft::recv_status::received;  // handed over: there is nothing to take
    }
    co_return barged;
  });
  REQUIRE(sends.join() == 0);
  for (auto& h : waiting) h.join();
  std::vector<int> values(8, -1), waiters;
  for (int i = 0; i < 8; ++i) {
    const int v = *order.try_recv();
    waiters.push_back(v / 100);
    values[static_cast<std::size_t>(v / 100)] = v % 100;
  }
  // The first to wait has got the first value, and so on: by the order in which they had begun.
  std::vector<int> sorted = waiters;
  std::sort(sorted.begin(), sorted.end());
  REQUIRE(sorted == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
  const bool upwards = values[0] < values[7];
  for (std::size_t i = 1; i < 8; ++i) REQUIRE((values[i - 1] < values[i]) == upwards);
}

TEST_CASE("senders that wait are served in their order and before a later one", "[api][fifo]") {
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{2});
  weft::runtime rt({.workers = 1});
  weft::channel<int> ch(capacity);
  auto h = rt.go([=]() -> weft::routine<std::vector<int>> {
    std::vector<weft::join_handle<void>> all;
    for (int i = 0; i < 6; ++i) {
      weft::event begun;
      all.push_back(weft::go([=, &begun]() -> weft::routine<> {
        begun.set();
        co_await ch.send(int{i});
      }));
      co_await begun.wait();  // one worker: i waits, or its value is in the buffer
    }
    std::vector<int> got;
    while (auto v = ch.try_recv()) {
      got.push_back(*v);
      const bool others_wait = got.size() + capacity < 6;
      if (others_wait && ch.try_send(99) == weft::try_send_status::sent) got.push_back(-1);  // barged
    }
    for (auto& each : all) co_await std::move(each);
    co_return got;
  });
  const auto got = h.join();
  REQUIRE(got == std::vector<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("mutex and semaphore serve in the order of waiting", "[api][fifo][sync]") {
  weft::runtime rt({.workers = 1});
  auto h = rt.go([]() -> weft::routine<std::vector<int>> {
    weft::mutex m;
    weft::semaphore s(0);
    std::vector<int> order;
    std::vector<weft::join_handle<void>> all;
    co_await m.lock();
    for (int i = 0; i < 6; ++i) {
      weft::event begun;
      all.push_back(weft::go([&, i]() -> weft::routine<> {
        begun.set();
        auto hold = co_await m.scoped();
        order.push_back(i);
      }));
      co_await begun.wait();
    }
    m.unlock();
    for (auto& each : all) co_await std::move(each);
    all.clear();
    for (int i = 0; i < 6; ++i) {
      weft::event begun;
      all.push_back(weft::go([&, i]() -> weft::routine<> {
        begun.set();
        co_await s.acquire();
        order.push_back(10 + i);
      }));
      co_await begun.wait();
    }
    for (auto& each : all) {
      s.release();
      if (s.try_acquire()) order.push_back(-2);
      co_await std::move(each);  // the first of those that wait, or this waits for ever
    }
    co_return order;
  });
  REQUIRE(h.join() == std::vector<int>{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15});
}
