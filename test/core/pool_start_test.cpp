// While a thread of the blocking pool is being started, which may take long or fail.

#include <weft/stats.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include <sched.h>

#include "os/port.hpp"
#include "support/catch.hpp"

namespace {

using weft::os::nanos;

/// The real port; threads of the pool start when they are let, or do not.  The threads of a runtime that is
/// made under it inherit it.
class slow_port final : public weft::os::port {
 public:
  slow_port() { weft::os::set_current_port(this); }

  ~slow_port() override { weft::os::set_current_port(nullptr); }

  void await_start() const {
    while (!starting_) ::sched_yield();
  }

  void let_start(bool succeed) {
    succeeds_ = succeed;
    may_end_ = true;
  }

  /// When this thread sleeps and nothing lives in `rt`: it waits for the end of the pool.
  void refuse_when_closing(const weft::runtime& rt) {
    closer_ = weft::os::thread_number();
    closing_ = &rt;
  }

  nanos now() noexcept override { return real().now(); }

  std::uint64_t random() noexcept override { return real().random(); }

  bool simulated() const noexcept override { return false; }

  bool wait(const std::uint32_t& word, std::uint32_t expected, nanos deadline) noexcept override {
    const weft::runtime* const closing = closing_;
    if (closing != nullptr && weft::os::thread_number() == closer_ && closing->stats().live == 0)
      let_start(false);
    return real().wait(word, expected, deadline);
  }

  void wake(const std::uint32_t& word, int count) noexcept override { real().wake(word, count); }

  weft::os::thread_id start(weft::os::thread_entry entry, void* argument, const char* name) override {
    if (std::string_view(name).ends_with("-io")) {
      starting_ = true;
      while (!may_end_) ::sched_yield();
      if (!succeeds_) weft::os::refuse_thread(EAGAIN);
    }
    return real().start(entry, argument, name);
  }

  void join(weft::os::thread_id thread) noexcept override { real().join(thread); }

 private:
  static port& real() noexcept { return weft::os::real_port(); }

  std::atomic<bool> starting_{false}, may_end_{false}, succeeds_{true};
  std::atomic<int> closer_{0};
  std::atomic<const weft::runtime*> closing_{nullptr};
};

weft::routine<int> calls() {
  auto call = [] { return 7; };
  co_return co_await weft::block_on_io(call);
}

}  // namespace

TEST_CASE("while a thread of the pool is being started nobody waits for the pool", "[core][failure]") {
  slow_port port;
  weft::runtime rt({.workers = 2, .max_blocking_threads = 1});
  auto called = rt.go(calls);
  port.await_start();
  REQUIRE(rt.stats().blocking_queued == 1);
  auto cancelled = rt.go(calls);
  cancelled.cancel();
  REQUIRE_THROWS_AS(cancelled.join(), weft::routine_cancelled);
  port.let_start(true);
  REQUIRE(called.join() == 7);
}

TEST_CASE("a stop ends though a thread of the pool cannot be started meanwhile", "[core][failure]") {
  slow_port port;
  weft::runtime rt({.workers = 2});
  auto called = rt.go(calls);
  port.await_start();
  port.refuse_when_closing(rt);
  rt.stop();
  REQUIRE_THROWS_AS(called.join(), weft::routine_cancelled);
  REQUIRE(rt.stats().blocking_threads == 0);
}
