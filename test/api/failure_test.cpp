// Exceptions reach the joiner, the first ends the scope, none vanishes.

#include <weft/all_range.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

struct report {
  weft::semaphore told{0};
  std::atomic<int> count{0};
  std::string name, what, file;
  unsigned line = 0;
  std::uint64_t id = 0;

  static void take(void* to, const weft::unhandled_exception& u) {
    auto& r = *static_cast<report*>(to);
    r.name = std::string(u.name);
    r.file = u.spawned_at.file_name();
    r.line = u.spawned_at.line();
    r.id = u.id;
    try {
      std::rethrow_exception(u.error);
    } catch (const std::exception& e) {
      r.what = e.what();
    } catch (...) {
      r.what = "no std::exception";
    }
    ++r.count;
    r.told.release();
  }

  weft::exception_handler handler() { return {&take, this}; }
};

weft::routine<int> fails(std::string what) {
  co_await weft::yield();
  throw std::runtime_error(what);
}

weft::routine<int> throws_number() {
  throw 42;
  co_return 0;
}

}  // namespace

TEST_CASE("what leaves a detached routine is reported with name and site and id", "[api][failure]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  report seen;
  weft::runtime rt({.workers = workers, .on_unhandled_exception = seen.handler()});
  (void)rt.go(weft::spawn_options{.name = "first", .detached = true}, fails, "one");
  const unsigned line = __LINE__ - 1;
  weft::blocking::wait(seen.told.acquire());
  REQUIRE(seen.name == "first");
  REQUIRE(seen.what == "one");
  REQUIRE(seen.line == line);
  REQUIRE(seen.file.find("failure_test.cpp") != std::string::npos);
  REQUIRE(seen.id != 0);
  { auto dropped = rt.go(fails, "two"); }
  weft::blocking::wait(seen.told.acquire());
  REQUIRE(seen.what == "two");
  REQUIRE(seen.name.empty());
  (void)rt.go(weft::spawn_options{.detached = true}, throws_number);
  weft::blocking::wait(seen.told.acquire());
  REQUIRE(seen.what == "no std::exception");
  (void)rt.go(weft::spawn_options{.name = "plain", .detached = true},
              [] { throw std::runtime_error("three"); });
  weft::blocking::wait(seen.told.acquire());
  REQUIRE(seen.name == "plain");
}

TEST_CASE("a handle that is dropped after the failure reports it then and one that is joined does not",
          "[api][failure]") {
  report seen;
  weft::runtime rt({.workers = 2, .on_unhandled_exception = seen.handler()});
  auto h = rt.go(fails, "late");
  REQUIRE(h.join_for(10s));
  REQUIRE(seen.count == 0);
  h = {};
  REQUIRE(seen.count == 1);
  REQUIRE(seen.what == "late");
  auto joined = rt.go(fails, "seen");
  REQUIRE_THROWS_AS(joined.join(), std::runtime_error);
  auto replaced = rt.go(fails, "replaced");
  REQUIRE(replaced.join_for(10s));
  replaced = rt.go(fails, "never seen by this");
  REQUIRE(seen.what == "replaced");
  REQUIRE_THROWS_AS(replaced.join(), std::runtime_error);
  REQUIRE(seen.count == 2);
}

TEST_CASE("a failure after its handle was dropped is reported", "[api][failure]") {
  report seen;
  weft::runtime rt({.workers = 1, .on_unhandled_exception = seen.handler()});
  weft::event go_on;
  auto h = rt.go([&]() -> weft::routine<> {
    co_await go_on.wait();
    throw std::runtime_error("alone");
  });
  const auto nothing = []() -> weft::routine<> { co_return; };
  rt.go(nothing).join();
  h = {};
  REQUIRE(seen.count == 0);
  go_on.set();
  rt.go(nothing).join();  // one worker: behind it
  REQUIRE(seen.count == 1);
  REQUIRE(seen.what == "alone");
}

TEST_CASE("a failure is reported though its runtime is gone when the handle is dropped", "[api][failure]") {
  report seen;
  weft::join_handle<int> h;
  {
    weft::runtime rt({.workers = 2, .on_unhandled_exception = seen.handler()});
    h = rt.go(fails, "outlives");
    REQUIRE(h.join_for(10s));
  }
  REQUIRE(h.done());
  h.cancel();
  h = {};
  REQUIRE(seen.count == 1);
}

TEST_CASE("a result may be taken though its runtime is gone", "[api][failure]") {
  weft::join_handle<std::string> h;
  {
    weft::runtime rt({.workers = 2});
    h = rt.go(weft::spawn_options{.name = "survivor"}, [] { return std::string("kept"); });
    REQUIRE(h.join_for(10s));
  }
  REQUIRE(h.name() == "survivor");
  REQUIRE(h.join() == "kept");
}

TEST_CASE("cancelled is the normal end of a detached routine and is not reported", "[api][failure]") {
  report seen;
  {
    weft::runtime rt({.workers = 2, .on_unhandled_exception = seen.handler()});
    weft::wait_group begun(2);
    weft::event never;
    auto waits = [&]() -> weft::routine<> {
      begun.done();
      co_await never.wait();
    };
    auto h = rt.go(waits);
    (void)rt.go(weft::spawn_options{.detached = true}, waits);
    weft::blocking::wait(begun.wait());
    h.cancel();
    h = {};
    (void)rt.go(weft::spawn_options{.detached = true}, []() -> weft::routine<> {
      throw weft::cancelled();
      co_return;
    });
    rt.stop();
  }
  REQUIRE(seen.count == 0);
}

