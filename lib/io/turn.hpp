#pragma once

// turn: what one thread at a time does, also while it sleeps; another one goes away, or waits until it is its
// turn or the matter is settled without it.
//
//   who waits    T1 waiting + 1; T2 free? take it; T3 settled? leave; sleep until a turn has ended, then T2,
//                or until its time has passed, then leave
//   who has it   settles something; T4 gives it back; T5 waiting? end a turn: wake all
// Guarantee: T2 comes before T4, then T5 sees T1; or T2 finds it free, or what the next who has it has done
// before: T3 sees what was settled.  Whoever ends a turn wakes all, so one that leaves takes nobody's wake
// along.  Who goes away may do so if whoever has it, or takes it next, will do the same.
//
// Model-checked in test/model/turn_model_test.cpp.
// Rejected: os::lock, std::mutex (who waits would sleep as long as the holder, though the matter is settled).

#include <atomic>
#include <cstdint>

#include "os/port.hpp"
#include "sched/parker.hpp"

namespace weft::io {

using sched::word_of;

template <template <typename> class Atomic = std::atomic>
class basic_turn {
 public:
  bool try_take() noexcept { return !taken_.exchange(true, std::memory_order_seq_cst); }  // T2, pairs with T4

  /// False: `settled` came first, or `deadline` has passed.  True says nothing of that.
  template <typename Port, typename F>
  bool take_unless(Port& port, F settled, os::nanos deadline = os::never) noexcept {
    if (try_take()) return true;
    waiting_.fetch_add(1, std::memory_order_seq_cst);  // T1, pairs with T5
    bool mine = false;
    for (;;) {
      const std::uint32_t seen = ended_.load(std::memory_order_relaxed);  // relaxed: comes before T2
      mine = try_take();
      if (mine || settled()) break;  // in this order, see above
      if (!port.wait(word_of(ended_), seen, deadline)) break;
    }
    waiting_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: at worst one wake too many
    return mine;
  }

  template <typename Port>
  void take(Port& port) noexcept {
    take_unless(port, [] { return false; });
  }

  template <typename Port>
  void give_back(Port& port) noexcept {
    taken_.store(false, std::memory_order_seq_cst);             // T4, pairs with T2
    if (waiting_.load(std::memory_order_seq_cst) == 0) return;  // T5, pairs with T1
    ended_.fetch_add(1, std::memory_order_relaxed);             // relaxed: T2 orders what was done
    port.wake(word_of(ended_), 1 << 20);
  }

 protected:  // the mutants of its model check
  Atomic<bool> taken_{false};
  Atomic<std::uint32_t> waiting_{0};
  Atomic<std::uint32_t> ended_{0};
};

using turn = basic_turn<>;

}  // namespace weft::io
