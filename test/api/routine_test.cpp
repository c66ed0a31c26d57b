#include <weft/weft.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<long> deep(long n) {
  if (n == 0) co_return 0;
  co_return 1 + co_await deep(n - 1);
}

weft::routine<long> echo(weft::channel<long> in, weft::channel<long> out) {
  long n = 0;
  while (auto v = co_await in.recv()) {
    co_await out.send(*v);
    ++n;
  }
  co_return n;
}

weft::routine<long> play(weft::channel<long> out, weft::channel<long> in, long rounds) {
  long sum = 0;
  for (long i = 0; i < rounds; ++i) {
    co_await out.send(i);
    sum += *co_await in.recv() - i;
  }
  out.close();
  co_return sum;
}

weft::routine<int> fails() {
  co_await weft::yield();
  throw std::runtime_error("boom");
}

}  // namespace

TEST_CASE("an await chain a million deep uses bounded stack", "[api][routine]") {
  weft::runtime rt({.workers = 1});
  REQUIRE(rt.go(deep, 1'000'000L).join() == 1'000'000);
}

TEST_CASE("a ping-pong of any length uses bounded stack", "[api][routine]") {
  weft::runtime rt({.workers = 2});
  weft::channel<long> a, b;
  auto other = rt.go(echo, a, b);
  REQUIRE(rt.go(play, a, b, 200'000L).join() == 0);
  REQUIRE(other.join() == 200'000);
}

TEST_CASE("a plain callable, a lambda with captures and a member function all start by go", "[api][go]") {
  weft::runtime rt({.workers = 2});
  REQUIRE(rt.go([](int a, int b) { return a + b; }, 1, 2).join() == 3);
  auto owned = std::make_unique<int>(7);
  REQUIRE(rt.go([p = std::move(owned)]() -> weft::routine<int> {
              co_await weft::yield();
              co_return *p;
            }).join() == 7);
  REQUIRE(rt.go(&std::string::size, std::string("four")).join() == 4);
  int here = 5;
  REQUIRE(&rt.go([&here]() -> int& { return here; }).join() == &here);
}

TEST_CASE("captures and arguments live until the routine ends", "[api][go]") {
  weft::runtime rt({.workers = 2});
  auto text = std::make_shared<std::string>("kept");
  auto h = rt.go(
      [](const std::string& borrowed, std::shared_ptr<std::string> shared) -> weft::routine<std::string> {
        co_await weft::sleep_for(1ms);
        co_return borrowed + *shared;
      },
      std::string("and "), text);
  REQUIRE(h.join() == "and kept");
  REQUIRE(text.use_count() == 1);
}

TEST_CASE("an exception reaches the joiner", "[api][routine]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go(fails);
  REQUIRE_THROWS_AS(h.join(), std::runtime_error);
  auto outer = rt.go([]() -> weft::routine<int> { co_return co_await fails(); });
  REQUIRE_THROWS_AS(outer.join(), std::runtime_error);
}

TEST_CASE("a detached routine's exception goes to the runtime's handler", "[api][routine]") {
  struct seen {
    weft::event told;
    std::string name;
  } note;

  weft::runtime_options options{.workers = 1};
  options.on_unhandled_exception = {[](void* to, const weft::unhandled_exception& what) {
                                      auto& n = *static_cast<seen*>(to);
                                      n.name = std::string(what.name);
                                      n.told.set();
                                    },
                                    &note};
  weft::runtime rt(options);
  (void)rt.go(weft::spawn_options{.name = "careless", .detached = true}, fails);
  weft::blocking::wait(note.told.wait());
  REQUIRE(note.name == "careless");
}

TEST_CASE("a cancelled routine ends at its wait and join says so", "[api][cancel]") {
  weft::runtime rt({.workers = 2});
  weft::channel<int> never;
  auto h = rt.go([never]() -> weft::routine<> { co_await never.recv(); });
  h.cancel();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  auto sleeper = rt.go([]() -> weft::routine<> { co_await weft::sleep_for(1h); });
  sleeper.cancel();
  REQUIRE_THROWS_AS(sleeper.join(), weft::routine_cancelled);
}

TEST_CASE("join_for does not consume the result", "[api][join]") {
  weft::runtime rt({.workers = 1});
  weft::event gate;
  auto h = rt.go([&gate]() -> weft::routine<int> {
    co_await gate.wait();
    co_return 3;
  });
  REQUIRE_FALSE(h.join_for(1ms));
  gate.set();
  REQUIRE(h.join_for(10s));
  REQUIRE(h.join() == 3);
}

TEST_CASE("stop ends a hundred thousand parked routines and leaves none", "[api][stop]") {
  weft::runtime rt({.workers = 2});
  weft::channel<int> never;
  for (int i = 0; i < 100'000; ++i) {
    (void)rt.go(
        weft::spawn_options{.detached = true},
        [](weft::channel<int> c) -> weft::routine<> { co_await c.recv(); }, never);
  }
  rt.stop();
  REQUIRE(rt.stats().live == 0);
  REQUIRE_THROWS_AS(rt.go([] {}), weft::stopped);
}

TEST_CASE("no sleeper wakes early", "[api][time]") {
  weft::runtime rt({.workers = 2});
  weft::channel<bool> early(64);
  const int n = 2'000;
  for (int i = 0; i < n; ++i) {
    (void)rt.go([early, i]() -> weft::routine<> {
      const auto until = weft::now() + std::chrono::milliseconds(1 + i % 50);
      co_await weft::sleep_until(until);
      co_await early.send(weft::now() < until);
    });
  }
  int wrong = 0;
  for (int i = 0; i < n; ++i) wrong += *weft::blocking::wait(early.recv()) ? 1 : 0;
  REQUIRE(wrong == 0);
}

TEST_CASE("an argument that a parameter is only made from is kept until the routine ends", "[api][go]") {
  weft::channel<int> gate;
  const auto looks = [](std::string_view text, weft::channel<int> until) -> weft::routine<std::string> {
    co_await until.recv();
    co_return std::string(text);
  };
  const std::string text(100, 'x');
  auto h = weft::go(looks, std::string(text), gate);
  const std::string elsewhere(100, 'y');  // where the argument was, if it is gone
  gate.close();
  REQUIRE(h.join() == text);
}

TEST_CASE("a value that co_return has stored is destroyed when a local's destructor throws", "[api][go]") {
  struct throws {
    ~throws() noexcept(false) { throw std::runtime_error("boom"); }
  };

  const auto value = std::make_shared<int>(1);
  auto h = weft::go([value]() -> weft::routine<std::shared_ptr<int>> {
    const throws at_the_end;
    co_return value;
  });
  REQUIRE_THROWS_AS(h.join(), std::runtime_error);
  REQUIRE(value.use_count() == 1);
}
