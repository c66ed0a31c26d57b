#pragma once

// The mutex's word: who has it, and who must be woken.
//
//   held     somebody has it
//   line     the line may not be empty; set and cleared under the line's lock
//   called   somebody was taken off the line, has been woken to look and has not looked yet
//
// Protocol
//   lock     L1 CAS + held, if it is free - whoever waits or was called is passed;
//            else, under the line's lock, L2 + line, and it queues up
//   unlock   U1 CAS - held, if there is no line or somebody was called already;
//            else, under the line's lock, the first is taken off and either U2 called - held: it looks,
//            or U3 held stays: the mutex is its own.  Handed over is to who looked in vain, and to
//            threads and coroutines of foreign types, whose resumptions cost more or are counted
//   look     K1 under the line's lock: - called, and + held if it is free; else + line and it queues up
//            again, in front
// Guarantee: a free mutex with a line has somebody called, and whoever was called looks.  So nobody is
// forgotten: either the looker gets it and its unlock sees the line, or it finds a holder whose unlock does.
// Each waiter looks in vain at most once.
//
// Model-checked in test/model/mutex_model_test.cpp.
// Source: Go's sync.Mutex (normal and starving mode; there a waiter is passed for 1 ms).
// Rejected: handing over always: once one waits all do (8 routines on one worker 16 -> 72 ns a lock).

#include <atomic>
#include <cstdint>

namespace weft::sync {

template <template <typename> class Ref = std::atomic_ref>
class mutex_word {
 public:
  explicit mutex_word(std::uint32_t& w) noexcept : word_(w) {}

  enum class release { done, wake, not_held };

  bool is_unused() const noexcept {
    return word_.load(std::memory_order_acquire) == 0;  // A1, pairs with R1
  }

  bool is_held() const noexcept {
    return (word_.load(std::memory_order_relaxed) & held) != 0;  // relaxed: to tell misuse apart
  }

  /// L1.
  bool take() noexcept {
    std::uint32_t seen = 0;
    while ((seen & held) == 0) {
      if (word_.compare_exchange_strong(seen, seen | held, std::memory_order_acquire))  // A1, pairs with R1
        return true;
    }
    return false;
  }

  /// U1.  `wake`: the mutex is still the caller's, who takes the line's lock and decides.
  release let_go() noexcept {
    std::uint32_t seen = held;
    do {
      const std::uint32_t free = seen & ~held;
      if (word_.compare_exchange_strong(seen, free, std::memory_order_release))  // R1, pairs with A1
        return release::done;
      if ((seen & held) == 0) return release::not_held;
    } while ((seen & (line | called)) != line);
    return release::wake;
  }

  // --- under the line's lock ---

  /// L1 or L2.  False: the caller queues up.
  bool take_or_announce() noexcept { return take_or_announce(0); }

  /// K1.
  bool look() noexcept { return take_or_announce(called); }

  /// U2.  Nobody else changes a held word without the line's lock, but to add what they see.
  void call(bool more) noexcept {
    word_.store((more ? line : 0) | called, std::memory_order_release);  // R1, pairs with A1
  }

  /// U3.
  void hand_over(bool more) noexcept {
    word_.store(held | (more ? line : 0), std::memory_order_relaxed);  // relaxed: the wake-up orders
  }

  /// Nobody in the line could be had.
  void free() noexcept { word_.store(0, std::memory_order_release); }  // R1, pairs with A1

 protected:
  static constexpr std::uint32_t held = 1, line = 2, called = 4;

  bool take_or_announce(std::uint32_t no_more) noexcept {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    for (;;) {
      if ((seen & held) == 0) {
        const std::uint32_t mine = (seen | held) & ~no_more;
        if (word_.compare_exchange_strong(seen, mine, std::memory_order_acquire))  // A1, pairs with R1
          return true;
      } else {
        const std::uint32_t awaited = (seen | line) & ~no_more;
        if (word_.compare_exchange_strong(seen, awaited, std::memory_order_relaxed))  // relaxed: the line's
          return false;                                                               // lock orders the queue
      }
    }
  }

  Ref<std::uint32_t> word_;
};

}  // namespace weft::sync
