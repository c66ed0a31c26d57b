// Plain code: everything of the facade, without co_await.

#include <weft/all_range.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/select.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

weft::routine<int> gives(int n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<int> fails() {
  co_await weft::yield();
  throw std::runtime_error("boom");
}

/// Runs `f` here, on a worker in a plain callable, inside a coroutine body and on a blocking-pool thread.
template <typename F>
void on_each_kind_of_thread(F f) {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  f();
  rt.go([&f] { f(); }).join();
  rt.go([&f]() -> weft::routine<> {
      f();
      co_return;
    }).join();
  rt.go([&f]() -> weft::routine<> { co_await weft::block_on_io(f); }).join();
}

}  // namespace

TEST_CASE("every facade operation works on every kind of thread", "[api][facade]") {
  std::atomic<int> good{0};
  int calls = 0;
  on_each_kind_of_thread([&] {
    using namespace weft::blocking;
    ++calls;
    channel<int> ch(2);
    auto h = go([ch] { ch.send(*ch.recv() + 1); });
    good += ch.send(4) == weft::send_status::sent;
    h.join();
    good += ch.recv() == 5;
    good += ch.recv_for(0s).status == weft::recv_status::empty;
    good += ch.send_for(1, 1h) == weft::send_until_status::sent;
    good += select(on_recv(ch), on_timeout(1h)) == 0;
    sleep_for(1us);            // house: sleeps because its name is what is tested
    sleep_until(weft::now());  // house: sleeps because its name is what is tested
    good += block_on_io([](int a) { return a; }, 3) == 3;
    good += run(gives(6)) == 6;
    weft::event e;
    auto sets = go([&e] { e.set(); });
    wait(e.wait());
    sets.join();
    good += wait(gives(7)) == 7;
    const auto [a, b] = all(gives(1), gives(2));
    good += a + b == 3;
    std::vector<weft::routine<int>> many;
    for (int i = 0; i < 4; ++i) many.push_back(gives(i));
    good += all(many).size() == 4;
    good += wait(weft::any(fails(), gives(3))).value == 3;
    good += scope([](task_scope& s) {
              channel<int> out(1);
              s.go([out] { out.send(8); });
              return *out.recv();
            }) == 8;
    good += with_timeout(1h, gives(9)) == 9;
    good += with_deadline(weft::now() + 1h, [] { return 10; }) == 10;
    wait(weft::yield());
    weft::mutex m;
    wait(m.lock());
    m.unlock();
    { auto hold = wait(m.scoped()); }
    weft::semaphore permits(1);
    wait(permits.acquire());
    weft::wait_group none;
    wait(none.wait());
    weft::ticker t(1us);
    (void)wait(t.tick());
    wait(weft::shield(gives(1)));
  });
  REQUIRE(good == calls * 14);
}

TEST_CASE("a routine that plain code runs inherits the deadline", "[api][facade][deadline]") {
  int calls = 0, good = 0;
  on_each_kind_of_thread([&] {
    using namespace weft::blocking;
    ++calls;
    const auto limit = weft::now() + 1h;
    const auto is_limit = [limit]() -> weft::routine<bool> {
      co_return weft::this_routine::deadline() == limit;
    };
    with_deadline(limit, [&] {
      good += run(is_limit());
      good += with_deadline(limit + 1h, is_limit());
      const auto [a, b] = all(is_limit(), is_limit());
      good += a && b;
      good += wait(weft::any(is_limit(), is_limit())).value;
      good += wait(weft::scope([&](weft::task_scope&) { return is_limit(); }));
      weft::event set;
      set.set();
      const auto handler = [&]() -> weft::routine<> { good += co_await is_limit(); };
      select(on_event(set, handler));
      good += !wait(weft::shield(is_limit()));
      good += with_deadline(limit - 1min, [&] { return !run(is_limit()); });
    });
    good += !run(is_limit());
  });
  REQUIRE(good == calls * 9);
}

TEST_CASE("the deadline of plain code ends the routine that it runs by deadline_exceeded",
          "[api][facade][deadline]") {
  int calls = 0, begun = 0, by_deadline = 0, timed_out = 0, cleaned_up = 0;
  on_each_kind_of_thread([&] {
    using namespace weft::blocking;
    ++calls;
    weft::event never;
    const auto waits = [&]() -> weft::routine<> {
      ++begun;
      weft::event done;
      done.set();
      try {
        co_await weft::with_timeout(1h, never.wait());
      } catch (const weft::deadline_exceeded&) {
        ++by_deadline;
      }
      co_await weft::shield(done.wait());
      ++cleaned_up;
      co_await never.wait();
    };
    const auto may_take = [&](auto limit, auto f) {
      try {
        with_timeout(limit, f);
      } catch (const weft::timeout_error&) {
        ++timed_out;
      }
    };
    may_take(1ms, [&] { run(waits()); });
    may_take(1ms, [&] { all(waits()); });
    may_take(1ms, [&] { wait(weft::scope([&](weft::task_scope&) { return waits(); })); });
    may_take(0ms, [&] { run(waits()); });
  });
  CHECK(begun >= calls * 2);  // run() begins in any case, children of all() do not
  CHECK(by_deadline == begun);
  CHECK(cleaned_up == begun);
  CHECK(timed_out == calls * 4);
}

