// What users give to weft may do anything: destructors that use weft, copies that throw, names and figures
// from outside, coroutines that throw into a worker.

#include <weft/dump.hpp>
#include <weft/sim.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <coroutine>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;

namespace {

/// Its end uses all of weft that does not wait, and when it may, what waits.
struct busy_at_its_end {
  busy_at_its_end(weft::channel<int> to, std::atomic<int>& count) : ch(std::move(to)), ends(&count) {}

  busy_at_its_end(busy_at_its_end&& other) noexcept
      : ch(other.ch), ends(std::exchange(other.ends, nullptr)) {}

  busy_at_its_end(const busy_at_its_end& other) = default;
  busy_at_its_end& operator=(const busy_at_its_end&) = delete;

  ~busy_at_its_end() {
    if (ends == nullptr) return;
    (void)ch.try_send(1);
    (void)ch.try_recv();
    auto soon = weft::after(1h);  // arms a timer, and disarms it
    weft::mutex m;
    (void)m.try_lock();
    m.unlock();
    weft::event e;
    e.set();
    try {
      auto h = weft::go([]() -> weft::routine<> { co_return; });
      h.cancel();
    } catch (const weft::stopped&) {
    }
    ++*ends;
  }

  weft::channel<int> ch;
  std::atomic<int>* ends;
};

weft::routine<int> keeps(busy_at_its_end) {
  co_await weft::yield();
  co_return 1;
}

}  // namespace

TEST_CASE("destructors that use weft run wherever weft destroys, and hold no lock up", "[api][hostile]") {
  const unsigned workers = GENERATE(1U, 2U);
  std::atomic<int> ends{0};
  {
    weft::runtime rt({.workers = workers});
    weft::channel<int> other(2);
    // An argument, a capture, a result, an exception, a local that is unwound, a value in a channel.
    rt.go(keeps, busy_at_its_end(other, ends)).join();
    rt.go([b = busy_at_its_end(other, ends)] {}).join();
    (void)
        rt.go([&]() -> weft::routine<std::unique_ptr<busy_at_its_end>> {
            co_return std::make_unique<busy_at_its_end>(other, ends);
          }).join();
    auto throws = rt.go([&]() -> weft::routine<> {
      throw busy_at_its_end(other, ends);
      co_return;
    });
    REQUIRE_THROWS_AS(throws.join(), busy_at_its_end);
    auto unwound = rt.go([&]() -> weft::routine<> {
      const busy_at_its_end local(other, ends);
      co_await weft::sleep_for(1h);
    });
    auto never_joined = rt.go([&]() -> weft::routine<std::unique_ptr<busy_at_its_end>> {
      co_return std::make_unique<busy_at_its_end>(other, ends);
    });
    rt.go([&]() -> weft::routine<> { co_await weft::sleep_for(1ms); }).join();
    unwound.cancel();
    try {
      unwound.join();
    } catch (const weft::routine_cancelled&) {
    }
    {
      weft::channel<std::unique_ptr<busy_at_its_end>> holds(4);
      for (int i = 0; i < 4; ++i) (void)holds.try_send(std::make_unique<busy_at_its_end>(other, ends));
    }
    auto left = rt.go([&]() -> weft::routine<> {
      const busy_at_its_end local(other, ends);
      co_await weft::sleep_for(1h);
    });
    rt.stop();
    REQUIRE_THROWS_AS(left.join(), weft::routine_cancelled);
  }
  REQUIRE(ends >= 9);
}

TEST_CASE("an element whose end uses its own channel deadlocks in no operation", "[api][hostile]") {
  struct element {
    explicit element(weft::channel<std::unique_ptr<element>> c) : ch(std::move(c)) {}

    ~element() {
      (void)ch.size();
      (void)ch.try_recv();  // destroys another one, and so on
      (void)ch.close();
    }

    weft::channel<std::unique_ptr<element>> ch;
  };

  using channel = weft::channel<std::unique_ptr<element>>;
  const std::size_t capacity = GENERATE(std::size_t{1}, std::size_t{100});
  for (int way = 0; way < 4; ++way) {
    channel ch(capacity);
    for (std::size_t i = 0; i < capacity; ++i)
      REQUIRE(ch.try_send(std::make_unique<element>(ch)) == weft::try_send_status::sent);
    const weft::blocking::channel<std::unique_ptr<element>> plain(ch);
    if (way == 0) (void)ch.try_recv();
    if (way == 1) (void)plain.recv();
    if (way == 2) weft::blocking::select(weft::on_recv(ch));
    if (way == 3) {
      std::unique_ptr<element> place;
      REQUIRE(plain.recv_into(place));
      REQUIRE(plain.send(std::move(place)) == weft::send_status::sent);
      (void)ch.close();
      while (ch.try_recv()) {
      }
    }
    REQUIRE(ch.is_closed());
    REQUIRE(ch.size() == 0);
  }
}

