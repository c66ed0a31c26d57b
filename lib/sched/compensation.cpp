// Compensation: a worker whose thread blocks in a facade call is replaced for that time by a spare one.
//
// The blocked worker is not handed over: its ring is stolen from, its timers are run by others.  Before the
// thread blocks a spare is *listed* as idle - no system call; a producer's ordinary wake finds it - and then
// the queues are looked at again (protocols.md A10: work may have come between).  When the call returns, a
// spare that was never woken goes back to the reserve; otherwise one worker too many is active, and whoever
// parks next, or the surplus worker at its next scheduling point, retires.  Spares that sleep in the reserve
// for `blocking_idle_timeout` end their thread.

#include <algorithm>
#include <system_error>

#include "os/lock.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

bool scheduler::count_thread() noexcept {
  unsigned now = threads_.load(std::memory_order_relaxed);  // relaxed: a count
  while (now < how_.max_threads) {
    if (threads_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed))
      return true;  // relaxed: a count
  }
  return false;
}

void scheduler::begin_block(worker& w) {
  w.expose_slot();
  for (;;) {
    {
      const os::guard hold(set_lock_);
      if (!reserve_.empty()) {
        worker& spare = *reserve_.back();
        reserve_.pop_back();
        spare.is = role::active;
        w.is = role::blocked;
        w.blocked.store(
            true, std::memory_order_seq_cst);  // B2, pairs with B1: a parker's re-check counts all it has
        list_idle(spare, 0);
        break;
      }
    }
    worker* spare = nullptr;
    {
      const os::guard hold(set_lock_);
      if (!gone_.empty()) {
        spare = gone_.back();
        gone_.pop_back();
      }
    }
    if (!count_thread()) {
      if (spare != nullptr) {
        const os::guard hold(set_lock_);
        gone_.push_back(spare);
      }
      throw std::system_error(
          std::make_error_code(std::errc::resource_unavailable_try_again),
          "weft: a blocking call needs one thread more than runtime_options::max_threads");
    }
    try {
      if (spare == nullptr) {
        spare = &add_worker();
      } else if (spare->thread.value != 0) {
        port_.join(spare->thread);
        spare->thread = {};
      }
      spare->is = role::reserve;
      spare->rests = true;
      spare->park_word.store(parked, std::memory_order_relaxed);  // relaxed: the lock publishes it
      start_thread(*spare);
    } catch (...) {
      uncount_thread();
      if (spare != nullptr) {
        const os::guard hold(set_lock_);
        spare->is = role::gone;
        gone_.push_back(spare);
      }
      throw;
    }
    count_shared.spares.add_shared();
    const os::guard hold(set_lock_);
    reserve_.push_back(spare);
  }
  const bool timers_unattended =
      next_timer() != os::never && poller_.load(std::memory_order_seq_cst) == nullptr;  // T1
  if (found_meanwhile(w) || w.has_queued() || timers_unattended) wake_one();
}

void scheduler::end_block(worker& w) noexcept {
  const os::guard hold(set_lock_);
  w.is = role::active;
  w.blocked.store(false, std::memory_order_seq_cst);  // B2, pairs with B1
  active_.fetch_add(1, std::memory_order_relaxed);    // relaxed: under the lock
  if (active_.load(std::memory_order_relaxed) <= how_.workers || idle_.empty())
    return;  // relaxed: under the lock
  // A spare that was never woken goes back to the reserve and does not notice.
  const auto found = std::find_if(idle_.rbegin(), idle_.rend(), [](const worker* i) { return i->rests; });
  if (found == idle_.rend()) return;
  worker& spare = **found;
  idle_.erase(found.base() - 1);
  spare.in_idle = false;
  state_.fetch_sub(one_idle, std::memory_order_seq_cst);  // S1, pairs with P2
  spare.is = role::reserve;
  reserve_.push_back(&spare);
  active_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: under the lock
}

/// The worker is in the reserve, its park word `parked`.  Returns true when it was woken as a searcher.
bool scheduler::sleep_in_reserve(worker& w) noexcept {
  os::nanos deadline = port_.now() + how_.blocking_idle_timeout;
  while (w.park_word.load(std::memory_order_acquire) == parked) {  // A4, pairs with R4
    if (port_.wait(word_of(w.park_word), parked, deadline)) continue;
    const os::guard hold(set_lock_);
    if (w.is == role::reserve &&
        w.park_word.load(std::memory_order_relaxed) == parked) {  // relaxed: under the lock
      leave_reserve(w);
      return false;
    }
    deadline = port_.now() + how_.blocking_idle_timeout;  // listed as idle for now
  }
  w.park_word.store(awake, std::memory_order_relaxed);  // relaxed: nobody notifies who is not listed
  const os::guard hold(set_lock_);
  w.rests = false;
  w.searching = true;
  return !leaving_;
}

/// Under the lock: this thread ends, the worker stays for later.
void scheduler::leave_reserve(worker& w) noexcept {
  reserve_.erase(std::find(reserve_.begin(), reserve_.end(), &w));
  w.is = role::gone;
  gone_.push_back(&w);
  uncount_thread();
}

}  // namespace weft::sched
