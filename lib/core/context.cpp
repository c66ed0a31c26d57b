// The tree of contexts.  Locks are taken parent before child; the winners of a cancel are woken when none is
// held.  Nothing here recurses: contexts are nested as deep as memory lets them be, on any stack.

#include "core/context.hpp"

#include <weft/detail/fork.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/fork_group.hpp"
#include "os/asymmetric.hpp"
#include "os/lock.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::core {

using detail::cancel_state;
using detail::no_deadline;

namespace {

std::uint8_t load_state(const context_base& x) noexcept {
  return std::atomic_ref(const_cast<std::uint8_t&>(x.state))
      .load(std::memory_order_seq_cst);  // W2, pairs with C1
}

void store_state(context_base& x, std::uint8_t s) noexcept {
  std::atomic_ref(x.state).store(s, std::memory_order_seq_cst);  // C1, pairs with W2
  cancels_so_far.fetch_add(1, std::memory_order_release);        // R5, pairs with A5
}

bool is_linked(const context_base& x) noexcept {
  const std::atomic_ref linked(const_cast<std::uint8_t&>(x.linked));
  return linked.load(std::memory_order_acquire) != 0;  // A3, pairs with R3
}

void set_linked(context_base& x, bool on) noexcept {
  std::atomic_ref(x.linked).store(on ? 1 : 0, std::memory_order_release);  // R3, pairs with A3
}

context& full(context_base& x) noexcept {
  return static_cast<context&>(x);
}

waiter& owner_of_root(context_base& x) noexcept {
  return *reinterpret_cast<waiter*>(reinterpret_cast<std::byte*>(&x) - offsetof(waiter, own_scope));
}

/// A waiter enters and leaves x under x.lock, so under it the answer to "is it x?" stands; which other one it
/// is may change meanwhile, hence atomic.
context_base* scope_of(const waiter& w) noexcept {
  return __atomic_load_n(&w.scope, __ATOMIC_RELAXED);  // relaxed: the lock orders it, if it is x
}

void set_scope(waiter& w, context_base* x) noexcept {
  __atomic_store_n(&w.scope, x, __ATOMIC_RELAXED);  // relaxed: as above
}

/// Under x.lock.
void claim_in(context_base& x, waiter& w, winners& won) noexcept {
  if (scope_of(w) != &x) return;  // it is in a context opened inside; that is a child, or shielded
  const claimed how = word_of(w).claim(by_cancel, no_cancel);
  if (how == claimed::lost && &w != sched::current_routine() && !word_of(w).is_spared(no_cancel))
    won.note_missed();
  won.add(w, how);
}

/// Under x.lock.
void claim_all_in(context_base& x, winners& won) noexcept {
  if (x.kind == detail::routine_root) return claim_in(x, owner_of_root(x), won);
  context& c = full(x);
  if (c.owner != nullptr) claim_in(x, *c.owner, won);
  for (waiter* m = c.members; m != nullptr; m = m->links.next) claim_in(x, *m, won);
  if (c.kind != detail::group) return;
  for_each_forked(c, [&](waiter& child) {
    if (scope_of(child) != &x) won.note_missed();  // not started yet, as far as can be seen here
    claim_in(x, child, won);
  });
}

/// Visits x and, where that returns true, its children; depth first.  The locks from x down to where it is
/// are held: they pin the path, and the links back.
template <typename Visit>
void walk(context_base& x, Visit visit) noexcept {
  context_base* at = &x;
  os::lock(x.lock);
  bool enters = visit(x);
  for (;;) {
    context* next = enters ? at->children : nullptr;
    while (next == nullptr) {
      if (at == &x) return os::unlock(x.lock);
      context& done = full(*at);
      next = done.next;  // under the parent's lock
      at = done.parent;
      os::unlock(done.lock);
    }
    at = next;
    os::lock(at->lock);
    enters = visit(*at);
  }
}

}  // namespace

