// Cancellation reaches every wait of a routine, takes nothing from the caller, and stays.
//
// On one worker the canceller runs when the victim waits; on more it also comes before and after.

#include "support/cancel.hpp"

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using weft::test::cancel_while;
using weft::test::ending;
using weft::test::ending_of;

namespace {

weft::routine<int> sleeps_long() {
  co_await weft::sleep_for(1h);
  co_return 1;
}

struct world {
  unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt{{.workers = workers}};
  weft::channel<std::string> nobody;  // no one sends or receives
  weft::event never;
};

}  // namespace

TEST_CASE("cancellation reaches recv", "[api][cancel]") {
  world w;
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await w.nobody.recv(); }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { (void)co_await w.nobody.recv_for(1h); }) ==
          ending::cancelled);
  std::string place = "before";
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await w.nobody.recv_into(place); }) ==
          ending::cancelled);
  REQUIRE(place == "before");
  weft::channel<void> no_signal;
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await no_signal.recv(); }) == ending::cancelled);
}

TEST_CASE("cancellation reaches send and the value is still the caller's", "[api][cancel]") {
  world w;
  std::string mine = "a value too long for the small string buffer";
  const std::string copy = mine;
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await w.nobody.send(std::move(mine)); }) ==
          ending::cancelled);
  REQUIRE(mine == copy);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> {
            (void)co_await w.nobody.send_for(std::move(mine), 1h);
          }) == ending::cancelled);
  REQUIRE(mine == copy);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await w.nobody.send(copy); }) ==
          ending::cancelled);
  REQUIRE(w.nobody.size() == 0);
  REQUIRE(w.nobody.try_recv().status == weft::recv_status::empty);
  weft::channel<std::unique_ptr<int>> full(1);
  REQUIRE(full.try_send(std::make_unique<int>(1)) == weft::try_send_status::sent);
  auto owned = std::make_unique<int>(2);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await full.send(std::move(owned)); }) ==
          ending::cancelled);
  REQUIRE(*owned == 2);
  REQUIRE(full.size() == 1);
}

TEST_CASE("cancellation reaches select and every case has left its things alone", "[api][cancel]") {
  world w;
  std::string mine = "a value too long for the small string buffer";
  const std::string copy = mine;
  int handled = 0;
  auto h = w.rt.go([&]() -> weft::routine<int> {
    co_await w.never.wait();
    co_return 7;
  });
  auto count = [&handled] { ++handled; };
  auto plain = [&]() -> weft::routine<> {
    co_await weft::select(weft::on_recv(w.nobody, count), weft::on_send(w.nobody, std::move(mine), count),
                          weft::on_event(w.never, count), weft::on_join(h, count),
                          weft::on_timeout(1h, count));
  };
  REQUIRE(cancel_while(w.rt, plain) == ending::cancelled);
  REQUIRE(mine == copy);
  auto coroutine = [&]() -> weft::routine<> {
    auto handler = [&handled]() -> weft::routine<> {
      ++handled;
      co_return;
    };
    co_await weft::select(weft::on_recv(w.nobody, handler), weft::on_send(w.nobody, std::move(mine), handler),
                          weft::on_join(h, handler));
  };
  REQUIRE(cancel_while(w.rt, coroutine) == ending::cancelled);
  REQUIRE(mine == copy);
  REQUIRE(handled == 0);
  w.never.set();
  REQUIRE(h.join() == 7);
}

TEST_CASE("a select with no enabled case waits until it is cancelled", "[api][cancel][select]") {
  world w;
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await weft::select(); }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> {
            co_await weft::select(weft::on_recv(w.nobody).when(false), weft::otherwise().when(false),
                                  weft::on_timeout(0s).when(false));
          }) == ending::cancelled);
}

TEST_CASE("cancellation reaches sleep and tick and yield", "[api][cancel]") {
  world w;
  REQUIRE(cancel_while(w.rt, []() -> weft::routine<> { co_await weft::sleep_for(1h); }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, []() -> weft::routine<> {
            weft::ticker slow(1h);
            (void)co_await slow.tick();
          }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, []() -> weft::routine<> {
            for (;;) co_await weft::yield();
          }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, []() -> weft::routine<> {
            for (;;) co_await weft::sleep_for(0s);
          }) == ending::cancelled);
}

TEST_CASE("cancellation reaches join and the handle is still the caller's", "[api][cancel]") {
  world w;
  auto h = w.rt.go([&]() -> weft::routine<int> {
    co_await w.never.wait();
    co_return 7;
  });
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await std::move(h); }) == ending::cancelled);
  REQUIRE(h);
  REQUIRE_FALSE(h.done());
  w.never.set();
  REQUIRE(h.join() == 7);
}

