// The end of a runtime and of main under all interleavings of tiny cases, and mutants that must be caught.
// The code is lib/sched/end_gates.hpp; what a worker does beside it is that of lib/sched/scheduler.cpp in
// small.

#include <array>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "model/model_test.hpp"
#include "model/parking_world.hpp"
#include "sched/end_gates.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_pair_matters;
using model::require_sound;
using weft::os::never;
using weft::sched::basic_counter;
using weft::sched::drain_gate;
using weft::sched::freeze_gate;

// --- a stop ---

struct stop_world {
  std::array<basic_counter<model::atomic>, 2> spawned;
  std::array<basic_counter<model::atomic>, 2> finished;
  drain_gate<model::atomic> gate;
  std::uint32_t set_lock = 0;
  model::toy_port port;
  model::atomic<int> handed_over{0};
  std::array<model::plain<int>, 2> done;

  bool drained() const {
    const std::uint64_t ended = finished[0].read() + finished[1].read();
    return ended == spawned[0].read() + spawned[1].read();
  }

  void check_drained() {
    if (gate.requested() && drained()) gate.tell(port);
  }

  void pass_the_lock() { const model::guard hold(set_lock); }
};

/// A routine starts another and ends; a second worker runs that, or a thread that is no worker and never
/// parks.  `locks`: the stop passes the lock.
template <bool OnWorker, bool Locks = true>
model::program stop() {
  auto all = std::make_shared<stop_world>();
  all->spawned[0].add();
  const auto first = [=] {
    all->spawned[0].add();
    all->handed_over.store(1, std::memory_order_release);
    all->done[0].set(1);
    all->finished[0].add();
    all->pass_the_lock();
    all->check_drained();
  };
  const auto second = [=] {
    while (all->handed_over.load(std::memory_order_acquire) == 0) model::relax();
    all->done[1].set(1);
    if (OnWorker) {
      all->finished[1].add();
      all->pass_the_lock();
    } else {
      all->finished[1].add_shared();
    }
    all->check_drained();
  };
  const auto stops = [=] {
    all->gate.request();
    if (Locks) all->pass_the_lock();
    const bool in_time = all->gate.wait(
        all->port, [&] { return all->drained(); }, never);
    model::check(in_time, "there is no deadline");
    for (auto& each : all->done) model::check(each.get() == 1, "stopped before a routine had ended");
  };
  return {.threads = {first, second, stops}};
}

// --- the end of main ---

using gate_of_lib = freeze_gate<model::atomic>;

/// Who is idle is counted before who rests.
struct counts_twice : gate_of_lib {
  template <typename Port, typename AllRest>
  void wait(Port& port, AllRest all_rest, weft::os::nanos deadline) {
    for (;;) {
      const std::uint32_t seen = word_.load(std::memory_order_acquire);
      if (all_rest([&] { return resting_.load(std::memory_order_seq_cst); })) return;
      if (!port.wait(word_, seen, deadline)) return;
    }
  }
};

/// One worker is woken and one runs while the main thread ends; then its statics go.
template <typename Gate>
model::program end_of_main() {
  struct world {
    Gate gate;
    model::atomic<unsigned> idle{1};
    model::toy_port port;
    model::lifetime statics;

    /// The loop of a worker that is awake: once something to run, then nothing.
    void run() {
      for (int turn = 0;; ++turn) {
        if (gate.closed()) return gate.rest(port);
        if (turn == 1) break;
        statics.touch();
      }
      idle.fetch_add(1, std::memory_order_seq_cst);
      if (gate.closed()) gate.tell(port);
    }
  };

  auto all = std::make_shared<world>();
  const auto woken = [=] {
    all->idle.fetch_sub(1, std::memory_order_seq_cst);
    all->run();
  };
  const auto awake = [=] { all->run(); };
  const auto main = [=] {
    model::check(all->gate.close(), "closed by nobody else");
    const auto all_rest = [&](auto resting) {
      if constexpr (std::is_same_v<decltype(resting), unsigned>)
        return resting + all->idle.load(std::memory_order_seq_cst) >= 2;
      else
        return all->idle.load(std::memory_order_seq_cst) + resting() >= 2;
    };
    all->gate.wait(all->port, all_rest, never);
    all->statics.end();
  };
  return {.threads = {woken, awake, main}};
}

}  // namespace

TEST_CASE("a stop ends when every routine has ended and not before", "[model][end]") {
  require_sound(stop<true>, 2);
  require_sound(stop<false>, 2);
}

TEST_CASE("after the end of main no worker runs anything", "[model][end]") {
  require_sound(end_of_main<gate_of_lib>, 3);
}

TEST_CASE("the model check catches a stop that does not pass the lock", "[model][end]") {
  require_caught(stop<true, false>);
}

TEST_CASE("the model check catches a worker that is counted twice at the end of main", "[model][end]") {
  require_caught(end_of_main<counts_twice>);
}

TEST_CASE("each order of the end is needed: weakened alone it is caught", "[model][end]") {
  require_each_order_matters("sched/end_gates.hpp", {end_of_main<gate_of_lib>, stop<true>, stop<false>},
                             {"tell R8", "wait A8", "rest F2", "tell R11", "wait A11", "resting F1"});
  require_pair_matters("sched/end_gates.hpp", {end_of_main<gate_of_lib>}, "rest F2 acq_rel",
                       "wait A11 relaxed");
}

#endif
