#include <weft/sync/wait_group.hpp>

#include "base/fatal.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"

namespace weft {

using namespace core;

wait_group::~wait_group() {
  const os::guard hold(line_.lock);  // the done() that ended the last wait may still be inside
  if (line_.queue.first != nullptr) {
    base::misuse_before_exit(
        "a wait_group is destroyed while somebody waits for it; keep it until they have ended");
  }
}

void wait_group::add(std::uint64_t n) noexcept {
  os::step();
  const os::guard hold(line_.lock);
  count_ = detail::checked_count(count_, n);
}

void wait_group::done() noexcept {
  os::step();
  winners won;
  {
    const os::guard hold(line_.lock);
    if (count_ == 0) base::misuse("wait_group::done() was called more often than add() had announced");
    if (--count_ != 0) return;
    claim_all(line_, won);
  }
  won.deliver_all();
}

std::uint64_t wait_group::count() const noexcept {
  os::step();
  const os::guard hold(line_.lock);
  return count_;
}

wait_group_op::wait_group_op(wait_group& g) noexcept : wait_{&g, &g.line_} {}

bool wait_group_op::ready(detail::waiter& w) noexcept {
  os::step();
  if (over_before(wait_, w)) return true;
  const os::guard hold(wait_.line->lock);  // see event: the group may be destroyed when this returns
  if (static_cast<wait_group*>(wait_.object)->count_ != 0) return false;
  return served_at_once(wait_, w);
}

bool wait_group_op::park(detail::waiter& w) noexcept {
  if (over_at_once(wait_)) return park_done(w);
  const os::guard hold(wait_.line->lock);
  if (static_cast<wait_group*>(wait_.object)->count_ == 0) {
    wait_.how = wait_end::done;
    return false;
  }
  return wait_in_line(wait_, w, wait_reason::wait_group);
}

}  // namespace weft