/// Twice, if the first time somebody did not wait: its wait may have begun without a look that saw the
/// cancellation, and be visible only behind the barrier (core/claim_word.hpp).
void cancel_tree(context_base& x, std::uint8_t why, winners& won) noexcept {
  walk(x, [&](context_base& each) {
    if (load_state(each) != cancel_state::live)
      return false;  // it was cancelled before, and so was all inside
    store_state(each, why);
    claim_all_in(each, won);
    return true;
  });
  if (!won.missed_one() || !os::barriers_are_asymmetric()) return;
  os::heavy_barrier();
  walk(x, [&](context_base& each) {
    claim_all_in(each, won);
    return true;
  });
}

namespace {

/// Under the parent's lock.
void link_child(context_base& parent, context& x) noexcept {
  x.prev = nullptr;
  x.next = parent.children;
  if (x.next != nullptr) x.next->prev = &x;
  parent.children = &x;
  set_linked(x, true);
}

void unlink_child(context_base& parent, context& x) noexcept {
  (x.prev != nullptr ? x.prev->next : parent.children) = x.next;
  if (x.next != nullptr) x.next->prev = x.prev;
  set_linked(x, false);
}

waiter* deadline_passed_in(void* target) noexcept {
  winners won;
  cancel_tree(*static_cast<context*>(target), detail::deadline_passed, won);
  return won.take_routines();
}

void enter_parent(context& x, bool shielded) noexcept {
  context_base* parent = x.parent;
  if (parent == nullptr) return;
  if (!shielded) link_up(*parent);
  const os::guard hold(parent->lock);
  if (x.owner != nullptr) set_scope(*x.owner, &x);
  if (shielded) return;
  link_child(*parent, x);
  if (const std::uint8_t s = load_state(*parent); s != cancel_state::live) store_state(x, s);
}

void close_in(context& x) noexcept {
  if (x.timer != nullptr) sched::timer_heap::cancel(std::exchange(x.timer, nullptr));
  if (x.parent != nullptr) {
    const os::guard hold(x.parent->lock);
    if (is_linked(x)) unlink_child(*x.parent, x);
    if (x.owner != nullptr) set_scope(*x.owner, x.parent);
  }
  x.failure.~exception_ptr();
}

/// Everything but the timer: `parent` may be null.
void open_untimed(context& x, context_base* parent, waiter* owner, bool shielded,
                  std::int64_t deadline) noexcept {
  x.lock = 0;
  x.state = cancel_state::live;
  x.kind = detail::nested;
  x.shielded = shielded || (parent != nullptr && parent->shielded != 0) ? 1 : 0;
  x.linked = 0;
  x.children = nullptr;
  x.parent = parent;
  x.prev = x.next = nullptr;
  x.owner = owner;
  x.members = nullptr;
  count_of(x).begin();
  x.joiner = nullptr;
  ::new (static_cast<void*>(&x.failure)) std::exception_ptr();
  x.deadline = deadline;
  x.timer = nullptr;
  x.block = {};
  enter_parent(x, shielded);
}

/// `here` has the timer; null if there is no deadline.
void open_in(context& x, context_base* parent, waiter* owner, bool shielded, std::int64_t deadline,
             sched::worker* here) {
  const std::int64_t inherited = shielded ? no_deadline : deadline_in(parent);
  open_untimed(x, parent, owner, shielded, std::min(deadline, inherited));
  if (deadline >= inherited) return;
  try {  // last: it may fire at once, on another thread, and looks at the owner
    x.timer = here->timers.arm(deadline, &deadline_passed_in, &x);
  } catch (...) {
    close_in(x);
    throw;
  }
  // One that is replaced may sleep before it looks at its timers (sched/parking.hpp, K5).
  if (here != sched::current_worker() || here->is_blocked()) here->home().timer_armed(deadline);
}

}  // namespace

std::int64_t deadline_in(const context_base* x) noexcept {
  while (x != nullptr && x->kind != detail::routine_root) {
    const auto& c = static_cast<const context&>(*x);
    if (c.kind == detail::nested) return c.deadline;
    x = c.parent;
  }
  return no_deadline;
}

void winners::add(waiter& w, claimed how) noexcept {
  if (how != claimed::parked) return;
  w.next = nullptr;
  (first_ != nullptr ? last_->next : first_) = &w;
  last_ = &w;
}

