// A bug in the caller aborts with one clear sentence, and says which routine did it and where it was started.

#include <weft/weft.hpp>

#include <memory>
#include <optional>
#include <stdexcept>

#include <unistd.h>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;

namespace {

constexpr weft::spawn_options culprit{.name = "culprit"};

/// Runs `act` in a routine of its own and never comes back.
template <typename F>
[[noreturn]] void commit_in_routine(F act) {
  weft::runtime rt({.workers = 2});
  weft::event never;
  auto h = rt.go(culprit, act);
  weft::blocking::wait(never.wait());
  std::_Exit(0);
}

bool names_the_culprit(const weft::test::death& d) {
  return d.mentions("'culprit'") && d.mentions("misuse_test.cpp:");
}

/// One sentence: one line of its own, one line for the routine.
bool is_one_sentence(const weft::test::death& d, const char* sentence) {
  return d.aborted && d.said.rfind("weft: misuse: ", 0) == 0 && d.mentions(sentence) &&
         d.said.find("weft: misuse: ", 1) == std::string::npos;
}

weft::routine<int> gives(int n) {
  co_return n;
}

weft::routine<int> waits_for(weft::channel<int> never) {
  co_return (co_await never.recv()).value_or(0);
}

weft::routine<int> computes_for_ever() {
  volatile bool over = false;  // clang takes a loop without effects for one that is never entered
  while (!over) {
  }
  co_return 0;
}

weft::routine<int> throws() {
  throw std::runtime_error("a sibling's");
  co_return 0;
}

}  // namespace

TEST_CASE("joining twice aborts with one sentence", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    auto h = rt.go(gives, 1);
    h.join();
    h.join();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a join_handle is used that is empty"));
}

TEST_CASE("joining twice in a routine names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      auto h = weft::go(gives, 1);
      co_await std::move(h);
      co_await std::move(h);
    });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a join_handle is used that is empty"));
  REQUIRE(names_the_culprit(d));
}

namespace {

[[noreturn]] void join_oneself(bool by_select, bool by_facade) {
  weft::runtime rt({.workers = 2});
  weft::event given, never;
  weft::join_handle<void> own;
  own = rt.go(culprit, [&]() -> weft::routine<> {
    co_await given.wait();
    if (by_facade) own.join();
    if (by_select) {
      co_await weft::select(weft::on_join(own));
    } else {
      co_await std::move(own);
    }
  });
  given.set();
  weft::blocking::wait(never.wait());
  std::_Exit(0);
}

}  // namespace

TEST_CASE("joining oneself aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] { join_oneself(false, false); });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine waits for its own end"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("joining oneself by the facade aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] { join_oneself(false, true); });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine waits for its own end"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("joining oneself by select aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] { join_oneself(true, false); });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine waits for its own end"));
  REQUIRE(names_the_culprit(d));
}

namespace {

/// A child of all() is part of the routine that waits for it.
[[noreturn]] void join_own_root(bool by_select) {
  weft::runtime rt({.workers = 2});
  weft::event given, never;
  weft::join_handle<void> own;
  const auto child = [&]() -> weft::routine<> {
    co_await weft::yield();
    if (by_select) {
      co_await weft::select(weft::on_join(own));
    } else {
      co_await std::move(own);
    }
  };
  const auto outer = [&]() -> weft::routine<> { co_await weft::all(child(), gives(1)); };
  own = rt.go(culprit, [&]() -> weft::routine<> {
    co_await given.wait();
    co_await weft::all(outer(), gives(2));
  });
  given.set();
  weft::blocking::wait(never.wait());
  std::_Exit(0);
}

}  // namespace

TEST_CASE("joining oneself in a child of all aborts and names the routine", "[api][misuse]") {
  const bool by_select = GENERATE(false, true);
  const auto d = by_select ? weft::test::last_words([] { join_own_root(true); })
                           : weft::test::last_words([] { join_own_root(false); });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine waits for its own end"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("two that wait for the end of one routine abort", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    weft::event never, first;
    auto h = rt.go([&]() -> weft::routine<> { co_await never.wait(); });
    auto a = rt.go([&]() -> weft::routine<> {
      first.set();
      co_await std::move(h);
    });
    auto b = rt.go(culprit, [&]() -> weft::routine<> {
      co_await first.wait();  // one worker: a waits by now
      co_await weft::select(weft::on_join(h));
    });
    b.join();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "two waits for the end of one routine"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("destroying a locked mutex aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      weft::mutex m;
      co_await m.lock();
    });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a mutex is destroyed while it is locked"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("destroying a mutex that somebody waits for aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    auto h = rt.go(culprit, []() -> weft::routine<> {
      weft::mutex m;
      weft::event begun;
      co_await m.lock();
      auto waits = weft::go([&]() -> weft::routine<> {
        begun.set();
        co_await m.lock();
      });
      co_await begun.wait();
      m.unlock();
    });
    h.join();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a mutex is destroyed while somebody waits for it"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("unlocking a mutex that is not locked aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::mutex m;
    m.unlock();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a mutex is unlocked that is not locked"));
}

