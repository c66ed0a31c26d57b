// The parties that start, join, cancel, lock, sleep and call.

#include <weft/all_range.hpp>
#include <weft/any.hpp>
#include <weft/block_on_io.hpp>
#include <weft/error.hpp>
#include <weft/scope.hpp>
#include <weft/time.hpp>

#include <stdexcept>

#include "stress/load.hpp"

using namespace std::chrono_literals;

namespace weft::test::stress {

namespace {

weft::routine<std::uint32_t> adds_one(std::uint32_t n, std::uint32_t pauses) {
  for (std::uint32_t i = 0; i < pauses; ++i) co_await weft::yield();
  co_return n + 1;
}

weft::routine<> waits_for_ever() {
  weft::event never;
  co_await never.wait();
}

weft::routine<std::uint32_t> counts_leaves(std::uint32_t depth, dice d) {
  if (depth == 0) co_return 1U;
  if (d.one_in(8)) co_await weft::yield();
  if (d.one_in(32)) co_await weft::sleep_for(d.below(100us));
  if (d.one_in(2)) {
    const auto [a, b] = co_await weft::all(counts_leaves(depth - 1, dice(d.seed())),
                                           counts_leaves(depth - 1, dice(d.seed())));
    co_return a + b;
  }
  std::vector<weft::routine<std::uint32_t>> both;
  both.push_back(counts_leaves(depth - 1, dice(d.seed())));
  both.push_back(counts_leaves(depth - 1, dice(d.seed())));
  const std::vector<std::uint32_t> n = co_await weft::all(both);
  co_return n[0] + n[1];
}

weft::routine<int> wins_or_not(int n, dice d) {
  co_await weft::sleep_for(d.below(300us));
  if (n % 2 != 0) throw std::runtime_error("loses");
  co_return n;
}

weft::routine<> child_of_scope(world& w, dice d, bool fails) {
  ++w.book.begun;

  struct ends {
    ledger& book;

    ~ends() { ++book.done; }
  };

  const ends mine{w.book};
  if (d.one_in(2)) co_await weft::sleep_for(d.below(200us));
  if (fails) throw std::runtime_error("of a child");
  if (d.one_in(2)) co_await waits_for_ever();
}

void work(nanoseconds length) {
  const auto until = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < until) {
  }
}

}  // namespace

weft::routine<> starts_and_joins(world& w, party& me, dice d) {
  const auto counts = [&w] { ++w.book.done; };
  while (w.goes_on()) {
    me.step();
    switch (d.roll(7)) {
      case 0: {
        auto h = w.rt.go(adds_one, std::uint32_t{7}, d.roll(4));
        if (co_await std::move(h) != 8) ++w.book.wrong;
        break;
      }
      case 1: {
        std::vector<weft::join_handle<std::uint32_t>> many;
        for (std::uint32_t i = 0; i < 50; ++i) many.push_back(w.rt.go(adds_one, std::uint32_t{i}, d.roll(3)));
        for (std::uint32_t i = 0; i < 50; ++i) {
          const std::uint32_t n = co_await std::move(many[i]);
          if (n != i + 1) ++w.book.wrong;
        }
        break;
      }
      case 2: {
        auto h = w.rt.go(waits_for_ever);
        if (d.one_in(2)) co_await weft::yield();
        h.cancel();
        bool cancelled = false;
        try {
          co_await std::move(h);
        } catch (const weft::routine_cancelled&) {
          cancelled = true;
        }
        if (!cancelled) ++w.book.wrong;
        break;
      }
      case 3: {  // the handle is still the caller's after a timeout
        auto h = w.rt.go(waits_for_ever);
        bool timed_out = false;
        try {
          co_await weft::with_timeout(d.below(100us), std::move(h));
        } catch (const weft::timeout_error&) {
          timed_out = true;
        }
        if (!timed_out || !h) ++w.book.wrong;
        h.cancel();
        break;
      }
      case 4:
        ++w.book.begun;
        (void)w.rt.go(weft::spawn_options{.name = "detached", .detached = true}, counts);
        co_await weft::yield();
        break;
      case 5: {
        ++w.book.begun;
        auto dropped = w.rt.go(counts);
        dropped = {};
        co_await weft::yield();
        break;
      }
      default: {
        auto h = w.rt.go(adds_one, std::uint32_t{1}, d.roll(3));
        const std::size_t which = co_await weft::select(weft::on_join(h), weft::on_timeout(1s));
        if (which == 0 && !h.done()) ++w.book.wrong;
        if (co_await std::move(h) != 2) ++w.book.wrong;
      }
    }
  }
}

