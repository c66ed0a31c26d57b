// A thread waits.
//
// On one of weft's threads, inside a routine, the waiter is the routine's own: whoever cancels the routine
// finds it. Elsewhere the thread gets one on its stack, attached to the scope it has entered, if any.  The
// host of runtimes in manual mode drives them while it waits (sched/hosting.hpp).  The thread leaves when the
// claim was *delivered*: the winner's last access to the stack is that store, the wake after it uses the
// address alone.

#include <weft/detail/operation.hpp>

#include <optional>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/join.hpp"
#include "core/park.hpp"
#include "os/forked.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/current.hpp"
#include "sched/deadlock.hpp"
#include "sched/hosting.hpp"

namespace weft::detail {

using namespace core;

namespace {

/// A wait without a deadline that has lasted so long is worth a look whether it can ever end.
constexpr os::nanos patience = 1'000'000;
/// And whether a routine that main has left running has ended up where it stays.
constexpr os::nanos look_after_main = 50'000'000;

/// Where this thread may be counted as asleep for good.
class listed_sleep {
 public:
  listed_sleep(const waiter& w, bool alone) noexcept
      : party_{&w.park, word(0, 0, 0, state::waiting), word(0, 0xffff, 0xff, state::none),
               alone ? &w : nullptr, os::thread_number()} {
    party_.value |= word(sequence_of(word_of(const_cast<waiter&>(w)).read()), 0, 0, state::none);
    sched::enlist(party_);
  }

  listed_sleep(const listed_sleep&) = delete;
  listed_sleep& operator=(const listed_sleep&) = delete;

  ~listed_sleep() { sched::delist(party_); }

 private:
  sched::sleeping_party party_;
};

}  // namespace

thread_party::thread_party() noexcept : self_(nullptr) {
  os::refuse_in_child();
  if (waiter* routine = sched::current_routine()) {
    self_ = routine;
    self_->kind(waiter_kind::thread);
    return;
  }
  own_.park = 0;
  own_.become(waiter_kind::thread);
  own_.worker = sched::current_worker();
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
  delete hosting_;
}

void thread_party::prepare() {
  if (os::forked()) os::misuse_in_child();  // nobody would end the wait
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
  } else if (sched::is_host()) {
    hosting_ = new sched::host_wait;
    own_.lives(home::host);
    own_.frame = hosting_;
  }
}

void thread_party::prepare_anyway() noexcept {
  try {
    prepare();
  } catch (const std::exception&) {
    // One worker less until it has ended; its queues are others' to take.
  }
}

void thread_party::sleep(bool is_parked, std::int64_t deadline) noexcept {
  os::port& port = os::current_port();
  const std::uint32_t& low = futex_word(*self_);
  // A host is never asleep for good: its loop's descriptors are outside.
  // The scopes that a thread has entered end by its own clock too: the runtime whose timer they have may
  // stop.
  const os::nanos limit = self_ == &own_ ? live_deadline(own_.scope) : no_deadline;
  bool limited = limit != no_deadline;
  const bool for_ever = deadline == no_deadline && !limited && !port.simulated() && hosting_ == nullptr;
  os::nanos next_look = for_ever ? port.now() + patience : os::never;
  std::optional<listed_sleep> listed;
  const auto sleep_until = [&](std::uint32_t seen, os::nanos until) {
    // A simulated run that is at its end: nobody would end this wait.
    if (port.over() && word_of(*self_).claim(by_cancel, no_cancel) != claimed::lost) {
      word_of(*self_).set_delivered();
      return true;
    }
    if (hosting_ != nullptr && !hosting_->is_raised()) {  // claimed, a call on the pool may go on for long
      const bool ran = hosting_->drive() != 0;
      return port.now() < until && (ran || hosting_->sleep(until));
    }
    if (!for_ever || listed) return port.wait_as(self_ == &own_ ? self_ : nullptr, low, seen, until);
    if (port.wait(low, seen, next_look)) return true;
    if (joins_after_main(*self_)) {
      next_look = port.now() + look_after_main;
      return true;
    }
    listed.emplace(*self_, self_ == &own_);
    sched::look_for_deadlock();
    return true;
  };
  const auto sleep_on = [&](std::uint32_t seen, os::nanos until) {
    if (!limited || limit >= until) return sleep_until(seen, until);
    if (!sleep_until(seen, limit)) {
      limited = false;
      pass_deadline(*own_.scope);
    }
    return true;
  };
  leave_when_delivered(word_of(*self_), is_parked, deadline, sleep_on);
}

}  // namespace weft::detail
