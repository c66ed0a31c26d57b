// The life of a routine: launched, first resumed, ended, joined or detached.
//
// The join word
//   0            running, nobody waits
//   wait_node*   running, somebody waits
//   done         ended; if somebody waited, the winner is being decided
//   final        ended, and the routine's side touches nothing of the frame any more
//   detached     the handle is gone: the end frees the frame
//
// Protocol (model-checked: reference model m3, cases 3b 3f 3h 3j; protocols.md A1-A3)
//   end      E1 the result is in the promise; E2 old = exchange(done); a node: E3 claim its owner, E4 store
//   final,
//            E5 wake; detached: free the frame
//   joiner   J1 preparing; J2 CAS 0 -> node (fails: ended); J3 cancelled? claim yourself; J4 commit
//            woken or won early: by the end: wait for final; else J5 CAS node -> 0 (fails: wait for final)
//   handle   H1 old = exchange(detached); done or final: free the frame
//
// Rejected: results built in the joiner's frame (it may be cancelled and gone); a reference count (Tokio: 6-8
// RMW).

#include <weft/detail/join.hpp>
#include <weft/detail/spawn.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>

#include <exception>
#include <new>
#include <utility>

#include <sys/types.h>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/fork_group.hpp"
#include "core/join.hpp"
#include "core/park.hpp"
#include "core/unhandled.hpp"
#include "sched/current.hpp"
#include "sched/frame_pool.hpp"
#include "sched/scheduler.hpp"

namespace weft::detail {

using namespace core;

namespace {

constexpr std::uint64_t join_done_word = 1, join_detached = 2, join_final = 3;

std::atomic_ref<std::uint64_t> join_word(promise_base& p) noexcept {
  return std::atomic_ref(p.end.join);
}

wait_node* node_in(std::uint64_t word) noexcept {
  return word > join_final ? reinterpret_cast<wait_node*>(word) : nullptr;
}

sched::scheduler& home_for(sched::scheduler* where) {
  if (where != nullptr) return *where;
  if (sched::worker* w = sched::current_worker()) return w->home();
  return runtime::global().core();
}

/// Own routines may still start others while the runtime drains.
bool takes_routines(sched::scheduler& home) noexcept {
  if (!home.stopping()) return true;
  sched::worker* here = sched::current_worker();
  return here != nullptr && &here->home() == &home && !home.drained();
}

void wait_for_final(promise_base& child) noexcept {
  int spins = 0;
  while (join_word(child).load(std::memory_order_acquire) != join_final) {  // A1, pairs with R1
    if (++spins < 100) {
      os::relax_cpu();
    } else {
      os::give_way();
    }
  }
}

}  // namespace

void* promise_base::allocate(std::size_t bytes) {
  return sched::allocate_frame(bytes);
}

void promise_base::release(void* frame, std::size_t bytes) noexcept {
  sched::free_frame(frame, bytes);
}

void* allocate_annex(std::size_t bytes, std::size_t align) {
  if (align > 16) return ::operator new(bytes, std::align_val_t(align));
  return sched::allocate_frame(bytes);
}

void release_annex(void* block, std::size_t bytes, std::size_t align) noexcept {
  if (align > 16) return ::operator delete(block, bytes, std::align_val_t(align));
  sched::free_frame(block, bytes);
}

void check_open(sched::scheduler* where) {
  if (!takes_routines(home_for(where))) throw stopped();
}

void launch(promise_base& p, const launch_info& how) {
  sched::scheduler& rt = home_for(how.where);
  if (!takes_routines(rt)) throw stopped();
  sched::worker* here = sched::current_worker();
  if (here != nullptr && &here->home() != &rt) here = nullptr;

  const std::uint64_t id = here != nullptr ? here->next_id() : rt.take_one_id();
  p.id_low = static_cast<std::uint32_t>(id);
  p.id_high = static_cast<std::uint16_t>(id >> 32);
  p.born(how.born);
  p.frame = frame_of(p);
  p.worker = here != nullptr ? here : &rt.at(0);
  p.node.linked = false;
  p.node.because(wait_reason::none);
  p.end.join = 0;
  if (how.extra != nullptr) {
    p.annex_here(sched::may_vanish(how.extra->bytes, how.extra->over_aligned != 0));
    p.origin.extra = how.extra;
  } else {
    p.origin.spawned_at = how.spawned_at;
  }
  if (how.born == birth::member) {
    enter_member(static_cast<context&>(*how.scope), p);
  } else {
    init_root(p);
    // A routine that is started while its starter is being stopped inherits that through the runtime; a
    // shield, here.
    if (here != nullptr && here->current() != nullptr)
      p.own_scope.shielded = here->current()->scope->shielded;
  }
  word_of(p).set(state::running);
  if (here != nullptr) {
    here->count.spawned.add();
    here->push_next(p);
  } else {
    rt.count_shared.spawned.add_shared();
    rt.inject(p);
  }
}

void check_first_resumption(promise_base& root) {
  if (is_cancelled(root)) throw_cancelled(root);
}

void capture_failure(promise_base& p, std::exception_ptr& slot) noexcept {
  ::new (static_cast<void*>(&slot)) std::exception_ptr(std::current_exception());
  if (p.born() != birth::child) p.node.op = &slot;  // a root: failure_of() finds it there
  try {
    throw;
  } catch (const cancelled&) {
    p.ended(outcome::cancelled);
  } catch (...) {
    p.ended(outcome::exception);
  }
}

void destroy_root(promise_base& root) noexcept {
  annex* extra = root.annexed() ? root.origin.extra : nullptr;
  std::coroutine_handle<promise_base>::from_promise(root).destroy();
  if (extra != nullptr) extra->destroy(*extra);
}

std::coroutine_handle<> complete(promise_base& p) noexcept {
  sched::worker& w = worker_of(p);
  if (p.born() == birth::forked) return forked_end(p);
  w.runs(nullptr);
  word_of(p).set(state::none);
  switch (p.born()) {
    case birth::loose:
      if (p.ended() == outcome::exception) report_unhandled(p);
      destroy_root(p);
      break;
    case birth::member: {
      auto& scope = static_cast<context&>(*p.scope);
      if (p.ended() == outcome::exception) fail(scope, failure_of(p));
      unlink(scope, p);
      destroy_root(p);  // before the scope can end: the frame may refer to what the scope's body owns
      count_off(scope);
      break;
    }
    default: {
      const std::uint64_t before =
          join_word(p).exchange(join_done_word, std::memory_order_acq_rel);  // E2, pairs with J2
      if (before == join_detached) {
        if (p.ended() == outcome::exception) report_unhandled(p);
        destroy_root(p);
      } else if (wait_node* n = node_in(before)) {
        waiter& joiner = owner_of(*n);
        const claimed how = word_of(joiner).claim(n->index);
        join_word(p).store(join_final,
                           std::memory_order_release);  // R1, pairs with A1: nothing of p afterwards
        deliver(joiner, how);
      }
    }
  }
  w.count.finished.add();
  return switch_away(&w);
}

}  // namespace weft::detail

