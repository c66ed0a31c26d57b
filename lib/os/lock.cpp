#include "os/lock.hpp"

#include "os/contention.hpp"
#include "os/forked.hpp"
#include "os/port.hpp"

namespace weft::os {

namespace {

/// Pauses between two looks: 32, then twice as many each time, 256 at last; 480 in all are 5-10 us on x86,
/// what a futex wake costs.  A look at every pause takes the line from the owner each time: two workers that
/// use one channel were 2.5 times as slow (62 against 161 ns an operation).
constexpr int first_pauses = 32, last_pauses = 256;

/// Not the simulator's, see lock.hpp.
port& sleeping_port() noexcept {
  port& own = current_port();
  return own.simulated() ? real_port() : own;
}

consteval auto all_watched() {
  std::array<std::uint32_t, 64> all{};
  all.fill(sleepers_watched);
  return all;
}

constinit thread_local std::uint32_t leavings = 0;

}  // namespace

alignas(64) constinit std::array<std::uint32_t, 64> lock_sleepers = all_watched();

std::uint32_t& lock_world::watched_leavings() noexcept {
  return leavings;
}

void lock_world::wait(const std::uint32_t& word) noexcept {
  if (forked()) misuse_in_child();  // its holder does not exist
  sleeping_port().wait(word, lock_contended, never);
}

void lock_world::wake(const std::uint32_t& word) noexcept {
  sleeping_port().wake(word, 1);
}

void lock_slowly(std::uint32_t& word) noexcept {
  const contended waits;
  const std::atomic_ref state(word);
  for (int pauses = first_pauses; pauses <= last_pauses; pauses *= 2) {
    for (int i = 0; i < pauses; ++i) relax_cpu();
    const auto seen = state.load(std::memory_order_relaxed);  // relaxed: a hint, try_lock() decides
    if (seen == lock_free && try_lock(word)) return;
    if (seen == lock_contended) break;
  }
  lock_protocol<lock_world>::lock_asleep(word);
}

void leave_locks_by_stores() noexcept {
  for (auto& each : lock_sleepers) lock_protocol<lock_world>::calm(each);
}

}  // namespace weft::os
