// Out of memory, out of threads: the operation fails with its own error, nothing leaks, the runtime lives on.
// Each operation is tried with the first allocation failing, then the second, and so on until it succeeds.

#include <weft/all_range.hpp>
#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "core/own_new.hpp"
#include "core/park.hpp"
#include "os/port.hpp"
#include "sched/frame_pool.hpp"
#include "support/catch.hpp"
#include "support/living_routines.hpp"
#include "support/sanitizers.hpp"

// clang links an operator new of its own into a program under tsan; it cannot be replaced.
#if defined(__clang__) && WEFT_TEST_TSAN
#define WEFT_TEST_FIXED_NEW 1
#endif

using namespace std::chrono_literals;

namespace {

#ifdef WEFT_TEST_FIXED_NEW
constexpr bool news_can_fail = false;
#else
constexpr bool news_can_fail = true;
#endif

std::atomic<long> news_before_failure{-1};
std::atomic<std::uint64_t> news{0};

/// As sched::fail_frame_after(), for operator new.
void fail_new_after(long k) {
  news_before_failure.store(k);
}

[[maybe_unused]] void* allocate(std::size_t bytes, std::size_t align) noexcept {
  news.fetch_add(1, std::memory_order_relaxed);
  long left = news_before_failure.load();
  while (left >= 0 && !news_before_failure.compare_exchange_weak(left, left - 1)) {
  }
  if (left == 0) return nullptr;
  return align <= 16 ? std::malloc(bytes)
                     : std::aligned_alloc(align, (bytes + align - 1) / align * align);  // NOLINT
}

[[maybe_unused]] void* allocate_or_throw(std::size_t bytes, std::size_t align) {
  void* p = allocate(bytes == 0 ? 1 : bytes, align);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

std::uint64_t weft::test::news_so_far() noexcept {
  return news.load();
}

#ifndef WEFT_TEST_FIXED_NEW
// NOLINTBEGIN
void* operator new(std::size_t n) {
  return allocate_or_throw(n, 16);
}

void* operator new[](std::size_t n) {
  return allocate_or_throw(n, 16);
}

void* operator new(std::size_t n, std::align_val_t a) {
  return allocate_or_throw(n, static_cast<std::size_t>(a));
}

void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return allocate(n, 16);
}

void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, static_cast<std::size_t>(a));
}

void operator delete(void* p) noexcept {
  std::free(p);
}

void operator delete[](void* p) noexcept {
  std::free(p);
}

void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}

void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}

void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

// NOLINTEND
#endif

