// Limits and shields: what is inherited, what is thrown, and by whom.

#include <weft/all_range.hpp>
#include <weft/blocking.hpp>
#include <weft/io/select.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/eventfd.h>
#include <unistd.h>

#include "support/cancel.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;
using weft::test::cancel_while;
using weft::test::ending;
using weft::test::ending_of;

namespace {

constexpr auto no_limit = std::chrono::steady_clock::time_point::max();

weft::routine<std::chrono::steady_clock::time_point> my_deadline() {
  co_return weft::this_routine::deadline();
}

weft::routine<> waits(weft::event& for_what) {
  co_await for_what.wait();
}

/// Lets a routine run whose only result is how it ends.
template <typename Body>
ending run(weft::runtime& rt, Body body) {
  return rt.go([&body] { return ending_of(body); }).join();
}

}  // namespace

TEST_CASE("the limit's own expiry is timeout_error and an outer deadline passes through unchanged",
          "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event never;
  REQUIRE(run(rt, [&]() -> weft::routine<> { co_await weft::with_timeout(1ms, never.wait()); }) ==
          ending::timeout);
  REQUIRE(run(rt, [&]() -> weft::routine<> {
            co_await weft::with_timeout(1h, weft::with_timeout(1ms, never.wait()));
          }) == ending::timeout);
  ending inside = ending::value;
  REQUIRE(run(rt, [&]() -> weft::routine<> {
            auto inner = [&]() -> weft::routine<> { co_await weft::with_timeout(1h, never.wait()); };
            auto middle = [&]() -> weft::routine<> {
              inside = co_await ending_of(inner);
              weft::this_routine::check();
            };
            co_await weft::with_timeout(1ms, middle());
          }) == ending::timeout);
  REQUIRE(inside == ending::deadline);
}

TEST_CASE("an inner limit that is later than the outer changes nothing", "[api][deadline]") {
  weft::runtime rt({.workers = 1});
  const auto outer = weft::now() + 1h;
  auto h = rt.go([&]() -> weft::routine<bool> {
    const auto shorter = co_await weft::with_deadline(outer, weft::with_timeout(2h, my_deadline()));
    const auto longer = co_await weft::with_deadline(outer, weft::with_deadline(outer - 1min, my_deadline()));
    co_return shorter == outer&& longer == outer - 1min && weft::this_routine::deadline() == no_limit;
  });
  REQUIRE(h.join());
}

TEST_CASE("a deadline is inherited by the children of scope and all and any and not by go or through shield",
          "[api][deadline]") {
  weft::runtime rt({.workers = 2});
  const auto limit = weft::now() + 1h;
  auto h = rt.go([&]() -> weft::routine<std::vector<std::chrono::steady_clock::time_point>> {
    std::vector<std::chrono::steady_clock::time_point> seen;
    auto inside = [&]() -> weft::routine<> {
      seen.push_back(weft::this_routine::deadline());
      weft::channel<std::chrono::steady_clock::time_point> told(1);
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        s.go([&]() -> weft::routine<> { co_await told.send(weft::this_routine::deadline()); });
        seen.push_back(*co_await told.recv());
      };
      co_await weft::scope(body);
      auto [a, b] = co_await weft::all(my_deadline(), my_deadline());
      seen.push_back(a);
      seen.push_back(b);
      const auto first = co_await weft::any(my_deadline(), my_deadline());
      seen.push_back(first.value);
      auto free = weft::go(my_deadline);
      seen.push_back(co_await std::move(free));
      seen.push_back(co_await weft::shield(my_deadline()));
      seen.push_back(co_await weft::shield(weft::with_deadline(limit + 1h, my_deadline())));
    };
    co_await weft::with_deadline(limit, inside());
    co_return seen;
  });
  const auto seen = h.join();
  REQUIRE(seen.size() == 8);
  for (std::size_t i = 0; i < 5; ++i) REQUIRE(seen[i] == limit);
  REQUIRE(seen[5] == no_limit);
  REQUIRE(seen[6] == no_limit);
  REQUIRE(seen[7] == limit + 1h);
}

