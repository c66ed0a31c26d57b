// select: waits for the first of several things, and does exactly that one.
//
//   phase 1   tries every enabled case, one lock at a time, in random order (or in order, if biased)
//   prepare   makes what cases need to wait and is not to be had under locks: copies of descriptors
//   phase 2   takes all locks, in the order of their addresses; tries again; else: preparing, one node per
//             case, the timer, cancelled?, commit; unlocks all
//   wake      a counterpart claims through one of the nodes, under its own lock; the index is in the claim
//   word phase 3   takes every other registration back, one lock at a time
//
// All locks are held over the commit, so nobody who moves data can win early (protocols.md A4); that also
// makes two selects that meet on two channels atomic.  Cases without a lock (join, time) may win early: they
// deliver nothing.
//
// Inside: if all cases are channels whose locks are reserved for this worker, phase 1 enters each lock by the
// seat and stays, without a read-modify-write.  If none was ready nothing can have become so, and there is no
// second look: begins as `waiting`, which saves the commit, one node per case, leaves all.  A canceller may
// wake it before that, as it may who waits for one thing: phase 3 then takes every lock, and so comes behind.
// Not in a simulated run, nor with a time limit.
//
// Source: Go's selectgo.  Rejected: one lock at a time while registering (tried for Go, CL 7570: never shown
// correct);
//         try, register, abort and retry (crossbeam): may livelock under a deterministic schedule.

#include <weft/detail/select_case.hpp>
#include <weft/sync/event.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <new>

#include "core/join.hpp"
#include "core/park.hpp"
#include "core/waiting_line.hpp"
#include "os/lock.hpp"
#include "os/reserved_lock.hpp"
#include "sched/current.hpp"

namespace weft::detail {

using namespace core;

namespace {

constexpr std::size_t small_set = 16;

/// Small sets live on the stack.
template <typename T>
class small_array {
 public:
  explicit small_array(std::size_t n) : heap_(n > own_.size() ? std::make_unique<T[]>(n) : nullptr) {}

  T* data() noexcept { return heap_ ? heap_.get() : own_.data(); }

  T& operator[](std::size_t i) noexcept { return data()[i]; }

  const T& operator[](std::size_t i) const noexcept { return heap_ ? heap_[i] : own_[i]; }

 private:
  std::array<T, small_set> own_;
  std::unique_ptr<T[]> heap_;
};

/// In which order the cases come is drawn once for a select; 0, as they stand.
std::uint64_t draw(const select_core& s, sched::worker* here) noexcept {
  if (s.biased || s.count < 2) return 0;
  return (here != nullptr ? here->random().next() : os::current_port().random()) | 1;
}

/// case_order of one or two, outside simulated runs.
class short_order {
 public:
  explicit short_order(const select_core& s) : first_(static_cast<std::uint32_t>(s.draw >> 63)) {}

  std::uint32_t operator[](std::uint32_t i) const noexcept { return i ^ first_; }

 private:
  std::uint32_t first_;
};

/// In which order the cases come: at random, or as they stand if biased.
class case_order {
 public:
  explicit case_order(const select_core& s) : is_short_(s.count <= 2), of_(s.count) {
    const auto picked = s.draw == 0 ? 0 : static_cast<std::uint32_t>(os::pick_case(s.count));
    first_ = static_cast<std::uint32_t>(s.draw >> 63) ^ picked;
    if (is_short_) return;
    // Shuffled: a random start alone would favour the case behind a disabled one.
    for (std::uint32_t i = 0; i < s.count; ++i) of_[i] = i;
    if (s.draw == 0) return;
    std::uint64_t r = s.draw;
    for (std::uint32_t i = s.count; i > 1; --i) {
      std::swap(of_[i - 1], of_[static_cast<std::uint32_t>((r >> 32) * i >> 32)]);
      r = r * 6364136223846793005U + 1442695040888963407U;
      r ^= r >> 29;
    }
    std::swap(of_[0], of_[picked]);
  }

  std::uint32_t operator[](std::uint32_t i) const noexcept { return is_short_ ? i ^ first_ : of_[i]; }