TEST_CASE("cancellation reaches event and wait_group", "[api][cancel][sync]") {
  world w;
  weft::wait_group group(1);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await w.never.wait(); }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await group.wait(); }) == ending::cancelled);
  REQUIRE(group.count() == 1);
}

TEST_CASE("cancellation reaches mutex and the mutex is not the caller's", "[api][cancel][sync]") {
  world w;
  weft::mutex m;
  REQUIRE(m.try_lock());
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await m.lock(); }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { auto hold = co_await m.scoped(); }) ==
          ending::cancelled);
  m.unlock();
  REQUIRE(m.try_lock());
  m.unlock();
}

TEST_CASE("cancellation reaches semaphore and no permit is lost", "[api][cancel][sync]") {
  world w;
  weft::semaphore s(0);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await s.acquire(); }) == ending::cancelled);
  s.release();
  REQUIRE(s.available() == 1);
  REQUIRE(s.try_acquire());
}

TEST_CASE("cancellation reaches what runs inside scope and all and any", "[api][cancel]") {
  world w;
  std::atomic<int> ended{0};
  auto child = [&]() -> weft::routine<> {
    try {
      co_await w.never.wait();
    } catch (const weft::cancelled&) {
      ++ended;
      throw;
    }
  };
  auto body = [&](weft::task_scope& s) -> weft::routine<> {
    s.go(child);
    s.go(child);
    co_await weft::yield();
  };
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await weft::scope(body); }) != ending::error);
  const int in_scope = ended;
  REQUIRE(in_scope <= 2);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await weft::all(child(), child(), child()); }) ==
          ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> {
            co_await weft::any(sleeps_long(), sleeps_long());
          }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> {
            auto deeper = [&]() -> weft::routine<> { co_await weft::all(child(), child()); };
            co_await weft::all(deeper(), deeper());
          }) == ending::cancelled);
}

TEST_CASE("cancellation reaches through time limits and the limits keep quiet", "[api][cancel]") {
  world w;
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> {
            co_await weft::with_timeout(1h, weft::with_timeout(2h, w.never.wait()));
          }) == ending::cancelled);
  REQUIRE(cancel_while(w.rt, [&]() -> weft::routine<> { co_await weft::with_timeout(1h, sleeps_long()); }) ==
          ending::cancelled);
}

TEST_CASE("cancellation takes back a call that has not begun and lets one that has end", "[api][cancel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers, .max_blocking_threads = 1});
  weft::event inside;
  std::promise<void> release;  // not weft's: the pool's only thread is occupied
  auto runs = rt.go([&]() -> weft::routine<int> {
    auto call = [&] {
      inside.set();
      release.get_future().wait();
      return 3;
    };
    co_return co_await weft::block_on_io(call);
  });
  weft::blocking::wait(inside.wait());
  bool called = false;
  auto queued = [&]() -> weft::routine<> {
    auto call = [&called] { called = true; };
    co_await weft::block_on_io(call);
  };
  REQUIRE(cancel_while(rt, queued) == ending::cancelled);
  runs.cancel();
  release.set_value();
  REQUIRE(runs.join() == 3);
  REQUIRE_FALSE(called);
}

TEST_CASE("cancellation reaches the facade's waits inside a call on the blocking pool",
          "[api][cancel][facade]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event inside, never;
  auto body = [&]() -> weft::routine<> {
    auto call = [&] {
      inside.set();
      weft::blocking::wait(never.wait());
    };
    co_await weft::block_on_io(call);
  };
  auto h = rt.go([&] { return ending_of(body); });
  weft::blocking::wait(inside.wait());
  h.cancel();
  REQUIRE(h.join() == ending::cancelled);
}

TEST_CASE("stop reaches the facade's waits inside a call on the blocking pool", "[api][cancel][facade]") {
  weft::runtime rt({.workers = 2});
  weft::event inside, never;
  bool told = false;
  (void)rt.go([&]() -> weft::routine<> {
    auto call = [&] {
      inside.set();
      try {
        weft::blocking::wait(never.wait());
      } catch (const weft::cancelled&) {
        told = true;
        throw;
      }
    };
    co_await weft::block_on_io(call);
  });
  weft::blocking::wait(inside.wait());
  rt.stop();
  REQUIRE(told);
}

