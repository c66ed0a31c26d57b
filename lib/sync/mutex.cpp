// mutex: the word (sync/mutex_word.hpp) and the line of those who wait.

#include <weft/sync/mutex.hpp>

#include "base/fatal.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"
#include "sync/mutex_word.hpp"

namespace weft {

using namespace core;

namespace {

using sync::mutex_word;

constexpr std::uint16_t served = 0, called = 1;  // how a waiter was woken

/// In the line's lock, with the mutex in somebody's hands: true, the waiter sleeps.
bool wait_for_it(looking_wait& wait, waiter& w) noexcept {
  if (!begin_waiting(w, wait_reason::mutex, static_cast<line_wait*>(&wait))) {
    wait.how = wait_end::cancelled;
    return false;
  }
  if (wait.called) {
    prepend(wait.line->queue, w.node);
  } else {
    if (w.kind() == waiter_kind::routine) w.node.index = called;
    append(wait.line->queue, w.node);
  }
  return true;
}

}  // namespace

mutex::~mutex() {
  const os::guard hold(line_.lock);  // an unlock() that found nobody in the line may still be inside
  if (mutex_word(state_).is_unused()) return;
  base::misuse_before_exit(
      mutex_word(state_).is_held()
          ? "a mutex is destroyed while it is locked; unlock it first"
          : "a mutex is destroyed while somebody waits for it; keep it until they have ended");
}

bool mutex::try_lock() noexcept {
  os::step();
  return mutex_word(state_).take();
}

void mutex::unlock() noexcept {
  os::step();
  switch (mutex_word(state_).let_go()) {
    case mutex_word<>::release::done:
      return;
    case mutex_word<>::release::not_held:
      base::misuse(
          "a mutex is unlocked that is not locked; lock() locks once it is awaited, so write `auto hold = "
          "co_await m.scoped();`, in plain code `auto hold = wait(m.scoped());`");
    case mutex_word<>::release::wake:
      break;
  }
  claimed how = claimed::lost;
  waiter* next;
  {
    const os::guard hold(line_.lock);
    next = claim_first(line_, how);
    const bool more = line_.queue.first != nullptr;
    if (next == nullptr) {
      mutex_word(state_).free();
    } else if (next->node.index == served) {
      mutex_word(state_).hand_over(more);
    } else {
      auto& wait = static_cast<looking_wait&>(*static_cast<line_wait*>(next->node.op));
      wait.called = true;
      look_first<&lock_op::look>(wait, *next);
      mutex_word(state_).call(more);
    }
  }
  if (next != nullptr) deliver(*next, how);
}

bool lock_op::ready(detail::waiter& w) noexcept {
  os::step();
  wait_.called = false;
  if (over_before(wait_, w)) return true;
  if (!may_go_on(w) || !mutex_word(static_cast<mutex*>(wait_.object)->state_).take()) return false;
  wait_.how = wait_end::done;
  return true;
}

bool lock_op::park(detail::waiter& w) noexcept {
  return is_spent(w) ? yield_before<&lock_op::look>(wait_, w) : !look(wait_, w);
}

/// True: it is over, locked or cancelled.
bool lock_op::look(detail::looking_wait& wait, detail::waiter& w) noexcept {
  auto& m = *static_cast<mutex*>(wait.object);
  const os::guard hold(wait.line->lock);
  if (wait.called ? mutex_word(m.state_).look() : mutex_word(m.state_).take_or_announce()) {
    wait.how = wait_end::done;
    return true;
  }
  return !wait_for_it(wait, w);
}

}  // namespace weft
