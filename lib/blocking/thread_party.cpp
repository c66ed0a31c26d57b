// A thread waits.
//
// On a worker, inside a routine, the waiter is the routine's own: whoever cancels the routine finds it.
// Elsewhere the thread gets one on its stack, attached to the scope it has entered, if any.  The thread
// leaves when the claim was *delivered*: the winner's last access to the stack is that store, the wake after
// it uses the address alone.

#include <weft/detail/operation.hpp>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/park.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/current.hpp"

namespace weft::detail {

using namespace core;

thread_party::thread_party() noexcept : self_(nullptr) {
  sched::worker* here = sched::current_worker();
  if (here != nullptr && here->current() != nullptr) {
    self_ = here->current();
    self_->kind(waiter_kind::thread);
    return;
  }
  own_.park = 0;
  own_.become(waiter_kind::thread);
  own_.worker = here;
  own_.node.linked = false;
  own_.scope = sched::current_scope();
  self_ = &own_;
  if (own_.scope != nullptr) attach_thread(*own_.scope, own_);
  word_of(own_).set(state::running);
}

thread_party::~thread_party() {
  if (self_ == &own_) {
    if (own_.scope != nullptr) detach_thread(*own_.scope, own_);
  } else {
    self_->kind(waiter_kind::routine);
  }
  if (compensation_ != nullptr) {
    auto* w = static_cast<sched::worker*>(compensation_);
    w->home().end_block(*w);
  } else if (waits_on_pool_) {
    sched::current_pool()->end_wait();
  }
}

void thread_party::prepare() {
  sched::worker* here = sched::current_worker();
  if (here != nullptr) {
    if (here->home().how().manual) {
      base::misuse(
          "a blocking call inside poll() of a manual runtime; co_await the operation, or block outside of "
          "poll()");
    }
    here->home().begin_block(*here);
    compensation_ = here;
  } else if (sched::blocking_pool* pool = sched::current_pool()) {
    pool->begin_wait();
    waits_on_pool_ = true;
  }
}

void thread_party::sleep(bool is_parked, std::int64_t deadline) noexcept {
  auto word = word_of(*self_);
  os::port& port = os::current_port();
  const std::uint32_t& low = futex_word(*self_);
  if (!is_parked && word.winner() == by_self) return;
  if (!is_parked && word.wait_state() == state::running) return;
  for (;;) {
    const state s = word.wait_state();
    if (s == state::delivered) return;
    const auto seen = static_cast<std::uint32_t>(word.read());
    if (state_of(seen) == state::delivered) return;
    if (!port.wait(low, seen, deadline)) {
      if (word.claim(by_timeout) != claimed::lost) return;
      deadline = no_deadline;  // somebody was quicker and is about to deliver
    }
  }
}

}  // namespace weft::detail
