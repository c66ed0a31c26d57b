// mutex
//
// state_   free      nobody has it
//          held      somebody has it, nobody waits
//          awaited   somebody has it, the line may not be empty; changes from and to it under the line's lock
//          only
//
// Invariant: the line is not empty only while the state is `awaited`; so an unlock that finds `held` need not
// look.

#include <weft/sync/mutex.hpp>

#include "base/fatal.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"

namespace weft {

using namespace core;

namespace {

constexpr std::uint32_t free_state = 0, held = 1, awaited = 2;

bool take(std::uint32_t& state) noexcept {
  std::uint32_t seen = free_state;
  return std::atomic_ref(state).compare_exchange_strong(seen, held,
                                                        std::memory_order_acquire);  // A1, pairs with R1
}

}  // namespace

mutex::~mutex() {
  const os::guard hold(line_.lock);  // an unlock() that found nobody in the line may still be inside
  if (std::atomic_ref(state_).load(std::memory_order_acquire) != free_state) {  // A1, pairs with R1
    base::misuse("a mutex is destroyed while it is locked; unlock it first");
  }
}

bool mutex::try_lock() noexcept {
  os::step();
  return take(state_);
}

void mutex::unlock() noexcept {
  os::step();
  std::uint32_t seen = held;
  const std::atomic_ref state(state_);
  const bool gone =
      state.compare_exchange_strong(seen, free_state, std::memory_order_release);  // R1, with A1
  if (gone) return;
  if (seen == free_state) base::misuse("a mutex is unlocked that is not locked");
  claimed how = claimed::lost;
  waiter* next;
  {
    const os::guard hold(line_.lock);
    next = claim_first(line_, how);
    const std::uint32_t after = next == nullptr ? free_state : line_.queue.first == nullptr ? held : awaited;
    std::atomic_ref(state_).store(after, std::memory_order_release);  // R1, pairs with A1
  }
  if (next != nullptr) deliver(*next, how);
}

bool lock_op::ready(detail::waiter& w) noexcept {
  os::step();
  if (over_before(wait_, w)) return true;
  if (!take(static_cast<mutex*>(wait_.object)->state_)) return false;
  return served_at_once(wait_, w);
}

bool lock_op::park(detail::waiter& w) noexcept {
  if (over_at_once(wait_)) return park_done(w);
  auto& m = *static_cast<mutex*>(wait_.object);
  const os::guard hold(wait_.line->lock);
  for (;;) {
    if (take(m.state_)) {
      wait_.how = wait_end::done;
      return false;
    }
    std::uint32_t seen = held;
    if (std::atomic_ref(m.state_).compare_exchange_strong(seen, awaited,
                                                          std::memory_order_acquire) ||  // A1, R1
        seen == awaited) {
      return wait_in_line(wait_, w, wait_reason::mutex);
    }
  }
}

}  // namespace weft
