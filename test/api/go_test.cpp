// go() in all its forms, and how long what it was given lives.

#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

struct machine {
  int state = 5;
  int more =
      0;  // g++ 12 at -O2 warns of the virtual call that is not there if an object is smaller than a pointer

  int plain(int n) const { return state + n; }

  weft::routine<int> coroutine(int n) {
    co_await weft::yield();
    co_return state* n;
  }

  int quiet() const noexcept { return state; }
};

/// Counts how many of it there are, and copies.
class counted {
 public:
  explicit counted(std::atomic<int>& alive) noexcept : alive_(&alive) { ++*alive_; }

  counted(const counted& other) noexcept : alive_(other.alive_) { ++*alive_; }

  counted(counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }

  ~counted() { --*alive_; }

  bool there() const noexcept { return *alive_ > 0; }

 private:
  std::atomic<int>* alive_;
};

struct throws_on_copy {
  throws_on_copy() = default;

  throws_on_copy(const throws_on_copy&) { throw std::runtime_error("copy"); }

  throws_on_copy(throws_on_copy&&) noexcept = default;
};

weft::routine<std::string> reads_late(std::string_view text) {
  co_await weft::sleep_for(1ms);
  co_return std::string(text);
}

weft::routine<std::string> reads_reference_late(const std::string& text) {
  co_await weft::sleep_for(1ms);
  co_return text;
}

weft::routine<int> gives(int n) {
  co_return n;
}

weft::routine<int&> gives_reference(int& n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<std::unique_ptr<int>> gives_moveonly(std::unique_ptr<int> p) {
  co_await weft::yield();
  co_return p;
}

struct no_default {
  explicit no_default(int v) : value(v) {}

  no_default(no_default&&) noexcept = default;
  int value;
};

weft::routine<no_default> gives_no_default() {
  co_return no_default(7);
}

weft::routine<const int> gives_const() {
  co_return 8;
}

const std::string long_text = "a text that is too long for the small string buffer of any library";

}  // namespace

TEST_CASE("go takes functions and members and function objects of every kind", "[api][go]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  machine m;
  REQUIRE(rt.go(gives, 1).join() == 1);
  REQUIRE(rt.go(&gives, 2).join() == 2);
  REQUIRE(rt.go(gives(3)).join() == 3);
  REQUIRE(rt.go(&machine::plain, m, 1).join() == 6);
  REQUIRE(rt.go(&machine::plain, &m, 2).join() == 7);
  REQUIRE(rt.go(&machine::plain, std::ref(m), 3).join() == 8);
  REQUIRE(rt.go(&machine::plain, std::make_unique<machine>(), 4).join() == 9);
  REQUIRE(rt.go(&machine::quiet, m).join() == 5);
  REQUIRE(rt.go(&machine::coroutine, m, 2).join() == 10);
  REQUIRE(rt.go(&machine::coroutine, &m, 3).join() == 15);
  REQUIRE(rt.go(&machine::coroutine, std::ref(m), 4).join() == 20);
  REQUIRE(rt.go(&machine::coroutine, std::make_unique<machine>(), 5).join() == 25);
  REQUIRE(&rt.go(&machine::state, &m).join() == &m.state);
  REQUIRE(rt.go(std::function<int(int)>([](int n) { return n; }), 9).join() == 9);
  REQUIRE(rt.go(std::plus<>(), 4, 6).join() == 10);
  REQUIRE(
      rt.go([](auto... n) -> weft::routine<int> { co_return (n + ...); }, 1, 2, 3, 4, 5, 6, 7, 8, 9).join() ==
      45);
  REQUIRE(rt.go([n = 1]() mutable -> weft::routine<int> { co_return ++n; }).join() == 2);
  REQUIRE(rt.go(std::bind_front(gives, 11)).join() == 11);
}

