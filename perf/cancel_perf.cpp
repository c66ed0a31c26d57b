// cancel: many routines that wait for ever, and are told to end.

#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>

#include <atomic>
#include <cstdint>

#include "harness.hpp"

namespace perf {

namespace {

struct waiting_room {
  weft::channel<std::uint64_t> never;
  std::atomic<std::uint64_t> entered{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> left{0};
};

// A member of what is unwound: cancellation comes as an exception.
class stay {
 public:
  explicit stay(waiting_room& in) : in_(&in) { in_->entered.fetch_add(1, std::memory_order_relaxed); }

  stay(const stay&) = delete;
  stay& operator=(const stay&) = delete;

  ~stay() { in_->left.fetch_add(1, std::memory_order_relaxed); }

 private:
  waiting_room* in_;
};

weft::routine<> wait_for_ever(waiting_room* in) {
  const stay here(*in);
  co_await in->never.recv();
  in->received.fetch_add(1, std::memory_order_relaxed);
}

weft::routine<result> cancel_all(std::uint64_t n) {
  waiting_room room;
  stopwatch clock;
  co_await weft::scope([&](weft::task_scope& s) -> weft::routine<> {
    for (std::uint64_t i = 0; i < n; ++i) s.go(wait_for_ever, &room);
    while (room.entered.load(std::memory_order_relaxed) < n) co_await weft::yield();
    clock = stopwatch();
    s.cancel();
  });
  const double seconds = clock.seconds();
  const bool is_right =
      room.left.load(std::memory_order_relaxed) == n && room.received.load(std::memory_order_relaxed) == 0;
  co_return result{n, seconds, is_right};
}

result cancel(weft::runtime& rt, std::uint64_t n) {
  return rt.go(cancel_all, n).join();
}

constexpr bench list[] = {{"cancel", 100'000, 0, cancel}};

}  // namespace

std::span<const bench> cancel_benches() {
  return list;
}

}  // namespace perf
