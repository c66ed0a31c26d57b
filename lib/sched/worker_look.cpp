// What a worker looks at beside its queues, and how often: the inject queue, old forks, due timers.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "sched/scheduler.hpp"
#include "sched/worker.hpp"

namespace weft::sched {

/// Due timers; and what else there is than the queues has every second turn at most: hand-offs alone may last
/// from one look to the next.
void* worker::maintain() noexcept {
  hurries_ = false;
  if (timers.size() != 0) {
    const os::nanos now = home_->port().now();
    if (timers.min_when() <= now) run_timers(now);
  }
  void* const frame = looked_around_ ? nullptr : look_around();
  looked_around_ = frame != nullptr;
  return frame;
}

/// Every now and then a fork or the inject queue first, and the measurement; whom the queues have no room
/// for.
void* worker::look_around() noexcept {
  const std::uint32_t now_tick = tick();
  // The oldest fork, as a thief would, or those behind it could keep it there.
  if (now_tick - forked_at_ >= poll_interval) {
    forked_at_ = now_tick;
    forkable* f = take_stranded();
    if (f == nullptr && !simulated_) f = forks_.pop_oldest();
    if (f != nullptr) {
      if (void* frame = take_fork(*f)) return frame;
    }
  }
  if (now_tick - polled_at_ >= interval_) {
    polled_at_ = now_tick;
    bias_.look();
    measure(home_->port().now());
    if (home_->is_unattended()) home_->io()->poll();
    if (waiter* r = (beside_ & in_lane) == 0 ? take_injected() : take_overdue()) return enter(*r);
    if (worth_waking() && home_->wants_searcher() && queued() > 1) home_->wake_one();
  }
  return hurries_ ? run_timer_without_room() : nullptr;
}

void worker::begin_measure() noexcept {
  measured_when_.store(home_->port().now(), std::memory_order_relaxed);  // relaxed: an estimate
  measured_at_ = tick();
}

void worker::measure(os::nanos now) noexcept {
  const std::uint32_t now_tick = tick();
  const os::nanos each = (now - measured_when()) / (now_tick - measured_at_ + 1);
  measured_when_.store(now, std::memory_order_relaxed);  // relaxed: an estimate
  measured_at_ = now_tick;
  const os::nanos before = dispatch_time_.load(std::memory_order_relaxed);  // relaxed: own thread writes it
  const os::nanos usual = (before + each) / 2;
  dispatch_time_.store(usual, std::memory_order_relaxed);  // relaxed: an estimate
  if (simulated_) return;
  const os::nanos turns = longest_interval / std::max<os::nanos>(usual, 1);
  interval_ = static_cast<std::uint32_t>(std::clamp<os::nanos>(turns, shortest_interval, poll_interval));
}

/// How many of the inject queue: as many as have left the ring since the last take, or more if that was all
/// of it; but one if the ring has overflowed, and one more in each take after that.  A tree of routines that
/// grows gets on with its leaves first, or more of it would be there at a time (skynet: 250 MB instead of
/// 100).
std::uint32_t worker::injected_share() noexcept {
  constexpr std::uint32_t most = scheduler::injected::max_batch;
  const std::uint32_t others = ring_.size(), had = ring_.taken();
  const std::uint32_t turns = had - std::exchange(ring_had_, had);
  if (others == 0) return most;
  share_ = std::min(share_ + 1, most);
  return turns < others ? std::min(share_, std::max(turns, 1U)) : share_;
}

/// The first is to run now, the others before what is in the ring, and never in it: a ring that overflows
/// gives its oldest half away, and they would be back in the inject queue before they have run, time and
/// again the same.
waiter* worker::take_injected() noexcept {
  run_queue<waiter>& to = simulated_ ? ring_ : lane_;
  std::uint32_t n = 0;
  waiter* first = home_->take_injected(*this, injected_share(), n);
  if (first == nullptr) return nullptr;
  count.injected.add(n);
  if (n > 1 && !simulated_) beside_ |= in_lane;
  for (waiter* r = first->next; r != nullptr;) {
    waiter* next = r->next;
    if (!(next == nullptr ? to.push_last(r) : to.push_quietly(r))) home_->inject(*r);
    r = next;
  }
  return first;
}

/// One, so that the lane keeps the order in which it was filled.
waiter* worker::take_overdue() noexcept {
  waiter* r = home_->take_overdue();
  if (r != nullptr) count.injected.add();
  return r;
}

// --- timers ---

namespace {

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

}  // namespace weft::sched