TEST_CASE("go takes and gives what can only be moved", "[api][go]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto plain = [p = std::make_unique<int>(1)](std::unique_ptr<int> q) {
    return std::make_unique<int>(*p + *q);
  };
  REQUIRE(*rt.go(std::move(plain), std::make_unique<int>(2)).join() == 3);
  auto coroutine =
      [p = std::make_unique<int>(3)](std::unique_ptr<int> q) mutable -> weft::routine<std::unique_ptr<int>> {
    co_await weft::yield();
    *p += *q;
    co_return std::move(p);
  };
  REQUIRE(*rt.go(std::move(coroutine), std::make_unique<int>(4)).join() == 7);
  REQUIRE(*rt.go(gives_moveonly, std::make_unique<int>(5)).join() == 5);

  struct once {
    std::unique_ptr<int> p = std::make_unique<int>(6);

    int operator()() && { return *p; }
  };

  REQUIRE(rt.go(once()).join() == 6);  // invoked as std::move(f)(...)
  REQUIRE(rt.go(gives_no_default).join().value == 7);
  REQUIRE(rt.go(gives_const).join() == 8);
}

TEST_CASE("go gives references", "[api][go]") {
  weft::runtime rt({.workers = 2});
  int here = 1;
  int& a = rt.go(gives_reference, std::ref(here)).join();
  REQUIRE(&a == &here);
  const int& b = rt.go([&here]() -> const int& { return here; }).join();
  REQUIRE(&b == &here);
  auto h = rt.go([&here]() -> weft::routine<int&> {
    int& inner = co_await gives_reference(here);
    co_return inner;
  });
  REQUIRE(&h.join() == &here);
}

TEST_CASE("arguments are decay-copied and live until the routine ends", "[api][go]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  // The parameter is a view of the kept copy, and not of a temporary that is gone when go() returns.
  REQUIRE(rt.go(reads_late, std::string(long_text)).join() == long_text);
  REQUIRE(rt.go(reads_reference_late, std::string(long_text)).join() == long_text);
  REQUIRE(rt.go(
                [](std::string_view v) -> weft::routine<std::string> {
                  co_await weft::yield();
                  co_return std::string(v);
                },
                std::string(long_text))
              .join() == long_text);
  REQUIRE(rt.go([](std::string_view v) { return std::string(v); }, std::string(long_text)).join() ==
          long_text);
  REQUIRE(rt.go(weft::spawn_options{.name = "viewer"}, reads_late, std::string(long_text)).join() ==
          long_text);
  REQUIRE(rt.go([](const char* text, std::string s) -> weft::routine<std::string> { co_return text + s; },
                "a", "b")
              .join() == "ab");
  std::string mine = long_text;
  auto h = rt.go(reads_reference_late, mine);
  mine = "changed";
  REQUIRE(h.join() == long_text);
}

TEST_CASE("what go was given is destroyed exactly once when the routine has ended", "[api][go]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  std::atomic<int> alive{0}, seen{0};
  {
    weft::runtime rt({.workers = workers});
    const counted c(alive);
    auto coroutine = [c, &seen](const counted& by_reference, counted by_value) -> weft::routine<> {
      co_await weft::yield();
      seen += c.there() && by_reference.there() && by_value.there() ? 1 : 0;
    };
    auto plain = [c, &seen](counted by_value) { seen += c.there() && by_value.there() ? 1 : 0; };
    for (int i = 0; i < 50; ++i) {
      rt.go(coroutine, c, c).join();
      rt.go(plain, c).join();
      (void)rt.go(coroutine, c, c);
      (void)rt.go(weft::spawn_options{.name = "named", .detached = true}, coroutine, c, c);
      (void)rt.go(weft::spawn_options{.detached = true}, plain, c);
    }
    rt.go([&]() -> weft::routine<> {
        auto body = [&](weft::task_scope& s) -> weft::routine<> {
          for (int i = 0; i < 50; ++i) s.go(coroutine, c, c);
          co_await weft::yield();
        };
        co_await weft::scope(body);
      }).join();
    rt.stop();
  }
  REQUIRE(alive == 0);
  REQUIRE(seen >= 150);
}