TEST_CASE("a deadline ends children of scope and all and any with deadline_exceeded", "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event never;
  weft::channel<ending> endings(8);
  std::atomic<int> begun{0};
  auto child = [&]() -> weft::routine<> {
    begun.fetch_add(1);
    co_await waits(never);
  };
  auto told = [&]() -> weft::routine<> {
    const ending how = co_await ending_of(child);
    (void)endings.try_send(ending(how));
  };
  auto body = [&](weft::task_scope& s) -> weft::routine<> {
    s.go(told);
    co_await never.wait();
  };
  auto scoped = [&]() -> weft::routine<> { co_await weft::scope(body); };
  auto forks = [&]() -> weft::routine<> { co_await weft::all(told(), told()); };
  auto both = [&]() -> weft::routine<> {
    co_await forks();
    co_await never.wait();
  };
  auto fails = [&]() -> weft::routine<> {
    co_await told();
    weft::this_routine::check();
  };
  auto races = [&]() -> weft::routine<> { co_await weft::any(fails(), fails()); };
  // Children that are cancelled before they begin never run: until all have, the limit is doubled.
  const auto all_end = [&](const auto& starts, int children) {
    auto limit = 1ms;
    do {
      begun.store(0);
      const auto limited = [&]() -> weft::routine<> { co_await weft::with_timeout(limit, starts()); };
      REQUIRE(run(rt, limited) == ending::timeout);
      for (int i = 0; i < begun.load(); ++i) REQUIRE(endings.try_recv().value == ending::deadline);
      limit *= 2;
    } while (begun.load() != children && limit < 10s);
    REQUIRE(begun.load() == children);
  };
  all_end(scoped, 1);
  all_end(both, 2);
  all_end(races, 2);
  REQUIRE(endings.size() == 0);
}

TEST_CASE("a time limit takes every awaitable", "[api][deadline]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<int> {
    weft::channel<int> ch(8);
    int sum = 0;
    co_await weft::with_timeout(1h, ch.send(1));
    sum += co_await weft::with_timeout(1h, ch.recv()) == 1 ? 1 : 0;
    auto [a, b] = co_await weft::with_timeout(1h, weft::all(my_deadline(), my_deadline()));
    sum += a == b ? 1 : 0;
    const auto first = co_await weft::with_timeout(1h, weft::any(my_deadline(), my_deadline()));
    sum += first.index < 2 ? 1 : 0;
    std::vector<weft::routine<std::chrono::steady_clock::time_point>> many;
    many.push_back(my_deadline());
    const auto range = co_await weft::with_timeout(1h, weft::all(many));
    sum += range.size() == 1 ? 1 : 0;
    sum += co_await weft::with_timeout(1h, weft::select(weft::on_send(ch, 1))) == 0 ? 1 : 0;
    co_await weft::with_timeout(1h, weft::sleep_for(0s));
    co_await weft::with_timeout(1h, weft::yield());
    auto call = [] { return 1; };
    sum += co_await weft::with_timeout(1h, weft::block_on_io(call));
    auto joined = weft::go(my_deadline);
    co_await weft::with_timeout(1h, std::move(joined));
    auto [c, d] = co_await weft::shield(weft::all(my_deadline(), my_deadline()));
    sum += c == d ? 1 : 0;
    co_await weft::with_timeout(1h, std::suspend_never());
    co_return sum;
  });
  REQUIRE(h.join() == 7);
}

