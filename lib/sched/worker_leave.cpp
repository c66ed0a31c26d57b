// How a worker that blocks, retires or is found asleep leaves what it has queued to the others.

#include "sched/scheduler.hpp"
#include "sched/worker.hpp"

namespace weft::sched {

void worker::expose_slot() noexcept {
  if (waiter* r = slot_.exchange(nullptr, std::memory_order_acq_rel)) push_ring(*r);  // A6, pairs with R6
}

void worker::give_up_queues() noexcept {
  expose_slot();
  for (run_queue<waiter>* each : {&lane_, &ring_}) {
    waiter* first = each->pop();
    if (first == nullptr) continue;
    waiter* last = first;
    std::uint32_t n = 1;
    for (; waiter* r = each->pop(); ++n) last = last->next = r;
    home_->inject_given_up(first, last, n);
  }
}

void worker::lift_queues() noexcept {
  const auto give = [this](waiter** taken, std::uint32_t n) {
    for (std::uint32_t i = 0; i + 1 < n; ++i) taken[i]->next = taken[i + 1];
    home_->inject_given_up(taken[0], taken[n - 1], n);
  };
  if ((slot_.load(std::memory_order_relaxed) != nullptr || queued() != 0) &&  // relaxed: K3, behind K2
      bias_.begin_theft()) {  // else it is not in a call, but between two steps of its own
    waiter* taken[decltype(ring_)::capacity];
    for (run_queue<waiter>* each : {&lane_, &ring_})
      for (std::uint32_t n = each->steal_half(taken); n != 0; n = each->steal_half(taken)) give(taken, n);
    taken[0] = slot_.exchange(nullptr, std::memory_order_acq_rel);  // A6, pairs with R6
    bias_.end_theft();
    if (taken[0] != nullptr) give(taken, 1);
  }
  strand_forks();
}

void worker::leave_forks() noexcept {
  forks_.empty() ? forks_.shut() : strand_forks();
}

void worker::strand_forks() noexcept {
  if (forks_.empty()) return;
  if (stranded_.exchange(true, std::memory_order_seq_cst)) return;  // S11, pairs with S12: forks, then this
  home_->add_stranded(1);
}

void worker::fetch_forks() noexcept {
  if (!stranded_.load(std::memory_order_relaxed)) return;  // relaxed: the own thread has set it, or a hint
  if (!stranded_.exchange(false, std::memory_order_seq_cst)) return;  // S12, pairs with S11: this, then forks
  home_->add_stranded(-1);
}

/// A fork of a worker that does not run; who always has something to do would never search for it.
forkable* worker::take_stranded() noexcept {
  stranded_turn_ = !stranded_turn_;
  if (!stranded_turn_ || !home_->has_stranded()) return nullptr;
  const unsigned n = home_->count();
  for (unsigned tried = 0; tried < n; ++tried) {
    if (stranded_at_ >= n) stranded_at_ = 0;
    worker& w = home_->at(stranded_at_++);
    if (!w.stranded_.load(std::memory_order_relaxed)) continue;  // relaxed: a hint, the deque decides
    if (forkable* f = w.steal_fork()) return f;
    w.fetch_forks();   // others have them, and nobody shall look for as long as it blocks
    w.strand_forks();  // unless it has run meanwhile and blocked again, with new ones
  }
  return nullptr;
}

}  // namespace weft::sched