TEST_CASE("what the routine owned is gone when it has ended and not when it is joined", "[api][go]") {
  // Else the last sender would not close the channel, and the loop below would wait for ever.
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto run = [&](auto start) {
    auto [tx, rx] = weft::make_channel<int>(2);
    auto h = start(std::move(tx));
    int sum = 0;
    for (;;) {
      auto v = weft::blocking::wait(rx.recv());
      if (!v) break;
      sum += *v;
    }
    h.join();
    return sum;
  };
  REQUIRE(run([&](weft::channel_sender<int> tx) {
            return rt.go([tx = std::move(tx)] { (void)weft::blocking::wait(tx.send(1)); });
          }) == 1);
  REQUIRE(run([&](weft::channel_sender<int> tx) {
            return rt.go([](const weft::channel_sender<int>& to) { (void)weft::blocking::wait(to.send(2)); },
                         std::move(tx));
          }) == 2);
  REQUIRE(run([&](weft::channel_sender<int> tx) {
            return rt.go([tx = std::move(tx)]() -> weft::routine<> { co_await tx.send(3); });
          }) == 3);
  REQUIRE(run([&](weft::channel_sender<int> tx) {
            return rt.go([](const weft::channel_sender<int>& to) -> weft::routine<> { co_await to.send(4); },
                         std::move(tx));
          }) == 4);
  const auto by_value = [](weft::channel_sender<int> to, int n) -> weft::routine<> {
    co_await to.send(int{n});
  };
  REQUIRE(run([&](weft::channel_sender<int> tx) { return rt.go(by_value, std::move(tx), 5); }) == 5);
  REQUIRE(run([&](weft::channel_sender<int> tx) { return rt.go(by_value(std::move(tx), 6)); }) == 6);
  REQUIRE(run([&](weft::channel_sender<int> tx) {
            return rt.go(weft::spawn_options{.name = "named"}, by_value, std::move(tx), 7);
          }) == 7);
  REQUIRE(run([&](weft::channel_sender<int> tx) {
            return rt.go([](weft::channel_sender<int> to) { (void)weft::blocking::wait(to.send(8)); },
                         std::move(tx));
          }) == 8);
}

TEST_CASE("a result outlives its routine until it is taken or the handle goes, and is destroyed once",
          "[api][go]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  std::atomic<int> alive{0};
  const auto gives = [](counted by_value) -> weft::routine<counted> {
    co_await weft::yield();
    co_return by_value;
  };
  const auto plain = [&alive] { return counted(alive); };
  const auto fails = [](counted) -> weft::routine<counted> {
    co_await weft::yield();
    throw std::runtime_error("no result");
  };
  std::atomic<int> reported{0};
  {
    weft::runtime rt({.workers = workers,
                      .on_unhandled_exception = {[](void* n, const weft::unhandled_exception&) {
                                                   ++*static_cast<std::atomic<int>*>(n);
                                                 },
                                                 &reported}});
    for (int i = 0; i < 50; ++i) {
      REQUIRE(rt.go(gives, counted(alive)).join().there());
      (void)rt.go(gives, counted(alive));  // dropped, mostly before its end
      auto ended = rt.go(gives, counted(alive));
      while (!ended.join_for(1h)) continue;
      REQUIRE(alive >= 1);
      auto ended_too = rt.go(plain);
      while (!ended_too.join_for(1h)) continue;
      REQUIRE_THROWS_AS(rt.go(fails, counted(alive)).join(), std::runtime_error);
      auto failed = rt.go(fails, counted(alive));
      while (!failed.join_for(1h)) continue;
      (void)rt.go(fails, counted(alive));
    }
    rt.stop();
  }
  REQUIRE(alive == 0);
  REQUIRE(reported >= 50);
}

TEST_CASE("what the invocation throws leaves go and nothing is left behind", "[api][go]") {
  weft::runtime rt({.workers = 1});
  std::atomic<int> alive{0};
  const counted c(alive);
  throws_on_copy bad;
  auto refuses = [c](int) -> weft::routine<> { throw std::logic_error("not a coroutine: no co_ inside"); };
  REQUIRE_THROWS_AS(rt.go(refuses, 1), std::logic_error);
  REQUIRE_THROWS_AS(rt.go([](const throws_on_copy&) -> weft::routine<> { co_return; }, bad),
                    std::runtime_error);
  REQUIRE_THROWS_AS(rt.go([c](const throws_on_copy&) {}, bad), std::runtime_error);
  REQUIRE_THROWS_AS(rt.go([bad]() -> weft::routine<> { co_return; }), std::runtime_error);
  REQUIRE_THROWS_AS(rt.go(weft::spawn_options{.name = "never"}, refuses, 1), std::logic_error);
  REQUIRE(alive == 2);
  rt.stop();
}

