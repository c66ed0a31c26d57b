// all(): fork/join by continuation stealing.
//
// Forking child i pushes the group - "start child i+1, at last the join" - on the worker's fork deque and
// runs the child at once.  If nobody takes the group meanwhile, the child's end pops it and goes on: no
// atomic counter, one pop.  The last child is called: nothing is pushed, its end goes to the join.
//
// The counting is in fork_count.hpp.
//
// Invariants
//   1. The counters are the group's, not the parent's: nested groups would wait for one another (protocols.md
//   A13).
//   2. The deque's owner looks at the top before it pops (A14).
//   3. Transfers have the same budget as any other: bounded stack where the compiler makes no tail call.
//
// Source: libfork (ConorWilliams), whose "popped == parent" holds only for children that never park.
// Rejected: child stealing with one counter per group (one RMW more per child; breadth first).

#include "core/fork_group.hpp"

#include <weft/error.hpp>

#include "core/context.hpp"
#include "core/fork_count.hpp"
#include "sched/worker.hpp"

namespace weft::core {

using detail::fork_group;
using detail::promise_base;

namespace {

using counts = fork_count<fork_group>;

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
  counts of(g);
  promise_base& child = *g.children[of.next_child()];
  if (of.must_fork()) {
    child.fork.number = of.new_number();
    try {
      w.push_fork(g);
      return child;  // the group may be gone already
    } catch (...) {
      child.fork.number = 0;  // no memory for the deque: called instead of forked
    }
  }
  return child;
}

void* taken_by(detail::forkable& f, detail::worker_face& by) noexcept {
  auto& g = static_cast<fork_group&>(f);
  auto& w = static_cast<sched::worker&>(by);
  counts(g).take();
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
  const auto pop = [&] { return w.pop_fork(g); };
  const auto push_back = [&] {
    try {
      w.push_fork(g);
    } catch (...) {  // cannot happen: there was room for it
    }
  };
  switch (counts(g).end_child(number, pop, push_back)) {
    case after_child::next_child:
      return run_on(w, start_next(g, w));
    case after_child::parent:
      return run_on(w, *g.parent);
    case after_child::others:
      break;
  }
  return detail::switch_away(&w);
}

}  // namespace weft::core

namespace weft::detail {

using namespace core;

std::coroutine_handle<> fork_all(fork_group& g, waiter& parent) noexcept {
  auto& w = worker_of(parent);
  g.go_on = &taken_by;
  g.parent = &parent;
  counts(g).begin();
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

}  // namespace weft::detail
