#pragma once

// mutex: mutual exclusion between routines, over suspensions.

#include <weft/config.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/waiting_line.hpp>

#include <cstdint>
#include <utility>

namespace weft {

class mutex;

namespace detail {

/// Who calls lock().  std::lock_guard and its kin do not await what it returns, and would lock nothing: they
/// are told apart by the file they stand in.  Made by the default argument `= {}` alone: from any other form
/// g++ 12 gives the place of the declaration.
class lock_caller {
 public:
  consteval lock_caller(const char* file = __builtin_FILE()) {
    if (ends_with(file, "/bits/std_mutex.h") || ends_with(file, "/bits/unique_lock.h") ||
        ends_with(file, "/mutex") || ends_with(file, "/__mutex/lock_guard.h") ||
        ends_with(file, "/__mutex/unique_lock.h")) {
      throw "weft: std::lock_guard and its kin cannot lock a weft::mutex, whose lock() must be awaited: write "
            "`auto hold = co_await m.scoped();`, in plain code `auto hold = wait(m.scoped());`";
    }
  }

 private:
  static consteval bool ends_with(const char* text, const char* end) {
    const char* t = text;
    const char* e = end;
    while (*t != 0) ++t;
    while (*e != 0) ++e;
    while (t != text && e != end && t[-1] == e[-1]) --t, --e;
    return e == end;
  }
};

/// Functions in lib/sync/mutex_word.hpp.
struct mutex_state {
  std::uint32_t word = 0;
  std::uint16_t turns = 0;       // that `favourite` took it in a row
  std::uint16_t ended = 0;       // reservations
  std::uintptr_t favourite = 0;  // the seat of who took it last; + 1 while it is reserved for that one
};

}  // namespace detail

/// Waits for the mutex; whoever awaits it unlocks it.
class [[nodiscard("co_await it")]] lock_op : public detail::op_base {
 public:
  explicit lock_op(mutex & m) noexcept;

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  void finish(detail::waiter & w) {
    if (wait_.how != detail::wait_end::done) detail::finish_line_wait(wait_, w);
  }

 private:
  friend class mutex;
  bool ready_in_full(detail::waiter & w) noexcept;
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
/// may take it until a waiter that was woken has looked; one that has looked in vain is handed it next.
/// Not recursive.  Destroying a locked one is misuse.
///
/// \par Order  What happened before unlock() happens before the next lock() returns.
///
/// \par Cost   While nobody waits one read-modify-write to lock and one to unlock; none once one worker has
/// taken it often in a row: then it is reserved for that one, which another that comes ends (1 us).
class WEFT_API mutex {
 public:
  mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex();

  /// Suspends until it is this routine's.  Throws `cancelled`: then it is not.  It must be awaited, so
  /// std::lock_guard does not compile: scoped() is weft's.
  lock_op lock(detail::lock_caller = {}) noexcept { return lock_op(*this); }

  /// `auto hold = co_await m.scoped();`
  scoped_lock_op scoped() noexcept { return scoped_lock_op(*this); }

  [[nodiscard]] bool try_lock() noexcept;
  /// Any thread; wakes whoever has waited longest.
  void unlock() noexcept;

 private:
  friend class lock_op;
  void note_turn(void* seat) noexcept;
  void unlock_in_full() noexcept;

  detail::mutex_state state_;
  detail::waiting_line line_;
};

inline lock_op::lock_op(mutex& m) noexcept : wait_{{&m, &m.line_}, {}} {}

inline void scoped_lock::unlock() noexcept {
  if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->unlock();
}

}  // namespace weft
