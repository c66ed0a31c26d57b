#pragma once

// context: what a routine inherits - a cancel flag, a deadline - and the tree along which cancellation
// travels.
//
// A context has members (routines that scope::go started in it) and children (contexts opened inside it).
// Cancelling sets its flag, claims the claim word of every member that waits directly in it, and does the
// same for its children, parent's lock held while the child's is taken.  No wait registers anywhere for
// cancellation: that costs one load.  A member is listed when it first waits directly in its scope: until
// then there is nothing to claim, and the flag is enough.
//
// A routine is cancelled through the context it is *in* (waiter::scope).  It changes that only under the lock
// of the context it leaves, so a canceller that holds the lock and reads scope == this may claim.

#include <weft/detail/waiter.hpp>

#include <cstdint>
#include <exception>

namespace weft::sched {
class scheduler;
struct timer_cell;
}  // namespace weft::sched

namespace weft::detail {

enum cancel_state : std::uint8_t { live = 0, cancel_requested = 1, deadline_passed = 2 };

enum context_kind : std::uint8_t { routine_root, nested, group };

/// Of a context that is no group.
struct context_block {
  bool around_one;  // what is awaited in it, or in one more like it, is one operation that has not looked yet
  bool lost_one;    // a member was cancelled from around it; atomic
  bool of_call;     // its deadline is kept by whoever waits for the owner's end
};

struct context : context_base {
  context_base* parent;
  context* prev;  // among the parent's children, under the parent's lock
  context* next;
  waiter* owner;             // the routine that opened it and runs in it; null on threads
  waiter* members;           // first of those members that have waited, under lock
  std::uint64_t started;     // how many have not ended: lib/core/member_count.hpp
  std::uint64_t left;        // the same; atomic
  wait_node* joiner;         // who waits for that
  std::int64_t deadline;     // steady ns; the earliest of its own and the parents'
  sched::timer_cell* timer;  // fires at its own deadline; null if a parent's is earlier

  union {
    fork_group* forks;  // of a group: its children
    context_block block;
  };

  union {
    std::exception_ptr failure;  // the first of a member, under lock; while it is open, and not of a group
  };

  // Nothing is set up or ended here: each all() has one, and a group uses half of it.
  context() noexcept {}  // NOLINT(cppcoreguidelines-pro-type-member-init)

  context(const context&) = delete;
  context& operator=(const context&) = delete;

  ~context() {}
};

inline constexpr std::int64_t no_deadline = INT64_MAX;

/// Opens `x` inside the context `owner` is in, and moves the owner into it.  Throws std::bad_alloc for the
/// timer.
WEFT_API void open_context(context& x, waiter& owner, bool shielded, std::int64_t deadline);
/// The same with a deadline that is kept by whoever waits for the owner's end: no timer.
WEFT_API void open_context_of_call(context& x, waiter& owner, std::int64_t deadline) noexcept;
/// Moves the owner back.  The timer is stopped, or has been waited for.  Nothing of weft touches `x`
/// afterwards.
WEFT_API void close_context(context& x, waiter& owner) noexcept;

/// A context that this thread is in for the time of a block.
class WEFT_API thread_scope {
 public:
  thread_scope(bool shielded, std::int64_t deadline);
  thread_scope(const thread_scope&) = delete;
  thread_scope& operator=(const thread_scope&) = delete;
  ~thread_scope();

  context scope;

 private:
  void open_on_thread(bool shielded, std::int64_t deadline);

  waiter* owner_;
  sched::scheduler* kept_ = nullptr;  // whose timer it has, if another thread may end that meanwhile
};

/// What the waiter does next is the user's: an operation that is awaited alone has got as far as it goes, and
/// the limits around it count again.
inline void limit_counts(const waiter& w) noexcept {
  for (context_base* x = w.scope; x != nullptr && x->kind == nested;) {
    auto& limit = static_cast<context&>(*x);
    if (!limit.block.around_one) return;  // others may be in it: not written
    limit.block.around_one = false;
    x = limit.parent;
  }
}

/// So many members of `x` have ended.  The last may end the scope: nothing of it is touched afterwards.
WEFT_API void count_off(context& x, std::uint64_t n) noexcept;
/// Cancels everything in `x`.  The caller pins it.
WEFT_API void cancel_context(context_base& x, cancel_state why) noexcept;
/// The reason if the waiter is to be cancelled now, else live.
WEFT_API cancel_state cancel_requested_for(const waiter& w) noexcept;
WEFT_API cancel_state cancel_state_of(const context_base& x) noexcept;
/// The reason if what `x` was opened in is to be cancelled now, else live.
WEFT_API cancel_state cancel_state_around(const context& x) noexcept;
/// Throws cancelled or deadline_exceeded.
[[noreturn]] WEFT_API void throw_cancelled(const waiter& w);
/// The earliest deadline of the routine that runs on this thread, else of the thread.
WEFT_API std::int64_t current_deadline() noexcept;
/// The earliest deadline it has inherited.
WEFT_API std::int64_t deadline_of(const waiter& w) noexcept;

}  // namespace weft::detail
