#include <weft/sync/event.hpp>

#include "base/fatal.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"

namespace weft {

using namespace core;

namespace {

void store_flag(bool& flag, bool on) noexcept {
  std::atomic_ref(flag).store(on, std::memory_order_release);  // R1, pairs with A1
}

}  // namespace

event::~event() {
  if (set_flag()) {
    const os::guard passed(line_.lock);  // the set() that ended the last wait may still be inside
  }
  if (line_.queue.first != nullptr) {
    base::misuse_before_exit(
        "an event is destroyed while somebody waits for it; keep it until they have ended");
  }
}

void event::set() noexcept {
  os::step();
  winners won;
  {
    const os::guard hold(line_.lock);
    store_flag(set_, true);
    claim_all(line_, won);
  }
  won.deliver_all();
}

void event::reset() noexcept {
  os::step();
  const os::guard hold(line_.lock);
  store_flag(set_, false);
}

bool event::is_set() const noexcept {
  os::step();
  return std::atomic_ref(const_cast<bool&>(set_)).load(std::memory_order_acquire);  // A1, pairs with R1
}

event_wait_op::event_wait_op(event& e) noexcept : wait_{&e, &e.line()} {}

bool event_wait_op::ready(detail::waiter& w) noexcept {
  os::step();
  if (over_before(wait_, w)) return true;
  // Under the lock: the event may be destroyed when this returns, so the set() must be through with it.
  const os::guard hold(wait_.line->lock);
  if (!static_cast<event*>(wait_.object)->set_flag()) return false;
  return served_at_once(wait_, w);
}

bool event_wait_op::park(detail::waiter& w) noexcept {
  if (over_at_once(wait_)) return park_done(w);
  const os::guard hold(wait_.line->lock);
  if (static_cast<event*>(wait_.object)->set_flag()) {
    wait_.how = wait_end::done;
    return false;
  }
  return wait_in_line(wait_, w, wait_reason::event);
}

}  // namespace weft