TEST_CASE("a routine whose part on the pool waits in the facade ends by its caller's limit, not cancelled",
          "[api][facade][deadline]") {
  constexpr int rounds = 300;
  int calls = 0, timed_out = 0;
  on_each_kind_of_thread([&] {
    ++calls;
    const weft::blocking::channel<int> nobody_sends;
    const auto waits = [&]() -> weft::routine<> { co_await weft::block_on_io([&] { nobody_sends.recv(); }); };
    for (int i = 0; i < rounds; ++i) {
      try {
        weft::blocking::with_timeout(100us, [&] { weft::blocking::run(waits()); });
      } catch (const weft::timeout_error&) {
        ++timed_out;
      } catch (const weft::routine_cancelled&) {  // what it was before, in one round of three
      }
    }
  });
  CHECK(timed_out == calls * rounds);
}

TEST_CASE("a facade call rethrows what the routine threw", "[api][facade]") {
  on_each_kind_of_thread([] {
    int thrown = 0;
    const auto expect = [&thrown](auto f) {
      try {
        f();
      } catch (const std::runtime_error& e) {
        thrown += std::string(e.what()) == "boom";
      }
    };
    using namespace weft::blocking;
    expect([] { run(fails()); });
    expect([] { wait(fails()); });
    expect([] { all(fails(), gives(1)); });
    expect([] { (void)wait(weft::any(fails(), fails())); });
    expect([] { (void)with_timeout(1h, fails()); });
    expect([] { block_on_io([] { throw std::runtime_error("boom"); }); });
    expect([] { go(fails).join(); });
    expect([] { select(otherwise([] { throw std::runtime_error("boom"); })); });
    expect([] { select(otherwise([]() -> weft::routine<> { co_await fails(); })); });
    if (thrown != 9) throw std::logic_error("an exception vanished");
  });
}

