// Small programs of every operation that waits, in every order that few preemptions and at most one fault
// come to.  Each says for itself what must hold; that it ends, leaves nothing and misuses nothing the run
// says.
//
// A part in each ordinary run; WEFT_SIM_RUNS=200000 searches further (the nightly preset does).

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace std::chrono_literals;

namespace {

void must(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

template <typename F>
void explore_all(F program, unsigned preemptions = 2, weft::sim::options how = {}) {
  constexpr std::uint64_t runs = weft::test::sanitized ? 300 : 2'000;
  const auto seen = weft::sim::explore(program, {.preemptions = preemptions, .runs = runs}, how);
  INFO(seen.failure.report);
  INFO(seen.runs << " runs, " << (seen.complete ? "all" : "not all"));
  REQUIRE(seen.ok);
  REQUIRE(seen.runs > 1);
}

/// What a send and a receive came to, together.
struct tally {
  int sent = 0, received = 0, refused = 0;
};

weft::routine<> send_one(weft::channel<int> ch, tally& t) {
  const auto status = co_await ch.send(1);
  status == weft::send_status::sent ? ++t.sent : ++t.refused;
}

weft::routine<> recv_one(weft::channel<int> ch, tally& t) {
  const auto value = co_await ch.recv();
  if (value) ++t.received;
}

}  // namespace

TEST_CASE("explored: two senders, two receivers and a close lose nothing", "[sim][explore]") {
  for (const std::size_t capacity : {0U, 1U}) {
    explore_all([capacity]() -> weft::routine<> {
      tally t;
      weft::channel<int> ch(capacity);
      {
        auto a = weft::go(send_one, ch, std::ref(t)), b = weft::go(send_one, ch, std::ref(t));
        auto c = weft::go(recv_one, ch, std::ref(t)), d = weft::go(recv_one, ch, std::ref(t));
        ch.close();
        co_await std::move(a);
        co_await std::move(b);
        co_await std::move(c);
        co_await std::move(d);
      }
      must(t.sent + t.refused == 2, "a send came to nothing");
      must(t.received == t.sent, "a value was lost or doubled");
    });
  }
}

TEST_CASE("explored: a value meets a cancellation, and is received or still the sender's", "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    weft::channel<std::string> ch;
    std::string mine = "value";
    bool sent = false;
    auto sender = weft::go(
        [&]() -> weft::routine<> { sent = co_await ch.send(std::move(mine)) == weft::send_status::sent; });
    auto receiver = weft::go([&]() -> weft::routine<std::string> {
      auto v = co_await ch.recv();
      co_return v ? *v : "none";
    });
    sender.cancel();
    bool ended = false;
    try {
      co_await std::move(sender);
      ended = true;
    } catch (const weft::routine_cancelled&) {
    }
    ch.close();
    const std::string got = co_await std::move(receiver);
    must(ended == sent, "cancelled and sent");
    must(sent ? got == "value" && mine.empty() : got == "none" && mine == "value",
         "the value is lost or doubled");
  });
}

TEST_CASE("explored: two selects that could meet on two channels meet once", "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    weft::channel<int> a, b;
    int sent = 0, received = 0;
    const auto party = [&]() -> weft::routine<> {
      const auto which =
          co_await weft::select(weft::on_send(a, 1), weft::on_recv(b), weft::on_recv(a), weft::on_send(b, 2));
      (which == 0 || which == 3 ? sent : received) += 1;
    };
    auto one = weft::go(party), two = weft::go(party);
    co_await std::move(one);
    co_await std::move(two);
    must(sent == 1 && received == 1, "they did not meet");
  });
}

TEST_CASE("explored: a select, a close, a time limit and a cancellation come to one outcome",
          "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    weft::channel<int> ch;
    int outcomes = 0;
    auto waiter = weft::go([&]() -> weft::routine<> {
      try {
        co_await weft::select(weft::on_recv(ch, [&](std::optional<int>) { ++outcomes; }),
                              weft::on_timeout(1ms, [&] { ++outcomes; }));
      } catch (const weft::cancelled&) {
        ++outcomes;
        throw;
      }
    });
    auto closer = weft::go([&]() -> weft::routine<> {
      co_await weft::sleep_for(1ms);
      ch.close();
    });
    auto canceller = weft::go([&]() -> weft::routine<> {
      co_await weft::sleep_for(1ms);
      waiter.cancel();
    });
    co_await std::move(closer);
    co_await std::move(canceller);
    try {
      co_await std::move(waiter);
    } catch (const weft::routine_cancelled&) {
    }
    must(outcomes <= 1, "two outcomes");
  });
}

TEST_CASE("explored: a mutex keeps three parties of both faces apart", "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    weft::mutex guard;
    int inside = 0, entered = 0;
    const auto enter = [&] {
      must(++inside == 1, "two inside");
      ++entered;
    };
    auto a = weft::go([&]() -> weft::routine<> {
      auto held = co_await guard.scoped();
      enter();
      co_await weft::yield();
      --inside;
    });
    auto b = weft::go([&] {
      auto held = weft::blocking::wait(guard.scoped());
      enter();
      --inside;
    });
    {
      auto held = co_await guard.scoped();
      enter();
      --inside;
    }
    co_await std::move(a);
    co_await std::move(b);
    must(entered == 3, "somebody did not come in");
  });
}

