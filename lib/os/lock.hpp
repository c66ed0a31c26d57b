#pragma once

// A lock in one plain 32-bit word, so that public types can embed it without naming a lib/ type.
//
// The word
//   0  free
//   1  held, nobody sleeps
//   2  held, and somebody sleeps or is about to
// Who sleeps is counted beside it, in one of a few counts that all locks share by their addresses.  Nearly
// always the count is 0, and then who leaves the lock needs no read-modify-write.
//
// Protocol
//   sleeping   S1 count + 1; unless it was watched: heavy barrier; S2 it is watched
//              S3 word.exchange(2) == 0: inside; else sleep while it is 2, and S3 again
//              S4 count - 1
//   leaving    L1 count == 0?  L2 word = 0; light barrier; L3 count == 0? done, else wake one
//              not 0: L4 word.exchange(0) == 2? wake one; and now and then L5 watched and nobody sleeps? 0
// Guarantee: L1 or L3 sees S1, or S3 sees L2.  Once it is watched who comes to sleep needs no barrier: the
//            count has not been 0 since the first one's.  As L2 may have put out a 2, L3 wakes in any case.
//
// Invariants
//   1. Whoever sleeps has written 2 first and sleeps only on 2.
//   2. Who has slept takes the lock as 2: it cannot know whether others sleep.  At worst one wake too many.
//   3. A count is watched from the start, and where there is no membarrier for ever.
//   4. After L2 or L4 the next owner may free the object that holds the word: nothing of it is read; a wake
//      is by address (protocols.md B, case 1u).
//
// Not fair: a running thread may pass a sleeper.  Hold it for a bounded number of instructions, never over
// user code or a suspension.
//
// Not behind the port: a simulated run changes threads only where no lock is held, so the holder of a lock
// that it finds taken is outside the simulation (frame pool, timer cells), runs, and must not change the
// schedule.
//
// Cost: uncontended 6.6 ns, one read-modify-write, where two took 12.8; a hop of `ring` 25.2 -> 23.1, `sieve`
// on two workers 56 -> 50 us a prime, `spawn_foreign` 203 -> 181 ns.  A sleeper pays 0.3 to 10 us more, at
// most once in `calm_after` leavings of a thread.
//
// Model-checked in test/model/lock_model_test.cpp.
// Source: U. Drepper, "Futexes Are Tricky", mutex 3; the store is that of biased locking (reserved_lock.hpp).
// Rejected: std::mutex (40 bytes, <mutex> in public headers);
//           a ticket lock (a descheduled waiter stops everybody);
//           a count of sleepers in each lock (L3 would read what may be gone);
//           a barrier for each who sleeps (it interrupts every processor that runs the process).

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "os/asymmetric.hpp"

namespace weft::os {

inline constexpr std::uint32_t lock_free = 0;
inline constexpr std::uint32_t lock_held = 1;
inline constexpr std::uint32_t lock_contended = 2;

/// The flag in a count of sleepers.
inline constexpr std::uint32_t sleepers_watched = std::uint32_t{1} << 31;

/// By address of the word; a line of locks shares one.
extern constinit std::array<std::uint32_t, 64> lock_sleepers;

/// What the lock needs of its surroundings; the model checker has its own.
struct lock_world {
  using atomic = std::atomic_ref<std::uint32_t>;
  /// Leavings of a thread by L4 between two by L5: a barrier for each costs at most 1 ns a leaving.  A prime:
  /// who leaves some locks in turns calms each of their counts.
  static constexpr std::uint32_t calm_after = 16'381;

  static std::uint32_t& sleepers(const std::uint32_t& word) noexcept {
    return lock_sleepers[reinterpret_cast<std::uintptr_t>(&word) / 64 % lock_sleepers.size()];
  }

  static void light_barrier() noexcept { os::light_barrier(); }

  static void heavy_barrier() noexcept { os::heavy_barrier(); }

  static bool has_barriers() noexcept { return barriers_are_asymmetric(); }

  /// Of this thread.
  static std::uint32_t& watched_leavings() noexcept;
  static void wait(const std::uint32_t& word) noexcept;
  static void wake(const std::uint32_t& word) noexcept;
};

template <typename World>
struct lock_protocol {
  using atomic = typename World::atomic;

  static bool try_lock(std::uint32_t& word) noexcept {
    auto seen = lock_free;
    return atomic(word).compare_exchange_strong(seen, lock_held,
                                                std::memory_order_acquire);  // A1, pairs with L2 and L4
  }

  static void lock_asleep(std::uint32_t& word) noexcept {
    const atomic state(word);
    const atomic sleepers(World::sleepers(word));
    const auto were = sleepers.fetch_add(1, std::memory_order_acquire);  // S1, pairs with L5
    if ((were & sleepers_watched) == 0) {
      World::heavy_barrier();
      sleepers.fetch_or(sleepers_watched, std::memory_order_relaxed);  // S2, relaxed: behind the barrier
    }
    while (state.exchange(lock_contended, std::memory_order_acquire) != lock_free)  // S3, pairs with L2, L4
      World::wait(word);
    sleepers.fetch_sub(1, std::memory_order_relaxed);  // S4, relaxed: who leaves looks for no more than 0
  }

  static void unlock(std::uint32_t& word) noexcept {
    const atomic sleepers(World::sleepers(word));
    if (sleepers.load(std::memory_order_relaxed) != 0) [[unlikely]]  // L1, relaxed: L3 decides
      return unlock_watched(word);
    atomic(word).store(lock_free, std::memory_order_release);  // L2, pairs with A1 and S3
    World::light_barrier();
    if (sleepers.load(std::memory_order_relaxed) != 0) [[unlikely]]  // L3, pairs with S1 by the barriers
      World::wake(word);
  }

  /// May be called whenever membarrier is known to be there.
  static void calm(std::uint32_t& sleepers) noexcept {
    auto nobody = sleepers_watched;
    atomic(sleepers).compare_exchange_strong(nobody, 0, std::memory_order_release);  // L5, pairs with S1
  }

 private:
  [[gnu::noinline]] static void unlock_watched(std::uint32_t& word) noexcept {
    const auto was = atomic(word).exchange(lock_free, std::memory_order_release);  // L4, pairs with A1 and S3
    if (was == lock_contended) World::wake(word);
    if (++World::watched_leavings() % World::calm_after == 0 && World::has_barriers())
      calm(World::sleepers(word));
  }
};

void lock_slowly(std::uint32_t& word) noexcept;
/// find_out_about_barriers() has found that there are.
void leave_locks_by_stores() noexcept;

[[nodiscard]] inline bool try_lock(std::uint32_t& word) noexcept {
  return lock_protocol<lock_world>::try_lock(word);
}

inline void lock(std::uint32_t& word) noexcept {
  if (!try_lock(word)) [[unlikely]]
    lock_slowly(word);
}

/// Afterwards the object that holds `word` may be gone.
inline void unlock(std::uint32_t& word) noexcept {
  lock_protocol<lock_world>::unlock(word);
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