namespace {

// --- the operations ---

weft::routine<int> value(int n) {
  co_await weft::yield();
  co_return n;
}

weft::routine<> go_a_coroutine() {
  auto h = weft::go(value, 1);
  (void)co_await std::move(h);
}

weft::routine<> go_with_captures_and_a_name() {
  std::vector<int> kept(100, 1);
  auto body = [kept]() -> weft::routine<int> {
    co_await weft::yield();
    co_return kept[99];
  };
  auto h = weft::go(weft::spawn_options{.name = "named"}, body);
  (void)co_await std::move(h);
}

weft::routine<> go_a_plain_callable() {
  auto h = weft::go([] { return 1; });
  (void)co_await std::move(h);
}

weft::routine<> await_children() {
  for (int i = 0; i < 3; ++i) (void)co_await value(i);
}

weft::routine<> all_of_three() {
  (void)co_await weft::all(value(1), value(2), value(3));
}

weft::routine<> nested(int deep) {
  if (deep != 0) (void)co_await weft::all(nested(deep - 1), value(deep));
}

/// More groups at a time than a worker has room for at first.
weft::routine<> all_nested() {
  co_await nested(100);
}

weft::routine<> all_of_a_range() {
  std::vector<weft::routine<int>> many;
  for (int i = 0; i < 8; ++i) many.push_back(value(i));
  (void)co_await weft::all(std::move(many));
}

weft::routine<> any_of_three() {
  (void)co_await weft::any(value(1), value(2), value(3));
}

weft::routine<> a_scope() {
  auto body = [](weft::task_scope& s) -> weft::routine<> {
    for (int i = 0; i < 3; ++i) s.go(value, i);
    co_await weft::yield();
  };
  co_await weft::scope(body);
}

weft::routine<> make_channels() {
  weft::channel<int> rendezvous, bounded(100);
  auto unbounded = weft::channel<int>::unbounded();
  for (int i = 0; i < 1'000; ++i) co_await unbounded.send(i);
  co_await bounded.send(1);
  (void)co_await bounded.recv();
}

weft::routine<> select_with_many_cases() {
  weft::channel<int> a, b, c, d, e, f, g, h(1);
  using weft::on_recv;
  co_await weft::select(on_recv(a), on_recv(b), on_recv(c), on_recv(d), on_recv(e), on_recv(f), on_recv(g),
                        weft::on_timeout(1ms), weft::on_send(h, 1));
  co_await weft::select(on_recv(a), on_recv(b), on_recv(c), on_recv(d), on_recv(e), weft::on_timeout(1ms));
}

weft::routine<> a_selector() {
  weft::channel<int> ch(1);
  weft::selector s;
  for (int i = 0; i < 20; ++i) s.add(weft::on_recv(ch));
  co_await ch.send(1);
  (void)co_await s.wait();
}

weft::routine<> time_limits() {
  weft::channel<int> never;
  (void)co_await never.recv_for(1ms);
  try {
    co_await weft::with_timeout(1ms, never.recv());
  } catch (const weft::timeout_error&) {
  }
}

weft::routine<> call_on_the_pool() {
  auto call = [] {};
  co_await weft::block_on_io(call);
}

/// The case has happened when its handler finds no memory: the failure is told and nothing is left.
weft::routine<> select_with_a_coroutine_handler() {
  weft::channel<std::unique_ptr<int>> in(1), out(1);
  (void)in.try_send(std::make_unique<int>(1));
  auto pass_on = [out](std::optional<std::unique_ptr<int>> v) -> weft::routine<bool> {
    co_await weft::yield();
    co_return co_await out.send(*std::move(v)) == weft::send_status::sent;
  };
  co_await weft::select(weft::on_recv(in, pass_on), weft::on_timeout(1h));
  if (in.size() != 0 || out.size() != 1)
    throw std::logic_error("it ended well and the value has not arrived");
}

weft::routine<> the_ends_of_a_channel() {
  auto [tx, rx] = weft::make_channel<std::unique_ptr<int>>(4);
  auto value = std::make_unique<int>(1);
  co_await tx.send(std::move(value));
  (void)co_await rx.recv();
}

weft::routine<> timers_of_every_kind() {
  auto soon = weft::after(1us), late = weft::after(1h);
  co_await soon.wait();
  co_await weft::sleep_for(1us);
  weft::ticker t(1us);
  (void)co_await t.tick();
  co_await weft::select(weft::on_event(late), weft::on_timeout(1us));
  co_await weft::shield(weft::with_deadline(weft::now() + 1h, weft::sleep_for(1us)));
}

weft::routine<> one_that_waits_for_another() {
  weft::mutex m;
  weft::semaphore s(0);
  weft::event e;
  weft::wait_group g(1);
  auto body = [&](weft::task_scope& scope) -> weft::routine<> {
    scope.go([&]() -> weft::routine<> {
      auto mine = co_await m.scoped();
      e.set();
    });
    scope.go([&]() -> weft::routine<> {
      co_await e.wait();
      s.release();
      g.done();
    });
    co_await s.acquire();
    co_await g.wait();
  };
  co_await weft::scope(body);
}

weft::routine<> the_facade() {
  const weft::blocking::channel<int> ch(1);
  ch.send(1);
  ch.recv();
  weft::blocking::select(weft::on_recv(ch), weft::on_timeout(1us));
  weft::blocking::run(value(1));
  weft::blocking::all(value(1), value(2));
  weft::blocking::scope([](weft::task_scope& s) { s.go(value, 1); });
  (void)weft::blocking::with_timeout(1h, value(2));
  weft::blocking::block_on_io([] {});
  weft::go(value, 1).join();
  co_return;
}

using operation = weft::routine<> (*)();

// --- trying them ---

enum class ended { well, out_of_memory, otherwise };

weft::routine<ended> attempt(operation op, void (*fail_after)(long), long k) {
  ended how = ended::well;
  fail_after(k);
  try {
    co_await op();
  } catch (const std::bad_alloc&) {
    how = ended::out_of_memory;
  } catch (const std::length_error&) {  // a bounded channel's: the capacity cannot be had
    how = ended::out_of_memory;
  } catch (...) {
    how = ended::otherwise;
  }
  fail_after(-1);
  co_return how;
}

/// By name: a sanitizer may have a thread of its own.
std::size_t threads_of_runtimes() {
  std::size_t n = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* task = ::readdir(tasks)) {
    char path[300];
    std::snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    char name[5] = {};
    if (::read(file, name, sizeof name) == sizeof name && std::memcmp(name, "weft-", sizeof name) == 0) ++n;
    ::close(file);
  }
  ::closedir(tasks);
  return n;
}

/// More allocations than any of the operations makes; in sanitizer builds each frame is one.
constexpr long most_failures = 1'000;

/// Gives how often it failed before it succeeded.
long fails_cleanly(operation op, void (*fail_after)(long)) {
  long failures = 0;
  {
    weft::runtime rt({.workers = 2});
    for (long k = 0; k < most_failures; ++k) {
      const ended how = rt.go(attempt(op, fail_after, k)).join();
      CHECK(how != ended::otherwise);
      CHECK(rt.go(value(3)).join() == 3);  // it lives on
      if (how == ended::well) {
        rt.stop();
        CHECK(rt.stats().live == 0);
        break;
      }
      ++failures;
    }
    CHECK(failures < most_failures);
  }
  CHECK(weft::test::living_routines() == 0);
  CHECK(weft::sched::read_frame_stats().listed == 0);
  return failures;
}

}  // namespace

