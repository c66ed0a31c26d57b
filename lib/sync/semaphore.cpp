#include <weft/sync/semaphore.hpp>

#include "base/fatal.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"

namespace weft {

using namespace core;

semaphore::~semaphore() {
  const os::guard hold(line_.lock);
  if (line_.queue.first != nullptr) {
    base::misuse("a semaphore is destroyed while somebody waits for a permit; keep it until they have ended");
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

acquire_op::acquire_op(semaphore& s) noexcept : wait_{&s, &s.line_} {}

bool acquire_op::ready(detail::waiter& w) noexcept {
  if (over_before(wait_, w)) return true;
  if (!static_cast<semaphore*>(wait_.object)->try_acquire()) return false;
  return served_at_once(wait_, w);
}

bool acquire_op::park(detail::waiter& w) noexcept {
  if (over_at_once(wait_)) return park_done(w);
  auto& s = *static_cast<semaphore*>(wait_.object);
  const os::guard hold(wait_.line->lock);
  if (s.permits_ != 0) {
    --s.permits_;
    wait_.how = wait_end::done;
    return false;
  }
  return wait_in_line(wait_, w, wait_reason::semaphore);
}

}  // namespace weft