TEST_CASE("a deadline reaches the facade's waits inside a call on the blocking pool",
          "[api][cancel][facade]") {
  weft::runtime rt({.workers = 2});
  weft::event never;
  auto limit = 20ms;
  bool begun = false, inherited = false;
  auto body = [&]() -> weft::routine<> {
    auto call = [&] {
      begun = true;
      inherited = weft::this_routine::deadline() < std::chrono::steady_clock::time_point::max();
      weft::blocking::wait(never.wait());
    };
    co_await weft::with_timeout(limit, weft::block_on_io(call));
  };
  // A call that has not begun at its deadline is taken back, as a busy machine may have it: it gets longer.
  for (; !begun && limit < 10s; limit *= 2)
    REQUIRE(rt.go([&] { return ending_of(body); }).join() == ending::timeout);
  REQUIRE(inherited);
}

TEST_CASE("a cancelled routine throws at every later wait whether it is ready or not", "[api][cancel]") {
  world w;
  weft::channel<int> ready(4);
  REQUIRE(ready.try_send(1) == weft::try_send_status::sent);
  weft::event set;
  set.set();
  weft::mutex unlocked;
  weft::semaphore permits(5);
  weft::wait_group none;
  auto ended = w.rt.go([] {});
  REQUIRE(ended.join_for(10s));
  weft::event begun;
  auto h = w.rt.go([&]() -> weft::routine<int> {
    begun.set();
    int thrown = 0;
    const auto expects = [&thrown](weft::routine<> r) -> weft::routine<> {
      try {
        co_await std::move(r);
      } catch (const weft::cancelled&) {
        ++thrown;
      }
    };
    auto park = [&]() -> weft::routine<> { co_await w.never.wait(); };
    auto recv = [&]() -> weft::routine<> { co_await ready.recv(); };
    auto send = [&]() -> weft::routine<> { co_await ready.send(2); };
    auto wait = [&]() -> weft::routine<> { co_await set.wait(); };
    auto lock = [&]() -> weft::routine<> { co_await unlocked.lock(); };
    auto acquire = [&]() -> weft::routine<> { co_await permits.acquire(); };
    auto group = [&]() -> weft::routine<> { co_await none.wait(); };
    auto join = [&]() -> weft::routine<> { co_await std::move(ended); };
    auto choose = [&]() -> weft::routine<> {
      co_await weft::select(weft::on_recv(ready), weft::otherwise());
    };
    auto rest = [&]() -> weft::routine<> { co_await weft::sleep_for(0s); };
    auto yields = [&]() -> weft::routine<> { co_await weft::yield(); };
    auto call = [&]() -> weft::routine<> {
      auto nothing = [] {};
      co_await weft::block_on_io(nothing);
    };
    auto fork = [&]() -> weft::routine<> { co_await weft::all(yields(), yields()); };
    auto limit = [&]() -> weft::routine<> { co_await weft::with_timeout(1h, ready.recv()); };
    co_await expects(park());
    co_await expects(recv());
    co_await expects(send());
    co_await expects(wait());
    co_await expects(lock());
    co_await expects(acquire());
    co_await expects(group());
    co_await expects(join());
    co_await expects(choose());
    co_await expects(rest());
    co_await expects(yields());
    co_await expects(call());
    co_await expects(fork());
    co_await expects(limit());
    co_return thrown;
  });
  weft::blocking::wait(begun.wait());
  h.cancel();
  REQUIRE(h.join() == 14);
  REQUIRE(ready.size() == 1);
  REQUIRE(permits.available() == 5);
  REQUIRE(unlocked.try_lock());
  unlocked.unlock();
  REQUIRE(ended);
  ended.join();
}

TEST_CASE("a cancelled routine that yields lets nobody run before it throws", "[api][cancel]") {
  weft::runtime rt({.workers = 1});
  bool other_ran = false, ran_before = true;
  rt.go([&]() -> weft::routine<> {
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        auto other = weft::go([&]() -> weft::routine<> {
          other_ran = true;
          co_return;
        });
        s.cancel();
        try {
          co_await weft::yield();
        } catch (const weft::cancelled&) {
          ran_before = other_ran;
          throw;
        }
      };
      co_await weft::scope(body);
    }).join();
  REQUIRE_FALSE(ran_before);
}

TEST_CASE("only yields are counted as yields", "[api][stats]") {
  weft::runtime rt({.workers = 1});
  const auto child = [](int i) -> weft::routine<int> { co_return i; };
  const auto parent = [&]() -> weft::routine<> {
    for (int i = 0; i < 20'000; ++i) (void)co_await child(i);
  };
  auto one = rt.go(parent), another = rt.go(parent);
  one.join();
  another.join();
  REQUIRE(rt.stats().yields == 0);
  rt.go([]() -> weft::routine<> { co_await weft::yield(); }).join();
  REQUIRE(rt.stats().yields == 1);
}
