// Who sleeps in a ring, who ends that sleep and who takes completions beside it, under all interleavings of
// tiny cases, and mutants that must be caught.  The turns are lib/io/turn.hpp; what is done in them is that
// of lib/io/driver_uring.cpp in small.

#include <cstdint>
#include <memory>

#include "io/turn.hpp"
#include "model/model_test.hpp"
#include "model/parking_world.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::io::basic_turn;
using weft::os::never;

using turn_of_lib = basic_turn<model::atomic>;

/// Who waits for a turn does not say so.
struct waits_in_silence : turn_of_lib {
  template <typename Port, typename F>
  bool take_unless(Port& port, F settled) {
    for (;;) {
      const std::uint32_t seen = ended_.load(std::memory_order_acquire);
      if (settled()) return false;
      if (try_take()) return true;
      port.wait(word_of(ended_), seen, never);
    }
  }
};

/// Who waits asks whether it is settled before it asks for its turn.
struct asks_too_early : turn_of_lib {
  template <typename Port, typename F>
  bool take_unless(Port& port, F settled) {
    if (try_take()) return true;
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      const std::uint32_t seen = ended_.load(std::memory_order_acquire);
      if (settled()) return false;
      if (try_take()) return true;
      port.wait(word_of(ended_), seen, never);
    }
  }
};

/// The end of a turn is not told while another has begun.
struct looks_first : turn_of_lib {
  template <typename Port>
  void give_back(Port& port) {
    const bool nobody = waiting_.load(std::memory_order_seq_cst) == 0;
    taken_.store(false, std::memory_order_seq_cst);
    if (nobody) return;
    ended_.fetch_add(1, std::memory_order_release);
    port.wake(word_of(ended_), 1 << 20);
  }
};

/// The sleeper, as the driver has it.
struct as_in_lib {
  static constexpr bool others_lower_it = false;  // who polls takes back that it was raised
  static constexpr bool looks_before_it_sleeps = true;
  static constexpr bool lowers_before_it_sleeps = false;
};

struct others_lower : as_in_lib {
  static constexpr bool others_lower_it = true;
};

struct sleeps_blindly : as_in_lib {
  static constexpr bool looks_before_it_sleeps = false;
};

struct lowers_too_early : as_in_lib {
  static constexpr bool lowers_before_it_sleeps = true;
};

template <typename Turn, typename How = as_in_lib>
struct ring_world {
  Turn taking;
  model::toy_port port;
  model::atomic<bool> raised{false};
  model::atomic<std::uint32_t> completions{0};  // those that nobody has taken
  model::atomic<bool> notified{false};          // the sleeper's park word
  model::atomic<bool> ended{false};             // the request that a closer waits for, when that was taken
  model::atomic<bool> ends{false};              // it is among the completions
  model::atomic<int> done{0};

  void complete() {
    completions.fetch_add(1, std::memory_order_acq_rel);
    port.wake(word_of(completions), 1 << 20);
  }

  void interrupt() {
    if (!raised.exchange(true, std::memory_order_seq_cst)) complete();
  }

  void take_all() {
    if (completions.exchange(0, std::memory_order_acq_rel) == 0) return;
    if (ends.load(std::memory_order_acquire)) ended.store(true, std::memory_order_release);
  }

  void wait() {
    taking.take(port);
    if (How::lowers_before_it_sleeps) raised.exchange(false, std::memory_order_seq_cst);
    const bool may_sleep = !How::looks_before_it_sleeps || How::lowers_before_it_sleeps ||
                           !raised.load(std::memory_order_seq_cst);
    if (may_sleep && completions.load(std::memory_order_acquire) == 0)
      port.wait(word_of(completions), 0, never);
    if (!How::lowers_before_it_sleeps) raised.exchange(false, std::memory_order_seq_cst);
    take_all();
    taking.give_back(port);
  }

  void poll() {
    if (completions.load(std::memory_order_acquire) == 0 || !taking.try_take()) return;
    take_all();
    if (How::others_lower_it) raised.exchange(false, std::memory_order_seq_cst);
    taking.give_back(port);
  }

  void settle() {
    const auto has_ended = [&] { return ended.load(std::memory_order_acquire); };
    if (!taking.take_unless(port, has_ended)) return;
    await_end(never);
    taking.give_back(port);
  }

  /// The same for so long, which in the model is any time.
  void settle_for_a_while() {
    const auto has_ended = [&] { return ended.load(std::memory_order_acquire); };
    if (!taking.take_unless(port, has_ended, 1)) return;
    await_end(1);
    taking.give_back(port);
  }

