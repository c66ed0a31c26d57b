// A thread enters a scope: on one of weft's own through the routine that runs there, elsewhere through the
// thread itself.

#include <weft/detail/context.hpp>

#include "core/context.hpp"
#include "core/global.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"
#include "sched/worker.hpp"

namespace weft::detail {

thread_scope::thread_scope(bool shielded, std::int64_t deadline) : owner_(sched::current_routine()) {
  if (owner_ != nullptr) {
    open_context(scope, *owner_, shielded, deadline);
  } else {
    open_on_thread(shielded, deadline);
  }
}

/// The deadline is kept by this thread's runtime, else by the global one - and by the thread itself, whenever
/// it waits: the global one may be stopped meanwhile.
void thread_scope::open_on_thread(bool shielded, std::int64_t deadline) {
  if (deadline == no_deadline) return core::open_for_thread(scope, shielded, deadline, nullptr);
  sched::worker* timers = sched::current_worker();
  if (timers == nullptr) {
    sched::scheduler* home = sched::scheduler::here();
    if (home == nullptr) home = kept_ = &core::hold_global();
    timers = &home->at(0);
  }
  try {
    core::open_for_thread(scope, shielded, deadline, timers);
  } catch (...) {
    if (kept_ != nullptr) kept_->drop();
    throw;
  }
}

thread_scope::~thread_scope() {
  if (owner_ != nullptr) {
    close_context(scope, *owner_);
  } else {
    core::close_for_thread(scope);
    if (kept_ != nullptr) kept_->drop();
  }
}

promised_spare::promised_spare() {
  sched::worker* here = sched::current_worker();
  if (here != nullptr && !here->home().how().manual && here->home().promise_spare(*here)) worker_ = here;
}

promised_spare::~promised_spare() {
  if (worker_ == nullptr) return;
  auto& w = *static_cast<sched::worker*>(worker_);
  w.home().break_promise(w);
}

}  // namespace weft::detail
