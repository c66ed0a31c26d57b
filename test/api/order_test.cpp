// Several that one call wakes go on in the order in which they began to wait.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <vector>

#include "support/catch.hpp"

namespace {

constexpr int many = 20;

struct log {
  std::vector<int> waited, went_on;
};

/// Waits by `wait()`, and writes down when.
template <typename Wait>
weft::routine<> waiter(int me, log* seen, weft::semaphore* begun, Wait wait) {
  seen->waited.push_back(me);
  begun->release();
  co_await wait();
  seen->went_on.push_back(me);
}

weft::routine<> nothing() {
  co_return;
}

/// One worker: `wake` is called when all wait, by a routine or by this thread.  True if they went on in
/// order.
template <typename Wait, typename Wake>
bool in_order(bool by_a_routine, Wait wait, Wake wake) {
  log seen;
  weft::semaphore begun(0);
  weft::runtime rt({.workers = 1});
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < many; ++i) all.push_back(rt.go(waiter<Wait>, i, &seen, &begun, wait));
  for (int i = 0; i < many; ++i) weft::blocking::wait(begun.acquire());
  rt.go(nothing).join();  // the last has parked
  if (by_a_routine) {
    rt.go([&wake]() -> weft::routine<> {
        wake();
        co_return;
      }).join();
  } else {
    wake();
  }
  for (auto& h : all) h.join();
  return seen.waited.size() == many && seen.went_on == seen.waited;
}

}  // namespace

TEST_CASE("several that one call wakes go on in the order in which they began to wait", "[api][sync]") {
  const bool by_a_routine = GENERATE(true, false);
  weft::event happened;
  REQUIRE(in_order(
      by_a_routine, [&] { return happened.wait(); }, [&] { happened.set(); }));
  weft::semaphore permits(0);
  REQUIRE(in_order(
      by_a_routine, [&] { return permits.acquire(); }, [&] { permits.release(many); }));
  weft::wait_group all_done(1);
  REQUIRE(in_order(
      by_a_routine, [&] { return all_done.wait(); }, [&] { all_done.done(); }));
  const weft::channel<int> closes;
  REQUIRE(in_order(
      by_a_routine, [&] { return closes.recv(); }, [&] { closes.close(); }));
  const weft::channel<int> full(0);
  REQUIRE(in_order(
      by_a_routine, [&] { return full.send(1); }, [&] { full.close(); }));
}
