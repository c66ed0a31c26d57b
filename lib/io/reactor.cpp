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

}  // namespace

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
  watched_.fetch_add(1, std::memory_order_seq_cst);  // D1, pairs with D3
  d.watched_by = this;
  if (++d.watch == 0) ++d.watch;  // or it could have the ticket that is none
  const int error = begin_watch(d, fd);
  if (error != 0) {
    d.watched_by = nullptr;
    unlist(d);
  }
  return error;
}

int reactor::watch_anew(descriptor& d) noexcept {
  return begin_watch(d, d.fd.load(std::memory_order_relaxed));  // relaxed: under its lock
}

void reactor::unlist(descriptor& d) noexcept {
  const os::guard hold(lock_);  // over all of it: when the list is empty the driver may go
  (d.before != nullptr ? d.before->after : first_) = d.after;
  if (d.after != nullptr) d.after->before = d.before;
  watched_.fetch_sub(1, std::memory_order_seq_cst);  // D1, pairs with D3
}

void reactor::remove(descriptor& d) noexcept {
  begin_remove(d);
  unlist(d);
}

void reactor::begin_remove(descriptor& d) noexcept {
  end_watch(d, d.fd.load(std::memory_order_relaxed));  // relaxed: under its lock
}

void reactor::finish_remove(descriptor& d) noexcept {
  settle(d);
  unlist(d);
}

/// One after the other, each under its own lock, which comes before this one's.
void reactor::end() noexcept {
  core::winners won;
  for (;;) {
    descriptor* d;
    {
      const os::guard hold(lock_);
      ended_ = first_ == nullptr;
      d = first_;
    }
    if (d == nullptr) break;
    if (!unwatch(*d, *this, won)) os::give_way();  // it is being removed
  }
  won.deliver_all();
}

bool reactor::is_attended_by(const detail::waiter& w) const noexcept {
  if (w.kind() == detail::waiter_kind::thread) return false;
  const sched::worker* const here = sched::current_worker();
  return here != nullptr && &here->home() == home_;
}

reactor& reactor_of(sched::scheduler& home) {
  if (sched::driver* const d = home.io()) return static_cast<reactor&>(*d);
  return static_cast<reactor&>(home.attach(make_driver(home)));
}

what_happened what_polled(unsigned events) noexcept {
  constexpr unsigned failed = EPOLLERR | EPOLLHUP, gone = EPOLLHUP | EPOLLRDHUP;
  return {.readable = (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | failed)) != 0,
          .writable = (events & (EPOLLOUT | failed)) != 0,
          .read_ended = (events & gone) != 0,
          .write_ended = (events & EPOLLHUP) != 0};
}

reactor* reactor_for(const detail::waiter& w, sched::scheduler*& kept, int& error) noexcept {
  try {
    sched::scheduler* home = w.worker != nullptr ? &core::worker_of(w).home() : sched::scheduler::here();
    if (home == nullptr && kept == nullptr) kept = &core::hold_global();
    return &reactor_of(home != nullptr ? *home : *kept);
  } catch (...) {
    error = current_error();
    return nullptr;
  }
}

}  // namespace weft::io
