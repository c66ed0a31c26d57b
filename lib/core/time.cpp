#include <weft/error.hpp>
#include <weft/runtime.hpp>
#include <weft/time.hpp>

#include <limits>
#include <stdexcept>
#include <utility>

#include "core/context.hpp"
#include "core/global.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"
#include "sched/current.hpp"

namespace weft {

using namespace core;

ticker::ticker(std::int64_t period) : period_(period), next_(os::never) {
  if (period <= 0) throw std::invalid_argument("weft: a ticker's period must be greater than zero");
  const os::nanos now = os::current_port().now();
  if (period < os::never - now) next_ = now + period;
}

tick_op::tick_op(ticker& t) noexcept : ticker_(&t), sleep_(t.next_) {}

std::uint64_t tick_op::finish(detail::waiter& w) {
  sleep_.finish(w);
  ticker& t = *ticker_;
  const os::nanos late = os::current_port().now() - t.next_;
  const std::int64_t missed = late < t.period_ ? 0 : late / t.period_;
  t.next_ += (missed + 1) * t.period_;
  return static_cast<std::uint64_t>(missed);
}

namespace {

detail::waiter* set_event(void* target) noexcept {
  static_cast<event*>(target)->set();
  return nullptr;
}

}  // namespace

later_event::later_event(std::int64_t deadline) {
  if (deadline == os::never) return;
  sched::worker* here = sched::current_worker();
  if (here != nullptr) {
    timer_ = here->timers.arm_until_end(deadline, &set_event, static_cast<event*>(this));
    return;
  }
  sched::scheduler* home = sched::scheduler::here();
  if (home == nullptr) home = kept_ = &hold_global();
  try {
    if (!home->stopping()) {
      timer_ = home->at(0).timers.arm_until_end(deadline, &set_event, static_cast<event*>(this));
    }
    if (timer_ == nullptr) {
      throw stopped(
          "weft: the runtime was stopped: nobody is left to set what after() gives when its time comes");
    }
  } catch (...) {
    if (kept_ != nullptr) kept_->drop();
    throw;
  }
  home->timer_armed(deadline);
}

later_event::~later_event() {
  if (timer_ != nullptr) sched::timer_heap::cancel(timer_);
  if (kept_ != nullptr) kept_->drop();
}

}  // namespace weft