 private:
  const bool is_short_;
  std::uint32_t first_ = 0;  // of one or two
  small_array<std::uint32_t> of_;
};

/// Calls f for each enabled case that may be tried; stops when f says true.
template <typename F>
bool for_each_case(select_core& s, const case_order& order, F f) {
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[order[i]];
    if (c.enabled && c.kind != nullptr && f(c, order[i])) return true;
  }
  return false;
}

/// The locks of all cases, each once.
class lock_set {
 public:
  lock_set(select_core& s, os::seat* me) : all_(s.count), me_(me) {
    for (std::uint32_t i = 0; i < s.count; ++i) {
      select_case& c = *s.cases[i];
      if (!c.enabled || c.kind == nullptr) continue;
      if (const case_lock l = c.kind->lock(c); !l.is_none()) all_[n_++].lock = l;
    }
    const auto by_address = [](const one& a, const one& b) { return a.lock < b.lock; };
    const auto same = [](const one& a, const one& b) { return a.lock == b.lock; };
    std::sort(all_.data(), all_.data() + n_, by_address);
    n_ = static_cast<std::size_t>(std::unique(all_.data(), all_.data() + n_, same) - all_.data());
  }

  void lock() noexcept {
    for (std::size_t i = 0; i < n_; ++i) {
      one& each = all_[i];
      if (each.lock.is_word()) {
        os::lock(each.lock.as<std::uint32_t>());
      } else {
        each.by_seat = each.lock.as<os::reserved_lock>().lock(me_);
      }
    }
  }

  void unlock() noexcept {
    for (std::size_t i = n_; i != 0; --i) {
      one& each = all_[i - 1];
      if (each.lock.is_word()) {
        os::unlock(each.lock.as<std::uint32_t>());
      } else {
        each.lock.as<os::reserved_lock>().unlock(me_, each.by_seat);
      }
    }
  }

 private:
  struct one {
    case_lock lock;
    bool by_seat = false;
  };

  small_array<one> all_;
  std::size_t n_ = 0;
  os::seat* me_;
};

/// In a random order, too: of several cases of one channel the first in its line is the one that happens.
void enroll(select_core& s, const case_order& order, waiter& w) noexcept {
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[order[i]];
    if (!c.enabled || c.kind == nullptr) continue;
    c.node.owner = &w;
    c.node.index = static_cast<std::uint16_t>(order[i]);
    c.node.in_case = true;
    c.node.linked = false;
    if (c.kind->enroll(c)) {
      c.enrolled = true;
    } else if (word_of(w).claim(c.node.index) == claimed::parked) {  // ready after all
      word_of(w).set_delivered();  // a thread leaves on that alone, and the winner is the thread itself
    }
  }
}

}  // namespace

namespace {

/// All cases at one instant.  True: one has happened.  False: the locks are still held.
bool try_locked(select_core& s, const case_order& order, lock_set& locks) {
  locks.lock();
  bool done = false;
  try {
    done = for_each_case(s, order, [&](select_case& c, std::uint32_t i) {
      if (!c.kind->poll_locked(c)) return false;
      s.chosen = i;
      return true;
    });
  } catch (...) {
    locks.unlock();
    throw;
  }
  if (!done) return false;
  locks.unlock();
  select_case& c = *s.cases[s.chosen];
  c.kind->unlocked(c);
  return true;
}

}  // namespace

namespace {

/// Takes back what was prepared for a wait that did not begin.
void take_back(select_core& s) noexcept {
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[i];
    if (std::exchange(c.enrolled, false)) c.kind->withdraw(c, false);
  }
}

/// False: one has failed, which is what happened.
bool prepare(select_core& s, waiter& w) noexcept {
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[i];
    if (!c.enabled || c.kind == nullptr || c.kind->prepare == nullptr) continue;
    c.enrolled = c.kind->prepare(c, w);
    if (c.enrolled) continue;
    take_back(s);
    s.chosen = i;
    s.how = wait_end::done;
    return false;
  }
  return true;
}