namespace weft::core {

using namespace detail;

bool join_enroll(promise_base& child, wait_node& n) noexcept {
  std::uint64_t none = 0;
  return join_word(child).compare_exchange_strong(none, reinterpret_cast<std::uint64_t>(&n),
                                                  std::memory_order_acq_rel);  // J2, pairs with E2
}

void join_withdraw(promise_base& child, wait_node& n) noexcept {
  auto own = reinterpret_cast<std::uint64_t>(&n);
  if (!join_word(child).compare_exchange_strong(own, 0, std::memory_order_acq_rel)) {  // J5, pairs with E2
    wait_for_final(child);  // the end holds our node until then
  }
}

void join_wait_final(promise_base& child) noexcept {
  wait_for_final(child);
}

std::exception_ptr& failure_of(promise_base& p) noexcept {
  return *static_cast<std::exception_ptr*>(p.node.op);
}

}  // namespace weft::core

namespace weft::detail {

// --- the joiner's side ---

bool join_ready(join_wait& j, waiter& w) noexcept {
  if (j.child == &w) base::misuse("a routine waits for its own end; join it from another one");
  if (is_cancelled(w)) {
    j.how = wait_end::cancelled;
    return true;
  }
  const std::uint64_t word = join_word(*j.child).load(std::memory_order_acquire);  // A2, pairs with E2
  if (node_in(word) != nullptr)
    base::misuse("two waits for the end of one routine at the same time; one handle, one joiner");
  if (word != join_done_word && word != join_final) return false;
  j.how = wait_end::done;
  return may_go_on(w);
}

bool join_park(join_wait& j, waiter& w) noexcept {
  if (j.how != wait_end::pending) return park_done(w);
  begin(w, state::preparing, wait_reason::join, &j);
  if (join_enroll(*j.child, w.node)) return commit(w);
  word_of(w).claim(by_self);  // never registered, whoever has won
  j.how = wait_end::done;
  return false;
}

void join_settle(join_wait& j, waiter& w) noexcept {
  if (j.how == wait_end::pending) {
    const std::uint16_t winner = word_of(w).winner();
    if (winner == 0) {
      wait_for_final(*j.child);
      j.how = wait_end::done;
    } else {
      join_withdraw(*j.child, w.node);
      j.how = winner == by_timeout ? wait_end::timed_out : wait_end::cancelled;
    }
  }
  word_of(w).end();
}

bool join_done(const promise_base& child) noexcept {
  const std::uint64_t word =
      join_word(const_cast<promise_base&>(child)).load(std::memory_order_acquire);  // A2, E2
  return word == join_done_word || word == join_final;
}

void detach(promise_base& child) noexcept {
  const std::uint64_t before =
      join_word(child).exchange(join_detached, std::memory_order_acq_rel);  // H1, pairs with E2
  if (before != join_done_word && before != join_final) return;
  if (child.ended() == outcome::exception) report_unhandled(child);
  destroy_root(child);
}

void cancel_routine(promise_base& child) noexcept {
  cancel_context(child.own_scope, cancel_requested);
}

void throw_routine_cancelled() {
  throw routine_cancelled();
}

void misuse_empty_handle() noexcept {
  base::misuse("a join_handle is used that is empty: its result was taken already, or it was moved from");
}

void misuse_empty_routine() noexcept {
  base::misuse("a routine is started that is empty: it was awaited or started already, or moved from");
}

}  // namespace weft::detail
