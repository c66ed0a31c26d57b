#pragma once

// What lib/ does with contexts beyond <weft/detail/context.hpp>.

#include <weft/detail/context.hpp>

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/own_line.hpp"
#include "core/member_count.hpp"
#include "core/park.hpp"

namespace weft::core {

using detail::context;
using detail::context_base;

/// How often something was cancelled in this process.  Who reads the same number as before, as a fork does,
/// need not look at the contexts that it found live then.
inline constinit base::own_line<std::atomic<std::uint64_t>> cancels_so_far{0};

/// The context that a routine started by go() embeds.
inline void init_root(waiter& w) noexcept {
  w.own_scope.lock = 0;
  w.own_scope.state = detail::live;
  w.own_scope.kind = detail::routine_root;
  w.own_scope.shielded = 0;
  w.own_scope.linked = 1;
  w.own_scope.children = nullptr;
  w.scope = &w.own_scope;
}

/// A thread that enters a scope has no waiter of its own between waits.  `timers_of` keeps the deadline, if
/// there is one.
void open_for_thread(context& x, bool shielded, std::int64_t deadline, sched::worker* timers_of);
void close_for_thread(context& x) noexcept;
/// A member that was listed is no longer found by cancellers.
void unlist(context& x, waiter& member) noexcept;

inline member_count<context> count_of(context& x) noexcept {
  return member_count<context>(x);
}

/// A thread waits inside x: a canceller finds it.  It is not counted.
void attach_thread(context_base& x, waiter& party) noexcept;
void detach_thread(context_base& x, waiter& party) noexcept;
/// The earliest deadline that holds in x, which may be null.
std::int64_t deadline_in(const context_base* x) noexcept;
/// The earliest deadline that `x` is under, if it has not been cancelled yet and nobody else waits for it.
std::int64_t live_deadline(const context_base* x) noexcept;
/// It has passed: cancels the outermost context that has it.
void pass_deadline(context_base& x) noexcept;
/// Keeps the first failure and cancels the others.
void fail(context& x, std::exception_ptr error) noexcept;
/// A context that opens without being known to its parent (a fork group) becomes known, before something in
/// it waits.
void link_up(context_base& x) noexcept;
/// Takes that back when the group ends.
void leave_group(context& x) noexcept;

/// The waiters that a cancel has won, to be delivered when no lock is held: several in their order, behind
/// what is ready already.
class winners {
 public:
  void add(waiter& w, claimed how) noexcept;
  void deliver_all() noexcept;

  /// Of those that were to be claimed, one was not there to be had: it runs, or its wait is not visible yet.
  bool missed_one() const noexcept { return missed_one_; }

  void note_missed() noexcept { missed_one_ = true; }

  /// Gives them, as a chain, for the caller to deliver.
  waiter* take_all() noexcept { return std::exchange(first_, nullptr); }

  /// Delivers the threads and gives the routines, as a chain.
  waiter* take_routines() noexcept;

 private:
  waiter* first_ = nullptr;
  waiter* last_ = nullptr;  // if there is a first
  bool missed_one_ = false;
};

/// Before a fork: true if the parent is cancelled.
bool is_cancelled_before(waiter& parent) noexcept;

/// Cancels x and all inside it; the caller delivers, and may hold a lock meanwhile.
void cancel_tree(context_base& x, std::uint8_t why, winners& won) noexcept;

}  // namespace weft::core