/// In any case: one case after the other.
bool ready_in_full(select_core& s, waiter& w) {
  os::step();
  if (is_cancelled_untried(w)) {
    s.how = wait_end::cancelled;
    return true;
  }
  if (s.draw == 0)
    s.draw = draw(s, sched::current_worker());  // a second draw would favour what the look knows
  const bool done = for_each_case(s, case_order(s), [&](select_case& c, std::uint32_t i) {
    if (!c.kind->poll(c, w)) return false;
    s.chosen = i;
    return true;
  });
  if (!done && !s.has_otherwise) return false;
  if (!done &&
      s.count > 2) {  // "nothing is ready" must hold at one instant: a value may have slipped behind the look
    lock_set locks(s, seat_of(w));
    if (!try_locked(s, case_order(s), locks)) locks.unlock();
  }
  os::note(s.chosen);
  s.how = wait_end::done;
  return may_go_on(w);
}

/// Leaves the locks that the worker of `w` has entered by its seat.
void leave_inside(select_core& s, const waiter& w) noexcept {
  os::seat& me = worker_of(w).seat;
  for (; s.inside != 0; --s.inside) me.leave();
}

/// Enters the locks of all cases by the seat, which needs no order because nobody waits there.
/// happened: a case has.  idle: none, and all locks are held.  unknown: nothing has been done.
template <typename Order>
[[gnu::always_inline]] inline inside_look look_inside(select_core& s, waiter& w, const Order& order) {
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[order[i]];
    if (!c.enabled || c.kind == nullptr) continue;
    const inside_look found =
        c.kind->look_inside != nullptr ? c.kind->look_inside(c, w, s.inside) : inside_look::unknown;
    if (found == inside_look::idle) {
      ++s.inside;
    } else if (found == inside_look::happened) {
      s.inside = 0;
      s.chosen = order[i];
      return found;
    } else {
      leave_inside(s, w);
      return found;
    }
  }
  return inside_look::idle;
}

[[gnu::noinline]] inside_look look_inside_many(select_core& s, waiter& w) {
  if (s.count > small_set) return inside_look::unknown;  // park_inside() asks for no memory
  return look_inside(s, w, case_order(s));
}

/// All locks are entered: waits there.  False: cancelled.
bool park_inside(select_core& s, waiter& w) noexcept {
  const sched::worker& here = worker_of(w);  // once the wait has begun `w` may run elsewhere
  os::seat& me = here.seat;
  const std::uint8_t entered = std::exchange(s.inside, std::uint8_t{0});
  // All that who ends the wait may look at before it has a lock.
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[i];
    c.enrolled = c.enabled && c.kind != nullptr;
    c.node.owner = &w;
    c.node.index = static_cast<std::uint16_t>(i);
    c.node.in_case = true;
    c.node.linked = false;
  }
  if (w.is_unlisted_member()) [[unlikely]]
    link_scope(w);
  begin_plain_wait(w, wait_reason::select, &s);
  const bool goes_on = plainly_waits(w, here) || word_of(w).goes_on_unless([&] { return is_cancelled(w); });
  if (goes_on) [[likely]] {
    const case_order order(s);
    for (std::uint32_t i = 0; i < s.count; ++i) {
      select_case& c = *s.cases[order[i]];
      if (c.enrolled) c.kind->enroll(c);
    }
  } else {
    for (std::uint32_t i = 0; i < s.count; ++i) s.cases[i]->enrolled = false;
    s.how = wait_end::cancelled;
  }
  for (unsigned i = 0; i < entered; ++i) me.leave();  // from here on the routine may run elsewhere
  return goes_on;
}

}  // namespace

bool select_ready(select_core& s, waiter& w) {
  if (!os::may_be_simulated() && is_plainly_live(w)) [[likely]] {
    s.draw = draw(s, &worker_of(w));
    const inside_look found = s.count <= 2 ? look_inside(s, w, short_order(s)) : look_inside_many(s, w);
    if (found == inside_look::idle && !s.has_otherwise) {
      if (s.deadline != no_deadline) leave_inside(s, w);
      return false;
    }
    if (found != inside_look::unknown) [[likely]] {
      leave_inside(s, w);
      s.how = wait_end::done;
      return --w.worker->ready > 0;
    }
  }
  return ready_in_full(s, w);
}

