// Cancelled at each of its suspension points in turn, a program leaves nothing behind and loses nothing; and
// cancellation in masses.

#include <weft/all_range.hpp>
#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// What the victim uses, and what must be right when it is gone, wherever it was.
struct world {
  weft::channel<std::unique_ptr<int>> in{2}, out;
  weft::mutex mutex;
  weft::semaphore permits{2};
  int taken = 0, handed_on = 0, kept = 0, unsent = 0, held = 0;
  bool cleaned_up = false;
  std::vector<weft::join_handle<int>> started;
};

weft::routine<int> child(world& w) {
  auto hold = co_await w.mutex.scoped();
  co_await weft::yield();
  co_return 1;
}

weft::routine<> cleans_up(world& w) {
  co_await weft::yield();
  w.cleaned_up = true;
}

/// Waits in every way there is.
weft::routine<> victim(world& w) {
  struct permit {
    world& of;

    ~permit() {
      --of.held;
      of.permits.release();
    }
  };

  for (int i = 0; i < 2; ++i) {
    auto value = co_await w.in.recv();
    ++w.taken;
    ++w.unsent;
    co_await w.permits.acquire();
    ++w.held;
    --w.unsent;
    const permit p{w};
    weft::send_status how = weft::send_status::closed;
    try {
      how = co_await w.out.send(*std::move(value));
    } catch (...) {
      w.kept += *value != nullptr;
      throw;
    }
    ++(how == weft::send_status::sent ? w.handed_on : w.kept);
    co_await weft::sleep_for(1ms);
    weft::channel<int> never;
    co_await weft::select(weft::on_recv(never), weft::on_timeout(1ms));
    try {
      co_await weft::with_timeout(1ms, never.recv());
    } catch (const weft::timeout_error&) {
    }
    (void)co_await weft::all(child(w), child(w));
    (void)co_await weft::any(child(w), child(w));
    auto body = [&](weft::task_scope& s) -> weft::routine<> {
      s.go(child, std::ref(w));
      s.go(child, std::ref(w));
      co_await weft::yield();
    };
    co_await weft::scope(body);
    w.started.push_back(weft::go(child, std::ref(w)));  // nobody's child: it goes on
    co_await weft::select(weft::on_join(w.started.back()));
    auto call = [] { return 1; };
    (void)co_await weft::block_on_io(call);
  }
  co_await weft::shield(cleans_up(w));
}

/// Feeds and empties; its own values come back to it.
weft::routine<int> surroundings(world& w) {
  int got = 0;
  for (int i = 0; i < 2; ++i) {
    if (co_await w.in.send(std::make_unique<int>(i)) != weft::send_status::sent) co_return got;
  }
  while (co_await w.out.recv()) ++got;
  co_return got;
}

/// Cancels the victim when it, or time, has gone on `k` times.  False: it had ended by then.
weft::routine<bool> cancelled_after(int k, world& w) {
  auto around = weft::go(surroundings, std::ref(w));
  auto v = weft::go(victim, std::ref(w));
  for (int i = 0; i < k && !v.done(); ++i) {
    if (i % 8 == 7) {
      co_await weft::sleep_for(300us);
    } else {
      co_await weft::yield();
    }
  }
  const bool in_time = !v.done();
  v.cancel();
  try {
    co_await std::move(v);
  } catch (const weft::routine_cancelled&) {
  }
  for (auto& h : w.started) (void)co_await std::move(h);
  w.in.close();
  w.out.close();
  const int got = co_await std::move(around);
  int left = 0;
  while (w.in.try_recv()) ++left;
  // Two were offered.  One that was taken and then not even tried to be handed on went with the victim.
  const bool all_there = got == w.handed_on && w.handed_on + w.kept + w.unsent == w.taken;
  if (!all_there || w.taken + left > 2) throw std::logic_error("a value is nowhere, or twice");
  if (w.held != 0 || !w.permits.try_acquire() || !w.permits.try_acquire())
    throw std::logic_error("a permit is lost");
  if (!w.mutex.try_lock()) throw std::logic_error("the mutex stays locked");
  w.mutex.unlock();
  co_return in_time;
}

}  // namespace

TEST_CASE("cancelled at any of its suspension points a routine leaves nothing behind", "[api][cancel][sim]") {
  int points = 0;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    bool in_time = true;
    for (int k = 0; in_time; ++k) {
      bool cleaned_up = false;
      const auto r = weft::sim::run(seed, [&]() -> weft::routine<> {
        world w;
        in_time = co_await cancelled_after(k, w);
        cleaned_up = w.cleaned_up;
      });
      INFO("seed " << seed << ", cancelled after " << k << "\n" << r.report);
      REQUIRE(r.ok);
      if (!in_time) REQUIRE(cleaned_up);
      points = std::max(points, k);
    }
  }
  REQUIRE(points > 30);
}

namespace {

/// `sources` scopes, each with `waiters` children that wait, all cancelled at once; how many ended so.
weft::routine<long> storm(int sources, int waiters) {
  long cancelled = 0;
  weft::event never;
  weft::wait_group begun(static_cast<std::uint64_t>(sources) * static_cast<std::uint64_t>(waiters));
  const auto waits = [&]() -> weft::routine<> {
    begun.done();
    try {
      co_await never.wait();
    } catch (const weft::cancelled&) {
      ++cancelled;
      throw;
    }
  };
  const auto source = [&]() -> weft::routine<> {
    auto body = [&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < waiters; ++i) s.go(waits);
      co_await never.wait();
    };
    co_await weft::scope(body);
  };
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < sources; ++i) all.push_back(weft::go(source));
  co_await begun.wait();
  co_await weft::yield();  // one worker: all wait
  for (auto& h : all) {
    h.cancel();
    h.cancel();
  }
  for (auto& h : all) {
    try {
      co_await std::move(h);
    } catch (const weft::routine_cancelled&) {
    }
  }
  co_return cancelled;
}

std::chrono::nanoseconds time_of_storm(int sources, int waiters) {
  weft::runtime rt({.workers = 1});
  const auto begin = weft::now();
  REQUIRE(rt.go(storm, sources, waiters).join() == static_cast<long>(sources) * waiters);
  return weft::now() - begin;
}

}  // namespace

TEST_CASE("a storm of cancellations takes a time in proportion to those who wait", "[api][cancel]") {
  (void)time_of_storm(100, 10);
  const auto few = std::min(time_of_storm(10, 100), time_of_storm(10, 100));
  const auto many = std::min(time_of_storm(100, 200), time_of_storm(100, 200));  // 20 times as many
  INFO(few.count() << " ns, " << many.count() << " ns");
  REQUIRE(many < 20 * 20 * few);  // in proportion to the square it would be 400 times
}

TEST_CASE("a thousand scopes of a thousand routines are cancelled at once", "[.stress][api][cancel]") {
  const auto took = time_of_storm(1'000, 1'000);
  WARN(std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms");
}

TEST_CASE("one event that ends many waits races with the cancellation of each", "[api][cancel]") {
  weft::runtime rt({.workers = 2});
  for (int round = 0; round < 20; ++round) {
    weft::event happens;
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < 500; ++i)
      all.push_back(rt.go([](weft::event& e) -> weft::routine<> { co_await e.wait(); }, std::ref(happens)));
    auto sets = rt.go([&] { happens.set(); });
    for (auto& h : all) h.cancel();
    int ended = 0, cancelled = 0;
    for (auto& h : all) {
      try {
        h.join();
        ++ended;
      } catch (const weft::routine_cancelled&) {
        ++cancelled;
      }
    }
    sets.join();
    REQUIRE(ended + cancelled == 500);
  }
}
