#pragma once

// What the owner of a timer and whoever runs it agree by: the state of the timer's cell, and the stack by
// which owners give cells back.
//
// The state
//   free        spare: never used, or given back by its owner
//   armed       by arm(): in the heap
//   firing      by the runner, CAS from armed: out of the heap, expire() runs
//   fired       by the runner, store: expire() has returned, the cell is the owner's
//   cancelled   by the owner, CAS from armed: the heap's, a zombie until its key leaves, then spare
//
// Protocol (protocols.md B)
//   owner    T1  heap = cell.heap
//            T2  CAS armed -> cancelled; under the lock, which keeps runners out, a store
//            T3  won: count a zombie in heap, touch the cell no more
//            T4  lost: wait for fired, give the cell back
//   runner   F1  under the lock: pop; CAS armed -> firing
//            F2  unlocked, for the whole batch: expire(target), store fired
//            F3  then wake the winners
//   Each arm() is answered by exactly one cancel(), fired or not; until then the target lives.
//
// Model-checked in test/model/timer_model_test.cpp.

#include <atomic>
#include <cstdint>
#include <utility>

namespace weft::sched {

struct cell_state {
  static constexpr std::uint32_t free = 0, armed = 1, firing = 2, fired = 3, cancelled = 4;
};

template <template <typename> class Ref = std::atomic_ref>
class cell_word : public cell_state {
 public:
  explicit cell_word(std::uint32_t& w) noexcept : word_(w) {}

  std::uint32_t look() const noexcept {
    return word_.load(std::memory_order_acquire);  // A1, pairs with R1 and R2: the other is done with it
  }

  /// T2, F1: the owner cancels, or the runner begins to fire; one of them wins.
  bool leave_armed(std::uint32_t to) noexcept {
    std::uint32_t seen = armed;
    return word_.compare_exchange_strong(seen, to, std::memory_order_acq_rel);  // R1, pairs with A1
  }

  /// T2 under the lock.
  bool leave_armed_locked(std::uint32_t to) noexcept {
    if (word_.load(std::memory_order_relaxed) != armed) return false;  // relaxed: the lock orders it
    word_.store(to, std::memory_order_relaxed);                        // relaxed: as the load
    return true;
  }

  /// F2: from here on the cell is the owner's.
  void set_fired() noexcept {
    word_.store(fired, std::memory_order_release);  // R2, pairs with A1
  }

  /// T4.  `pause(n)` is called for the n-th look that was in vain.
  template <typename Pause>
  void wait_until_fired(Pause pause) const noexcept {
    for (int n = 0; look() != fired; ++n) pause(n);
  }

  /// By whoever has the cell alone.
  void mark(std::uint32_t to) noexcept {
    word_.store(to, std::memory_order_relaxed);  // relaxed: the lock or the owner orders it
  }

 private:
  Ref<std::uint32_t> word_;
};

/// Pushed one by one, by anybody, and taken as a whole: no ABA.
template <typename T, T* T::*Next, template <typename> class Atomic = std::atomic>
class return_stack {
 public:
  void push(T* item) noexcept {
    T* top = top_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    do {
      item->*Next = top;
    } while (!top_.compare_exchange_weak(top, item, std::memory_order_release));  // R3, pairs with A2
  }

  T* take_all() noexcept {
    return top_.exchange(nullptr, std::memory_order_acquire);  // A2, pairs with R3
  }

 private:
  Atomic<T*> top_{nullptr};
};

}  // namespace weft::sched