bool select_park(select_core& s, waiter& w) noexcept {
  if (s.inside != 0) return park_inside(s, w);
  if (s.how == wait_end::done) {  // its ready operations are used up: yields with the result
    return park_done(w);
  }
  try {
    if (!prepare(s, w)) return false;
    const case_order order(s);
    lock_set locks(s, seat_of(w));
    if (try_locked(s, order, locks)) {
      take_back(s);
      os::note(s.chosen);
      s.how = wait_end::done;
      return false;
    }
    begin(w, state::preparing, wait_reason::select, &s);
    enroll(s, order, w);
    if (!wait_timer::arm(s.timer, w, s.deadline)) {
      word_of(w).claim(by_self);
      s.how = wait_end::out_of_memory;
    }
    const bool parked = core::commit(w);
    locks.unlock();
    return parked;
  } catch (...) {
    s.how = wait_end::out_of_memory;
    return false;
  }
}

std::uint32_t select_finish(select_core& s, waiter& w) {
  const bool waited = word_of(w).wait_state() != state::running;
  const std::uint16_t winner = waited ? word_of(w).winner() : by_self;
  wait_timer::disarm(s.timer);
  for (std::uint32_t i = 0; i < s.count; ++i) {
    select_case& c = *s.cases[i];
    if (c.enrolled) c.kind->withdraw(c, winner == i);
    c.enrolled = false;
  }
  if (waited) word_of(w).end();
  if (s.how == wait_end::pending) {
    if (winner == by_timeout) {
      s.chosen = s.deadline_case;
    } else if (winner < by_self) {
      s.chosen = winner;
    } else {
      s.how = wait_end::cancelled;
    }
  }
  if (s.how == wait_end::cancelled || s.how == wait_end::out_of_memory) throw_wait_end(s.how, w);
  os::note(s.chosen);
  return s.chosen;
}

// --- events ---

namespace {

event& event_of(select_case& c) noexcept {
  return *static_cast<event*>(c.node.op);
}

std::uint64_t event_address(const select_case& c) noexcept {
  return reinterpret_cast<std::uintptr_t>(c.node.op);
}

bool event_poll(select_case& c, waiter&) {
  return event_of(c).is_set();
}

case_lock event_lock(select_case& c) noexcept {
  return &event_of(c).line().lock;
}

bool event_poll_locked(select_case& c) {
  return event_of(c).set_flag();
}

void nothing(select_case&) noexcept {}

bool event_enroll(select_case& c) noexcept {
  append(event_of(c).line().queue, c.node);
  return true;
}

void event_withdraw(select_case& c, bool won) noexcept {
  if (won) return;
  waiting_line& line = event_of(c).line();
  const os::guard hold(line.lock);
  if (c.node.linked) remove(line.queue, c.node);
}

// --- the end of a routine ---

promise_base& child_of(select_case& c) noexcept {
  return *static_cast<promise_base*>(c.node.op);
}

std::uint64_t child_id(const select_case& c) noexcept {
  return id_of(*static_cast<const promise_base*>(c.node.op));
}

bool join_poll(select_case& c, waiter&) {
  return join_ended(child_of(c));
}

bool join_poll_locked(select_case& c) {
  return join_ended(child_of(c));
}

case_lock no_lock(select_case&) noexcept {
  return {};
}

bool join_case_enroll(select_case& c) noexcept {
  return join_enroll(child_of(c), c.node);
}

void join_case_withdraw(select_case& c, bool won) noexcept {
  if (!won) return join_withdraw(child_of(c), c.node);
  join_wait_final(child_of(c));
}

}  // namespace

const case_kind event_case_kind{
    "event",  &event_address, cancel_class::plain, &event_poll, &event_lock, &event_poll_locked,
    &nothing, &event_enroll,  &event_withdraw,     nullptr};
const case_kind join_case_kind{
    "join of routine", &child_id,         cancel_class::plain, &join_poll, &no_lock, &join_poll_locked,
    &nothing,          &join_case_enroll, &join_case_withdraw, nullptr,    nullptr,  true};

}  // namespace weft::detail
