// What is asked of "this routine", and the waits that need nobody else: yield, sleep.

#include "sched/current.hpp"

#include <weft/detail/deadline.hpp>
#include <weft/detail/fork.hpp>
#include <weft/error.hpp>
#include <weft/go.hpp>
#include <weft/runtime.hpp>
#include <weft/time.hpp>

#include <chrono>
#include <stdexcept>

#include "core/context.hpp"
#include "core/park.hpp"
#include "core/site.hpp"

namespace weft {

using namespace core;

namespace {

/// The routine that runs on this thread, or null.
const detail::promise_base* running() noexcept {
  return static_cast<const detail::promise_base*>(sched::current_routine());
}

}  // namespace

namespace this_routine {

std::uint64_t id() noexcept {
  const detail::promise_base* p = running();
  while (p != nullptr && p->born() == detail::birth::forked) {
    p = static_cast<const detail::promise_base*>(
        p->fork.group->parent);  // a child of all() is part of its parent
  }
  return p == nullptr ? 0 : detail::id_of(*p);
}

std::string_view name() noexcept {
  const detail::promise_base* p = running();
  while (p != nullptr && p->born() == detail::birth::forked) {
    p = static_cast<const detail::promise_base*>(p->fork.group->parent);
  }
  return p == nullptr ? std::string_view() : name_of(*p);
}

bool cancelled() noexcept {
  os::step();
  if (const detail::promise_base* p = running()) return is_cancelled(*p);
  const detail::context_base* scope = sched::current_scope();
  return scope != nullptr && detail::cancel_state_of(*scope) != detail::live;
}

void check() {
  os::step();
  const detail::promise_base* p = running();
  if (p != nullptr && is_cancelled(*p)) detail::throw_cancelled(*p);
  const detail::context_base* scope = sched::current_scope();
  if (p != nullptr || scope == nullptr) return;
  const detail::cancel_state s = detail::cancel_state_of(*scope);
  if (s == detail::deadline_passed) throw deadline_exceeded();
  if (s != detail::live) throw weft::cancelled();
}

}  // namespace this_routine

// --- yield ---

namespace {

[[gnu::noinline]] bool yield_in_full(detail::waiter& w) noexcept {
  if (w.kind() == waiter_kind::thread) {
    os::give_way();
    return false;
  }
  if (w.kind() == waiter_kind::routine) {
    os::step();
    if (is_cancelled(w)) return false;
  }
  w.node.because(wait_reason::yield);
  yield_now(w);
  return true;
}

[[gnu::noinline]] void end_yield_in_full(detail::waiter& w) {
  // A thread that loops until something happens never waits, where a simulated run that is over would end it.
  if (is_cancelled(w) || (w.kind() == waiter_kind::thread && os::current_port().over()))
    detail::throw_cancelled(w);
}

}  // namespace

bool yield_op::cancelled_before(const detail::waiter& w) noexcept {
  os::step();
  return is_cancelled(w);
}

bool yield_op::park(detail::waiter& w) noexcept {
  if (!is_in_live_context(w) || !w.is_on_workers()) [[unlikely]]
    return yield_in_full(w);
  sched::worker& here = worker_of(w);
  if (!here.may_be_quick()) [[unlikely]]
    return yield_in_full(w);
  w.node.because(wait_reason::yield);
  here.count.yields.add();
  here.push_yielding(w);
  return true;
}

void yield_op::finish(detail::waiter& w) {
  if (!is_in_live_context(w) || !worker_of(w).may_be_quick()) [[unlikely]]
    end_yield_in_full(w);
}

// --- sleep ---

bool sleep_op::ready(detail::waiter& w) noexcept {
  os::step();
  how_ = wait_end::pending;  // an operation may be awaited again
  if (!is_cancelled(w)) return false;
  how_ = wait_end::cancelled;
  return true;
}

bool sleep_op::park(detail::waiter& w) noexcept {
  if (w.kind() != waiter_kind::thread && deadline_ <= os::current_port().now()) {
    how_ = wait_end::timed_out;
    yield_now(w);
    return true;
  }
  begin(w, state::preparing, wait_reason::sleep, this);
  if (!wait_timer::arm(timer_, w, deadline_)) {
    how_ = wait_end::out_of_memory;
    word_of(w).claim(by_self);
    return false;
  }
  return commit(w);
}

void sleep_op::finish(detail::waiter& w) {
  if (how_ == wait_end::pending) {
    wait_timer::disarm(timer_);
    how_ = word_of(w).winner() == by_timeout ? wait_end::timed_out : wait_end::cancelled;
    word_of(w).end();
  }
  if (how_ != wait_end::timed_out) detail::throw_wait_end(how_, w);
}

std::chrono::steady_clock::time_point now() noexcept {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(os::current_port().now()));
}

}  // namespace weft

namespace weft::detail {

using namespace core;

std::int64_t clock_now() noexcept {
  return os::current_port().now();
}

void throw_not_a_duration() {
  throw std::invalid_argument("weft: a duration is not a number");
}

std::int64_t current_deadline() noexcept {
  if (const promise_base* p = running()) return deadline_of(*p);
  return deadline_in(sched::current_scope());
}

}  // namespace weft::detail
