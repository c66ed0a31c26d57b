#include "io/reactor.hpp"

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <system_error>

#include <sys/epoll.h>

#include "core/context.hpp"
#include "core/global.hpp"
#include "core/park.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/hosting.hpp"

namespace weft::io {

namespace {

/// The error of an exception that is under way.
int current_error() noexcept {
  try {
    throw;
  } catch (const std::system_error& e) {
    return e.code().value();
  } catch (...) {
    return ENOMEM;
  }
}

/// The environment's word, then the options'.
reactor_kind wanted_by(const sched::scheduler& home) noexcept {
  const char* const word = std::getenv("WEFT_REACTOR");
  const std::string_view name = word != nullptr ? word : "";
  if (name == "epoll") return reactor_kind::epoll;
  if (name == "io_uring") return reactor_kind::io_uring;
  return home.how().reactor;
}

std::unique_ptr<reactor> make_driver(sched::scheduler& home) {
  int refused = 0;
  if (wanted_by(home) == reactor_kind::io_uring) {
    try {
      return make_uring_driver(home);
    } catch (const std::system_error& e) {
      refused = e.code().value();
    }
  }
  return make_epoll_driver(home, refused);
}

constexpr unsigned failed = EPOLLERR | EPOLLHUP;

}  // namespace

const unsigned wanted_of_poll = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;

what_happened what_polled(unsigned events) noexcept {
  return {.readable = (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | failed)) != 0,
          .writable = (events & (EPOLLOUT | failed)) != 0,
          .mixed = (events & (EPOLLRDHUP | EPOLLPRI | failed)) != 0};
}

int reactor::add(descriptor& d) noexcept {
  const int fd = d.fd.load(std::memory_order_relaxed);  // relaxed: under its lock
  {
    const os::guard hold(lock_);
    if (ended_) return ECANCELED;
    d.before = nullptr;
    d.after = first_;
    if (first_ != nullptr) first_->before = &d;
    first_ = &d;
  }
  watched_.fetch_add(1, std::memory_order_seq_cst);     // D1, pairs with D3
  d.watched_by.store(this, std::memory_order_relaxed);  // relaxed: written under the lock
  ++d.watch;
  const int error = begin_watch(d, fd);
  if (error != 0) {
    d.watched_by.store(nullptr, std::memory_order_relaxed);  // relaxed: same
    unlist(d);
  }
  return error;
}

void reactor::unlist(descriptor& d) noexcept {
  const os::guard hold(lock_);  // over all of it: when the list is empty the driver may go
  (d.before != nullptr ? d.before->after : first_) = d.after;
  if (d.after != nullptr) d.after->before = d.before;
  watched_.fetch_sub(1, std::memory_order_seq_cst);  // D1, pairs with D3
}

void reactor::give_up(descriptor& d) noexcept {
  begin_to_give_up(d);
  unlist(d);
}

void reactor::begin_to_give_up(descriptor& d) noexcept {
  d.watched_by.store(nullptr, std::memory_order_relaxed);  // relaxed: written under the lock
  end_watch(d, d.fd.load(std::memory_order_relaxed));      // relaxed: under its lock
}

void reactor::finish_giving_up(descriptor& d) noexcept {
  settle(d);
  unlist(d);
}

int reactor::watch_anew(descriptor& d) noexcept {
  return begin_watch(d, d.fd.load(std::memory_order_relaxed));  // relaxed: under its lock
}

/// One after the other, each under its own lock, which comes before this one's.
void reactor::end() noexcept {
  core::winners won;
  reactor* heir = nullptr;
  bool has_asked = false;
  for (;;) {
    descriptor* d;
    if (!has_asked && watches_for_thread()) {
      has_asked = true;
      int error = 0;
      heir = reactor_of_threads(error);
    }
    {
      const os::guard hold(lock_);
      ended_ = first_ == nullptr;
      d = first_;
    }
    if (d == nullptr) break;
    if (!unwatch(*d, *this, heir, won)) os::give_way();  // who closes it is about to unlist it
  }
  won.deliver_all();
}

bool reactor::watches_for_thread() noexcept {
  const os::guard hold(lock_);
  for (const descriptor* d = first_; d != nullptr; d = d->after) {
    if (d->of_thread.load(std::memory_order_relaxed)) return true;  // relaxed: written before it was listed
  }
  return false;
}

bool reactor::is_anothers_host(const detail::waiter& w) const noexcept {
  if (home_ == nullptr || !home_->how().manual) return false;
  if (w.worker != nullptr) return &core::worker_of(w).home() != home_;
  return sched::hosted_here() != home_;
}

bool reactor::is_attended_by(const detail::waiter& w) const noexcept {
  if (home_ == nullptr) return true;
  if (w.kind() == detail::waiter_kind::thread) return false;
  const sched::worker* const here = sched::current_worker();
  return here != nullptr && &here->home() == home_;
}

reactor& reactor_of(sched::scheduler& home) {
  if (sched::driver* const d = home.io()) return static_cast<reactor&>(*d);
  return static_cast<reactor&>(home.attach(make_driver(home)));
}

reactor* reactor_for(const detail::waiter& w, sched::scheduler*& kept, int& error) noexcept {
  try {
    sched::scheduler* home = w.worker != nullptr ? &core::worker_of(w).home() : sched::scheduler::here();
    if (home == nullptr) home = sched::hosted_here();
    if (home == nullptr && kept == nullptr) kept = &core::hold_global();
    return &reactor_of(home != nullptr ? *home : *kept);
  } catch (...) {
    error = current_error();
    return nullptr;
  }
}

reactor* reactor_of_threads(int& error) noexcept {
  static constinit std::uint32_t lock = 0;
  static constinit sched::scheduler* home = nullptr;
  try {
    {
      const os::guard hold(lock);
      os::may_fail();
      if (home == nullptr) home = new sched::scheduler({.workers = 1, .name = "weft-io"}, os::real_port());
    }
    return &reactor_of(*home);
  } catch (...) {
    error = current_error();
    return nullptr;
  }
}

}  // namespace weft::io