weft::routine<> forks_trees(world& w, party& me, dice d) {
  while (w.goes_on()) {
    const std::uint32_t depth = d.roll(8);
    const std::uint32_t leaves = co_await counts_leaves(depth, dice(d.seed()));
    if (leaves != std::uint32_t{1} << depth) ++w.book.wrong;
    me.step();
  }
}

weft::routine<> races_with_any(world& w, party& me, dice d) {
  while (w.goes_on()) {
    bool all_failed = false;
    const int even = d.one_in(4) ? 1 : 2;
    try {
      const auto first = co_await weft::any(wins_or_not(1, dice(d.seed())), wins_or_not(even, dice(d.seed())),
                                            wins_or_not(3, dice(d.seed())));
      if (first.value != 2 || first.index != 1) ++w.book.wrong;
    } catch (const std::runtime_error&) {
      all_failed = true;
    }
    if (all_failed != (even == 1)) ++w.book.wrong;
    me.step();
  }
}

weft::routine<> opens_scopes(world& w, party& me, dice d) {
  while (w.goes_on()) {
    const bool fails = d.one_in(2);
    const std::uint32_t n = 1 + d.roll(6);
    auto body = [&](weft::task_scope& s) -> weft::routine<> {
      for (std::uint32_t i = 0; i < n; ++i) {
        s.go(child_of_scope, std::ref(w), dice(d.seed()), fails && i == n - 1);
      }
      if (d.one_in(2)) co_await weft::yield();
      if (!fails) s.cancel();
      if (d.one_in(2)) co_await weft::sleep_for(d.below(100us));
    };
    bool failed = false;
    try {
      auto op = weft::scope(body);
      co_await weft::with_timeout(1h, std::move(op));
    } catch (const std::runtime_error&) {
      failed = true;
    }
    if (failed != fails) ++w.book.wrong;
    auto clean_up = weft::sleep_for(d.below(20us));
    co_await weft::shield(std::move(clean_up));
    me.step();
  }
}

weft::routine<> locks(world& w, party& me, dice d) {
  while (w.goes_on()) {
    me.step();
    if (d.one_in(2)) {
      try {
        auto hold = co_await weft::with_timeout(1ms, w.lock.scoped());
        ++w.under_lock;
        ++w.locked;
        if (d.one_in(8)) co_await weft::yield();
      } catch (const weft::timeout_error&) {
      }
    } else {
      co_await w.permits.acquire();
      if (w.inside.fetch_add(1) >= 2) ++w.book.shared;
      if (d.one_in(4)) co_await weft::sleep_for(d.below(50us));
      w.inside.fetch_sub(1);
      w.permits.release();
    }
  }
}

weft::routine<> sleeps(world& w, party& me, dice d) {
  while (w.goes_on()) {
    me.step();
    const nanoseconds length = d.below(3ms);
    const auto until = weft::now() + length;
    switch (d.roll(4)) {
      case 0:
        co_await weft::sleep_for(length);
        break;
      case 1: {
        weft::event never;
        co_await weft::select(weft::on_event(never), weft::on_deadline(until));
        break;
      }
      case 2: {
        auto later = weft::after(length);
        co_await later.wait();
        break;
      }
      default: {
        weft::ticker t(1ns + length / 4);
        for (std::uint64_t ticks = 0; ticks < 4;) ticks += 1 + co_await t.tick();
      }
    }
    if (weft::now() < until) ++w.book.early;
  }
}

weft::routine<> calls_the_pool(world& w, party& me, dice d) {
  while (w.goes_on()) {
    me.step();
    std::uint32_t n = d.roll(1'000);
    auto call = [&n, length = d.below(100us)] {
      if (length > 50us) work(length);
      return n + 1;
    };
    try {
      const std::uint32_t more = co_await weft::with_timeout(1h, weft::block_on_io(call));
      if (more != n + 1) ++w.book.wrong;
    } catch (const weft::timeout_error&) {
      ++w.book.wrong;
    }
    if (d.one_in(4)) {
      const weft::blocking_region announced;
      work(d.below(100us));
    }
  }
}

/// Does not give way for up to 2 ms: the others' timers and routines are somebody else's meanwhile.
weft::routine<> computes(world& w, party& me, dice d) {
  while (w.goes_on()) {
    work(d.below(2ms));
    me.step();
    co_await weft::sleep_for(d.below(2ms));
  }
}

weft::routine<> yields(world& w, party& me, dice d) {
  while (w.goes_on()) {
    for (std::uint32_t i = 0, n = d.roll(500); i < n; ++i) {
      co_await weft::yield();
      me.step();  // each: it is a turn of all that are ready
    }
    co_await weft::sleep_for(d.below(1ms));
  }
}

}  // namespace weft::test::stress
