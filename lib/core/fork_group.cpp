// all(): fork/join by continuation stealing.
//
// Forking child i pushes the group - "start child i+1, at last the join" - on the worker's fork deque and
// runs the child at once.  If nobody takes the group meanwhile, the child's end pops it and goes on: no
// atomic counter, no read-modify-write.  The last child is called: nothing is pushed, its end goes to the
// join.
//
// Each fork asks whether its routine is cancelled.  Groups are not linked to the contexts around them until
// something in them waits, so that means to climb.  The answer holds as long as nothing is cancelled in the
// process: a group keeps the count of cancellations at which it was found live (R5, A5).
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

#include <exception>

#include "core/context.hpp"
#include "core/fork_count.hpp"
#include "core/join.hpp"
#include "sched/scheduler.hpp"

namespace weft::core {

using detail::fork_group;
using detail::promise_base;

namespace {

using counts = fork_count<fork_group>;

/// `frame`, of `r`, runs next on `w`, within the budget.
std::coroutine_handle<> run_on(sched::worker& w, waiter& r, void* frame) noexcept {
  w.enter_part(r);
  if (--w.transfers > 0) [[likely]]
    return std::coroutine_handle<>::from_address(frame);
  return detail::bounce(r, frame);
}

/// Named is the routine that awaits, whatever ran here last; the parent itself ran elsewhere if this is a
/// thief.
[[noreturn, gnu::noinline]] void misuse_of_child(fork_group& g) noexcept {
  sched::worker* const here = sched::current_worker();
  (here != nullptr ? here : sched::current_berth())->runs(g.parent);
  detail::misuse_empty_routine();
}

/// The child that the caller is about to start.  Until then a canceller finds a word that nobody can claim.
promise_base& set_up(fork_group& g, void* frame) noexcept {
  if (frame == nullptr) [[unlikely]]
    misuse_of_child(g);
  promise_base& child = detail::promise_of(frame);
  if (child.started()) [[unlikely]]
    misuse_of_child(g);
  child.id_low = 0;
  child.id_high = 0;
  child.born(detail::birth::forked);
  __atomic_store_n(&child.scope, &g.scope, __ATOMIC_RELAXED);  // relaxed: only compared before it waits
  child.fork.group = &g;
  word_of(child).set(state::running);
  return child;
}

// What is hot ends in calls of what is not, so that it needs no registers saved (-O2: 15 instructions a
// call).

[[gnu::noinline]] std::coroutine_handle<> wake_another(sched::worker& w, promise_base& child) noexcept {
  w.home().wake_one();
  return run_on(w, child, detail::frame_of(child));
}

/// The deque has no room, or was shut.  Without memory the child is called instead of forked.
[[gnu::noinline]] std::coroutine_handle<> push_slowly(fork_group& g, sched::worker& w,
                                                      promise_base& child) noexcept {
  if (!w.push_fork(g)) {
    child.fork.number = 0;
  } else if (w.wanted_elsewhere()) {
    w.home().wake_one();
  }
  return run_on(w, child, detail::frame_of(child));
}

/// The caller has the group: starts the next child.
[[gnu::always_inline]] inline std::coroutine_handle<> start_next(fork_group& g, sched::worker& w) noexcept {
  counts of(g);
  void* const frame = g.frames[of.next_child()];
  promise_base& child = set_up(g, frame);
  if (of.must_fork()) {
    child.fork.number = of.number();
    if (!w.push_fork_quickly(g)) [[unlikely]]
      return push_slowly(g, w, child);
    if (w.wanted_elsewhere()) [[unlikely]]  // the group may be gone
      return wake_another(w, child);
  } else {
    child.fork.number = 0;
  }
  return run_on(w, child, frame);
}

waiter& taken_by(detail::forkable& f, detail::worker_face& by) noexcept {
  auto& g = static_cast<fork_group&>(f);
  auto& w = static_cast<sched::worker&>(by);
  counts of(g);
  of.take();
  promise_base& child = set_up(g, g.frames[of.next_child()]);
  child.frame = detail::frame_of(child);
  child.fork.number = of.must_fork() ? of.number() : 0;
  if (child.fork.number != 0 && !w.push_fork(g)) child.fork.number = 0;
  if (child.fork.number != 0 && w.wanted_elsewhere()) w.home().wake_one();
  return child;
}

[[gnu::noinline]] std::coroutine_handle<> end_slowly(promise_base& child, after_child then) noexcept {
  auto& w = worker_of(child);
  fork_group& g = *child.fork.group;
  if (child.ended() == detail::outcome::exception) {
    promise_base* none = nullptr;
    std::atomic_ref(g.failed).compare_exchange_strong(none, &child,
                                                      std::memory_order_relaxed);  // relaxed: J1, J2 order it
    detail::cancel_context(g.scope, detail::cancel_requested);
  }
  const auto pop = [&] { return w.pop_fork(g); };
  const auto push_back = [&] {
    static_cast<void>(w.push_fork(g));  // there was room for it
    if (w.wanted_elsewhere()) w.home().wake_one();
  };
  then = then == after_child::popped_later ? counts(g).give_back(push_back)
                                           : counts(g).end_child(child.fork.number, pop, push_back);
  if (then == after_child::next_child) return start_next(g, w);
  if (then != after_child::parent) return detail::switch_away(&w);
  waiter& parent = *g.parent;
  if (w.is_berth() == (parent.lives() == detail::home::blocking_pool)) return run_on(w, parent, parent.frame);
  sched::scheduler::wake(parent);  // it lives elsewhere
  return detail::switch_away(&w);
}

/// Nothing was cancelled since the group that the parent is in was found live.
bool is_known_live(const waiter& parent, const sched::worker& w, std::uint64_t cancels) noexcept {
  const detail::context_base& around = *parent.scope;
  return around.kind == detail::group && static_cast<const context&>(around).forks->live_at == cancels &&
         w.may_be_quick();
}

[[gnu::always_inline]] inline void begin(fork_group& g, waiter& parent, std::uint64_t cancels) noexcept {
  g.go_on = &taken_by;
  g.parent = &parent;
  g.failed = nullptr;
  g.live_at = cancels;
  counts(g).begin();
  context& x = g.scope;
  x.lock = 0;
  x.state = detail::live;
  x.kind = detail::group;
  x.shielded = parent.scope->shielded;
  x.linked = 0;
  x.children = nullptr;
  x.parent = parent.scope;
  x.owner = nullptr;
  x.members = nullptr;
  x.forks = &g;
  parent.node.because(wait_reason::all);
}

[[gnu::always_inline]] inline std::coroutine_handle<> begin_all(fork_group& g, waiter& parent,
                                                                std::uint64_t cancels) noexcept {
  begin(g, parent, cancels);
  return start_next(g, worker_of(parent));
}

/// On the blocking pool, where nobody takes forks from others: all children but the last are made ready
/// there, as if their forks had been taken, and the last runs here.  So each has a number, counts itself off,
/// and the last to end finds out where the parent lives.
std::coroutine_handle<> begin_on_pool(fork_group& g, waiter& parent, std::uint64_t cancels) noexcept {
  begin(g, parent, cancels);
  counts of(g);
  while (of.must_fork()) {
    promise_base& child = set_up(g, g.frames[of.next_child()]);
    child.frame = detail::frame_of(child);
    child.worker = parent.worker;
    child.fork.number = of.number();
    child.lives(detail::home::blocking_pool);
    of.take();
  }
  sched::worker& w = worker_of(parent);
  static_cast<void>(of.all_taken());  // none has ended
  promise_base& last = g.child(g.count - 1);
  for (std::uint32_t i = 0; i + 1 < g.count; ++i) w.home().pool().queue(g.child(i));
  return run_on(w, last, last.frame);
}

[[gnu::noinline]] std::coroutine_handle<> look_and_begin(fork_group& g, waiter& parent,
                                                         std::uint64_t cancels) noexcept {
  if (!is_cancelled_before(parent)) {
    return parent.lives() == detail::home::workers ? begin_all(g, parent, cancels)
                                                   : begin_on_pool(g, parent, cancels);
  }
  g.next = 0;
  return std::coroutine_handle<>::from_address(parent.frame);
}

}  // namespace
}  // namespace weft::core

