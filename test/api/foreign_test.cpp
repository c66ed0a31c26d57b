// Coroutines of other libraries await weft, and weft's routines await theirs.

#include <weft/all_range.hpp>
#include <weft/blocking.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <coroutine>
#include <exception>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

/// A task type as many programs have one: eager, its await_transform filters nothing, its end is a
/// std::future.
template <typename T>
class task {
 public:
  struct promise_type {
    std::promise<T> result;

    task get_return_object() { return task(result.get_future()); }

    std::suspend_never initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    template <typename A>
    A&& await_transform(A&& awaited) const noexcept {
      return static_cast<A&&>(awaited);
    }

    void return_value(T value) { result.set_value(std::move(value)); }

    void unhandled_exception() { result.set_exception(std::current_exception()); }
  };

  T get() { return result_.get(); }

 private:
  explicit task(std::future<T> result) : result_(std::move(result)) {}

  std::future<T> result_;
};

long thread_number() {
  return ::syscall(SYS_gettid);
}

weft::routine<int> gives(int n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<int> fails() {
  co_await weft::yield();
  throw std::runtime_error("boom");
}

task<int> every_operation() {
  int good = 0;
  weft::channel<std::string> ch(2);
  good += co_await ch.send("a") == weft::send_status::sent;
  good += *co_await ch.recv() == "a";
  std::string place;
  co_await ch.send("b");
  good += co_await ch.recv_into(place) && place == "b";
  good += (co_await ch.recv_for(1ms)).status == weft::recv_status::empty;
  good += co_await ch.send_for(std::string("c"), 1h) == weft::send_until_status::sent;
  good += co_await weft::select(weft::on_recv(ch), weft::on_timeout(1h)) == 0;
  good += co_await weft::select(weft::on_recv(ch), weft::on_timeout(1ms)) == 1;
  auto handler = []() -> weft::routine<> { co_await weft::yield(); };
  good += co_await weft::select(weft::on_recv(ch), weft::otherwise(handler)) == 1;
  co_await weft::sleep_for(1ms);
  co_await weft::sleep_for(-1s);
  co_await weft::yield();
  good += co_await gives(1) == 1;
  auto h = weft::go(gives, 2);
  good += co_await std::move(h) == 2;
  auto [a, b] = co_await weft::all(gives(3), gives(4));
  good += a + b == 7;
  std::vector<weft::routine<int>> many;
  many.push_back(gives(5));
  good += (co_await weft::all(many)).at(0) == 5;
  auto first = co_await weft::any(gives(6), gives(6));
  good += first.value == 6;
  auto body = [](weft::task_scope& s) -> weft::routine<int> {
    s.go(gives, 1);
    co_return 8;
  };
  good += co_await weft::scope(body) == 8;
  good += co_await weft::with_timeout(1h, gives(9)) == 9;
  good += co_await weft::shield(gives(10)) == 10;
  auto call = [](int n) { return n; };
  good += co_await weft::block_on_io(call, 11) == 11;
  weft::event e;
  auto sets = weft::go([&e] { e.set(); });
  co_await e.wait();
  co_await std::move(sets);
  weft::mutex m;
  co_await m.lock();
  m.unlock();
  weft::semaphore s(1);
  co_await s.acquire();
  weft::wait_group none;
  co_await none.wait();
  weft::ticker t(1us);
  (void)co_await t.tick();
  co_return good;
}

task<int> catches() {
  int caught = 0;
  try {
    co_await fails();
  } catch (const std::runtime_error&) {
    ++caught;
  }
  try {
    auto h = weft::go(fails);
    co_await std::move(h);
  } catch (const std::runtime_error&) {
    ++caught;
  }
  try {
    co_await weft::all(fails(), gives(1));
  } catch (const std::runtime_error&) {
    ++caught;
  }
  try {
    weft::event never;
    co_await weft::with_timeout(1ms, never.wait());
  } catch (const weft::timeout_error&) {
    ++caught;
  }
  co_return caught;
}

task<bool> hops(weft::runtime& rt) {
  const long before = thread_number();
  co_await rt.schedule();
  const long after = thread_number();
  co_await weft::schedule_on(rt);
  co_return before != after;
}

task<long> receives(weft::channel<int> from) {
  long sum = 0;
  while (auto v = co_await from.recv()) sum += *v;
  co_return sum;
}

using handles = weft::blocking::channel<std::coroutine_handle<>>;

/// Resumes on the thread that receives the handle.
struct elsewhere {
  handles to;
  int value;

  elsewhere(const handles& t, int v) noexcept : to(t), value(v) {}

  bool await_ready() const noexcept { return false; }

  void await_suspend(std::coroutine_handle<> h) const {
    const handles own = to;  // the awaiter may be gone before this returns
    (void)own.try_send(std::coroutine_handle<>(h));
  }

  int await_resume() const noexcept { return value; }
};

enum class way { ready, resumed_inline, bool_false, bool_true, own_handle, noop_later, throws };

struct odd_base {
  way how;

  explicit odd_base(way w) noexcept : how(w) {}

  bool await_ready() const noexcept { return how == way::ready; }

  int await_resume() const noexcept { return 1; }
};

struct odd_void : odd_base {
  using odd_base::odd_base;

  void await_suspend(std::coroutine_handle<> h) const {
    if (how == way::throws) throw std::runtime_error("boom");
    h.resume();
  }
};

struct odd_bool : odd_base {
  using odd_base::odd_base;

  bool await_suspend(std::coroutine_handle<> h) const {
    if (how == way::throws) throw std::runtime_error("boom");
    if (how == way::bool_false) return false;
    h.resume();
    return true;
  }
};

struct odd_handle : odd_base {
  using odd_base::odd_base;

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) const {
    if (how == way::throws) throw std::runtime_error("boom");
    if (how == way::own_handle) return h;
    h.resume();
    return std::noop_coroutine();
  }
};