TEST_CASE("catch-all handlers of errors do not swallow cancellation", "[api][failure]") {
  STATIC_REQUIRE_FALSE(std::is_base_of_v<std::exception, weft::cancelled>);
  STATIC_REQUIRE_FALSE(std::is_base_of_v<std::exception, weft::deadline_exceeded>);
  STATIC_REQUIRE(std::is_base_of_v<weft::cancelled, weft::deadline_exceeded>);
  STATIC_REQUIRE(std::is_base_of_v<std::runtime_error, weft::routine_cancelled>);
  STATIC_REQUIRE(std::is_base_of_v<std::runtime_error, weft::timeout_error>);
  STATIC_REQUIRE(std::is_base_of_v<std::runtime_error, weft::stopped>);
  REQUIRE(std::string(weft::cancelled().what()).size() > 10);
  REQUIRE(std::string(weft::deadline_exceeded().what()).size() > 10);
}

TEST_CASE("the first exception wins a scope and the others leave nothing", "[api][failure][scope]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  report seen;
  weft::runtime rt({.workers = workers, .on_unhandled_exception = seen.handler()});
  for (int i = 0; i < 50; ++i) {
    auto h = rt.go([]() -> weft::routine<> {
      weft::event first;
      auto second = [&]() -> weft::routine<> {
        try {
          co_await first.wait();
        } catch (const weft::cancelled&) {
        }
        throw std::logic_error("second");
      };
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        s.go(second);
        s.go(second);
        s.go([]() -> weft::routine<> {
          co_await weft::yield();
          throw std::runtime_error("first");
        });
        co_await first.wait();
      };
      co_await weft::scope(body);
    });
    REQUIRE_THROWS_AS(h.join(), std::runtime_error);
  }
  REQUIRE(seen.count == 0);
}

TEST_CASE("the body's own exception ends the scope too and its routines are waited for",
          "[api][failure][scope]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  std::atomic<int> ended{0};
  auto h = rt.go([&]() -> weft::routine<> {
    weft::event never;
    auto child = [&]() -> weft::routine<> {
      try {
        co_await never.wait();
      } catch (const weft::cancelled&) {
        ++ended;
        throw;
      }
    };
    auto body = [&](weft::task_scope& s) -> weft::routine<> {
      for (int i = 0; i < 10; ++i) s.go(child);
      co_await weft::sleep_for(1ms);
      throw std::runtime_error("body");
    };
    try {
      co_await weft::scope(body);
    } catch (const std::runtime_error&) {
      if (ended > 10) throw std::logic_error("too many");
      throw;
    }
  });
  REQUIRE_THROWS_AS(h.join(), std::runtime_error);
  REQUIRE(ended <= 10);
}

TEST_CASE("cancelled leaving a child of a scope cancels nobody and is not rethrown",
          "[api][failure][scope]") {
  weft::runtime rt({.workers = 2});
  auto h = rt.go([]() -> weft::routine<int> {
    auto body = [](weft::task_scope& s) -> weft::routine<int> {
      s.go([]() -> weft::routine<> {
        throw weft::cancelled();
        co_return;
      });
      co_await weft::sleep_for(2ms);
      weft::this_routine::check();
      co_return 4;
    };
    co_return co_await weft::scope(body);
  });
  REQUIRE(h.join() == 4);
}

TEST_CASE("all rethrows the first failure when all have ended and any the first if none succeeds",
          "[api][failure]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  std::atomic<int> running{0};
  auto h = rt.go([&]() -> weft::routine<int> {
    weft::event never;
    int good = 0;
    auto waits = [&]() -> weft::routine<int> {
      ++running;
      try {
        co_await never.wait();
      } catch (...) {
        --running;
        throw;
      }
      co_return 1;
    };
    try {
      co_await weft::all(waits(), fails("all"), waits(), waits());
    } catch (const std::runtime_error& e) {
      good += running == 0 && e.what() == std::string("all");
    }
    std::vector<weft::routine<int>> many;
    for (int i = 0; i < 20; ++i) many.push_back(waits());
    many.push_back(fails("range"));
    try {
      co_await weft::all(many);
    } catch (const std::runtime_error& e) {
      good += running == 0 && e.what() == std::string("range");
    }
    try {
      co_await weft::any(fails("any"), throws_number());
    } catch (int) {
      ++good;
    } catch (const std::runtime_error&) {
      ++good;
    }
    const auto won = co_await weft::any(fails("x"), waits(), []() -> weft::routine<int> {
      co_await weft::sleep_for(1ms);
      co_return 7;
    }());
    good += won.index == 2 && won.value == 7 && running == 0;
    co_return good;
  });
  REQUIRE(h.join() == 4);
}

TEST_CASE("an exception travels up a chain of a hundred thousand awaits", "[api][failure]") {
  weft::runtime rt({.workers = 1});

  struct deep {
    static weft::routine<int> down(int n) {
      if (n == 0) throw std::runtime_error("bottom");
      co_return co_await down(n - 1);
    }
  };

  REQUIRE_THROWS_AS(rt.go(deep::down, 100'000).join(), std::runtime_error);
}
