#pragma once

// A lock in one plain 32-bit word, so that public types can embed it without naming a lib/ type.
//
// The word
//   0  free
//   1  held, nobody sleeps
//   2  held, and somebody sleeps or is about to
//
// Guarantee: unlock() is one read-modify-write and then at most a wake by address.  The next owner may free
// the object that holds the word at once; nothing of it is read after the RMW (protocols.md B, case 1u).
//
// Invariants
//   1. Whoever sleeps has written 2 first and sleeps only on 2.
//   2. Who has slept takes the lock as 2: it cannot know whether others sleep.  At worst one wake too many.
//
// Not fair: a running thread may pass a sleeper.  Hold it for a bounded number of instructions, never over
// user code or a suspension.
//
// Not behind the port: a simulated run changes threads only where no lock is held, so the holder of a lock
// that it finds taken is outside the simulation (frame pool, timer cells), runs, and must not change the
// schedule.
//
// Source: U. Drepper, "Futexes Are Tricky", mutex 3.
// Rejected: std::mutex (40 bytes, <mutex> in public headers);
//           a ticket lock (a descheduled waiter stops everybody).

#include <atomic>
#include <cstdint>

namespace weft::os {

inline constexpr std::uint32_t lock_free = 0;
inline constexpr std::uint32_t lock_held = 1;
inline constexpr std::uint32_t lock_contended = 2;

void lock_slowly(std::uint32_t& word) noexcept;
void wake_next_owner(const std::uint32_t& word) noexcept;

[[nodiscard]] inline bool try_lock(std::uint32_t& word) noexcept {
  const std::atomic_ref state(word);
  auto seen = lock_free;
  return state.compare_exchange_strong(seen, lock_held, std::memory_order_acquire);  // A1, pairs with R1
}

inline void lock(std::uint32_t& word) noexcept {
  if (!try_lock(word)) [[unlikely]]
    lock_slowly(word);
}

/// After the exchange the object that holds `word` may be gone.
inline void unlock(std::uint32_t& word) noexcept {
  const std::atomic_ref state(word);
  const auto was = state.exchange(lock_free, std::memory_order_release);  // R1, pairs with A1 and A2
  if (was == lock_contended) [[unlikely]]
    wake_next_owner(word);
}

/// Tells the core that this is a spin loop.
#if defined(__x86_64__) || defined(__i386__)
inline void relax_cpu() noexcept {
  __builtin_ia32_pause();
}
#elif defined(__aarch64__)
inline void relax_cpu() noexcept {
  asm volatile("yield");
}
#else
inline void relax_cpu() noexcept {}
#endif

class [[nodiscard]] guard {
 public:
  explicit guard(std::uint32_t& word) noexcept : word_(&word) { lock(word); }

  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;

  ~guard() { unlock(); }

  /// Unlocks before the end of the block; once.  Afterwards the object that holds the word may be gone.
  void unlock() noexcept {
    if (auto* const held = word_) {
      word_ = nullptr;
      os::unlock(*held);
    }
  }

 private:
  std::uint32_t* word_;
};

}  // namespace weft::os
