// The parties that are plain code, the load itself and its account.

#include <weft/dump.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>
#include <weft/schedule.hpp>
#include <weft/stats.hpp>

#include <stdexcept>
#include <string_view>

#include <sched.h>

#include "stress/load.hpp"
#include "support/foreign.hpp"

using namespace std::chrono_literals;

namespace weft::test::stress {

namespace {

foreign_task runs_here_and_there(world& w, weft::semaphore& ended, std::uint32_t n, nanoseconds pause) {
  co_await w.rt.schedule();
  co_await weft::sleep_for(pause);
  weft::channel<std::uint32_t> ch(1);
  co_await ch.send(std::uint32_t{n});
  const auto v = co_await ch.recv();
  if (v != n) ++w.book.wrong;
  co_await weft::yield();
  ended.release();
}

weft::routine<> endless(weft::channel<int> in, weft::channel<int> out) {
  for (;;) {
    co_await weft::select(weft::on_recv(in), weft::on_send(out, 1), weft::on_timeout(30us));
  }
}

weft::routine<> spawns_more(weft::channel<int> ch, int depth) {
  if (depth > 0) {
    (void)weft::go(weft::spawn_options{.detached = true}, spawns_more(ch, depth - 1));
    (void)weft::go(weft::spawn_options{.detached = true}, spawns_more(ch, depth - 1));
  }
  co_await ch.recv();
}

}  // namespace

void uses_the_facade(world& w, party& me, dice d) {
  while (w.goes_on()) {
    me.step();
    switch (d.roll(5)) {
      case 0: {
        auto h = w.rt.go([] { return 5; });
        if (h.join() != 5) ++w.book.wrong;
        break;
      }
      case 1: {
        const auto until = weft::now() + 200us;
        weft::blocking::sleep_until(until);
        if (weft::now() < until) ++w.book.early;
        break;
      }
      case 2: {
        weft::event done;
        auto sets = w.rt.go([&done, pause = d.below(100us)]() -> weft::routine<> {
          co_await weft::sleep_for(pause);
          done.set();
        });
        weft::blocking::wait(done.wait());
        sets.join();
        break;
      }
      case 3: {
        const bool fails = d.one_in(2);
        bool failed = false;
        try {
          weft::blocking::scope([&](weft::task_scope& s) {
            for (int i = 0; i < 3; ++i) {
              s.go([fails, i] {
                if (fails && i == 1) throw std::runtime_error("of a child");
                weft::blocking::sleep_for(50us);
              });
            }
          });
        } catch (const std::runtime_error&) {
          failed = true;
        }
        if (failed != fails) ++w.book.wrong;
        break;
      }
      default: {
        bool timed_out = false;
        weft::blocking::channel<int> never;
        const auto waits = [&never] { never.recv(); };
        try {
          weft::blocking::with_timeout(d.below(100us), waits);
        } catch (const weft::timeout_error&) {
          timed_out = true;
        }
        if (!timed_out) ++w.book.wrong;
      }
    }
  }
}

/// Runtimes that are stopped while everything in them is at work.
void makes_runtimes(world& w, party& me, dice d) {
  while (w.goes_on()) {
    weft::channel<int> a(d.roll(2)), b(d.roll(2));
    {
      weft::runtime rt({.workers = 1 + d.roll(3), .blocking_idle_timeout = 1ms});
      for (int i = 0; i < 4; ++i) (void)rt.go(i % 2 == 0 ? endless(a, b) : endless(b, a));
      (void)rt.go(spawns_more(b, 4));
      auto blocked = rt.go([a] { (void)weft::blocking::channel<int>(a).recv(); });
      if (d.one_in(2)) weft::blocking::sleep_for(d.below(1ms));
      if (d.one_in(2)) rt.stop();
      if (rt.is_stopped() && rt.stats().live != 0) ++w.book.wrong;
    }
    me.step();
    if (d.one_in(4)) {  // no workers at all: this thread is the host
      weft::runtime rt({.workers = weft::manual});
      auto h = rt.go([]() -> weft::routine<int> {
        co_await weft::sleep_for(50us);
        co_return 3;
      });
      (void)rt.run_for(10us);
      if (h.join() != 3) ++w.book.wrong;
    }
  }
}

void looks_on(world& w, party& me, dice d) {
  std::size_t bytes = 0;
  while (w.goes_on()) {
    weft::dump(w.rt, [&bytes](std::string_view text) { bytes += text.size(); });
    const weft::runtime_stats s = w.rt.stats();
    if (s.live > s.spawned) ++w.book.wrong;
    me.step();
    weft::blocking::sleep_for(d.below(4ms));
  }
  if (bytes == 0) ++w.book.wrong;
}

void starts_foreign_coroutines(world& w, party& me, dice d) {
  while (w.goes_on()) {
    weft::semaphore ended(0);
    const std::uint32_t n = 1 + d.roll(20);
    for (std::uint32_t i = 0; i < n; ++i) runs_here_and_there(w, ended, i, d.below(100us));
    for (std::uint32_t i = 0; i < n; ++i) weft::blocking::wait(ended.acquire());
    me.step();
  }
}

// --- the load ---

std::string ledger::what_is_wrong() const {
  std::string text;
  const auto expect = [&text](bool good, const char* what) {
    if (!good) text.append(text.empty() ? "" : ", ").append(what);
  };
  expect(broken == 0, "a token is moved from though not sent, or the reverse");
  expect(sent == received, "sent and received differ");
  expect(sent_sum == received_sum, "what was sent and received differs");
  expect(alive == 0, "tokens are left");
  expect(begun == done, "a routine did not run, or ran twice");
  expect(early == 0, "somebody woke early");
  expect(shared == 0, "too many had a permit");
  expect(wrong == 0, "a result is wrong");
  return text;
}

world::world(weft::runtime& on, std::uint64_t first_seed)
    : rt(on),
      channels{weft::channel<token>(), weft::channel<token>(1), weft::channel<token>(7),
               weft::channel<token>(64), weft::channel<token>::unbounded()},
      seeds(first_seed) {}

load::load(weft::runtime& rt, std::uint64_t seed) : world_(rt, seed) {
  for (int i = 0; i < 3; ++i) {
    add("sends in all ways", sends_in_all_ways);
    add("receives in all ways", receives_in_all_ways);
  }
  for (int i = 0; i < 2; ++i) {
    add("plays ping-pong", plays_ping_pong);
    add("starts and joins", starts_and_joins);
    add("locks", locks);
    add("sleeps", sleeps);
    add("opens scopes", opens_scopes);
    add_plain("plays ping-pong in a callable", plays_ping_pong_here);
    add_plain("uses the facade in a callable", uses_the_facade);
  }
  add("makes short channels", makes_short_channels);
  add("forks trees", forks_trees);
  add("races with any", races_with_any);
  add("calls the pool", calls_the_pool);
  add("computes", computes);
  add("yields", yields);
  add_plain("sends and receives in a callable", sends_and_receives_here);
  add_thread("sends and receives on a thread", sends_and_receives_here);
  add_thread("plays ping-pong on a thread", plays_ping_pong_here);
  add_thread("uses the facade on a thread", uses_the_facade);
  add_thread("makes runtimes", makes_runtimes);
  add_thread("looks on", looks_on);
  add_thread("starts foreign coroutines", starts_foreign_coroutines);
}

load::~load() {
  if (!threads_.empty()) (void)finish();
}

void load::add(const char* name, routine_party f) {
  party& me = parties_.add(name);
  routines_.push_back(world_.rt.go(f, std::ref(world_), std::ref(me), dice(world_.seeds.seed())));
}

void load::add_plain(const char* name, plain_party f) {
  party& me = parties_.add(name);
  routines_.push_back(world_.rt.go(f, std::ref(world_), std::ref(me), dice(world_.seeds.seed())));
}

void load::add_thread(const char* name, plain_party f) {
  party& me = parties_.add(name);
  threads_.emplace_back(f, std::ref(world_), std::ref(me), dice(world_.seeds.seed()));
}

std::string load::finish() {
  world_.over = true;
  for (auto& h : routines_) h.join();
  for (auto& t : threads_) t.join();
  routines_.clear();
  threads_.clear();
  // Scopes of plain threads start on the global one.  ThreadSanitizer wants threads that have ended joined.
  weft::runtime::global().stop();
  weft::init_global_runtime({});
  for (const auto& each : world_.channels) {
    each.close();
    while (auto v = each.try_recv()) world_.book.got(*v);
  }
  // Detached ones may be on their way.
  while (world_.book.done < world_.book.begun && world_.rt.stats().live != 0) ::sched_yield();
  std::string wrong = world_.book.what_is_wrong();
  if (world_.under_lock != world_.locked) wrong += " two had the lock";
  return wrong;
}

}  // namespace weft::test::stress
