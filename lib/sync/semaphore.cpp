#include <weft/sync/semaphore.hpp>

#include "base/fatal.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"

namespace weft {

using namespace core;

semaphore::~semaphore() {
  const os::guard hold(line_.lock);
  if (line_.queue.first != nullptr) {
    base::misuse_before_exit(
        "a semaphore is destroyed while somebody waits for a permit; keep it until they have ended");
  }
}

bool semaphore::try_acquire() noexcept {
  os::step();
  const os::guard hold(line_.lock);
  if (permits_ == 0) return false;
  --permits_;
  return true;
}

void semaphore::release(std::uint64_t n) noexcept {
  os::step();
  winners won;
  {
    const os::guard hold(line_.lock);
    static_cast<void>(detail::checked_count(permits_, n));
    claimed how = claimed::lost;
    while (n != 0) {
      waiter* w = claim_first(line_, how);
      if (w == nullptr) break;
      won.add(*w, how);
      --n;
    }
    permits_ += n;
  }
  won.deliver_all();
}

std::uint64_t semaphore::available() const noexcept {
  os::step();
  const os::guard hold(line_.lock);
  return permits_;
}

acquire_op::acquire_op(semaphore& s) noexcept : wait_{{&s, &s.line_}, {}} {}

bool acquire_op::ready(detail::waiter& w) noexcept {
  if (over_before(wait_, w)) return true;
  if (!may_go_on(w) || !static_cast<semaphore*>(wait_.object)->try_acquire()) return false;
  wait_.how = wait_end::done;
  return true;
}

bool acquire_op::park(detail::waiter& w) noexcept {
  return is_spent(w) ? yield_before<&acquire_op::look>(wait_, w) : !look(wait_, w);
}

/// True: it is over, with a permit or cancelled.
bool acquire_op::look(detail::looking_wait& wait, detail::waiter& w) noexcept {
  auto& s = *static_cast<semaphore*>(wait.object);
  const os::guard hold(wait.line->lock);
  if (s.permits_ != 0) {
    --s.permits_;
    wait.how = wait_end::done;
    return true;
  }
  return !wait_in_line(wait, w, wait_reason::semaphore);
}

}  // namespace weft
