// all(): fork/join by continuation stealing.
//
// Forking child i pushes the group - "start child i+1, at last the join" - on the worker's fork deque and
// runs the child at once.  If nobody takes the group meanwhile, the child's end pops it and goes on: no
// atomic counter, one pop.  The last child is called: nothing is pushed, its end goes to the join.
//
// Who has the group (has popped or stolen it, or ended the called child) has it alone: next, fork_number and
// taken are plain.  A child ends on the worker that resumed it last.  There the group may be on top because
// of a *later* fork, so each fork has a number and only its own child may pop it; anybody else who takes the
// group - a thief, or the owner's loop after the child has parked - counts the fork as taken, and then its
// child counts itself off.
//
//   join: taken == 0                                    all have ended: the parent goes on
//         pending -= many - taken; result 0             the same, the taken ones were quicker
//         else                                          the last child that counts itself off finds 1
//
// Invariants
//   1. The counters are the group's, not the parent's: nested groups would wait for one another (protocols.md
//   A13).
//   2. The deque's owner looks at the top before it pops (A14).
//   3. Transfers have the same budget as any other: bounded stack where the compiler makes no tail call.
//
// Source: libfork (ConorWilliams), whose "popped == parent" holds only for children that never park; the
// numbers repair
//         that.  Model-checked: reference model m5n.
// Rejected: child stealing with one counter per group (one RMW more per child; breadth first).

#include "core/fork_group.hpp"

#include <weft/error.hpp>

#include "core/context.hpp"
#include "sched/worker.hpp"

namespace weft::core {

using detail::fork_group;
using detail::promise_base;

namespace {

constexpr std::uint32_t many = 1U << 30;

/// `r` runs next on `w`, within the budget.
std::coroutine_handle<> run_on(sched::worker& w, waiter& r) noexcept {
  void* frame = w.enter(r);
  if (--w.transfers > 0) return std::coroutine_handle<>::from_address(frame);
  w.bounce(r);
  return std::noop_coroutine();
}

void prepare(fork_group& g, promise_base& child) noexcept {
  child.born(detail::birth::forked);
  child.id_low = 0;
  child.id_high = 0;
  child.origin.spawned_at = 0;
  child.end.join = 0;
  child.scope = &g.scope;
  child.fork = {&g, 0};
  child.frame = detail::frame_of(child);
  child.worker = g.parent->worker;
  child.node.linked = false;
  word_of(child).set(state::running);
}

/// The caller has the group: starts the next child.
waiter& start_next(fork_group& g, sched::worker& w) noexcept {
  promise_base& child = *g.children[g.next++];
  if (g.next < g.count) {
    child.fork.number = ++g.fork_number;
    try {
      w.push_fork(g);
      return child;  // the group may be gone already
    } catch (...) {
      child.fork.number = 0;  // no memory for the deque: called instead of forked
    }
  }
  return child;
}

/// The caller has the group, and all children have been started.
waiter* join(fork_group& g) noexcept {
  if (g.taken == 0) return g.parent;
  const std::uint32_t rest = many - g.taken;
  const std::uint32_t before =
      std::atomic_ref(g.pending).fetch_sub(rest, std::memory_order_acq_rel);  // J1, pairs with J2
  return before == rest ? g.parent : nullptr;
}

void* taken_by(detail::forkable& f, detail::worker_face& by) noexcept {
  auto& g = static_cast<fork_group&>(f);
  auto& w = static_cast<sched::worker&>(by);
  ++g.taken;
  return w.enter(start_next(g, w));
}

}  // namespace

std::coroutine_handle<> forked_end(promise_base& child) noexcept {
  auto& w = worker_of(child);
  fork_group& g = *child.fork.group;
  const std::uint32_t number = child.fork.number;
  word_of(child).set(state::none);
  if (child.ended() == detail::outcome::exception) {
    promise_base* none = nullptr;
    std::atomic_ref(g.failed).compare_exchange_strong(none, &child,
                                                      std::memory_order_relaxed);  // relaxed: J1, J2 order it
    detail::cancel_context(g.scope, detail::cancel_requested);
  }
  waiter* next = nullptr;
  if (number == 0) {
    next = g.next < g.count ? &start_next(g, w) : join(g);
  } else if (w.pop_fork(g)) {
    if (g.fork_number == number) {
      next = &start_next(g, w);
    } else {  // a later fork's: put back
      try {
        w.push_fork(g);
      } catch (...) {  // cannot happen: there was room for it
      }
    }
  }
  if (next == nullptr && number != 0) {
    const std::uint32_t before =
        std::atomic_ref(g.pending).fetch_sub(1, std::memory_order_acq_rel);  // J2, pairs with J1
    if (before == 1) next = g.parent;
  }
  if (next != nullptr) return run_on(w, *next);
  return detail::switch_away(&w);
}

}  // namespace weft::core

namespace weft::detail {

using namespace core;

std::coroutine_handle<> fork_all(fork_group& g, waiter& parent) noexcept {
  auto& w = worker_of(parent);
  g.go_on = &taken_by;
  g.parent = &parent;
  g.next = 0;
  g.fork_number = 0;
  g.taken = 0;
  g.pending = many;
  g.failed = nullptr;
  context& x = g.scope;
  x.lock = 0;
  x.state = live;
  x.kind = group;
  x.shielded = parent.scope->shielded;
  x.linked = 0;
  x.children = nullptr;
  x.parent = parent.scope;
  x.owner = nullptr;
  x.members = nullptr;
  x.joiner = nullptr;
  x.timer = nullptr;
  x.failure = nullptr;
  x.forks = &g;
  parent.node.because(wait_reason::all);
  for (std::uint32_t i = 0; i < g.count; ++i) prepare(g, *g.children[i]);
  return run_on(w, start_next(g, w));
}

void end_all(fork_group& g) noexcept {
  leave_group(g.scope);
}

bool cancelled_before(waiter& parent) noexcept {
  return is_cancelled(parent);
}

}  // namespace weft::detail
