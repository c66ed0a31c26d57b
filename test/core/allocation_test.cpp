// What must not allocate does not: operator new and the pool of frames are counted while routines use
// channels.

#include <weft/weft.hpp>

#include <cstdint>

#include "core/own_new.hpp"
#include "sched/frame_pool.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

namespace {

using weft::sched::read_frame_stats;

struct counts {
  std::uint64_t news = 0;    // operator new
  std::uint64_t blocks = 0;  // of the pool of frames

  static counts now() { return {weft::test::news_so_far(), read_frame_stats().blocks}; }
};

constexpr int rounds = 1000;

weft::routine<> echo(weft::channel<int> in, weft::channel<int> out) {
  while (auto v = co_await in.recv()) co_await out.send(*v);
}

/// Sends and receives that wait, that do not, and selects of both kinds.
weft::routine<> use(weft::channel<int>& in, weft::channel<int>& out, weft::channel<int>& wide) {
  for (int i = 0; i < rounds; ++i) {
    co_await in.send(i);
    co_await out.recv();
    co_await wide.send(i);
    while (wide.try_send(i) == weft::try_send_status::sent) continue;
    while (wide.try_recv().status == weft::recv_status::received) continue;
    co_await in.send(i);
    co_await weft::select(weft::on_recv(wide, [](auto) {}), weft::on_recv(out, [](auto) {}));
  }
}

/// What the second time allocates: the first sets up queues, caches and reservations.
weft::routine<counts> of_second_time(weft::channel<int> in, weft::channel<int> out, weft::channel<int> wide) {
  co_await use(in, out, wide);
  const counts before = counts::now();
  co_await use(in, out, wide);
  const counts after = counts::now();
  co_return counts{after.news - before.news, after.blocks - before.blocks};
}

}  // namespace

TEST_CASE("sends, receives and selects allocate nothing, whether they wait or not", "[core][allocation]") {
  for (const unsigned workers : {1U, 2U}) {
    weft::runtime rt({.workers = workers});
    weft::channel<int> in, out;
    weft::channel<int> wide(64);
    auto answers = rt.go(echo, in, out);
    const counts found = rt.go(of_second_time, in, out, wide).join();
    in.close();
    answers.join();
    CAPTURE(workers);
    REQUIRE(found.blocks == 0);
#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN  // there each frame is a block of its own
    REQUIRE(found.news == 0);
#endif
  }
}
