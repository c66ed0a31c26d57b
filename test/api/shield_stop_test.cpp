// Clean-up in a shield while its runtime stops: what it awaits, starts and opens is protected, too.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// Waits for a moment: cancelled, if it is not protected.
weft::routine<> wait_a_little(std::atomic<int>* done) {
  co_await weft::yield();
  co_await weft::sleep_for(1ms);
  ++*done;
}

using clean_up = weft::routine<> (*)(std::atomic<int>* done);

weft::routine<> by_itself(std::atomic<int>* done) {
  co_await wait_a_little(done);
}

weft::routine<> in_all(std::atomic<int>* done) {
  std::atomic<int> both{0};
  co_await weft::all(wait_a_little(&both), wait_a_little(&both));
  if (both == 2) ++*done;
}

weft::routine<> in_a_scope(std::atomic<int>* done) {
  const auto body = [done](weft::task_scope& s) -> weft::routine<> {
    s.go(wait_a_little, done);
    co_await weft::yield();
  };
  co_await weft::scope(body);
}

weft::routine<> in_all_in_a_scope(std::atomic<int>* done) {
  const auto body = [done](weft::task_scope& s) -> weft::routine<> {
    s.go(in_all, done);
    co_await weft::yield();
  };
  co_await weft::scope(body);
}

weft::routine<> within_a_limit(std::atomic<int>* done) {
  co_await weft::with_timeout(1h, in_all(done));
}

weft::routine<> started_and_joined(std::atomic<int>* done) {
  co_await weft::go(wait_a_little, done);
}

}  // namespace

TEST_CASE("stop lets clean-up in a shield end with all that it starts", "[api][shield][stop]") {
  const clean_up how = GENERATE(as<clean_up>{}, &by_itself, &in_all, &in_a_scope, &in_all_in_a_scope,
                                &within_a_limit, &started_and_joined);
  const unsigned workers = GENERATE(1U, 2U);
  std::atomic<int> done{0};
  weft::event waits, never;
  weft::runtime rt({.workers = workers});
  auto h = rt.go([&]() -> weft::routine<> {
    waits.set();
    try {
      co_await never.wait();
    } catch (const weft::cancelled&) {
    }
    co_await weft::shield(how(&done));
  });
  weft::blocking::wait(waits.wait());
  rt.stop();
  REQUIRE(done == 1);
}