TEST_CASE("destroying a runtime on its own worker aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    auto* rt = new weft::runtime({.workers = 2});
    weft::event never;
    auto h = rt->go(culprit, [rt] { delete rt; });
    weft::blocking::wait(never.wait());
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a runtime is destroyed on one of its own"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("a blocking facade call inside poll aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = weft::manual});
    weft::blocking::channel<int> never;
    auto h = rt.go(culprit, [never]() -> weft::routine<> {
      never.recv();
      co_return;
    });
    rt.poll();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a blocking call inside poll()"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("poll of a runtime that has workers aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    rt.poll();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "poll() of a runtime that has workers"));
}

TEST_CASE("native_handle of a runtime that has workers aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    (void)rt.native_handle();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "native_handle() of a runtime that has workers"));
}

namespace {

/// Destroys what another routine waits for.
template <typename Thing, typename Wait>
[[noreturn]] void destroy_under(std::unique_ptr<Thing> thing, Wait wait) {
  weft::runtime rt({.workers = 1});
  weft::event begun, never;
  auto waits = rt.go([&]() -> weft::routine<> {
    begun.set();
    co_await wait(*thing);
  });
  auto destroys = rt.go(culprit, [&]() -> weft::routine<> {
    co_await begun.wait();  // one worker: the other waits by now
    thing.reset();
  });
  weft::blocking::wait(never.wait());
  std::_Exit(0);
}

}  // namespace

TEST_CASE("destroying an event somebody waits for aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words(
      [] { destroy_under(std::make_unique<weft::event>(), [](weft::event& e) { return e.wait(); }); });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "an event is destroyed while somebody waits"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("destroying a semaphore somebody waits for aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    destroy_under(std::make_unique<weft::semaphore>(0U), [](weft::semaphore& s) { return s.acquire(); });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a semaphore is destroyed while somebody waits"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("destroying a wait_group somebody waits for aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    destroy_under(std::make_unique<weft::wait_group>(1U), [](weft::wait_group& g) { return g.wait(); });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a wait_group is destroyed while somebody waits"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("more done than add aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::wait_group g(1);
    g.done();
    g.done();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "wait_group::done() was called more often"));
}

TEST_CASE("adding a negative number to a wait_group aborts and says what counts down", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::wait_group g(1);
    g.add(static_cast<std::uint64_t>(-1));
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "was given a negative number"));
  REQUIRE(d.mentions("done()"));
}

TEST_CASE("releasing a negative number of permits aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::semaphore s(1);
    s.release(static_cast<std::uint64_t>(-1));
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "was given a negative number"));
}

TEST_CASE("a semaphore of more permits than can be counted aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::semaphore s(INT64_MAX);
    s.release();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "one that is too large"));
}

TEST_CASE("using a channel handle that was moved from aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::channel<int> a(1);
    const weft::channel<int> b(std::move(a));
    (void)a.try_send(1);
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a channel handle is used that was moved from"));
}

TEST_CASE("awaiting a routine twice aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      auto r = gives(1);
      auto taken = std::move(r);
      co_await std::move(r);
    });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine is started that is empty"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("all of an empty routine aborts and names the routine", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      auto r = gives(1);
      auto taken = std::move(r);
      co_await weft::all(std::move(taken), std::move(r));
    });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine is started that is empty"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("all of an empty routine names the routine though another worker comes to it", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      auto r = gives(1);
      auto taken = std::move(r);
      co_await weft::all(computes_for_ever(), std::move(r));
    });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine is started that is empty"));
  REQUIRE(names_the_culprit(d));
}

TEST_CASE("all of an empty routine that a sibling's exception cancels aborts, too", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});  // two might come to the empty one before the exception
    rt.go([]() -> weft::routine<> {
        weft::channel<int> never(1);
        auto r = gives(1);
        auto taken = std::move(r);
        co_await weft::all(waits_for(never), throws(), std::move(r));
      }).join();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine is started that is empty"));
}

TEST_CASE("any of an empty routine aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    commit_in_routine([]() -> weft::routine<> {
      auto r = gives(1);
      auto taken = std::move(r);
      co_await weft::any(std::move(taken), std::move(r));
    });
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "a routine is started that is empty"));
}

#if WEFT_DESTROYS_TWICE
namespace {

weft::routine<> awaits_in_a_condition(weft::channel<int> ch) {
  while (co_await ch.recv()) {
    co_await weft::yield();
  }
}

}  // namespace

TEST_CASE("a coroutine that g++ 12 has laid out wrongly aborts with advice", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    rt.go(awaits_in_a_condition, weft::channel<int>(1)).join();
  });
  INFO(d.said);
  REQUIRE(is_one_sentence(d, "must declare a variable"));
}
#endif

TEST_CASE("without a handler an exception of a detached routine aborts with name and site and what",
          "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    weft::event never;
    (void)rt.go(weft::spawn_options{.name = "culprit", .detached = true},
                [] { throw std::runtime_error("the reason"); });
    weft::blocking::wait(never.wait());
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(names_the_culprit(d));
  REQUIRE(d.mentions("the reason"));
}

TEST_CASE("a runtime that cannot end in its grace names what remains and aborts", "[api][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 2, .stop_grace = 1ms});
    weft::event inside;
    auto h = rt.go(culprit, [&inside] {
      inside.set();
      for (;;) ::pause();  // no weft operation: stop cannot reach it
    });
    weft::blocking::wait(inside.wait());
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("these routines have not ended"));
  REQUIRE(names_the_culprit(d));
}