namespace weft::detail {

using namespace core;

std::coroutine_handle<> fork_all(fork_group& g, waiter& parent) noexcept {
  const std::uint64_t cancels =
      cancels_so_far.load(std::memory_order_acquire);  // A5, pairs with R5: what was cancelled is seen below
  if (is_known_live(parent, worker_of(parent), cancels)) [[likely]]
    return begin_all(g, parent, cancels);
  return look_and_begin(g, parent, cancels);
}

std::coroutine_handle<> end_forked(promise_base& child) noexcept {
  auto& w = worker_of(child);
  fork_group& g = *child.fork.group;
  word_of(child).set(state::none);
  if (child.ended() == outcome::exception) [[unlikely]]
    return end_slowly(child, after_child::unknown);
  const after_child then = counts(g).end_quickly(child.fork.number, [&] { return w.pop_fork_quickly(g); });
  if (then == after_child::next_child) [[likely]]
    return start_next(g, w);
  if (then == after_child::parent) return run_on(w, *g.parent, g.parent->frame);
  return end_slowly(child, then);
}

void check_live(waiter& parent) {
  const std::uint64_t cancels =
      cancels_so_far.load(std::memory_order_acquire);  // A5, pairs with R5: as in fork_all()
  if (is_known_live(parent, worker_of(parent), cancels)) return;
  if (is_cancelled_before(parent)) throw_cancelled(parent);
}

void end_all(fork_group& g, waiter& parent) {
  if (g.next == 0) throw_cancelled(parent);
  leave_group(g.scope);
  if (g.failed != nullptr) std::rethrow_exception(failure_of(*g.failed));
}

}  // namespace weft::detail
