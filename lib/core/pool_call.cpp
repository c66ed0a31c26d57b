// block_on_io: a routine waits for a call on the blocking pool.
//
// The pool's thread claims the waiter when it *begins* the call, under the pool's lock; from then on nobody
// can cancel the wait.  A routine that was cancelled before takes the job back under the same lock.

#include <weft/block_on_io.hpp>
#include <weft/runtime.hpp>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/global.hpp"
#include "core/park.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::detail {

using namespace core;

namespace {

/// Whose pool makes the call.  That of a thread without a runtime is kept until finish().
sched::scheduler& home_for(pool_call& c, const waiter& w) {
  if (w.worker != nullptr) return worker_of(w).home();
  if (sched::scheduler* here = sched::scheduler::here()) return *here;
  return *(c.kept = &hold_global());
}

bool begin_call(sched::blocking_job& job) noexcept {
  return word_of(*job.party).claim(0) != claimed::lost;
}

/// The context of the call's thread, inside that of the routine: cancelling the routine, or stopping the
/// runtime, reaches what the thread waits for.
class call_scope : sched::running_call {
 public:
  call_scope(sched::blocking_pool& pool, context_base* outer) noexcept : pool_(pool) {
    sched::set_current_scope(outer);
    open_for_thread(inside_, false, no_deadline, nullptr);  // no deadline of its own: allocates nothing
    cancel = [](running_call& self, void* won) noexcept {
      static_cast<call_scope&>(self).stop(*static_cast<winners*>(won));
    };
    os::step();  // a stop may come between
    pool_.enter(*this);
    if (!pool_.home().stopping()) return;
    winners won;
    stop(won);
    won.deliver_all();
  }

  call_scope(const call_scope&) = delete;
  call_scope& operator=(const call_scope&) = delete;

  ~call_scope() {
    pool_.leave(*this);
    close_for_thread(inside_);
    sched::set_current_scope(nullptr);
  }

 private:
  void stop(winners& won) noexcept {
    if (inside_.shielded == 0) cancel_tree(inside_, cancel_requested, won);
  }

  sched::blocking_pool& pool_;
  context inside_;
};

/// The wait begins under the pool's lock: who cancels it afterwards finds the job in the queue.
bool begin_wait(sched::blocking_job& job) noexcept {
  auto& c = static_cast<pool_call&>(job);
  return begin_waiting(*c.party, wait_reason::block_on_io, &c);
}

waiter* run_call(sched::blocking_job& job) noexcept {
  auto& c = static_cast<pool_call&>(job);
  waiter& party = *c.party;
  {
    const call_scope scope(*sched::current_pool(), party.scope);
    c.call(c);
  }
  c.how = wait_end::done;
  deliver(party, claimed::parked);
  return nullptr;
}

void refuse_call(sched::blocking_job& job, const std::exception_ptr& why) noexcept {
  auto& c = static_cast<pool_call&>(job);
  c.refused = why;
  deliver(*c.party, claimed::parked);
}

constexpr sched::job_kind call_kind{&begin_call, &run_call, &refuse_call, true};

}  // namespace

bool pool_call_ready(pool_call& c, waiter& w) noexcept {
  os::step();
  c.how = wait_end::pending;  // an operation may be awaited again
  if (is_cancelled(w)) {
    c.how = wait_end::cancelled;
    return true;
  }
  if (w.kind() != waiter_kind::routine || w.lives() != home::blocking_pool) return false;
  worker_of(w).home().pool().calls.add_shared();
  limit_counts(w);
  c.call(c);  // it is there already
  c.how = wait_end::done;
  return true;
}

bool pool_call_park(pool_call& c, waiter& w) noexcept {
  c.party = &w;
  c.kind = &call_kind;
  try {
    sched::blocking_pool& pool = home_for(c, w).pool();
    c.pool = &pool;
    // It may be over already when this returns.
    if (pool.submit(c, &begin_wait)) return true;
    c.how = wait_end::cancelled;
    return false;
  } catch (...) {
    c.refused = std::current_exception();
    c.how = wait_end::out_of_memory;
    return false;
  }
}

void pool_call_finish(pool_call& c, waiter& w) {
  if (c.how == wait_end::pending && !c.refused) {
    c.pool->take_back(c);  // or it was taken off already: the lock says that nobody holds it
    c.how = wait_end::cancelled;
  }
  word_of(w).end();
  if (c.kept != nullptr) std::exchange(c.kept, nullptr)->drop();
  if (c.refused) std::rethrow_exception(std::exchange(c.refused, nullptr));
  if (c.how != wait_end::done) throw_wait_end(c.how, w);
}

void* begin_blocking() {
  sched::worker* here = sched::current_worker();
  if (here == nullptr || here->home().how().manual) return nullptr;
  here->home().begin_block(*here);
  return here;
}

void end_blocking(void* token) noexcept {
  if (token == nullptr) return;
  auto& w = *static_cast<sched::worker*>(token);
  if (sched::current_worker() != &w) {
    base::misuse(
        "a blocking_region ends on another thread than it began on; let none live across a co_await");
  }
  w.home().end_block(w);
}

}  // namespace weft::detail
