#include "io/reactor.hpp"

#include <cerrno>

#include "core/context.hpp"
#include "os/lock.hpp"

namespace weft::io {

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
  const int error = begin_watch(d, fd);
  if (error != 0) {
    d.watched_by = nullptr;
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

void reactor::remove(descriptor& d) noexcept {
  end_watch(d.fd.load(std::memory_order_relaxed));  // relaxed: under its lock
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
    unwatch(*d, *this, won);
  }
  won.deliver_all();
}

reactor& reactor_of(sched::scheduler& home) {
  if (sched::driver* const d = home.io()) return static_cast<reactor&>(*d);
  return static_cast<reactor&>(home.attach(make_epoll_driver(home)));
}

}  // namespace weft::io
