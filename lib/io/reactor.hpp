#pragma once

// reactor: a driver of descriptors, as this floor sees it.  One for each runtime that has ever waited for
// one; a descriptor is watched by the reactor of whoever waits on it first, until it is closed or that
// runtime ends: then whoever waits next finds another.
//
// Locks: a descriptor's before the reactor's.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "io/descriptor.hpp"
#include "sched/driver.hpp"
#include "sched/scheduler.hpp"

namespace weft::io {

class reactor : public sched::driver {
 public:
  explicit reactor(sched::scheduler& home) noexcept : home_(&home) {}

  /// Of a simulated run, whose events need no poller.
  reactor() noexcept : home_(nullptr) {}

  sched::scheduler& home() const noexcept { return *home_; }

  /// Under the descriptor's lock: watches it.  0, or the system's error; ECANCELED: it has ended.
  int add(descriptor& d) noexcept;
  /// The same: does not any more.
  void give_up(descriptor& d) noexcept;
  /// In two steps: under the lock, then without it, by who keeps the record until then.  Then the system has
  /// no hold on the file any more.
  void begin_to_give_up(descriptor& d) noexcept;
  void finish_giving_up(descriptor& d) noexcept;

  /// Under the lock: the system has ended what it was asked for.  0, or why it is not watched.
  int watch_anew(descriptor& d) noexcept;

  bool watches() const noexcept override {
    return watched_.load(std::memory_order_seq_cst) != 0;  // D3, pairs with D1
  }

  /// The poller's, of a thread that is none of the home's workers.
  void watch_began() noexcept { home_->watch_began(); }

  /// Its home is driven by a host, who need not be at it, and `w` is none of its routines.
  bool is_anothers_host(const detail::waiter& w) const noexcept;
  /// `w` runs on a worker of the home, and not to block it: that worker will be the poller.  Or none is
  /// needed.
  bool is_attended_by(const detail::waiter& w) const noexcept;

  void end() noexcept override;

 protected:
  /// The system's part.
  virtual int begin_watch(descriptor& d, int fd) noexcept = 0;
  virtual void end_watch(descriptor& d, int fd) noexcept = 0;

  /// Waits until the system has done that.
  virtual void settle(descriptor&) noexcept {}

 private:
  void unlist(descriptor& d) noexcept;
  bool watches_for_thread() noexcept;

  sched::scheduler* home_;
  std::atomic<std::size_t> watched_{0};
  std::uint32_t lock_ = 0;
  descriptor* first_ = nullptr;  // under the lock
  bool ended_ = false;           // same
};

/// That of a runtime, made now if there is none yet.  Throws std::system_error, std::bad_alloc.
reactor& reactor_of(sched::scheduler& home);

/// That of the waiter's runtime.  A thread that has none takes that of a runtime which it hosts, or the
/// global one's, which is `kept` then: the caller's to drop.  Null: none is to be had, and why.
reactor* reactor_for(const detail::waiter& w, sched::scheduler*& kept, int& error) noexcept;

/// For threads that wait while the global runtime is stopped, as their waits do not end with it: that of a
/// runtime which nobody else has, made now if there is none yet, and never ended.  Null: the same.
reactor* reactor_of_threads(int& error) noexcept;

/// What poll(2) and its kin are to tell of, and what they say, in their own bits.
extern const unsigned wanted_of_poll;
what_happened what_polled(unsigned events) noexcept;

/// Throw the same.  `refused`: why it is not the other, for stats; 0 if nobody asked.
std::unique_ptr<reactor> make_epoll_driver(sched::scheduler& home, int refused);
std::unique_ptr<reactor> make_uring_driver(sched::scheduler& home);

}  // namespace weft::io