TEST_CASE("after a timeout the value and the handle are still the caller's", "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::channel<std::unique_ptr<int>> nobody;
  weft::event gate;
  auto h = rt.go([&]() -> weft::routine<std::string> {
    co_await gate.wait();
    co_return "joined";
  });
  auto value = std::make_unique<int>(4);
  REQUIRE(run(rt, [&]() -> weft::routine<> {
            co_await weft::with_timeout(1ms, nobody.send(std::move(value)));
          }) == ending::timeout);
  REQUIRE(value);
  REQUIRE(run(rt, [&]() -> weft::routine<> { co_await weft::with_timeout(1ms, std::move(h)); }) ==
          ending::timeout);
  REQUIRE(h);
  gate.set();
  REQUIRE(h.join() == "joined");
}

TEST_CASE("what is ready beats a limit that has passed", "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto h = rt.go([]() -> weft::routine<int> {
    weft::channel<int> ch(1);
    int taken = 0;
    for (int i = 0; i < 5'000; ++i) {
      co_await ch.send(1);
      if (const auto v = co_await ch.recv_for(-1s)) taken += *v;
    }
    for (int i = 0; i < 5'000; ++i) {
      co_await ch.send(1);
      if (co_await weft::select(weft::on_timeout(0s), weft::on_recv(ch),
                                weft::on_deadline(weft::now() - 1s)) == 1)
        ++taken;
    }
    for (int i = 0; i < 5'000; ++i) {
      if (co_await ch.send_for(1, 0s) == weft::send_until_status::sent)
        taken += (co_await ch.recv()).has_value();
    }
    co_return taken;
  });
  REQUIRE(h.join() == 15'000);
}

TEST_CASE("a limit that has passed around one operation does not end it if it is ready", "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event set, never;
  set.set();
  const int rounds = weft::test::unless_sanitized(2'000, 200);
  weft::channel<int> ch(1);
  const auto in_routine = [&]() -> weft::routine<int> {
    int done = 0;
    for (int i = 0; i < rounds; ++i) {
      co_await weft::with_timeout(0s, ch.send(1));
      done += (co_await weft::with_timeout(-1s, ch.recv())).value_or(0);
      co_await weft::with_timeout(0s, set.wait());
      co_await ch.send(1);
      auto either = weft::select(weft::on_event(never), weft::on_recv(ch));
      done += co_await weft::with_timeout(0s, std::move(either)) == 1 ? 1 : 0;
      auto h = rt.go([]() -> weft::routine<int> { co_return 1; });
      while (!h.done()) co_await weft::yield();
      done += co_await weft::with_timeout(0s, std::move(h));
    }
    co_return done;
  };
  REQUIRE(rt.go(in_routine).join() == 3 * rounds);
  int done = 0;
  for (int i = 0; i < rounds; ++i) {
    weft::blocking::with_timeout(0s, ch.send(1));
    done += weft::blocking::with_timeout(-1s, ch.recv()).value_or(0);
    weft::blocking::with_timeout(0s, set.wait());
    weft::blocking::wait(ch.send(1));
    done += weft::blocking::with_timeout(0s, weft::select(weft::on_event(never), weft::on_recv(ch))) == 1;
    auto h = rt.go([] { return 1; });
    while (!h.done()) {
    }
    done += weft::blocking::with_timeout(0s, std::move(h));
  }
  REQUIRE(done == 3 * rounds);
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(0s, ch.recv()), weft::timeout_error);
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(0s, never.wait()), weft::timeout_error);
}

