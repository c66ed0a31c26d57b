#pragma once

// The library's side of <weft/detail/waiting_line.hpp>.  All of it under the line's lock but settle() and
// deliver_all().
//
// A routine whose ready operations are used up yields with the result - but not with a lock or a permit, for
// which the others would queue up.  It yields before it tries, and looks then (second_look.hpp).  The mutex
// wakes its waiters in the same way: to look, so that whoever runs may pass them.

#include <weft/detail/waiting_line.hpp>

#include "core/context.hpp"
#include "core/park.hpp"
#include "core/second_look.hpp"

namespace weft::core {

using detail::line_wait;
using detail::looking_wait;
using detail::waiting_line;

/// True if the waiter is cancelled: the wait is over before it began.
inline bool over_before(line_wait& wait, waiter& w) noexcept {
  wait.how = wait_end::pending;  // an operation may be awaited again
  if (!is_cancelled_untried(w)) return false;
  wait.how = wait_end::cancelled;
  return true;
}

/// It need not wait.  False if it has had its share of such operations: then park() yields, see
/// over_at_once().
inline bool served_at_once(line_wait& wait, waiter& w) noexcept {
  wait.how = wait_end::done;
  return may_go_on(w);
}

inline bool over_at_once(const line_wait& wait) noexcept {
  return wait.how != wait_end::pending;
}

/// Queues the waiter; false: it was cancelled.  The caller unlocks and touches nothing any more.
inline bool wait_in_line(line_wait& wait, waiter& w, wait_reason why) noexcept {
  if (!begin_waiting(w, why, &wait)) {
    wait.how = wait_end::cancelled;
    return false;
  }
  append(wait.line->queue, w.node);
  return true;
}

/// Its ready operations are used up, and it has not tried: it yields, and looks then.
template <bool (*Again)(looking_wait&, waiter&)>
bool yield_before(looking_wait& wait, waiter& w) noexcept {
  look_first<looking_wait, Again>(wait, w);
  return park_done(w);
}

/// Claims the first waiter that can still be had and takes it off the queue; null: none.
inline waiter* claim_first(waiting_line& line, claimed& how) noexcept {
  while (wait_node* n = line.queue.first) {
    remove(line.queue, *n);
    waiter& w = owner_of(*n);
    how = word_of(w).claim(n->index);
    if (how != claimed::lost) return &w;
  }
  return nullptr;
}

/// Claims all of them.
inline void claim_all(waiting_line& line, winners& won) noexcept {
  claimed how = claimed::lost;
  while (waiter* w = claim_first(line, how)) won.add(*w, how);
}

/// After the wait: true if it was served.
bool settle(line_wait& wait, waiter& w) noexcept;

}  // namespace weft::core
