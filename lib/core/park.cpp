#include "core/park.hpp"

#include <weft/error.hpp>

#include <new>

#include "sched/current.hpp"
#include "sched/hosting.hpp"

namespace weft::core {

using detail::context;
using detail::context_base;

bool look_in_full(const waiter& w) noexcept {
  return w.scope != nullptr && detail::cancel_requested_for(w) != detail::cancel_state::live;
}

bool is_limited_only(const waiter& w) noexcept {
  for (const context_base* x = w.scope; x != nullptr && x->kind == detail::nested;) {
    const auto& limit = static_cast<const context&>(*x);
    if (!limit.block.around_one) return false;
    if (detail::cancel_state_around(limit) == detail::live) return true;
    x = limit.parent;
  }
  return false;
}

void deliver(waiter& w, claimed how) noexcept {
  if (how != claimed::parked) return;
  if (w.kind() == waiter_kind::thread) {
    // Once delivered, the thread may be gone: the address alone is left for the wake.  The port is this
    // thread's.
    const std::uint32_t& low = futex_word(w);
    if (w.lives() == detail::home::host) static_cast<sched::host_wait*>(w.frame)->raise();
    word_of(w).set_delivered();
    os::current_port().wake(low, 1);
  } else {
    sched::scheduler::wake(w);
  }
  os::step(true);
}

void yield_now(waiter& w) noexcept {
  if (w.lives() == detail::home::blocking_pool) [[unlikely]]
    return sched::scheduler::wake(w);
  sched::worker& last = worker_of(w);
  if (w.is_on_workers() || sched::current_worker() == &last) {
    last.count.yields.add();
    last.push_yielding(w);
  } else {
    last.home().inject_from_outside(w);
  }
}

namespace {

waiter* wake_by_timer(void* target) noexcept {
  auto& w = *static_cast<waiter*>(target);
  const claimed how = word_of(w).claim(by_timeout);
  if (how != claimed::parked) return nullptr;
  w.next = nullptr;
  return &w;
}

}  // namespace

bool wait_timer::arm(sched::timer_cell*& cell, waiter& w, os::nanos deadline) noexcept {
  cell = nullptr;
  if (deadline == os::never || w.kind() == waiter_kind::thread) return true;
  sched::worker* here = sched::current_worker();
  sched::worker& heap_of = here != nullptr && &here->home() == &worker_of(w).home() ? *here : worker_of(w);
  try {
    cell = heap_of.timers.arm(deadline, &wake_by_timer, &w);
  } catch (...) {
    return false;
  }
  // A running worker looks at its own heap.  On another thread is a coroutine of a foreign type, whose await
  // tells a sleeping worker when no lock is held (core/foreign.cpp), or of the pool: run_here() tells it.
  return true;
}

void wait_timer::disarm(sched::timer_cell*& cell) noexcept {
  if (cell == nullptr) return;
  sched::timer_heap::cancel(cell);
  cell = nullptr;
}

}  // namespace weft::core

namespace weft::detail {

namespace {

/// In line: each function between the throw and the catch is unwound twice, 0.2 us each time.
[[noreturn, gnu::always_inline]] inline void throw_cancelled_here(const waiter& w) {
  if (cancel_requested_for(w) == deadline_passed) throw deadline_exceeded();
  throw cancelled();
}

}  // namespace

void throw_wait_end(wait_end how, const waiter& w) {
  if (how == wait_end::out_of_memory) throw std::bad_alloc();
  throw_cancelled_here(w);
}

void throw_cancelled(const waiter& w) {
  throw_cancelled_here(w);
}

}  // namespace weft::detail