TEST_CASE("without memory for a frame each operation fails with bad_alloc and the runtime lives on",
          "[core][failure]") {
  const auto fails = [](operation op) { return fails_cleanly(op, &weft::sched::fail_frame_after); };
  CHECK(fails(go_a_coroutine) >= 1);
  CHECK(fails(go_with_captures_and_a_name) >= 1);
  CHECK(fails(go_a_plain_callable) >= 1);
  CHECK(fails(await_children) >= 1);
  CHECK(fails(all_of_three) >= 3);
  CHECK(fails(all_of_a_range) >= 8);
  CHECK(fails(any_of_three) >= 3);
  CHECK(fails(a_scope) >= 4);
  CHECK(fails(select_with_a_coroutine_handler) >= 3);
  CHECK(fails(one_that_waits_for_another) >= 3);
  CHECK(fails(timers_of_every_kind) >= 1);
  CHECK(fails(the_facade) >= 6);
}

TEST_CASE("without memory from operator new each operation fails with bad_alloc and the runtime lives on",
          "[core][failure]") {
  if (!news_can_fail) {
    WARN("not tested in this build: its operator new cannot be replaced");
    return;
  }
  const auto fails = [](operation op) { return fails_cleanly(op, &fail_new_after); };
  CHECK(fails(make_channels) >= 3);
  CHECK(fails(select_with_many_cases) >= 8);
  CHECK(fails(a_selector) >= 2);
  CHECK(fails(go_with_captures_and_a_name) >= 1);
  (void)fails(go_a_coroutine);
  (void)fails(go_a_plain_callable);
  (void)fails(all_of_three);
  (void)fails(all_nested);
  CHECK(fails(all_of_a_range) >= 1);
  (void)fails(any_of_three);
  (void)fails(a_scope);
  (void)fails(time_limits);
  (void)fails(call_on_the_pool);
  CHECK(fails(the_ends_of_a_channel) >= 2);
  (void)fails(timers_of_every_kind);
  (void)fails(one_that_waits_for_another);
  (void)fails(the_facade);
}

TEST_CASE("a runtime that cannot have all its threads throws and leaves nothing behind", "[core][failure]") {
  for (int k = 0; k < 5; ++k) {  // four workers and the monitor
    weft::os::fail_thread_start_after(k);
    REQUIRE_THROWS_AS(weft::runtime({.workers = 4}), std::system_error);
    while (threads_of_runtimes() != 0) ::sched_yield();  // the kernel forgets a joined thread a little later
  }
  weft::os::fail_thread_start_after(-1);
  for (long k = 0; k < 200 && news_can_fail; ++k) {
    fail_new_after(k);
    bool failed = false;
    try {
      weft::runtime rt({.workers = 4});
      fail_new_after(-1);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    fail_new_after(-1);
    while (threads_of_runtimes() != 0) ::sched_yield();  // the kernel forgets a joined thread a little later
    if (!failed) {
      REQUIRE(k > 4);
      break;
    }
  }
  weft::runtime rt({.workers = 4});
  REQUIRE(rt.go(value(3)).join() == 3);
}

TEST_CASE("a wait whose timer cannot be had leaves nothing behind", "[core][failure]") {
  if (!news_can_fail) return;
  // Each round holds one timer more, until the next would need memory that is not there.
  const auto body = []() -> weft::routine<int> {
    const weft::channel<int> empty, full, either, never;
    const auto receive = [&]() -> weft::routine<> { (void)co_await empty.recv_for(1us); };
    const auto send = [&]() -> weft::routine<> { (void)co_await full.send_for(1, 1us); };
    const auto select = [&]() -> weft::routine<> {
      (void)co_await weft::select(weft::on_recv(either), weft::on_recv(never), weft::on_timeout(1us));
    };
    std::vector<weft::join_handle<>> sleepers;
    int refused = 0;
    while (refused == 0 && sleepers.size() < 5'000) {
      for (int which = 0; which < 3; ++which) {
        auto once = which == 0 ? receive() : which == 1 ? send() : select();
        fail_new_after(0);
        try {
          co_await std::move(once);
        } catch (const std::bad_alloc&) {
          ++refused;
        }
        fail_new_after(-1);
      }
      sleepers.push_back(weft::go([]() -> weft::routine<> { co_await weft::sleep_for(1h); }));
      co_await weft::yield();
    }
    // The same waits again, and then nobody is there any more.
    co_await receive();
    co_await send();
    co_await select();
    if (empty.try_send(1) != weft::try_send_status::full || full.try_recv()) refused = -1;
    if (either.try_send(1) != weft::try_send_status::full) refused = -1;
    for (auto& h : sleepers) h.cancel();
    co_return refused;
  };
  weft::runtime rt({.workers = 1});
  REQUIRE(rt.go(body).join() == 3);
}
