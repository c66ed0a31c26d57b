// A waiter that something else has claimed - another case of its select, a cancellation - stands in its
// queues until it runs.  Who waits behind it must not notice.

#include <weft/weft.hpp>

#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

/// On one worker: until whatever was started or woken has gone as far as it can.
weft::routine<> let_others_run() {
  for (int i = 0; i < 8; ++i) co_await weft::yield();
}

/// Three wait, one behind the other; the first is cancelled and has not run yet when `wake` is called, which
/// then belongs to the second.  `wake_last` is for the third.
template <typename Wait, typename Wake>
bool serves_who_is_behind(Wait wait, Wake wake, Wake wake_last) {
  weft::runtime rt({.workers = 1});
  const auto body = [&]() -> weft::routine<bool> {
    const auto waits = [&]() -> weft::routine<> { co_await wait(); };
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < 3; ++i) {
      all.push_back(weft::go(waits));
      co_await let_others_run();
    }
    all[0].cancel();
    wake();
    co_await let_others_run();
    const bool second = all[1].done();
    wake_last();
    co_await let_others_run();
    const bool third = all[2].done();
    for (auto& h : all) h.cancel();
    co_await let_others_run();
    co_return second&& third;
  };
  return rt.go(body).join();
}

}  // namespace

TEST_CASE("a receive that is claimed elsewhere does not hide the one behind it", "[api][channel][select]") {
  weft::runtime rt({.workers = 1});
  const auto body = []() -> weft::routine<bool> {
    weft::channel<int> a, b;
    auto first = weft::go(
        [&]() -> weft::routine<> { (void)co_await weft::select(weft::on_recv(a), weft::on_recv(b)); });
    co_await let_others_run();
    auto behind = weft::go([&]() -> weft::routine<> { (void)co_await a.recv(); });
    co_await let_others_run();
    const bool elsewhere = b.try_send(1) == weft::try_send_status::sent;
    const bool sent = a.try_send(2) == weft::try_send_status::sent;
    a.close();
    co_await std::move(first);
    co_await std::move(behind);
    co_return elsewhere&& sent;
  };
  REQUIRE(rt.go(body).join());
}

TEST_CASE("who is cancelled and has not gone on yet is passed by routines that send and receive",
          "[api][channel][cancel]") {
  weft::runtime rt({.workers = 1});
  const auto body = []() -> weft::routine<int> {
    const weft::channel<long> ch;
    const auto receives = [&ch](long* got) -> weft::routine<> { *got = *co_await ch.recv(); };
    const auto sends = [&ch](long value) -> weft::routine<> { co_await ch.send(value); };
    long got = 0;
    for (int i = 0; i < 200; ++i) {  // until the worker has the channel to itself
      auto other = weft::go(receives, &got);
      co_await ch.send(i);
      co_await std::move(other);
    }
    int good = 0;
    {
      long nothing = 0;
      auto first = weft::go(receives, &nothing);
      co_await let_others_run();
      auto second = weft::go(receives, &got);
      co_await let_others_run();
      first.cancel();
      co_await ch.send(70);
      co_await std::move(second);
      good += nothing == 0 && got == 70 ? 1 : 0;
    }
    {
      auto first = weft::go(sends, 71);
      co_await let_others_run();
      auto second = weft::go(sends, 72);
      co_await let_others_run();
      first.cancel();
      const auto received = co_await ch.recv();
      co_await std::move(second);
      good += received == 72 ? 1 : 0;
    }
    co_return good;
  };
  REQUIRE(rt.go(body).join() == 2);
}

TEST_CASE("a receive from a full buffer lets who waits to send in, before anybody else", "[api][channel]") {
  weft::runtime rt({.workers = 1});
  const auto body = []() -> weft::routine<bool> {
    const weft::channel<long> ch(1);
    for (int i = 0; i < 200; ++i) {  // until the worker has the channel to itself
      co_await ch.send(i);
      (void)co_await ch.recv();
    }
    co_await ch.send(1);
    auto waits = weft::go([&ch]() -> weft::routine<> { co_await ch.send(2); });
    co_await let_others_run();
    const auto first = co_await ch.recv();
    const bool full = ch.try_send(3) == weft::try_send_status::full;
    const auto second = co_await ch.recv();
    co_await std::move(waits);
    co_return first == 1 && full&& second == 2;
  };
  REQUIRE(rt.go(body).join());
}

TEST_CASE("a send that is claimed elsewhere does not hide the one behind it", "[api][channel][select]") {
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{1});
  weft::runtime rt({.workers = 1});
  const auto body = [capacity]() -> weft::routine<std::vector<int>> {
    weft::channel<int> a(capacity), b;
    for (std::size_t i = 0; i < capacity; ++i) co_await a.send(0);
    auto first = weft::go(
        [&]() -> weft::routine<> { (void)co_await weft::select(weft::on_send(a, 1), weft::on_send(b, 2)); });
    co_await let_others_run();
    auto behind = weft::go([&]() -> weft::routine<> { co_await a.send(3); });
    co_await let_others_run();
    std::vector<int> came;
    came.push_back(b.try_recv().value.value_or(-1));
    for (std::size_t i = 0; i < capacity + 1; ++i) came.push_back(a.try_recv().value.value_or(-1));
    a.close();
    co_await std::move(first);
    co_await std::move(behind);
    co_return came;
  };
  const std::vector<int> came = rt.go(body).join();
  REQUIRE(came == (capacity == 0 ? std::vector{2, 3} : std::vector{2, 0, 3}));
}

TEST_CASE("nobody can send to a disabled case of a select that waits", "[api][channel][select]") {
  weft::runtime rt({.workers = 1});
  const auto body = []() -> weft::routine<std::size_t> {
    weft::channel<int> off, on;
    auto waits = weft::go([&]() -> weft::routine<std::size_t> {
      co_return co_await weft::select(weft::on_recv(off).when(false), weft::on_recv(on));
    });
    co_await let_others_run();
    if (off.try_send(1) != weft::try_send_status::full) co_return std::size_t{2};
    (void)on.try_send(1);
    co_return co_await std::move(waits);
  };
  REQUIRE(rt.go(body).join() == 1);
}

TEST_CASE("a wait that is cancelled does not hide those behind it", "[api][sync][cancel]") {
  weft::semaphore permits(0);
  const auto release = [&] { permits.release(); };
  REQUIRE(serves_who_is_behind([&] { return permits.acquire(); }, release, release));
  REQUIRE(permits.available() == 0);

  weft::mutex guard;
  const auto unlock = [&] { guard.unlock(); };
  REQUIRE(guard.try_lock());
  REQUIRE(serves_who_is_behind([&] { return guard.lock(); }, unlock, unlock));
  guard.unlock();

  weft::event happened;
  const auto set = [&] { happened.set(); };
  REQUIRE(serves_who_is_behind([&] { return happened.wait(); }, set, set));

  weft::wait_group all_done(1);
  int left = 1;
  const auto done = [&] {
    if (left-- == 1) all_done.done();
  };
  REQUIRE(serves_who_is_behind([&] { return all_done.wait(); }, done, done));
}