void winners::deliver_all() noexcept {
  const bool several = first_ != last_;
  while (waiter* w = first_) {
    first_ = w->next;
    if (several && w->kind() != waiter_kind::thread) {
      sched::scheduler::wake_in_turn(*w);
      os::step(true);
    } else {
      deliver(*w, claimed::parked);
    }
  }
}

waiter* winners::take_routines() noexcept {
  winners routines;
  while (waiter* w = first_) {
    first_ = w->next;
    w->kind() == waiter_kind::thread ? deliver(*w, claimed::parked) : routines.add(*w, claimed::parked);
  }
  return routines.first_;
}

void open_for_thread(context& x, bool shielded, std::int64_t deadline, sched::worker* timers_of) {
  open_in(x, sched::current_scope(), nullptr, shielded, deadline, timers_of);
  sched::set_current_scope(&x);
}

void close_for_thread(context& x) noexcept {
  close_in(x);
  sched::set_current_scope(x.parent);
}

namespace {

/// Under x.lock.
void link_member(context& x, waiter& member) noexcept {
  member.links = {nullptr, x.members};
  if (x.members != nullptr) x.members->links.prev = &member;
  x.members = &member;
}

void unlink_member(context& x, waiter& member) noexcept {
  (member.links.prev != nullptr ? member.links.prev->links.next : x.members) = member.links.next;
  if (member.links.next != nullptr) member.links.next->links.prev = member.links.prev;
}

}  // namespace

void unlist(context& x, waiter& member) noexcept {
  const os::guard hold(x.lock);
  unlink_member(x, member);
}

void attach_thread(context_base& x, waiter& party) noexcept {
  if (x.kind == detail::routine_root) return;  // has no list: seen at the next entry
  const os::guard hold(x.lock);
  link_member(full(x), party);
}

void detach_thread(context_base& x, waiter& party) noexcept {
  if (x.kind == detail::routine_root) return;
  const os::guard hold(x.lock);
  unlink_member(full(x), party);
}

std::int64_t live_deadline(const context_base* x) noexcept {
  if (x == nullptr || load_state(*x) != cancel_state::live) return no_deadline;
  const std::int64_t deadline = deadline_in(x);
  // The caller's is not for those inside: they would end cancelled before it has timed out.
  for (; x != nullptr && x->kind != detail::routine_root; x = static_cast<const context*>(x)->parent) {
    if (x->kind != detail::nested) continue;  // a group has that of what is around it
    const auto& limit = *static_cast<const context*>(x);
    if (limit.deadline != deadline) break;
    if (limit.block.of_call) return no_deadline;
  }
  return deadline;
}

void pass_deadline(context_base& x) noexcept {
  const std::int64_t passed = deadline_in(&x);
  context* outermost = &full(x);
  while (outermost->parent != nullptr && deadline_in(outermost->parent) == passed &&
         outermost->shielded == outermost->parent->shielded) {
    outermost = &full(*outermost->parent);
  }
  detail::cancel_context(*outermost, detail::deadline_passed);
}

void fail(context& x, std::exception_ptr error) noexcept {
  {
    const os::guard hold(x.lock);
    if (x.failure == nullptr) std::swap(x.failure, error);
  }
  detail::cancel_context(x, detail::cancel_requested);
}

void link_scope(waiter& w) noexcept {
  if (!w.is_unlisted_member()) return link_up(*w.scope);
  context& x = full(*w.scope);
  if (x.owner == &w) return;  // opened by itself, so its own scope's canceller finds it as the owner
  w.list();
  const os::guard hold(x.lock);
  link_member(x, w);
}

namespace {

/// What above x must be linked first, x included.
bool needs_link(const context_base& x) noexcept {
  return x.kind == detail::group && !is_linked(x) && static_cast<const context&>(x).parent != nullptr;
}

/// The parent is linked.
void link_group(context& c) noexcept {
  const os::guard above(c.parent->lock);
  if (is_linked(c)) return;
  link_child(*c.parent, c);
  if (const std::uint8_t s = load_state(*c.parent);
      s != cancel_state::live && load_state(c) == cancel_state::live) {
    store_state(c, s);
  }
}

/// The lowest of `n` groups, from the top down, as a parent must be known before its child.  There are no
/// links down, so the upper half is done first: n log n steps, log n calls one inside another.
void link_chain(context& lowest, std::size_t n) noexcept {
  context* c = &lowest;
  while (n > 1) {
    const std::size_t half = n / 2;
    context* middle = c;
    for (std::size_t i = 0; i < half; ++i) middle = &full(*middle->parent);
    link_chain(*middle, n - half);
    n = half;
  }
  link_group(*c);
}

}  // namespace

