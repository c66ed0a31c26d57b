// A coroutine of a foreign type waits for weft, a routine waits for something foreign.
//
// A foreign coroutine's wait belongs to one runtime: to that of the thread which begins it, else to the
// global one.  It is counted there, listed while it is suspended, and has a context of its own like a
// routine; so the stop finds it, ends it by `cancelled` and returns when it has gone on (sched/foreign.cpp).
//
// Rejected: to wake it on another runtime later (its timers are in a heap of the first, its frame would leak
// if
//           nobody wakes it, and a stop would leave something behind).

#include "core/foreign.hpp"

#include <weft/detail/foreign.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>

#include <fmt/format.h>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/describe.hpp"
#include "core/global.hpp"
#include "core/park.hpp"
#include "os/forked.hpp"
#include "os/lock.hpp"
#include "sched/current.hpp"

namespace weft::detail {

using namespace core;

namespace {

void begin_life(foreign_party& p, sched::worker& on) noexcept {
  p.park = 0;
  p.become(waiter_kind::foreign);
  p.worker = &on;
  p.id_low = 0;
  p.id_high = 0;
  p.node.linked = false;
  p.node.because(wait_reason::none);
  p.keeps_home = false;
  init_root(p);
  word_of(p).set(state::running);
}

}  // namespace

foreign_wait::foreign_wait(bool shielded) {
  sched::worker* here = sched::current_worker();
  sched::scheduler* own = sched::scheduler::here();
  sched::scheduler& home = own != nullptr ? *own : hold_global();
  begin_life(self_, here != nullptr ? *here : home.at(0));
  self_.keeps_home = own == nullptr;
  self_.own_scope.shielded = shielded ? 1 : 0;
  home.enter(self_);
  if (own != nullptr || !home.stopping()) return;
  end();
  throw stopped();
}

foreign_wait::~foreign_wait() {
  if (self_.at == foreign_stage::waiting) {
    base::misuse(
        "a coroutine is destroyed while it awaits something of weft; let the wait end first: close the "
        "channel, "
        "set the event, or stop the runtime, which cancels it");
  }
  end();
}

bool foreign_wait::park(std::coroutine_handle<> h, void* op,
                        bool (*park_op)(void* op, waiter& w) noexcept) noexcept {
  sched::scheduler& home = *self_.home;
  const bool away = sched::current_worker() != self_.worker;
  if (away) home.hold();  // it is still looked at when the coroutine may have gone on
  self_.frame = h.address();
  self_.at = foreign_stage::waiting;
  home.list(self_);
  const bool parked = park_op(op, self_);
  if (!parked) {
    home.unlist(self_);
    self_.at = foreign_stage::entered;
  }
  if (away) {
    // Its timer, perhaps: told here, where no lock is held.
    const os::nanos due = home.next_timer();
    if (due != os::never) home.timer_armed(due);
    home.drop();
  }
  return parked;
}

void foreign_wait::end() noexcept {
  if (self_.at != foreign_stage::entered) return;  // whoever resumed it counts it
  sched::scheduler& home = *self_.home;
  const bool kept = self_.keeps_home;
  home.leave(self_);
  if (kept) home.drop();
}

// --- hops ---

void enter_hop(sched::scheduler& to, foreign_party& as) {
  os::refuse_in_child();
  begin_life(as, to.at(0));
  to.enter(as);
  if (!to.stopping()) return;
  to.leave(as);
  throw stopped();
}

void hop_to(foreign_party& as, void* frame) noexcept {
  as.frame = frame;
  as.home->inject_from_outside(as);
}

// --- a routine waits for something foreign ---

/// What runs until the routine is resumed is not the routine: a facade call there waits as a party of its
/// own.
void park_for_foreign(waiter& root) noexcept {
  worker_of(root).runs(nullptr);
  begin(root, state::waiting, wait_reason::foreign, nullptr, no_cancel | no_stop);
}

void unpark_from_foreign(waiter& root) noexcept {
  if (word_of(root).claim(0) == claimed::parked) {
    word_of(root).end();
    sched::scheduler::wake(root);
  }
}

void end_foreign_wait(waiter& root) noexcept {
  word_of(root).claim(by_self);  // nobody else does; a canceller relies on it, and a dump may be reading
  word_of(root).end();
  worker_of(root).runs(&root);
}

}  // namespace weft::detail

namespace weft::core {

void cancel_foreign(sched::scheduler& home, winners& won) noexcept {
  home.for_each_foreign([&](detail::foreign_party& p) {
    if (p.at != detail::foreign_stage::call) won.add(p, word_of(p).claim(by_cancel, no_cancel | no_stop));
  });
}

void describe_foreign(std::string& out, sched::scheduler& of) {
  std::uint64_t told = 0;
  of.for_each_foreign([&](detail::foreign_party& p) {
    if (p.at == detail::foreign_stage::call) {
      ++told;
      out += fmt::format("a look-up of the name '{}'\n", static_cast<const char*>(p.frame));
      return;
    }
    if (!word_of(p).pin()) return;
    ++told;
    out += "a coroutine of another type: waits in ";
    describe_wait(out, p, of.port().now());
    out += '\n';
    word_of(p).unpin();
  });
  const std::uint64_t alive = of.foreign();
  if (alive > told) {
    out += fmt::format("coroutines of other types that run on the workers or are queued: {}\n", alive - told);
  }
}

}  // namespace weft::core