TEST_CASE("a callable whose copy throws has started nothing, with or without a handle", "[api][hostile]") {
  struct throws_when_copied {
    throws_when_copied() = default;

    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("copy"); }

    void operator()() const {}
  };

  weft::runtime rt({.workers = 2});
  const throws_when_copied f;
  REQUIRE_THROWS_AS(rt.go(f), std::runtime_error);
  REQUIRE_THROWS_AS(rt.go(weft::spawn_options{.detached = true}, f), std::runtime_error);
  const auto takes = [](const throws_when_copied&) {};
  REQUIRE_THROWS_AS(rt.go(takes, f), std::runtime_error);
  auto in_scope = rt.go([&]() -> weft::routine<int> {
    int thrown = 0;
    auto body = [&](weft::task_scope& s) -> weft::routine<> {
      try {
        s.go(f);
      } catch (const std::runtime_error&) {
        ++thrown;
      }
      co_return;
    };
    co_await weft::scope(body);
    co_return thrown;
  });
  REQUIRE(in_scope.join() == 1);
  rt.stop();
  REQUIRE(rt.stats().live == 0);
  REQUIRE(rt.stats().spawned == 1);
}

TEST_CASE("names of any bytes and any length are kept and shown", "[api][hostile][dump]") {
  weft::runtime rt({.workers = 1, .name = std::string_view("a\0very long name of a runtime\n\x1b[2J", 35)});
  const std::string names[]{std::string(1'000'000, 'x'), std::string("zero\0inside", 11),
                            "two\nlines {} %s %n", "\xff\xfe\x80 not UTF-8", "<script>\x1b[31m"};
  weft::event never;
  std::vector<weft::join_handle<>> all;
  for (const auto& name : names) {
    all.push_back(
        rt.go(weft::spawn_options{.name = name}, [&]() -> weft::routine<> { co_await never.wait(); }));
    REQUIRE(all.back().name() == name);
  }
  std::size_t bytes = 0;
  weft::dump(rt, [&](std::string_view text) { bytes += text.size(); });
  REQUIRE(bytes > 0);
  never.set();
  for (auto& h : all) h.join();
}

namespace {

/// A foreign coroutine that lets exceptions out of resume().
struct lets_out {
  struct promise_type {
    lets_out get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }

    std::suspend_always initial_suspend() noexcept { return {}; }

    std::suspend_never final_suspend() noexcept { return {}; }

    void return_void() {}

    void unhandled_exception() { throw; }
  };

  std::coroutine_handle<promise_type> handle;
};

lets_out throws_into_the_worker() {
  throw std::runtime_error("out of a posted coroutine");
  co_return;
}

}  // namespace

TEST_CASE("an exception out of a posted coroutine ends the process and not silently the worker",
          "[api][hostile][misuse]") {
  const auto d = weft::test::last_words([] {
    weft::runtime rt({.workers = 1});
    rt.post(throws_into_the_worker().handle);
    rt.go([] {}).join();
  });
  INFO(d.said);
  REQUIRE(d.aborted);
  REQUIRE(d.mentions("out of a posted coroutine"));
}

namespace {

weft::routine<int> which_routine(weft::channel<int> go_on, std::atomic<int>& moved) {
  const auto me = weft::this_routine::id();
  const std::string name(weft::this_routine::name());
  long thread = ::syscall(SYS_gettid);
  int wrong = 0;
  while (co_await go_on.recv()) {
    const long now = ::syscall(SYS_gettid);
    if (now != thread) ++moved;
    thread = now;
    wrong += weft::this_routine::id() != me || weft::this_routine::name() != name;
    wrong += std::uncaught_exceptions() != 0 || std::current_exception() != nullptr;
    try {
      throw std::runtime_error("own");
    } catch (const std::runtime_error& e) {
      wrong += std::strcmp(e.what(), "own") != 0;
    }
    auto child = weft::go([] { return weft::this_routine::id(); });
    wrong += child.id() != co_await std::move(child) ? 1 : 0;
  }
  co_return wrong;
}

}  // namespace