TEST_CASE(
    "limits that have passed around a select of any kind, or around further limits, do not end it if it is "
    "ready",
    "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  const int rounds = weft::test::unless_sanitized(500, 100);
  weft::event set, never;
  set.set();
  weft::channel<int> ch(1);
  const int readable = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  int calls = 0, done = 0;
  const auto handler = [&](std::optional<int> v) -> weft::routine<> {
    done += v.value_or(0);
    co_return;
  };
  weft::selector some;
  some.add(weft::on_event(never));
  some.add(weft::on_event(set));
  rt.go([&]() -> weft::routine<> {
      for (int i = 0; i < rounds; ++i) {
        calls += 5;
        co_await ch.send(1);
        co_await weft::with_timeout(0s, weft::select(weft::on_event(never), weft::on_recv(ch, handler)));
        done += co_await weft::with_timeout(-1s, some.wait()) == 1 ? 1 : 0;
        auto by_kernel = weft::select(weft::on_event(never), weft::on_readable(readable));
        done += co_await weft::with_timeout(0s, std::move(by_kernel)) == 1 ? 1 : 0;
        co_await ch.send(1);
        auto received = co_await weft::with_timeout(0s, weft::with_timeout(1h, ch.recv()));
        done += received.value_or(0);
        co_await weft::with_timeout(
            1h, weft::with_timeout(0s, weft::shield(weft::with_timeout(-1s, set.wait()))));
        ++done;
      }
    }).join();
  CHECK(done == calls);
  done = calls = 0;
  for (int i = 0; i < rounds; ++i) {
    using namespace weft::blocking;
    calls += 4;
    wait(ch.send(1));
    with_timeout(0s, weft::select(weft::on_event(never), weft::on_recv(ch, handler)));
    done += with_timeout(-1s, some.wait()) == 1;
    done += with_timeout(0s, weft::select(weft::on_event(never), weft::on_readable(readable))) == 1;
    with_timeout(0s, weft::with_timeout(1h, set.wait()));
    ++done;
  }
  CHECK(done == calls);
  ::close(readable);
}

TEST_CASE("what is not ready is ended by any of the limits around it that has passed", "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event set, never;
  set.set();
  weft::selector some;
  some.add(weft::on_event(never));
  CHECK(run(rt, [&]() -> weft::routine<> { co_await weft::with_timeout(0s, some.wait()); }) ==
        ending::timeout);
  CHECK(run(rt, [&]() -> weft::routine<> {
          co_await weft::with_timeout(0s, weft::with_timeout(1h, never.wait()));
        }) == ending::timeout);
  // The handler is the user's.
  const auto waits_again = [&]() -> weft::routine<> {
    const auto begun = weft::now();
    while (weft::now() - begun < 20s) co_await set.wait();
  };
  CHECK(run(rt, [&]() -> weft::routine<> {
          co_await weft::with_timeout(0s,
                                      weft::with_timeout(1h, weft::select(weft::on_event(set, waits_again))));
        }) == ending::timeout);
  some.add(weft::on_event(set, waits_again));
  CHECK(run(rt, [&]() -> weft::routine<> { co_await weft::with_timeout(0s, some.wait()); }) ==
        ending::timeout);
  CHECK_THROWS_AS(weft::blocking::with_timeout(0s, some.wait()), weft::timeout_error);
}

TEST_CASE("the limit around a select counts in its handler, though all that waits there is ready",
          "[api][deadline]") {
  weft::channel<int> ch(1), go_on(1);
  const auto for_long = [&] {
    const auto begun = weft::now();
    while (weft::now() - begun < 20s) {
      weft::blocking::wait(ch.send(1));
      weft::blocking::wait(ch.recv());
    }
  };
  REQUIRE(go_on.try_send(1) == weft::try_send_status::sent);
  REQUIRE_THROWS_AS(weft::blocking::with_timeout(5ms, weft::select(weft::on_recv(go_on, for_long))),
                    weft::timeout_error);
}

TEST_CASE("the limit around a block_on_io counts in its call on a thread of the pool", "[api][deadline]") {
  weft::runtime rt({.workers = 2});
  weft::channel<int> ch(1);
  const auto for_long = [&] {
    const auto begun = weft::now();
    while (weft::now() - begun < 20s) {
      weft::blocking::wait(ch.send(1));
      weft::blocking::wait(ch.recv());
    }
  };
  const auto on_pool = [&]() -> weft::routine<> {
    co_await weft::resume_on(weft::blocking_pool);
    co_await weft::with_timeout(5ms, weft::block_on_io(for_long));
  };
  REQUIRE(run(rt, on_pool) == ending::timeout);
}

