// How a worker without work of its own looks for some: other workers' queues and timers.

#include <utility>

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

void push_timer_chain(void* context, waiter* chain) {
  auto& w = *static_cast<worker*>(context);
  while (chain != nullptr) {
    waiter* next = chain->next;
    if (chain->lives() == detail::home::blocking_pool) {
      w.home().pool().queue(*chain);
    } else {
      w.push_back(*chain);
    }
    chain = next;
  }
}

void keep_timer_chain(void* context, waiter* chain) {
  *static_cast<waiter**>(context) = chain;
}

}  // namespace

/// As many as there is room for.  The rest stays where the earliest goes first, and does not go behind all
/// that is in the inject queue.
bool worker::run_timers(os::nanos now) noexcept {
  if (timers.min_when() > now) return false;
  const std::uint32_t places = room();
  hurries_ = places == 0;
  const std::size_t fired = timers.run_due(now, &push_timer_chain, this, places);
  count.timers_fired.add(fired);
  return fired != 0;
}

/// Where others yield there may never be room: who is woken then runs at once.
void* worker::run_timer_without_room() noexcept {
  waiter* woken = nullptr;
  count.timers_fired.add(timers.run_due(home_->port().now(), &keep_timer_chain, &woken, 1));
  if (woken == nullptr) return nullptr;
  if (woken->lives() == detail::home::blocking_pool) {
    push_timer_chain(this, woken);
    return nullptr;
  }
  push_timer_chain(this, std::exchange(woken->next, nullptr));
  return enter(*woken);
}

bool worker::run_others_timers() noexcept {
  const os::nanos due = home_->next_timer();
  if (due == os::never) return false;
  const os::nanos now = home_->port().now();
  if (due > now) return false;
  std::size_t fired = 0;
  const unsigned n = home_->count();
  for (unsigned i = 0; i < n; ++i) {
    timer_heap& theirs = home_->at(i).timers;
    if (theirs.min_when() <= now) {
      fired += theirs.try_run_due(now, &push_timer_chain, this, room());
    }
  }
  count.timers_fired.add(fired);
  return fired != 0;
}

/// Those that wake nobody here take the room of others.
void* worker::run_all_timers() noexcept {
  while (run_others_timers()) {
    if (void* frame = next_frame()) return frame;
  }
  return nullptr;
}

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
