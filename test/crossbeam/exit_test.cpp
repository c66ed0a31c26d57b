// Weft's own version of what crossbeam-channel's thread_locals test checks: operations that wait in a
// destructor of a thread_local, while their thread exits - with weft's own thread_locals gone already, or
// not.

#include <weft/weft.hpp>

#include <atomic>
#include <thread>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Does something when its thread exits.
struct last_act {
  void (*act)() = nullptr;

  ~last_act() {
    if (act != nullptr) act();
  }
};

thread_local last_act at_exit;

weft::blocking::channel<int>* there = nullptr;
weft::blocking::channel<int>* back = nullptr;
std::atomic<int> good{0};

void asks() {
  const weft::blocking::channel<int> never;
  there->send(20);
  if (back->recv() == 21) ++good;
  if (weft::blocking::select(weft::on_recv(never), weft::on_timeout(1ms)) == 1) ++good;
  if (never.recv_for(1ms).status == weft::recv_status::empty) ++good;
}

void answers() {
  int got = 0;
  const auto take = [&got](std::optional<int> v) noexcept { got = v.value_or(0); };
  const weft::blocking::channel<int> never;
  weft::blocking::select(weft::on_recv(*there, take), weft::on_recv(never));
  back->send(got + 1);
  if (weft::go([] { return 5; }).join() == 5) ++good;
}

/// `before`: the destructor that acts is older than what weft keeps for the thread, and so comes later.
void exits_with(void (*act)(), bool before) {
  if (before) at_exit.act = act;
  const weft::blocking::channel<int> ch(1);
  ch.send(1);
  (void)ch.recv();
  (void)ch.recv_for(1us);
  at_exit.act = act;
}

}  // namespace

TEST_CASE("two threads meet while they exit", "[crossbeam][exit]") {
  const bool one_before = GENERATE(true, false);
  const bool other_before = GENERATE(true, false);
  const weft::blocking::channel<int> to, from;
  for (int i = 0; i < 20; ++i) {
    weft::blocking::channel<int> a = to, b = from;
    there = &a;
    back = &b;
    good = 0;
    std::thread one([&] { exits_with(asks, one_before); });
    std::thread other([&] { exits_with(answers, other_before); });
    one.join();
    other.join();
    REQUIRE(good == 4);
  }
}

TEST_CASE("a thread that exits meets a routine and a plain callable", "[crossbeam][exit]") {
  const bool before = GENERATE(true, false);
  weft::runtime rt({.workers = 2});
  weft::blocking::channel<int> a, b;
  there = &a;
  back = &b;
  good = 0;
  std::thread one([&] { exits_with(asks, before); });
  rt.go(
        [](weft::channel<int> in, weft::channel<int> out) -> weft::routine<> {
          const auto v = co_await in.recv();
          co_await out.send(*v + 1);
        },
        a, b)
      .join();
  one.join();
  REQUIRE(good == 3);
  std::thread other([&] { exits_with(answers, before); });
  rt.go([&] {
      a.send(6);
      good += b.recv() == 7;
    }).join();
  other.join();
  REQUIRE(good == 5);
}

TEST_CASE("a worker that exits is a thread like any other", "[crossbeam][exit]") {
  weft::blocking::channel<int> a, b;
  there = &a;
  back = &b;
  good = 0;
  std::thread other([&] {
    const auto v = a.recv();
    b.send(*v + 1);
  });
  {
    weft::runtime rt({.workers = 1});
    rt.go([] { at_exit.act = asks; }).join();
  }
  other.join();
  REQUIRE(good == 3);
}