TEST_CASE("a limit that has passed around one operation is not excused by an outer one", "[api][deadline]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event never;
  weft::channel<int> ch(1);
  REQUIRE(ch.try_send(1) == weft::try_send_status::sent);
  const auto cancelled_outside = [&]() -> weft::routine<> {
    const auto inner = [&]() -> weft::routine<> {
      try {
        co_await never.wait();
      } catch (const weft::cancelled&) {
      }
      co_await weft::with_timeout(0s, ch.recv());
    };
    co_await weft::with_timeout(1ms, inner());
  };
  REQUIRE(run(rt, cancelled_outside) == ending::timeout);
  REQUIRE(ch.try_recv().value == 1);
}

TEST_CASE("a routine may go on after its own timeout", "[api][deadline]") {
  weft::runtime rt({.workers = 2});
  weft::event never;
  auto h = rt.go([&]() -> weft::routine<int> {
    int timeouts = 0;
    for (int i = 0; i < 100; ++i) {
      try {
        co_await weft::with_timeout(10us, never.wait());
      } catch (const weft::timeout_error&) {
        ++timeouts;
      }
      co_await weft::yield();
    }
    co_return timeouts;
  });
  REQUIRE(h.join() == 100);
}

TEST_CASE("shield protects clean-up from cancellation and deadline and its children too", "[api][shield]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::event never;
  int cleaned = 0;
  auto clean_up = [&]() -> weft::routine<> {
    co_await weft::sleep_for(1ms);
    auto rest = []() -> weft::routine<> { co_await weft::yield(); };
    co_await weft::all(rest(), rest());
    auto body = [&](weft::task_scope& s) -> weft::routine<> {
      s.go(rest);
      co_await weft::yield();
    };
    co_await weft::scope(body);
    weft::this_routine::check();
    cleaned += weft::this_routine::cancelled() ? 100 : 1;
  };
  auto victim = [&]() -> weft::routine<> {
    std::exception_ptr why;
    try {
      co_await never.wait();
    } catch (...) {
      why = std::current_exception();
    }
    co_await weft::shield(clean_up());
    std::rethrow_exception(why);
  };
  REQUIRE(cancel_while(rt, victim) == ending::cancelled);
  REQUIRE(cleaned == 1);
  REQUIRE(run(rt, [&]() -> weft::routine<> { co_await weft::with_timeout(1ms, victim()); }) ==
          ending::timeout);
  REQUIRE(cleaned == 2);
  auto parked = rt.go(victim);
  rt.stop();
  REQUIRE(cleaned <= 3);  // 2 if the stop was before its first resumption
  parked = {};
}

TEST_CASE("a shield that began before its scope is cancelled is not reached", "[api][shield][scope]") {
  weft::runtime rt({.workers = 1});
  weft::event go_on, never;
  bool cleaned = false;
  const auto clean_up = [&]() -> weft::routine<> {
    co_await go_on.wait();
    cleaned = true;
  };
  const auto member = [&]() -> weft::routine<> { co_await weft::shield(clean_up()); };
  const auto body = [&](weft::task_scope& s) -> weft::routine<> {
    s.go(member);
    co_await weft::yield();
    co_await weft::yield();  // one worker: it waits
    s.cancel();
    go_on.set();
    co_await never.wait();
  };
  rt.go([&]() -> weft::routine<> { co_await weft::scope(body); }).join();
  REQUIRE(cleaned);
}

TEST_CASE("inside a shield a limit of its own still holds", "[api][shield]") {
  weft::runtime rt({.workers = 2});
  weft::event never;
  REQUIRE(cancel_while(rt, [&]() -> weft::routine<> {
            co_await weft::shield(weft::with_timeout(1ms, never.wait()));
          }) == ending::timeout);
}
