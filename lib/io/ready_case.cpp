// The select cases of descriptors.
//
// Without a lock of its own, as joins: that a descriptor is ready delivers nothing, so the event may win
// early.  The look is poll(2), which is level-triggered; the wait is on a copy that the driver watches, whose
// first event tells what has come since.

#include <weft/detail/ready_watch.hpp>
#include <weft/io/process.hpp>
#include <weft/io/select.hpp>
#include <weft/io/signal.hpp>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "core/global.hpp"
#include "core/park.hpp"
#include "io/descriptor.hpp"
#include "io/io_steps.hpp"
#include "io/reactor.hpp"
#include "io/system.hpp"
#include "os/lock.hpp"
#include "sched/scheduler.hpp"

namespace weft::detail {

using namespace io;

struct ready_steps {
  static ready_watch& of(const select_case& c) noexcept { return *static_cast<ready_watch*>(c.node.op); }

  static io_side& side_of(const ready_watch& x) noexcept {
    return x.own_.get()->sides[x.call_ == io_call::none_out ? to_write : to_read];
  }

  static std::uint64_t object(const select_case& c) noexcept { return static_cast<std::uint64_t>(of(c).fd_); }

  static bool is_ready(ready_watch& x) noexcept {
    const std::int64_t n = attempt({x.call_, x.fd_, x.to_, x.size_, 0, false});
    if (n == not_ready) return false;
    x.error_ = n < 0 ? static_cast<int>(-n) : 0;
    return x.has_looked_ = true;
  }

  static void fail(ready_watch& x, int error) noexcept {
    x.error_ = error;
    x.has_looked_ = true;
  }

  static bool poll(select_case& c, waiter&) { return is_ready(of(c)); }

  static case_lock no_lock(select_case&) noexcept { return {}; }

  /// Once there is a copy its first event says it.
  static bool poll_locked(select_case& c) {
    ready_watch& x = of(c);
    return x.own_.get() == nullptr && is_ready(x);
  }

  static void nothing(select_case&) noexcept {}

  static int watch(const ready_watch& x, descriptor& d, reactor& by) noexcept {
    const os::guard hold(d.lock);
    d.of_thread.store(x.kept_ != nullptr, std::memory_order_relaxed);  // relaxed: written under the lock
    const int error = by.add(d);
    for (io_side& each : d.sides) each.word.note_unready();  // whatever has come before is the first event
    return error;
  }

  /// 0, or the system's error.
  static int watch(ready_watch& x, const waiter& w) noexcept {
    const int copy = sys::duplicate(x.fd_);
    if (copy < 0) return errno;
    try {
      x.own_ = descriptor_handle(copy);
    } catch (const std::bad_alloc&) {  // closed
      return ENOMEM;
    }
    if (simulated() != nullptr) return note_looked_at(*x.own_.get()), 0;  // it is watched
    int error = 0;
    reactor* by = reactor_for(w, x.kept_, error);
    if (by == nullptr) return error;
    descriptor& d = *x.own_.get();
    error = watch(x, d, *by);
    if (error != ECANCELED || x.kept_ == nullptr) return error;
    by = reactor_of_threads(error);
    return by == nullptr ? error : watch(x, d, *by);
  }

  static void unwatch(ready_watch& x) noexcept {
    x.own_ = {};
    if (x.kept_ != nullptr) std::exchange(x.kept_, nullptr)->drop();
  }

  static bool prepare(select_case& c, waiter& w) noexcept {
    c.node.linked = false;
    ready_watch& x = of(c);
    const int error = watch(x, w);
    // A simulated run tells of changes only, not of what has come before: hence another look.
    if (error == 0 && (simulated() == nullptr || !is_ready(x))) return true;
    unwatch(x);
    if (error != 0) fail(x, error);
    return false;
  }

  static bool enroll(select_case& c) noexcept {
    const ready_watch& x = of(c);
    const descriptor& d = *x.own_.get();
    io_side& side = side_of(x);
    const os::guard hold(x.own_.get()->lock);
    if (side.word.is_ready(side.word.look())) return false;
    core::append(side.queue, c.node);
    if (!watcher_of(d)->is_attended_by(*c.node.owner)) watcher_of(d)->watch_began();
    return true;
  }

  static void withdraw(select_case& c, bool won) noexcept {
    ready_watch& x = of(c);
    bool is_watched;
    int refused;
    {
      const os::guard hold(x.own_.get()->lock);
      if (c.node.linked) core::remove(side_of(x).queue, c.node);
      is_watched = watcher_of(*x.own_.get()) != nullptr;
      refused = x.own_.get()->refused;
    }
    unwatch(x);
    // A driver that ends wakes all who wait on what it watches.
    if (won && !is_watched && !is_ready(x)) fail(x, refused != 0 ? refused : ECANCELED);
  }

  static constexpr case_kind kind_called(const char* name) {
    return {name,     &object, cancel_class::plain, &poll,   &no_lock, &poll_locked,
            &nothing, &enroll, &withdraw,           nullptr, &prepare, true};
  }
};

const case_kind readable_case_kind = ready_steps::kind_called("read of descriptor");
const case_kind writable_case_kind = ready_steps::kind_called("write of descriptor");

const case_kind process_case_kind = ready_steps::kind_called("end of process of descriptor");
const case_kind signal_case_kind = ready_steps::kind_called("signal of descriptor");

bool ready_watch::take() noexcept {
  return has_looked_ || ready_steps::is_ready(*this);
}

void ready_watch::check() const {
  if (error_ != 0) throw std::system_error(error_, std::system_category(), "weft: wait for a descriptor");
}

}  // namespace weft::detail
