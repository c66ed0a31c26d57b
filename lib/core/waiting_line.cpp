#include "core/waiting_line.hpp"

#include "base/fatal.hpp"
#include "os/lock.hpp"

namespace weft::core {

bool settle(line_wait& wait, waiter& w) noexcept {
  if (wait.how != wait_end::pending) {
    word_of(w).end();
    return wait.how == wait_end::done;
  }
  const bool served = word_of(w).winner() == 0;
  if (!served) {
    // Also waits until who published this wait has unlocked.
    const os::guard hold(wait.line->lock);
    if (w.node.linked) remove(wait.line->queue, w.node);
  }
  word_of(w).end();
  wait.how = served ? wait_end::done : wait_end::cancelled;
  return served;
}

}  // namespace weft::core

namespace weft::detail {

void misuse_negative_count() noexcept {
  base::misuse(
      "a semaphore or wait_group was given a negative number, or one that is too large; to count down there "
      "are "
      "acquire() and done()");
}

void finish_line_wait(line_wait& wait, waiter& w) {
  if (!core::settle(wait, w)) throw_wait_end(wait.how, w);
}

}  // namespace weft::detail
