// How a worker without work of its own looks for some: in other workers' queues.

#include "os/lock.hpp"
#include "sched/scheduler.hpp"
#include "sched/worker.hpp"

namespace weft::sched {

namespace {

/// Passes over all workers; Go's and Tokio's value.  Only the last takes slots and single items.
constexpr int passes = 4;
/// How long a victim's tick must stand still before its slot is taken: a channel operation takes some 20 ns,
/// a hand-off through the slot 10; 100 pauses are about 4 us here.
constexpr int stall_pauses = 100;

}  // namespace

waiter* worker::steal_half(worker& thief, bool desperate) noexcept {
  const bool has_slot = desperate && slot_.load(std::memory_order_relaxed) != nullptr;  // relaxed: a hint
  if (!has_slot && queued() < (desperate ? 1U : 2U)) return nullptr;
  if (!bias_.begin_theft()) return nullptr;
  waiter* r = lane_.steal_into(thief.lane_);
  if (r != nullptr) thief.beside_ |= in_lane;
  if (r == nullptr) r = ring_.steal_into(thief.ring_);
  if (r == nullptr && has_slot) r = slot_.exchange(nullptr, std::memory_order_acq_rel);  // A6, pairs with R6
  bias_.end_theft();
  return r;
}

forkable* worker::steal_fork() noexcept {
  for (;;) {
    const auto taken = forks_.steal();
    if (taken.item != nullptr || !taken.lost) return taken.item;
  }
}

void* worker::steal_pass(bool desperate) noexcept {
  const unsigned n = home_->count();
  if (n <= 1) return nullptr;
  unsigned i = static_cast<unsigned>(random_.below(n));
  if (last_victim_ != nullptr) i = last_victim_->index();
  for (unsigned tried = 0; tried < n; ++tried, i = i + 1 == n ? 0 : i + 1) {
    worker& victim = home_->at(i);
    if (&victim == this) continue;
    if (desperate) {  // a worker that gets on will run its last item itself, with its caches warm
      const std::uint32_t before = victim.tick();
      if (!victim.has_queued()) continue;
      const bool stands_still = simulated_ || victim.is_blocked();
      for (int p = 0; !stands_still && p < stall_pauses && victim.tick() == before; ++p) os::relax_cpu();
      if (victim.tick() != before) continue;
    }
    if (forkable* f = victim.steal_fork()) {
      last_victim_ = &victim;
      count.stolen.add();
      if (void* frame = take_fork(*f)) return frame;
    }
    if (waiter* r = victim.steal_half(*this, desperate)) {
      last_victim_ = &victim;
      count.stolen.add();
      return enter(*r);
    }
  }
  last_victim_ = nullptr;
  return nullptr;
}

void* worker::search() noexcept {
  if (!searching) {
    if (!home_->may_search()) return run_all_timers();
    home_->begin_search(*this);
  }
  for (int pass = 0; pass < passes; ++pass) {
    if (void* frame = steal_pass(pass == passes - 1)) return frame;
    if (waiter* r = take_injected()) return enter(*r);
  }
  return run_all_timers();
}

}  // namespace weft::sched