void link_up(context_base& x) noexcept {
  std::size_t n = 0;
  for (const context_base* at = &x; needs_link(*at); at = static_cast<const context*>(at)->parent) ++n;
  if (n != 0) link_chain(full(x), n);
}

void leave_group(context& x) noexcept {
  if (!is_linked(x)) return;
  const os::guard above(x.parent->lock);
  unlink_child(*x.parent, x);
}

}  // namespace weft::core

namespace weft::detail {

using namespace core;

void open_context(context& x, waiter& owner, bool shielded, std::int64_t deadline) {
  open_in(x, owner.scope, &owner, shielded, deadline, &worker_of(owner));
}

void open_context_of_call(context& x, waiter& owner, std::int64_t deadline) noexcept {
  open_untimed(x, owner.scope, &owner, false, deadline);
  x.block.of_call = true;
}

void close_context(context& x, waiter& owner) noexcept {
  (void)owner;
  close_in(x);
}

void count_off(context& x, std::uint64_t n) noexcept {
  if (!count_of(x).end(n)) return;
  waiter& joiner = owner_of(*x.joiner);
  deliver(joiner, word_of(joiner).claim(0));
}

void cancel_context(context_base& x, cancel_state why) noexcept {
  os::step();
  winners won;
  cancel_tree(x, why, won);
  won.deliver_all();
}

cancel_state cancel_state_of(const context_base& x) noexcept {
  return static_cast<cancel_state>(load_state(x));
}

namespace {

/// Also how far it had to climb: as many contexts as no canceller above would find.
[[gnu::always_inline]] inline cancel_state look_for_cancel(const context_base& inner, const waiter& w,
                                                           unsigned& climbed) noexcept {
  const context_base* x = &inner;
  for (;; ++climbed) {
    if (const std::uint8_t s = load_state(*x); s != live) return static_cast<cancel_state>(s);
    if (x->kind != group || is_linked(*x)) break;
    x = static_cast<const context*>(x)->parent;
    if (x == nullptr) return live;
  }
  const auto* worker = static_cast<const sched::worker*>(
      __atomic_load_n(&w.worker, __ATOMIC_RELAXED));  // relaxed: as in is_cancelled()
  if (inner.shielded == 0 && worker != nullptr && worker->home().stopping()) return cancel_requested;
  return live;
}

/// Groups one inside another that are linked at once, because each look climbs over all that are not.  Above
/// the depth of trees that divide work; 64 loads are as much as one lock.
constexpr unsigned longest_climb = 64;

cancel_state requested_in(const context_base& inner, const waiter& w) noexcept {
  unsigned climbed = 0;
  return look_for_cancel(inner, w, climbed);
}

}  // namespace

cancel_state cancel_requested_for(const waiter& w) noexcept {
  return w.scope == nullptr ? live : requested_in(*w.scope, w);
}

cancel_state cancel_state_around(const context& x) noexcept {
  if (x.parent == nullptr) return live;
  return x.owner == nullptr ? cancel_state_of(*x.parent) : requested_in(*x.parent, *x.owner);
}

}  // namespace weft::detail

namespace weft::core {

bool is_cancelled_before(waiter& parent) noexcept {
  unsigned climbed = 0;
  const cancel_state s = detail::look_for_cancel(*parent.scope, parent, climbed);
  if (climbed > detail::longest_climb) link_up(*parent.scope);
  return s != detail::live;
}

}  // namespace weft::core

namespace weft::detail {

std::int64_t deadline_of(const waiter& w) noexcept {
  return deadline_in(w.scope);
}

}  // namespace weft::detail