struct by_member {
  odd_bool operator co_await() const noexcept { return odd_bool(way::bool_true); }
};

struct by_function {};

odd_handle operator co_await(by_function) noexcept {
  return odd_handle(way::own_handle);
}

}  // namespace

TEST_CASE("a coroutine of a foreign type awaits every operation of weft", "[api][foreign]") {
  REQUIRE(every_operation().get() == 17);
  weft::runtime rt({.workers = 2});
  REQUIRE(rt.go([] { return every_operation(); }).join().get() == 17);
}

TEST_CASE("exceptions reach a coroutine of a foreign type", "[api][foreign]") {
  REQUIRE(catches().get() == 4);
}

TEST_CASE("a coroutine of a foreign type hops onto a runtime's workers", "[api][foreign]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  REQUIRE(hops(rt).get());
  std::promise<long> where;

  struct resumes {
    std::promise<long>* to;
    weft::runtime* rt;

    resumes(std::promise<long>& p, weft::runtime& r) noexcept : to(&p), rt(&r) {}

    bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> h) const { rt->post(h); }

    void await_resume() const { to->set_value(thread_number()); }
  };

  const auto posted = [](std::promise<long>& p, weft::runtime& r) -> task<int> {
    co_await resumes(p, r);
    co_return 1;
  };
  auto t = posted(where, rt);
  REQUIRE(where.get_future().get() != thread_number());
  REQUIRE(t.get() == 1);
}

TEST_CASE("routines and threads and foreign coroutines share one channel", "[api][foreign]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{5});
  weft::runtime rt({.workers = workers});
  weft::channel<int> ch(capacity);
  auto one = receives(ch), two = receives(ch);
  auto third = rt.go([ch]() -> weft::routine<long> {
    long sum = 0;
    while (auto v = co_await ch.recv()) sum += *v;
    co_return sum;
  });
  weft::blocking::channel<int> plain(ch);
  for (int i = 1; i <= 2'000; ++i) plain.send(i);
  ch.close();
  REQUIRE(one.get() + two.get() + third.join() == 2'000L * 2'001 / 2);
}

TEST_CASE("a routine that awaits something foreign goes on on its own workers", "[api][foreign]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  handles suspended(1);
  std::atomic<long> number{0};
  std::thread other([&] {
    number = thread_number();
    for (const auto h : suspended) h.resume();
  });
  for (int i = 0; i < 100; ++i) {
    auto h = rt.go([&, i]() -> weft::routine<bool> {
      elsewhere op(suspended, i);
      const int got = co_await op;
      co_return got == i&& thread_number() != number&& weft::this_routine::id() != 0;
    });
    REQUIRE(h.join());
  }
  suspended.close();
  other.join();
}

TEST_CASE("a routine awaits foreign awaitables of every form", "[api][foreign]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  auto h = rt.go([]() -> weft::routine<int> {
    int sum = 0;
    for (int i = 0; i < 200; ++i) {
      sum += co_await odd_void(way::ready);
      sum += co_await odd_void(way::resumed_inline);
      sum += co_await odd_bool(way::bool_false);
      sum += co_await odd_bool(way::bool_true);
      sum += co_await odd_handle(way::own_handle);
      sum += co_await odd_handle(way::noop_later);
      sum += co_await by_member();
      sum += co_await by_function();
      co_await std::suspend_never();
    }
    int thrown = 0;
    try {
      co_await odd_void(way::throws);
    } catch (const std::runtime_error&) {
      ++thrown;
    }
    try {
      co_await odd_bool(way::throws);
    } catch (const std::runtime_error&) {
      ++thrown;
    }
    try {
      co_await odd_handle(way::throws);
    } catch (const std::runtime_error&) {
      ++thrown;
    }
    co_return sum + thrown;
  });
  REQUIRE(h.join() == 1'603);
}

