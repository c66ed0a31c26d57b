#pragma once

// One case of a select, type-erased: what lib/core/select_core.cpp works with.

#include <weft/detail/operation.hpp>
#include <weft/detail/waiter.hpp>

#include <compare>
#include <cstdint>

namespace weft::sched {
struct timer_cell;
}

namespace weft::detail {

/// A registration that names its owner: a select has one per case.
struct case_node : wait_node {
  waiter* owner;
};

struct select_case;

/// The lock that keeps data movers out of a case: one of two kinds, or none.  Its address is its place in the
/// order in which several are taken.
class case_lock {
 public:
  case_lock() noexcept = default;

  case_lock(std::uint32_t* word) noexcept : at_(reinterpret_cast<std::uintptr_t>(word)) {}

  template <typename ReservedLock>
  case_lock(ReservedLock* lock) noexcept : at_(reinterpret_cast<std::uintptr_t>(lock) | 1) {}

  bool is_none() const noexcept { return at_ == 0; }

  bool is_word() const noexcept { return (at_ & 1) == 0; }

  template <typename Lock>
  Lock& as() const noexcept {
    return *reinterpret_cast<Lock*>(at_ & ~std::uintptr_t{1});
  }

  bool operator==(const case_lock&) const noexcept = default;
  auto operator<=>(const case_lock&) const noexcept = default;

 private:
  std::uintptr_t at_ = 0;
};

/// What a waker may still have to deliver when the case was claimed.
enum class cancel_class : std::uint8_t {
  plain,  // nothing: a lost case is withdrawn and forgotten
  io,     // an operation in the kernel: withdrawn only on its completion
};

/// What a look inside a case's lock has found.
enum class inside_look : std::uint8_t {
  happened,  // it, and all locks are left
  idle,      // nothing: still inside
  unknown,   // not inside: the select in full is to find out
};

/// What select needs to know of a thing that can be waited for.
struct case_kind {
  const char* name;  // for dumps: "recv on channel"
  /// What is waited for, for dumps: an address or, of a routine, its id.
  std::uint64_t (*object)(const select_case& c) noexcept;
  cancel_class cancels;
  /// Tries without waiting; true: it happened.
  bool (*poll)(select_case& c, waiter& w);
  /// The lock to be held for the next, and over enroll().
  case_lock (*lock)(select_case& c) noexcept;
  /// Under the lock: tries; true: it happened, unlocked() completes it.
  bool (*poll_locked)(select_case& c);
  /// After the locks: wakes a counterpart, moves its value.
  void (*unlocked)(select_case& c) noexcept;
  /// Under the lock: registers c.node.  False: it is ready after all (only for cases without a lock).
  bool (*enroll)(select_case& c) noexcept;
  /// After the wait, without locks: takes the registration back.  `won`: this case was the one.
  void (*withdraw)(select_case& c, bool won) noexcept;
  /// For a routine, outside simulated runs: enters the lock by its worker's seat, inside of which it is
  /// already `others` times, and tries.  Null: cannot.
  inside_look (*look_inside)(select_case& c, waiter& w, unsigned others) noexcept;
  /// Before the locks, if nothing is ready: makes what enroll() needs and what may fail; withdraw() takes it
  /// back, also if there was no wait.  False: it failed, and that is what happened.  Null: needs nothing.
  bool (*prepare)(select_case& c, waiter& w) noexcept = nullptr;
  /// object() is a number, not an address.
  bool is_number = false;
};

struct select_case {
  const case_kind* kind;
  case_node node;
  bool enabled = true;
  bool enrolled = false;
  void* spare[2] = {};  // the kind's own, between poll_locked() and unlocked()

  explicit select_case(const case_kind* k) noexcept : kind(k) { node.op = nullptr; }
};

/// A select in progress.
struct select_core {
  /// The case that was woken found nothing: the select begins anew, with the time limit it has.
  void start_again() noexcept {
    how = wait_end::pending;
    chosen = no_case;
    draw = 0;
  }

  select_case** cases;
  std::uint32_t count;
  bool biased;
  bool has_otherwise;
  std::int64_t deadline;  // of the earliest time-out case
  std::uint32_t deadline_case;
  sched::timer_cell* timer = nullptr;
  std::uint32_t chosen = no_case;
  wait_end how = wait_end::pending;
  std::uint8_t inside = 0;  // ready() has left so many locks to park(), which is next
  std::uint64_t draw = 0;   // what the order of the cases is drawn from

  static constexpr std::uint32_t no_case = ~0U;
};

WEFT_API bool select_ready(select_core& s, waiter& w);
WEFT_API bool select_park(select_core& s, waiter& w) noexcept;
/// Unless it is `done` before: the index of the case that happened; throws if the wait was cancelled.
WEFT_API std::uint32_t select_finish(select_core& s, waiter& w);

WEFT_API extern const case_kind send_case_kind, recv_case_kind, event_case_kind, join_case_kind;

}  // namespace weft::detail
