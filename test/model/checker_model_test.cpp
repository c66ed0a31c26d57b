// The checker itself, on programs whose outcome C++20 fixes.

#include <functional>
#include <memory>

#include "model/model_test.hpp"

#if WEFT_TEST_ASAN || WEFT_TEST_TSAN

TEST_CASE("the model checks are skipped: sanitizers do not follow fibers", "[model]") {
  WARN("model checks skipped in this build");
}

#else

namespace {

namespace model = weft::model;

/// `write` and `read` are the orders of the flag.
model::program message_passing(std::memory_order write, std::memory_order read) {
  struct world {
    model::atomic<int> data{0};
    model::atomic<int> flag{0};
  };

  auto all = std::make_shared<world>();
  const auto writer = [=] {
    all->data.store(1, std::memory_order_relaxed);
    all->flag.store(1, write);
  };
  const auto reader = [=] {
    if (all->flag.load(read) == 1) model::check(all->data.load(std::memory_order_relaxed) == 1, "stale data");
  };
  return {{writer, reader}, {}};
}

/// The reader's seq_cst load of another atomic is no reason to see the data.
model::program unrelated_seq_cst() {
  struct world {
    model::atomic<int> data{0};
    model::atomic<int> flag{0};
    model::atomic<int> unrelated{0};
  };

  auto all = std::make_shared<world>();
  const auto writer = [=] {
    all->data.store(1, std::memory_order_relaxed);
    all->flag.store(1, std::memory_order_seq_cst);
  };
  const auto reader = [=] {
    if (all->flag.load(std::memory_order_relaxed) == 0) return;
    (void)all->unrelated.load(std::memory_order_seq_cst);
    model::check(all->data.load(std::memory_order_relaxed) == 1, "stale data");
  };
  return {{writer, reader}, {}};
}

model::program store_buffering(std::memory_order write, std::memory_order read) {
  struct world {
    model::atomic<int> x{0};
    model::atomic<int> y{0};
    int saw_x = 0;
    int saw_y = 0;
  };

  auto all = std::make_shared<world>();
  const auto left = [=] {
    all->x.store(1, write);
    all->saw_y = all->y.load(read);
  };
  const auto right = [=] {
    all->y.store(1, write);
    all->saw_x = all->x.load(read);
  };
  return {{left, right}, [=] { model::check(all->saw_x + all->saw_y > 0, "neither saw the other"); }};
}

bool can_fail(const std::function<model::program()>& build) {
  return model::explore(build, {.preemptions = 4, .seconds = 1}).failure != "";
}

}  // namespace

TEST_CASE("the model reads stale values where C++20 allows them and nowhere else", "[model]") {
  using enum std::memory_order;
  REQUIRE(can_fail([] { return message_passing(relaxed, acquire); }));
  REQUIRE(can_fail([] { return message_passing(release, relaxed); }));
  REQUIRE_FALSE(can_fail([] { return message_passing(release, acquire); }));
  REQUIRE(can_fail(unrelated_seq_cst));
  REQUIRE(can_fail([] { return store_buffering(release, acquire); }));
  REQUIRE(can_fail([] { return store_buffering(seq_cst, acquire); }));
  REQUIRE_FALSE(can_fail([] { return store_buffering(seq_cst, seq_cst); }));
}

#endif