TEST_CASE("a program may be half facade and half coroutine over the same channel", "[api][facade]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{7});
  weft::runtime rt({.workers = workers});
  weft::blocking::channel<long> plain(capacity);
  weft::channel<long> routines = plain;
  REQUIRE(routines == plain);
  weft::blocking::channel<long> again = routines;
  REQUIRE(again == plain);
  STATIC_REQUIRE(sizeof(plain) == sizeof(routines));
  weft::blocking::channel<long> sums(4);
  for (int i = 0; i < 2; ++i) {
    (void)rt.go([routines, sums]() -> weft::routine<> {
      long sum = 0;
      while (auto v = co_await routines.recv()) sum += *v;
      co_await static_cast<const weft::channel<long>&>(sums).send(sum);
    });
    (void)rt.go([plain, sums] {
      long sum = 0;
      for (long v : plain) sum += v;
      sums.send(sum);
    });
  }
  auto sender = rt.go([routines]() -> weft::routine<> {
    for (long i = 1; i <= 500; ++i) co_await routines.send(i);
  });
  for (long i = 501; i <= 1'000; ++i) plain.send(i);
  sender.join();
  plain.close();
  long total = 0;
  for (int i = 0; i < 4; ++i) total += *sums.recv();
  REQUIRE(total == 1'000L * 1'001 / 2);
}

TEST_CASE("a scope that a thread has entered forgets each of its waits when that ends",
          "[api][facade][cancel]") {
  const weft::blocking::channel<int> numbers(1), never;
  // Each wait a little deeper in the stack, which is overwritten afterwards.
  const auto waits = [&](auto& self, int depth) -> int {
    volatile char room[200];
    std::memset(const_cast<char*>(room), 0xff, sizeof room);
    (void)numbers.try_send(depth);
    const int got = *numbers.recv();
    return depth == 0 ? got : got + self(self, depth - 1) + room[depth] + 1;
  };
  int sum = 0;
  bool went_on = false;
  weft::event done;
  weft::blocking::scope([&](weft::task_scope& s) {
    s.go([&]() -> weft::routine<> {
      co_await done.wait();
      s.cancel();
    });
    sum = waits(waits, 50);
    sum += waits(waits, 50);
    done.set();
    (void)never.recv();
    went_on = true;
  });
  REQUIRE(sum == 2 * 1275);
  REQUIRE_FALSE(went_on);
}

TEST_CASE("a thread that is cancelled leaves nothing behind that uses its stack", "[api][facade][cancel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::blocking::channel<std::string> never;
  const auto attempts = [&never] {
    for (int i = 0; i < 20; ++i) {
      std::atomic<int> ended{0};
      std::string mine = "a value too long for the small string buffer", place = mine;
      auto handler = [&ended]() -> weft::routine<> {
        ++ended;
        co_return;
      };
      auto child = [&]() -> weft::routine<> {
        try {
          co_await static_cast<const weft::channel<std::string>&>(never).recv_into(place);
        } catch (const weft::cancelled&) {
          ++ended;
          throw;
        }
      };
      auto body = [&](weft::task_scope& s) -> weft::routine<> {
        s.go(child);
        co_await child();
      };
      using weft::blocking::with_timeout;
      const auto limited = [](auto f) {
        try {
          with_timeout(100us, f);
        } catch (const weft::timeout_error&) {
          return 1;
        }
        return 0;
      };
      int timeouts = 0;
      timeouts += limited([&] {
        weft::blocking::select(weft::on_recv(never, handler), weft::on_send(never, std::move(mine), handler));
      });
      timeouts += limited([&] { weft::blocking::run(child()); });
      timeouts += limited([&] { weft::blocking::all(child(), child()); });
      timeouts += limited([&] { weft::blocking::wait(weft::scope(body)); });
      timeouts += limited([&] { (void)weft::blocking::wait(weft::any(child(), child())); });
      timeouts += limited([&] { weft::blocking::wait(weft::shield(weft::sleep_for(1ms))); }) == 0 ? 1 : 1;
      if (timeouts != 6 || mine != place) throw std::logic_error("a limit did not hold");
    }
  };
  attempts();
  rt.go([&] { attempts(); }).join();
}

TEST_CASE("cancellation reaches the facade's waits in plain callables", "[api][facade][cancel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::blocking::channel<std::string> never;
  weft::event unset;
  weft::mutex held;
  REQUIRE(held.try_lock());
  weft::semaphore none(0);
  weft::wait_group open(1);
  auto endless = rt.go([&]() -> weft::routine<> { co_await unset.wait(); });
  std::string mine = "a value too long for the small string buffer";
  const std::string copy = mine;
  const auto reaches = [&](auto f) {
    weft::event begun;
    auto h = rt.go([&] {
      begun.set();
      f();
    });
    weft::blocking::wait(begun.wait());
    h.cancel();
    REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  };
  using weft::blocking::wait;
  reaches([&] { never.recv(); });
  reaches([&] { never.send(std::move(mine)); });
  reaches([&] { (void)never.recv_for(1h); });
  reaches([&] { (void)never.send_for(std::move(mine), 1h); });
  reaches([&] { weft::blocking::select(weft::on_recv(never), weft::on_event(unset)); });
  reaches([&] { weft::blocking::sleep_for(1h); });
  reaches([&] { endless.join(); });
  reaches([&] { (void)endless.join_for(1h); });
  reaches([&] { wait(unset.wait()); });
  reaches([&] { wait(held.lock()); });
  reaches([&] { wait(none.acquire()); });
  reaches([&] { wait(open.wait()); });
  reaches([&] { weft::blocking::with_timeout(1h, [&] { never.recv(); }); });
  reaches([&] {
    weft::blocking::scope([&](weft::task_scope& s) {
      s.go([&] { never.recv(); });
      never.recv();
    });
  });
  reaches([&] {
    weft::blocking::all(gives(1), [](weft::event& e) -> weft::routine<> { co_await e.wait(); }(unset));
  });
  REQUIRE(mine == copy);
  REQUIRE(endless);
  unset.set();
  endless.join();
  held.unlock();
}

TEST_CASE("a foreign thread is cancelled only inside what it has entered itself", "[api][facade][cancel]") {
  weft::blocking::channel<int> ch(1);
  REQUIRE_THROWS_AS(weft::blocking::scope([&](weft::task_scope& s) {
                      s.cancel();
                      return ch.send(1);
                    }),
                    weft::cancelled);
  REQUIRE(ch.size() == 0);
  REQUIRE(ch.send(1) == weft::send_status::sent);
  REQUIRE_THROWS_AS(weft::blocking::scope([&](weft::task_scope& s) {
                      s.go([] { throw std::runtime_error("boom"); });
                      for (;;) weft::blocking::sleep_for(1h);
                    }),
                    std::runtime_error);
  REQUIRE(ch.recv() == 1);
}

TEST_CASE("a timeout and a value of a facade call leave the value in one place", "[api][facade]") {
  weft::runtime rt({.workers = 2});
  weft::blocking::channel<int> ch;
  auto receiver = rt.go([ch] {
    long sum = 0;
    for (int v : ch) sum += v;
    return sum;
  });
  long sent = 0;
  for (int i = 1; i <= 5'000; ++i) {
    if (ch.send_for(int{i}, std::chrono::nanoseconds(i % 3 * 10'000)) == weft::send_until_status::sent)
      sent += i;
  }
  ch.close();
  REQUIRE(receiver.join() == sent);
}

TEST_CASE("using namespace weft::blocking names nothing twice", "[api][facade]") {
  using namespace weft::blocking;
  weft::runtime rt({.workers = 2});
  weft::channel<int> theirs(1);
  channel<int> ours = theirs;
  weft::channel_sender<int> tx(theirs);
  weft::channel_receiver<int> rx(theirs);
  weft::event e;
  join_handle<int> h = go(gives, 1);
  REQUIRE(select(on_send(theirs, 1), otherwise()) == 0);
  REQUIRE(select(biased, on_recv(ours, [](std::optional<int>) {}), on_timeout(1s)) == 0);
  REQUIRE(select(on_send(tx, 1)) == 0);
  REQUIRE(select(on_recv(rx)) == 0);
  REQUIRE(select(on_event(e), on_deadline(weft::now())) == 1);
  REQUIRE(select(on_join(h), on_recv(ours)) == 0);
  REQUIRE(wait(std::move(h)) == 1);
  sleep_for(std::chrono::microseconds(1));  // house: sleeps because its name is what is tested
  sleep_until(weft::now());                 // house: sleeps because its name is what is tested
  REQUIRE(block_on_io(&::getpid) == ::getpid());
  REQUIRE(run(weft::routine<int>(gives(2))) == 2);
  REQUIRE(std::get<0>(all(gives(1), gives(2))) == 1);
  REQUIRE(scope([](weft::task_scope&) { return 1; }) == 1);
  REQUIRE(with_timeout(1s, theirs.send(1)) == send_status::sent);
  REQUIRE(with_deadline(weft::now() + 1h, theirs.recv()) == 1);
  auto spawned = go(spawn_options{.name = "named"}, gives, 4);
  REQUIRE(spawned.name() == "named");
  REQUIRE(with_timeout(1s, std::move(spawned)) == 4);
  fd_set set;
  FD_ZERO(&set);
  timeval none{};
  REQUIRE(::select(0, &set, nullptr, nullptr, &none) == 0);
}

TEST_CASE("using namespace weft names nothing twice", "[api][facade]") {
  using namespace weft;
  runtime rt({.workers = 2});
  auto body = []() -> routine<int> {
    weft::blocking::channel<int> ours(1);
    channel<int> theirs = ours;
    event e;
    auto h = go(gives, 1);
    int sum = 0;
    sum += co_await select(on_send(ours, 1), otherwise()) == 0;
    sum += co_await select(biased, on_recv(theirs), on_timeout(1s)) == 0;
    sum += co_await select(on_event(e), on_deadline(now())) == 1;
    co_await select(on_join(h));
    sum += co_await std::move(h);
    co_await sleep_for(std::chrono::microseconds(1));
    co_await sleep_until(now());
    sum += co_await block_on_io(&::getpid) == ::getpid();
    auto [a, b] = co_await all(gives(1), gives(2));
    sum += a + b;
    auto inner = [](task_scope&) -> routine<int> { co_return 1; };
    sum += co_await scope(inner);
    sum += co_await with_timeout(1s, gives(1));
    sum += co_await with_deadline(now() + 1h, gives(1));
    sum += co_await shield(gives(1));
    co_await yield();
    co_return sum;
  };
  REQUIRE(rt.go(body).join() == 12);
}

TEST_CASE("a channel<void> of the facade hides every waiting operation", "[api][facade]") {
  weft::blocking::channel<void> signals(1);
  REQUIRE(signals.send() == weft::send_status::sent);
  REQUIRE(signals.send_for(0s) == weft::send_until_status::timed_out);
  REQUIRE(signals.send_until(weft::now()) == weft::send_until_status::timed_out);
  REQUIRE(signals.recv());
  REQUIRE(signals.recv_for(0s).status == weft::recv_status::empty);
  REQUIRE(signals.recv_until(weft::now()).status == weft::recv_status::empty);
  REQUIRE(weft::blocking::select(weft::on_send(signals), weft::otherwise()) == 0);
  bool got = false;
  REQUIRE(weft::blocking::select(weft::on_recv(signals, [&got](bool b) { got = b; })) == 0);
  REQUIRE(got);
  signals.close();
  REQUIRE_FALSE(signals.recv());
}
