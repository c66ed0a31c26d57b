// Coroutines of foreign types on this runtime: what waits or is queued is counted, and listed while it waits.
//
// Nobody knows when such a coroutine ends, so its awaits are counted: from the await's beginning until it has
// gone on and has given control back to the worker.  So all that runs on a worker is counted by something,
// and the drain waits for it: no queue is left with a coroutine in it.

#include <coroutine>

#include "os/lock.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

void scheduler::enter(foreign_party& p) noexcept {
  p.home = this;
  p.listed = false;
  p.at = detail::foreign_stage::entered;
  foreign_.begun.add_shared();  // D1, pairs with D2: before the caller looks at stopping()
}

void scheduler::leave(foreign_party& p) noexcept {
  p.at = detail::foreign_stage::none;
  foreign_.ended.add_shared();
  check_drained();
}

void scheduler::list(foreign_party& p) noexcept {
  const os::guard hold(foreign_.lock);
  p.before = nullptr;
  p.after = foreign_.first;
  if (p.after != nullptr) p.after->before = &p;
  foreign_.first = &p;
  p.listed = true;
}

void scheduler::unlist(foreign_party& p) noexcept {
  const os::guard hold(foreign_.lock);
  (p.before != nullptr ? p.before->after : foreign_.first) = p.after;
  if (p.after != nullptr) p.after->before = p.before;
  p.listed = false;
}

void scheduler::run_foreign(foreign_party& p) noexcept {
  if (p.listed) unlist(p);  // by the list's lock nobody looks at it any more
  const bool kept = p.keeps_home;
  p.at = detail::foreign_stage::none;
  std::coroutine_handle<>::from_address(p.frame).resume();  // and `p` is gone
  foreign_.ended.add_shared();                              // the worker's next look tells who waits for it
  if (kept) drop();
}

void scheduler::wait_on(foreign_party& p) noexcept {
  if (p.keeps_home) hold();  // run_foreign(), inside of which this is, drops one
  foreign_.begun.add_shared();
  p.at = detail::foreign_stage::waiting;
  list(p);
}

void scheduler::go_on(foreign_party& p) noexcept {
  unlist(p);
  p.at = detail::foreign_stage::entered;
}

void* worker::run_foreign(waiter& r) noexcept {
  home_->run_foreign(static_cast<foreign_party&>(r));
  return std::noop_coroutine().address();
}

}  // namespace weft::sched