  void await_end(weft::os::nanos deadline) {
    for (;;) {
      const std::uint32_t seen = completions.load(std::memory_order_acquire);
      if (ended.load(std::memory_order_acquire) || ends.load(std::memory_order_acquire)) break;
      if (!port.wait(word_of(completions), seen, deadline)) break;
    }
  }
};

/// Somebody sleeps until he is notified; another takes completions beside him.
template <typename How = as_in_lib>
model::program interrupted() {
  using world = ring_world<turn_of_lib, How>;
  auto all = std::make_shared<world>();
  const auto sleeper = [=] {
    while (!all->notified.load(std::memory_order_acquire)) all->wait();
  };
  const auto interrupter = [=] {
    all->notified.store(true, std::memory_order_release);
    all->interrupt();
  };
  const auto busy = [=] { all->poll(); };
  return {.threads = {sleeper, interrupter, busy}};
}

/// The same with two who notify.
model::program interrupted_twice() {
  using world = ring_world<turn_of_lib>;
  auto all = std::make_shared<world>();
  const auto sleeper = [=] {
    while (all->done.load(std::memory_order_acquire) != 2) all->wait();
  };
  const auto interrupter = [=] {
    all->done.fetch_add(1, std::memory_order_acq_rel);
    all->interrupt();
  };
  return {.threads = {sleeper, interrupter, interrupter}};
}

/// Somebody waits for the end of a request while another sleeps until he is notified, which comes after.
/// Who has taken that end sleeps on.
template <typename Turn>
model::program settled(bool polls) {
  using world = ring_world<Turn>;
  auto all = std::make_shared<world>();
  const auto sleeper = [=] {
    while (!all->notified.load(std::memory_order_acquire)) all->wait();
  };
  const auto closer = [=] {
    all->settle();
    all->notified.store(true, std::memory_order_release);
    all->interrupt();
  };
  const auto kernel = [=] {
    all->ends.store(true, std::memory_order_release);
    all->complete();
    if (polls) all->poll();
  };
  return {.threads = {sleeper, closer, kernel}};
}

/// Who waits for the end gives up, with its turn or without; the end itself may never come.
template <bool Comes>
model::program given_up() {
  using world = ring_world<turn_of_lib>;
  auto all = std::make_shared<world>();
  all->port.impatient = true;
  const auto sleeper = [=] {
    while (!all->notified.load(std::memory_order_acquire)) all->wait();
  };
  const auto closer = [=] {
    all->settle_for_a_while();
    all->notified.store(true, std::memory_order_release);
    all->interrupt();
  };
  const auto kernel = [=] {
    if (!Comes) return;
    all->ends.store(true, std::memory_order_release);
    all->complete();
  };
  return {.threads = {sleeper, closer, kernel}};
}

}  // namespace

TEST_CASE("who sleeps in a ring is woken by who notifies it, whoever takes completions beside it",
          "[model][turn]") {
  require_sound(interrupted<>, 3);
  require_sound(interrupted_twice, 2);
}

TEST_CASE("who waits for the end of a request goes on, whoever takes it", "[model][turn]") {
  require_sound([] { return settled<turn_of_lib>(false); }, 3);
  require_sound([] { return settled<turn_of_lib>(true); }, 2);
}

TEST_CASE("who gives up waiting for the end of a request keeps nobody from the ring", "[model][turn]") {
  require_sound(given_up<true>, 3);
  require_sound(given_up<false>, 3);
}

TEST_CASE("the model check catches an interruption that is taken back or not looked at", "[model][turn]") {
  require_caught(interrupted<others_lower>);
  require_caught(interrupted<sleeps_blindly>);
  require_caught(interrupted<lowers_too_early>);
}

TEST_CASE("each order of a turn is needed: weakened alone it is caught", "[model][turn]") {
  require_each_order_matters(
      "io/turn.hpp",
      {[] { return settled<turn_of_lib>(false); }, [] { return settled<turn_of_lib>(true); }, interrupted<>},
      {"try_take T2", "give_back T4"});
}

TEST_CASE("the model check catches a turn whose end is not told", "[model][turn]") {
  require_caught([] { return settled<waits_in_silence>(false); });
  require_caught([] { return settled<looks_first>(false); });
  require_caught([] { return settled<asks_too_early>(false); });
}

#endif
