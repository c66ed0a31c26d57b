// The end of main is the end of the process: statics that routines wait for may go, nobody is resumed.

#include <weft/weft.hpp>

#include <cstdlib>
#include <optional>

#include "support/catch.hpp"
#include "support/death.hpp"

namespace {

/// Statics that routines of the global runtime wait for, hold or join, and then main returns.
template <typename F>
[[noreturn]] void return_from_main(F start) {
  weft::event begun;
  start(begun);
  weft::blocking::wait(begun.wait());
  weft::blocking::run([]() -> weft::routine<> { co_await weft::yield(); }());
  std::exit(0);
}

void ends_well(const weft::test::death& d) {
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE_FALSE(d.mentions("weft: "));
}

}  // namespace

TEST_CASE("main returns while a routine waits for a static event", "[api][exit]") {
  ends_well(weft::test::last_words([] {
    static weft::event never;
    return_from_main([](weft::event& begun) {
      weft::init_global_runtime({.workers = 1});
      weft::go([&begun]() -> weft::routine<> {
        begun.set();
        co_await never.wait();
      });
    });
  }));
}

TEST_CASE("main returns while routines wait for a static semaphore and a static wait_group", "[api][exit]") {
  ends_well(weft::test::last_words([] {
    static weft::semaphore none(0);
    static weft::wait_group open(1);
    return_from_main([](weft::event& begun) {
      weft::init_global_runtime({.workers = 1});
      weft::go([]() -> weft::routine<> { co_await open.wait(); });
      weft::go([&begun]() -> weft::routine<> {
        begun.set();
        co_await none.acquire();
      });
    });
  }));
}

TEST_CASE("main returns while a routine holds a static mutex that another waits for", "[api][exit]") {
  ends_well(weft::test::last_words([] {
    return_from_main([](weft::event& begun) {
      weft::init_global_runtime({.workers = 1});
      static weft::mutex m;  // made after the runtime
      const auto locks = [&begun]() -> weft::routine<> {
        weft::event never;
        auto hold = co_await m.scoped();
        begun.set();
        co_await never.wait();
      };
      weft::go(locks);
      weft::go(locks);
    });
  }));
}

TEST_CASE("main returns while a routine joins a static handle", "[api][exit]") {
  ends_well(weft::test::last_words([] {
    static std::optional<weft::join_handle<>> handle;
    return_from_main([](weft::event& begun) {
      weft::init_global_runtime({.workers = 1});
      handle.emplace(weft::go([]() -> weft::routine<> {
        weft::event never;
        co_await never.wait();
      }));
      weft::go([&begun]() -> weft::routine<> {
        begun.set();
        co_await std::move(*handle);
      });
    });
  }));
}
