#pragma once

// turn: what one thread at a time does, also while it sleeps; another one goes away, or waits until it is its
// turn or the matter is settled without it.
//
//   who waits    T1 waiting + 1; T2 settled? leave; T3 taken? sleep until a turn has ended, then T2 again
//   who has it   settles something; T4 gives it back; T5 waiting? end a turn: wake all
// Guarantee: T3 finds it free, or T5 sees T1 and wakes who then sees what was settled.  Who goes away may do
// so if whoever has it, or takes it next, will do the same.

#include <atomic>
#include <cstdint>

#include "os/port.hpp"

namespace weft::io {

class turn {
 public:
  bool try_take() noexcept { return !taken_.exchange(true, std::memory_order_seq_cst); }  // T3, pairs with T4

  /// False: `settled` came first.
  template <typename F>
  bool take_unless(os::port& port, F settled) noexcept {
    if (settled()) return false;
    if (try_take()) return true;
    waiting_.fetch_add(1, std::memory_order_seq_cst);  // T1, pairs with T5
    bool mine = false;
    for (;;) {
      const std::uint32_t ended = ended_.load(std::memory_order_acquire);  // A1, pairs with R1
      if (settled()) break;                                                // T2
      mine = try_take();
      if (mine) break;
      port.wait(word(), ended, os::never);
    }
    waiting_.fetch_sub(1, std::memory_order_seq_cst);  // T1, pairs with T5
    return mine;
  }

  void take(os::port& port) noexcept {
    take_unless(port, [] { return false; });
  }

  void give_back(os::port& port) noexcept {
    taken_.store(false, std::memory_order_seq_cst);             // T4, pairs with T3
    if (waiting_.load(std::memory_order_seq_cst) == 0) return;  // T5, pairs with T1
    ended_.fetch_add(1, std::memory_order_release);             // R1, pairs with A1
    port.wake(word(), all);
  }

 private:
  static constexpr int all = 1 << 20;

  const std::uint32_t& word() const noexcept { return reinterpret_cast<const std::uint32_t&>(ended_); }

  std::atomic<bool> taken_{false};
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint32_t> ended_{0};
};

}  // namespace weft::io
