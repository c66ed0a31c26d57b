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
  os::seat* const me = sched::current_seat();
  mutex_word m(state_);
  if (m.is_reserved()) {
    if (me != nullptr && m.take_reserved(*me)) return true;
    const os::guard hold(line_.lock);
    m.end_reservation(me);
  }
  if (!m.take()) return false;
  note_turn(me);
  return true;
}

/// Has taken it without waiting.
void mutex::note_turn(void* seat) noexcept {
  auto* const me = static_cast<os::seat*>(seat);
  if (!mutex_word(state_).note_turn(me)) return;
  const os::guard hold(line_.lock);
  mutex_word(state_).reserve(*me);
}

void mutex::unlock() noexcept {
  os::step();
  mutex_word m(state_);
  if (m.is_reserved()) [[likely]] {
    os::seat* const me = sched::current_seat();
    if (me != nullptr && m.let_go_reserved(*me)) [[likely]]
      return;
  }
  unlock_in_full();
}

void mutex::unlock_in_full() noexcept {
  switch (mutex_word(state_).let_go()) {
    case mutex_word<>::release::done:
      return;
    case mutex_word<>::release::reserved: {
      {
        const os::guard hold(line_.lock);
        mutex_word(state_).end_reservation(sched::current_seat());
      }
      return unlock_in_full();
    }
    case mutex_word<>::release::not_held:
      base::misuse(
          "a mutex is unlocked that is not locked; lock() locks once it is awaited, so write `auto hold = "
          "co_await m.scoped();`, in plain code `auto hold = wait(m.scoped());`");
    case mutex_word<>::release::wake:
      break;
  }
  claimed how = claimed::lost;
  waiter* next;
  mutex_word(state_).end_row();
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
      look_first<looking_wait, &lock_op::look>(wait, *next);
      mutex_word(state_).call(more);
    }
  }
  if (next != nullptr) deliver(*next, how);
}

bool lock_op::ready(detail::waiter& w) noexcept {
  os::step();
  if (is_plainly_live(w)) [[likely]] {
    sched::worker& here = worker_of(w);
    mutex_word m(static_cast<mutex*>(wait_.object)->state_);
    if (here.ready > 1 && m.take_reserved(here.seat)) [[likely]] {
      --here.ready;
      wait_.how = wait_end::done;
      return true;
    }
  }
  return ready_in_full(w);
}

bool lock_op::ready_in_full(detail::waiter& w) noexcept {
  auto& m = *static_cast<mutex*>(wait_.object);
  wait_.called = false;
  if (over_before(wait_, w)) return true;
  if (!may_go_on(w) || !mutex_word(m.state_).take()) return false;
  wait_.how = wait_end::done;
  m.note_turn(seat_of(w));
  return true;
}

bool lock_op::park(detail::waiter& w) noexcept {
  return is_spent(w) ? yield_before<&lock_op::look>(wait_, w) : !look(wait_, w);
}

/// True: it is over, locked or cancelled.
bool lock_op::look(detail::looking_wait& wait, detail::waiter& w) noexcept {
  mutex_word m(static_cast<mutex*>(wait.object)->state_);
  os::seat* const me = seat_of(w);
  if (me != nullptr && m.take_reserved(*me)) {  // so nobody was called
    wait.how = wait_end::done;
    return true;
  }
  const os::guard hold(wait.line->lock);
  m.end_reservation(me);
  if (wait.called ? m.look() : m.take_or_announce()) {
    if (wait.called) word_of(w).end();
    wait.how = wait_end::done;
    return true;
  }
  return !wait_for_it(wait, w);
}

}  // namespace weft
