// resume_on: a routine goes to the blocking pool, and back.
//
// There it waits for a thread like a call of block_on_io: who takes it claims it, under the pool's lock, and
// may be forestalled by a canceller until then; only then does it live on the pool.  Where a routine lives is
// a few bits beside its kind that every wake asks for (scheduler::wake); what it needs of a worker while it
// runs is its thread's berth (sched/blocking_pool.hpp).

#include <weft/resume_on.hpp>

#include <exception>
#include <utility>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/park.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/scheduler.hpp"

namespace weft {

using namespace core;

namespace {

using detail::home;
using detail::pool_hop;

sched::blocking_pool& pool_of(const waiter& w) noexcept {
  return worker_of(w).home().pool();
}

bool lives_on_pool(const waiter& w) noexcept {
  return w.kind() == waiter_kind::routine && w.lives() == home::blocking_pool;
}

void check_may_move(const waiter& w) noexcept {
  if (w.kind() != waiter_kind::thread) return;
  base::misuse(
      "a thread waits for resume_on(), which moves coroutines; co_await it in one, in plain code just block, "
      "or "
      "call what blocks by block_on_io()");
}

bool begin_hop(sched::blocking_job& job) noexcept {
  return word_of(*job.party).claim(0) != claimed::lost;
}

waiter* run_hop(sched::blocking_job& job) noexcept {
  auto& hop = static_cast<pool_hop&>(job);
  waiter& w = *hop.party;
  hop.how = wait_end::done;
  sched::scheduler& rt = worker_of(w).home();
  rt.pool().arrived.add_shared();
  if (w.kind() == waiter_kind::foreign) {
    rt.run_foreign(static_cast<detail::foreign_party&>(w));
    rt.check_drained();  // the pool is closed after this thread has left
    return nullptr;
  }
  w.lives(home::blocking_pool);
  return &w;
}

void refuse_hop(sched::blocking_job& job, const std::exception_ptr& why) noexcept {
  static_cast<pool_hop&>(job).refused = why;
  deliver(*job.party, claimed::parked);
}

constexpr sched::job_kind hop_kind{&begin_hop, &run_hop, &refuse_hop, false};

/// Under the pool's lock.
bool begin_wait(sched::blocking_job& job) noexcept {
  return begin_waiting(*job.party, wait_reason::resume_on, &job);
}

}  // namespace

// --- to the pool ---

bool to_blocking_pool_op::ready(waiter& w) noexcept {
  os::step();
  check_may_move(w);
  hop_.how = wait_end::pending;  // an operation may be awaited again
  if (is_cancelled(w)) {
    hop_.how = wait_end::cancelled;
    return true;
  }
  if (!lives_on_pool(w)) return false;
  hop_.how = wait_end::done;
  return may_go_on(w);
}

bool to_blocking_pool_op::park(waiter& w) noexcept {
  if (hop_.how == wait_end::done) return park_done(w);
  hop_.kind = &hop_kind;
  hop_.party = &w;
  try {
    // It may be there already when this returns.
    if (pool_of(w).submit(hop_, &begin_wait)) return true;
    hop_.how = wait_end::cancelled;
  } catch (...) {
    hop_.refused = std::current_exception();
  }
  return false;
}

void to_blocking_pool_op::finish(waiter& w) {
  if (hop_.how == wait_end::pending && !hop_.refused) {
    pool_of(w).take_back(hop_);  // or it was taken off already: the lock says that nobody holds it
    hop_.how = wait_end::cancelled;
  }
  word_of(w).end();
  if (hop_.refused) std::rethrow_exception(std::exchange(hop_.refused, nullptr));
  if (hop_.how != wait_end::done) detail::throw_wait_end(hop_.how, w);
}

// --- back to the workers ---

bool to_workers_op::ready(waiter& w) noexcept {
  os::step();
  check_may_move(w);
  moves_ = w.kind() == waiter_kind::foreign || lives_on_pool(w);
  return !moves_ && (is_cancelled(w) || may_go_on(w));
}

bool to_workers_op::park(waiter& w) noexcept {
  if (!moves_) return park_done(w);
  w.node.because(wait_reason::schedule);
  if (w.kind() == waiter_kind::routine) {
    pool_of(w).left.add_shared();
    w.lives(home::workers);
  }
  worker_of(w).home().inject_from_outside(w);
  return true;
}

void to_workers_op::finish(waiter& w) {
  if (is_cancelled(w)) detail::throw_cancelled(w);
}

}  // namespace weft