TEST_CASE("cancelled before its first resumption a routine never runs and its arguments are destroyed",
          "[api][go]") {
  std::atomic<int> alive{0}, ran{0};
  {
    weft::runtime rt({.workers = 1});
    const counted c(alive);
    auto h = rt.go([&]() -> weft::routine<int> {
      std::vector<weft::join_handle<void>> all;
      auto child = [&ran, c](const counted&) -> weft::routine<> {
        ++ran;
        co_return;
      };
      auto plain = [&ran, c] { ++ran; };
      for (int i = 0; i < 20; ++i) {
        all.push_back(weft::go(child, c));
        all.push_back(weft::go(plain));
      }
      for (auto& each : all) each.cancel();  // one worker: none has begun
      int cancelled = 0;
      for (auto& each : all) {
        try {
          co_await std::move(each);
        } catch (const weft::routine_cancelled&) {
          ++cancelled;
        }
      }
      co_return cancelled;
    });
    REQUIRE(h.join() == 40);
    auto in_scope = rt.go([&]() -> weft::routine<> {
      auto child = [&ran, c]() -> weft::routine<> {
        ++ran;
        co_return;
      };
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        for (int i = 0; i < 10; ++i) s.go(child);
        s.cancel();
        co_return;
      };
      co_await weft::scope(body);
    });
    in_scope.join();
  }
  REQUIRE(ran == 0);
  REQUIRE(alive == 0);
}

TEST_CASE("a routine that was never started just frees its frame", "[api][routine]") {
  std::atomic<int> alive{0};
  {
    auto holds = [](counted) -> weft::routine<> { co_return; };
    auto r = holds(counted(alive));
    REQUIRE(alive == 1);
    auto moved = std::move(r);
    REQUIRE_FALSE(r);
    moved = holds(counted(alive));
    REQUIRE(alive == 1);
  }
  REQUIRE(alive == 0);
}

TEST_CASE("names and ids belong to the routine that runs", "[api][go]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  REQUIRE(weft::this_routine::id() == 0);
  REQUIRE(weft::this_routine::name().empty());
  REQUIRE_FALSE(weft::this_routine::cancelled());
  weft::this_routine::check();
  REQUIRE(weft::this_routine::deadline() == std::chrono::steady_clock::time_point::max());
  weft::event gate;
  std::string name = "a name that go must copy, because this string changes";
  auto h =
      rt.go(weft::spawn_options{.name = name}, [&]() -> weft::routine<std::pair<std::uint64_t, std::string>> {
        co_await gate.wait();
        auto inner = []() -> weft::routine<std::string> {
          co_return std::string(weft::this_routine::name());
        };
        const auto [a, b] = co_await weft::all(inner(), inner());
        const std::string deeper = co_await inner();
        co_return std::pair(weft::this_routine::id(), a == b && b == deeper ? a : "different");
      });
  name = "changed";
  REQUIRE(h.name() == "a name that go must copy, because this string changes");
  auto plain =
      rt.go(weft::spawn_options{.name = "plain"}, [] { return std::string(weft::this_routine::name()); });
  const std::uint64_t id = h.id(), other = plain.id();
  REQUIRE(id != 0);
  REQUIRE(id != other);
  gate.set();
  REQUIRE(plain.join() == "plain");
  const auto [told_id, told_name] = h.join();
  REQUIRE(told_id == id);
  REQUIRE(told_name == "a name that go must copy, because this string changes");
  REQUIRE(rt.go([] {}).name().empty());
}

TEST_CASE("every routine has an id of its own", "[api][go]") {
  weft::runtime rt({.workers = 16});
  std::vector<std::uint64_t> ids;
  std::vector<weft::join_handle<std::vector<std::uint64_t>>> all;
  for (int i = 0; i < 50; ++i) {
    all.push_back(rt.go([]() -> weft::routine<std::vector<std::uint64_t>> {
      std::vector<std::uint64_t> own;
      for (int n = 0; n < 20; ++n) own.push_back(co_await weft::go([] { return weft::this_routine::id(); }));
      co_return own;
    }));
  }
  for (auto& h : all) {
    ids.push_back(h.id());
    for (const std::uint64_t id : h.join()) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  REQUIRE(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}
