#include "os/lock.hpp"

#include "os/port.hpp"

namespace weft::os {

namespace {

/// Pauses, 1-4 us on x86: about what a short critical section takes, and less than the 7-11 us of a futex
/// wake.
constexpr int spin_limit = 100;

}  // namespace

void lock_slowly(std::uint32_t& word) noexcept {
  std::atomic_ref state(word);
  for (int pauses = 32; pauses <= 256; pauses *= 2) {
    for (int i = 0; i < pauses; ++i) relax_cpu();
    const auto seen = state.load(std::memory_order_relaxed);  // relaxed: a hint, try_lock() decides
    if (seen == lock_free && try_lock(word)) return;
    if (seen == lock_contended) break;
  }
  while (state.exchange(lock_contended, std::memory_order_acquire) != lock_free)  // A2, pairs with R1
    current_port().wait(word, lock_contended, never);
}

void wake_next_owner(const std::uint32_t& word) noexcept {
  current_port().wake(word, 1);
}

}  // namespace weft::os
