// Compensation: a worker whose thread blocks in a facade call is replaced for that time by a spare one.  Here
// are the two ways to another number of active workers: this one, and let_run(), which is the monitor's.
//
// The blocked worker is not handed over: its ring goes to the inject queue, its forks and its timers are
// others' to take.  (Left to thieves, the last routine of the ring waited for as long as the other workers
// had something to do.)  How the spare is listed, woken and sent back is in parking.hpp; here it is made.  A
// thread that cannot be started is reported before anything blocks.  Spares that sleep in the reserve for
// `blocking_idle_timeout` end their thread.

#include <system_error>

#include "sched/blocked_here.hpp"
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
  if (w.blocks == 0) {
    while (!replace(w)) add_spare();
    w.give_up_queues();
    w.leave_forks();
    look_again(w);
  }
  ++w.blocks;
}

bool scheduler::stand_in(worker& w) noexcept {
  if (how_.manual) return false;  // the host itself
  try {
    begin_block(w);
    return true;
  } catch (...) {
    return false;
  }
}

void scheduler::end_block(worker& w) noexcept {
  if (--w.blocks != 0) return;
  parking::end_block(w);
  w.fetch_forks();
  if (frozen()) [[unlikely]]
    rest_for_good(true);
}

void scheduler::end_takeover(worker& w) noexcept {
  parking::end_block(w);
  note_return(w);
  w.fetch_forks();
  w.begin_measure();
}

void scheduler::note_return(worker& w) noexcept {
  const os::guard hold(culprit_lock_);
  w.stuck_since(0);
  w.back_at = port_.now();
  if (culprit_.worker == w.index() && culprit_.until < 0) culprit_.until = w.back_at;
}

blocked_here::blocked_here() {
  if (worker* here = current_worker()) {
    if (here->home().how().manual) return;  // the host itself: nobody could stand in
    here->home().begin_block(*here);
    worker_ = here;
  } else if (blocking_pool* pool = current_pool()) {
    pool->begin_wait();
    pool_ = pool;
  }
}

blocked_here::~blocked_here() {
  if (worker_ != nullptr) {
    worker_->home().end_block(*worker_);
  } else if (pool_ != nullptr) {
    pool_->end_wait();
  }
}

bool scheduler::promise_spare(worker& w) {
  if (w.blocks != 0 || w.promised) return false;
  if (w.is_replaced()) end_takeover(w);
  while (!promise(w)) add_spare();
  return true;
}

void scheduler::let_run(unsigned workers) noexcept {
  while (!allow(workers)) {
    try {
      add_spare();
    } catch (...) {
      break;
    }
  }
  if (has_work()) wake_one();
}

void scheduler::add_spare() {
  // Counted first and a worker last: so there are never more workers than max_threads, the table's size.
  if (!count_thread()) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "weft: a blocking call needs one thread more than runtime_options::max_threads");
  }
  worker* spare = take_gone();
  try {
    if (spare == nullptr) {
      spare = &add_worker();
    } else if (spare->thread.value != 0) {
      port_.join(spare->thread);
      spare->thread = {};
    }
    spare->is = role::active;  // not in the reserve yet, so it does not leave it either
    spare->rests = true;
    spare->park_word.store(parked, std::memory_order_relaxed);  // relaxed: the lock publishes it
    start_thread(*spare);
  } catch (...) {
    if (spare != nullptr) put_gone(*spare);
    uncount_thread();
    throw;
  }
  count_shared.spares.add_shared();
  put_in_reserve(*spare);
}

}  // namespace weft::sched
