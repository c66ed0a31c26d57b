#pragma once

// mutex: mutual exclusion between routines, over suspensions.

#include <weft/config.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/waiting_line.hpp>

#include <cstdint>
#include <utility>

namespace weft {

class mutex;

/// Waits for the mutex; whoever awaits it unlocks it.
class [[nodiscard("co_await it")]] lock_op : public detail::op_base {
 public:
  explicit lock_op(mutex & m) noexcept;

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  void finish(detail::waiter & w) {
    detail::finish_line_wait(wait_, w);
  }

 private:
  friend class mutex;
  static bool look(detail::looking_wait & wait, detail::waiter & w) noexcept;
  detail::looking_wait wait_;
};

/// Unlocks when it goes.
class [[nodiscard("the mutex is unlocked at once otherwise")]] scoped_lock {
 public:
  explicit scoped_lock(mutex & locked) noexcept : mutex_(&locked) {}
  scoped_lock(scoped_lock && other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
  scoped_lock& operator=(scoped_lock&&) = delete;
  ~scoped_lock() {
    unlock();
  }

  /// Before the end of the block; idempotent.
  void unlock() noexcept;

 private:
  mutex* mutex_;
};

/// Waits for the mutex and gives a scoped_lock.
class [[nodiscard("co_await it")]] scoped_lock_op : public detail::op_base {
 public:
  explicit scoped_lock_op(mutex & m) noexcept : op_(m), mutex_(&m) {}

  bool ready(detail::waiter & w) noexcept {
    return op_.ready(w);
  }
  bool park(detail::waiter & w) noexcept {
    return op_.park(w);
  }

  scoped_lock finish(detail::waiter & w) {
    op_.finish(w);
    return scoped_lock(*mutex_);
  }

 private:
  lock_op op_;
  mutex* mutex_;
};

/// May be held over a co_await, and unlocked on another thread.  First come, first served, but whoever runs
/// may pass a waiter that has been woken: each is passed once at most, then unlock() hands the mutex over.
/// Not recursive.  Destroying a locked one is misuse. \par Order  What happened before unlock() happens
/// before the next lock() returns. \par Cost   One read-modify-write to lock and one to unlock while nobody
/// waits.
class WEFT_API mutex {
 public:
  mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex();

  /// Suspends until it is this routine's.  Throws `cancelled`: then it is not.
  lock_op lock() noexcept { return lock_op(*this); }

  /// `auto hold = co_await m.scoped();`
  scoped_lock_op scoped() noexcept { return scoped_lock_op(*this); }

  [[nodiscard]] bool try_lock() noexcept;
  /// Any thread; wakes whoever has waited longest.
  void unlock() noexcept;

 private:
  friend class lock_op;
  std::uint32_t state_ = 0;  // lib/sync/mutex_word.hpp
  detail::waiting_line line_;
};

inline lock_op::lock_op(mutex& m) noexcept : wait_{{&m, &m.line_}, {}} {}

inline void scoped_lock::unlock() noexcept {
  if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->unlock();
}

}  // namespace weft