TEST_CASE("a routine that has moved to another thread is itself, with its own exceptions and no others'",
          "[api][hostile]") {
  weft::runtime rt({.workers = 4});
  std::atomic<int> moved{0};
  const weft::blocking::channel<int> go_on;
  std::vector<weft::join_handle<int>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(rt.go(weft::spawn_options{.name = std::string(static_cast<std::size_t>(i) + 1, 'n')},
                        which_routine, go_on, std::ref(moved)));
  }
  while (moved < 20) REQUIRE(go_on.send(1) == weft::send_status::sent);
  (void)go_on.close();
  for (auto& h : all) REQUIRE(h.join() == 0);
}

TEST_CASE("routines that a host runs while it handles an exception have exceptions of their own",
          "[api][hostile][embed]") {
  weft::runtime rt({.workers = weft::manual});
  const auto throws_and_catches = []() -> weft::routine<int> {
    int good = 0;
    for (int i = 0; i < 3; ++i) {
      try {
        co_await weft::yield();
        throw std::logic_error("the routine's");
      } catch (const std::logic_error& e) {
        good += std::strcmp(e.what(), "the routine's") == 0;
      }
      co_await weft::yield();
    }
    co_return good;
  };

  struct joins_at_its_end {
    weft::join_handle<int> h;
    int& good;

    ~joins_at_its_end() { good += h.join(); }  // while an exception is on its way
  };

  int good = 0;
  std::string kept;
  try {
    const joins_at_its_end j{rt.go(throws_and_catches), good};
    throw std::runtime_error("the host's");
  } catch (const std::runtime_error&) {
    good += rt.go(throws_and_catches).join();
    try {
      throw;
    } catch (const std::exception& e) {
      kept = e.what();
    }
  }
  REQUIRE(good == 6);
  REQUIRE(kept == "the host's");
}

namespace {

/// Its address is not what & gives.
struct own_address {
  own_address() = default;

  explicit own_address(int n) : number(n) {}

  own_address(const own_address& other) : number(other.number) {}

  own_address(own_address&& other) noexcept : number(std::exchange(other.number, -1)) {}

  own_address& operator=(own_address other) noexcept {
    number = other.number;
    return *this;
  }

  ~own_address() {}

  own_address** operator&() { return &place; }

  own_address* const* operator&() const { return &place; }

  own_address* place = nullptr;
  int number = 0;
};

weft::routine<own_address> keeps_address(int n) {
  co_return own_address(n);
}

}  // namespace

TEST_CASE("a type with an operator & of its own goes through a channel, a select and a result as it is",
          "[api][hostile]") {
  weft::blocking::channel<own_address> ch(2);
  const own_address lvalue(1);
  own_address out;
  std::vector<int> got;
  const auto receive = [&] {
    if (auto r = ch.try_recv()) got.push_back(r->number);
  };
  (void)ch.send(lvalue), receive();
  (void)ch.send(own_address(2)), receive();
  (void)ch.try_send(lvalue), receive();
  (void)ch.try_send(own_address(4)), receive();
  (void)ch.send_for(lvalue, 1h), receive();
  (void)ch.send_for(own_address(6), 1h), receive();
  (void)ch.send_until(own_address(7), weft::now() + 1h), receive();
  weft::blocking::select(weft::on_send(ch, lvalue)), receive();
  weft::blocking::select(weft::on_send(ch, own_address(9))), receive();
  weft::selector s;
  s.add(weft::on_send(ch, lvalue));
  weft::blocking::wait(s.wait()), receive();
  REQUIRE(got == std::vector{1, 2, 1, 4, 1, 6, 7, 1, 9, 1});

  (void)ch.send(own_address(10));
  (void)ch.send(own_address(11));
  REQUIRE(ch.recv_into(out));
  REQUIRE(out.number == 10);
  REQUIRE(ch.recv_for(1h)->number == 11);
  REQUIRE(weft::go(keeps_address, 12).join().number == 12);
}

TEST_CASE("a callable with an operator & of its own is called where it stands", "[api][hostile]") {
  struct body {
    weft::routine<own_address&> operator()(weft::task_scope&) { co_return *result; }

    int operator&() const { return 0; }

    own_address* result;
  };

  struct program {
    weft::routine<> operator()() {
      *ran = true;
      co_return;
    }

    int operator&() const { return 0; }

    bool* ran;
  };

  own_address one(1);
  body b{std::addressof(one)};
  REQUIRE(std::addressof(weft::blocking::wait(weft::scope(b))) == std::addressof(one));
  bool ran = false;
  program p{&ran};
  REQUIRE(weft::sim::run(1, p).ok);
  REQUIRE(ran);
}