TEST_CASE("explored: permits that are released while one who waits is cancelled are not lost",
          "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    weft::semaphore permits(0);
    auto first = weft::go([&]() -> weft::routine<> { co_await permits.acquire(); });
    auto second = weft::go([&]() -> weft::routine<> { co_await permits.acquire(); });
    first.cancel();
    permits.release();
    bool taken = true;
    try {
      co_await std::move(first);
    } catch (const weft::routine_cancelled&) {
      taken = false;
    }
    if (taken) permits.release();
    co_await std::move(second);
    must(!permits.try_acquire(), "a permit too many");
  });
}

TEST_CASE("explored: an event that is set wakes who came before and lets through who comes behind",
          "[sim][explore]") {
  explore_all([] {
    weft::event e;
    auto routine = weft::go([&]() -> weft::routine<> { co_await e.wait(); });
    auto callable = weft::go([&] { weft::blocking::wait(e.wait()); });
    weft::sim::thread setter([&]() noexcept { e.set(); });
    weft::blocking::wait(e.wait());
    routine.join();
    callable.join();
  });
}

TEST_CASE("explored: a failure in a scope ends the siblings, and the scope ends behind them",
          "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    int living = 0;
    bool thrown = false;
    try {
      co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
        s.go([&]() -> weft::routine<> {
          ++living;
          try {
            co_await weft::sleep_for(1h);
          } catch (...) {
            --living;
            throw;
          }
          --living;
        });
        s.go([&]() -> weft::routine<> {
          co_await weft::yield();
          throw std::runtime_error("this one");
        });
        co_return;
      });
    } catch (const std::runtime_error& e) {
      thrown = std::string(e.what()) == "this one";
    }
    must(thrown, "the exception is lost");
    must(living == 0, "the scope ended before its routine");
  });
}

TEST_CASE("explored: a time limit and what it limits come to one outcome", "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    weft::channel<int> ch;
    auto sender =
        weft::go([&]() -> weft::routine<weft::send_until_status> { co_return co_await ch.send_for(7, 1ms); });
    co_await weft::sleep_for(1ms);
    auto got = co_await ch.recv_for(0ms);
    const auto status = co_await std::move(sender);
    must(bool(got) == (status == weft::send_until_status::sent), "a value is lost or doubled");
  });
}

TEST_CASE("explored: children of all and any that end, fail and are cancelled are awaited",
          "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    int living = 0;
    const auto child = [&](int n) -> weft::routine<int> {
      ++living;
      co_await weft::yield();
      --living;
      if (n < 0) throw std::runtime_error("negative");
      co_return n;
    };
    auto [x, y] = co_await weft::all(child(1), child(2));
    must(x + y == 3 && living == 0, "all is wrong");
    bool thrown = false;
    try {
      co_await weft::all(child(1), child(-1));
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    must(thrown, "all lost the exception");
    const auto first = co_await weft::any(child(-1), child(5));
    must(first.index == 1 && first.value == 5, "any is wrong");
  });
}

TEST_CASE("explored: a call on the pool that is cancelled happens wholly or not at all", "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    bool ran = false;
    auto caller = weft::go(
        [&]() -> weft::routine<int> { co_return co_await weft::block_on_io([&] { return ran = true, 3; }); });
    caller.cancel();
    try {
      const int result = co_await std::move(caller);
      must(result == 3 && ran, "a result without a call");
    } catch (const weft::routine_cancelled&) {
    }
  });
}

TEST_CASE("explored: the ends of a channel go in any order", "[sim][explore]") {
  explore_all([]() -> weft::routine<> {
    auto [to, from] = weft::make_channel<int>(1);
    auto sender = weft::go([end = std::move(to)]() mutable -> weft::routine<int> {
      const auto first = co_await end.send(1);
      const auto second = co_await end.send(2);
      co_return (first == weft::send_status::sent) + (second == weft::send_status::sent);
    });
    auto receiver = weft::go([end = std::move(from)]() mutable -> weft::routine<bool> {
      const auto value = co_await end.recv();
      co_return value.has_value();
    });
    const bool received = co_await std::move(receiver);
    const int sent = co_await std::move(sender);
    must(received && sent >= 1, "the first value is lost");
  });
}

TEST_CASE("explored: a runtime is stopped in the middle of everything", "[sim][explore]") {
  explore_all([] {
    weft::runtime rt({.workers = 1});
    weft::channel<int> ch;
    bool ended = false;
    auto waits = rt.go([&]() -> weft::routine<> { co_await ch.recv(); });
    auto sleeps = rt.go([&]() -> weft::routine<> {
      try {
        co_await weft::sleep_for(1h);
      } catch (...) {
        ended = true;
        throw;
      }
      ended = true;
    });
    weft::sim::thread other([&]() noexcept { (void)ch.try_send(1); });
    rt.stop();
    other.join();
    must(waits.done() && sleeps.done(), "a routine was left");
  });
}

TEST_CASE("explored: each allocation and each thread that fails in its turn leaves all well",
          "[sim][explore]") {
  explore_all(
      []() -> weft::routine<> {
        int sum = 0;
        try {
          weft::channel<int> ch = weft::channel<int>::unbounded();
          for (int i = 0; i < 3; ++i) co_await ch.send(1);
          auto child = weft::go([ch]() mutable -> weft::routine<int> {
            int n = 0;
            while (auto v = ch.try_recv()) n += *v.value;
            const int one = co_await weft::block_on_io([] { return 1; });
            co_return n + one;
          });
          co_await weft::select(weft::on_join(child), weft::on_timeout(1h));
          sum = co_await std::move(child);
        } catch (const std::bad_alloc&) {
          co_return;
        } catch (const std::system_error&) {
          co_return;
        }
        must(sum == 4, "another sum");
      },
      1, {.failing_allocations = 1, .failing_threads = 1});
}