TEST_CASE("cancellation does not reach a foreign awaitable and is thrown at the next wait",
          "[api][foreign][cancel]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});

  struct later {
    std::coroutine_handle<>* kept;
    weft::event* parked;

    later(std::coroutine_handle<>& k, weft::event& e) noexcept : kept(&k), parked(&e) {}

    bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> h) const {
      weft::event& told = *parked;
      *kept = h;
      told.set();
    }

    void await_resume() const noexcept {}
  };

  std::coroutine_handle<> resume_me;
  weft::event parked;
  bool came_back = false, went_on = false;
  auto h = rt.go([&]() -> weft::routine<> {
    co_await later(resume_me, parked);
    came_back = true;
    co_await weft::yield();
    went_on = true;
  });
  weft::blocking::wait(parked.wait());
  h.cancel();
  REQUIRE_FALSE(h.join_for(1ms));
  resume_me.resume();
  REQUIRE_THROWS_AS(h.join(), weft::routine_cancelled);
  REQUIRE(came_back);
  REQUIRE_FALSE(went_on);
}

namespace {

/// Lazy, and starts by symmetric transfer on the awaiting routine's worker.
struct lazy {
  struct promise_type {
    std::coroutine_handle<> awaits;
    int value = 0;

    lazy get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    struct back {
      bool await_ready() const noexcept { return false; }

      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
        return h.promise().awaits;
      }

      void await_resume() const noexcept {}
    };

    back final_suspend() const noexcept { return {}; }

    void return_value(int v) { value = v; }

    void unhandled_exception() { std::terminate(); }
  };

  std::coroutine_handle<promise_type> frame;

  bool await_ready() const noexcept { return false; }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) const noexcept {
    frame.promise().awaits = h;
    return frame;
  }

  int await_resume() const {
    const int v = frame.promise().value;
    frame.destroy();
    return v;
  }
};

lazy blocks_its_thread(weft::channel<int> from) {
  auto h = weft::go(gives, 1);
  const int joined = h.join();
  const auto received = weft::blocking::wait(from.recv());
  const auto nothing = weft::blocking::wait(from.recv_for(1us));
  co_return joined + received.value_or(0) + static_cast<int>(nothing.status == weft::recv_status::empty);
}

/// Its await_suspend() hands the coroutine over through a facade call.
struct handed_over {
  weft::channel<std::coroutine_handle<>> to;

  bool await_ready() const noexcept { return false; }

  void await_suspend(std::coroutine_handle<> h) const { (void)weft::blocking::wait(to.send(h)); }

  void await_resume() const noexcept {}
};

}  // namespace

TEST_CASE("foreign code that a routine awaits may block its thread", "[api][foreign]") {
  const unsigned workers = GENERATE(1U, 2U, 16U);
  weft::runtime rt({.workers = workers});
  weft::channel<int> numbers;
  auto sends = rt.go([=]() -> weft::routine<> { co_await numbers.send(40); });
  auto awaits = rt.go([=]() -> weft::routine<int> { co_return co_await blocks_its_thread(numbers); });
  REQUIRE(awaits.join() == 42);
  sends.join();
  weft::channel<std::coroutine_handle<>> handles;
  auto resumes = rt.go([=] { weft::blocking::wait(handles.recv())->resume(); });
  auto waits = rt.go([=]() -> weft::routine<> {
    const handed_over over{handles};
    co_await over;
  });
  waits.join();
  resumes.join();
}

TEST_CASE("a time limit that foreign code enters on a worker is its own runtime's", "[api][foreign]") {
  weft::runtime rt({.workers = 2});
  const auto enters = [](weft::runtime& on) -> task<int> {
    co_await on.schedule();
    weft::blocking::with_timeout(1ms, [] {
      weft::blocking::scope([](weft::task_scope& s) {
        s.go([]() -> weft::routine<> {
          weft::event never;
          co_await never.wait();
        });
      });
    });
    co_return 1;
  };
  REQUIRE_THROWS_AS(enters(rt).get(), weft::timeout_error);
  rt.stop();
  REQUIRE(rt.stats().spawned == 1);
  REQUIRE(rt.stats().finished == 1);
}
