// The life of a routine: launched, first resumed, ended, joined or detached.
//
// How the end, the joiner and the handle agree is in core/join_word.hpp.

#include <weft/detail/join.hpp>
#include <weft/detail/scope_core.hpp>
#include <weft/detail/spawn.hpp>
#include <weft/error.hpp>
#include <weft/runtime.hpp>

#include <coroutine>
#include <exception>
#include <memory>
#include <new>
#include <typeinfo>
#include <utility>

#include <cxxabi.h>
#include <sys/types.h>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/fork_group.hpp"
#include "core/global.hpp"
#include "core/join.hpp"
#include "core/join_word.hpp"
#include "core/park.hpp"
#include "core/site.hpp"
#include "core/unhandled.hpp"
#include "os/forked.hpp"
#include "sched/current.hpp"
#include "sched/frame_pool.hpp"
#include "sched/scheduler.hpp"

namespace weft::detail {

using namespace core;

namespace {

join_word<> join_of(promise_base& p) noexcept {
  return join_word<>(p.end.join);
}

std::uint64_t word_for(wait_node& n) noexcept {
  return reinterpret_cast<std::uint64_t>(&n);
}

/// Where a routine starts.  The global runtime may be stopped and started anew meanwhile.
class destination {
 public:
  explicit destination(sched::scheduler* where) : rt_(where != nullptr ? where : sched::scheduler::here()) {
    if (rt_ != nullptr) return;
    rt_ = &hold_global();
    kept_ = true;
  }

  destination(const destination&) = delete;
  destination& operator=(const destination&) = delete;

  ~destination() {
    if (kept_) rt_->drop();
  }

  sched::scheduler& operator*() const noexcept { return *rt_; }

 private:
  sched::scheduler* rt_;
  bool kept_ = false;
};

/// Own routines may still start others while the runtime drains.
bool takes_routines(sched::scheduler& home) noexcept {
  return !home.stopping() || (sched::scheduler::here() == &home && !home.drained());
}

[[noreturn]] void misuse_join_oneself() noexcept {
  base::misuse("a routine waits for its own end; join it from another one");
}

void describe_joined(int fd, const void* child) noexcept {
  base::write_text(fd, "  of ");
  describe(*static_cast<const promise_base*>(child), fd);
  base::write_text(fd, "\n");
}

[[noreturn]] void misuse_two_joiners(const promise_base& child) noexcept {
  base::misuse("two waits for the end of one routine at the same time; one handle, one joiner",
               &describe_joined, &child);
}

/// The cancellation that facade calls on this thread see.
cancel_state state_of_this_thread() noexcept {
  if (const waiter* routine = sched::current_routine()) return cancel_requested_for(*routine);
  const context_base* scope = sched::current_scope();
  return scope == nullptr ? live : cancel_state_of(*scope);
}

/// What is left of a frame that was destroyed when its routine ended, around the promise with the result:
/// stands where a frame has the addresses of its code.
struct remains {
  void (*drop)(promise_base&) noexcept;
  std::size_t bytes;
};

static_assert(sizeof(remains) <= sched::claim_word_offset);
static_assert(promise_base::outlives_bit == std::uint64_t{outlives} << 8);

/// Destroys the coroutine - its parameters - and keeps the promise's memory.
void destroy_but_result(promise_base& p, void (*drop)(promise_base&) noexcept) noexcept {
  word_of(p).outlives_frame(true);
  void* const frame = frame_of(p);
  std::coroutine_handle<>::from_address(frame).destroy();
  static_cast<remains*>(frame)->drop = drop;
}

/// Is it the scope's owner that runs here?  Not if a thread has opened it.
bool is_own(const context& scope, const sched::worker* here) noexcept {
  return here != nullptr && scope.owner != nullptr && here->current() == scope.owner;
}

[[gnu::always_inline]] inline void count_member(context& scope, const sched::worker* here) noexcept {
  if (is_own(scope, here)) {
    count_of(scope).start_own();
  } else {
    count_of(scope).start();
  }
}

/// launch() has failed after the counting.
void take_back(promise_base& p, sched::scheduler& rt, const sched::worker* here) noexcept {
  word_of(p).set(state::none);
  if (p.born() == birth::member) {
    auto& scope = static_cast<context&>(*p.scope);
    if (is_own(scope, here)) {
      count_of(scope).take_back_own();
    } else {
      count_off(scope, 1);
    }
  }
  rt.count_shared.finished.add_shared();
  rt.check_drained();
}

/// What a routine that is no member of a scope begins with.
[[gnu::always_inline]] inline void inherit(promise_base& p, const launch_info& how, sched::worker& w,
                                           const sched::worker* here) noexcept {
  p.end.join = 0;
  init_root(p);
  // A routine that is started while its starter is being stopped inherits that through the runtime; a shield,
  // here.
  const waiter* starter = here != nullptr                         ? here->current()
                          : sched::scheduler::here() == &w.home() ? sched::current_routine()
                                                                  : nullptr;
  if (starter != nullptr) p.own_scope.shielded = starter->scope->shielded;
  if (how.called) p.own_scope.state = state_of_this_thread();  // not known to others yet
}

/// A routine on `w`.  `here`: the worker that this thread is, if it is of the same runtime.
[[gnu::always_inline]] inline void set_up(promise_base& p, const launch_info& how, sched::worker& w,
                                          const sched::worker* here, std::uint64_t id) noexcept {
  p.id_low = static_cast<std::uint32_t>(id);
  p.id_high = static_cast<std::uint16_t>(id >> 32);
  p.born(how.born);
  p.frame = frame_of(p);
  p.worker = &w;
  p.node.linked = false;
  p.node.because(wait_reason::none);
  if (how.extra != nullptr) [[unlikely]] {
    p.annex_here(sched::may_vanish(how.extra->bytes, how.extra->over_aligned != 0));
    p.origin.extra = how.extra;
  } else {
    p.origin.spawned_at = how.spawned_at;
  }
  if (how.born == birth::member) {
    p.scope = how.scope;
    count_member(static_cast<context&>(*how.scope), here);
  } else {
    inherit(p, how, w, here);
  }
  p.fresh(!how.certain);
  word_of(p).set(state::running);
}

/// The count of a routine that starts elsewhere.  Stopped meanwhile?  Either this sees it, or the stop the
/// count.
void count_elsewhere(promise_base& p, sched::scheduler& rt, const sched::worker* here) {
  rt.count_shared.spawned.add_shared();
  if (takes_routines(rt)) [[likely]]
    return;
  take_back(p, rt, here);
  throw stopped();
}

/// A plain callable of a runtime in manual mode: it may block, so the host's thread does not run it.
void launch_on_pool(promise_base& p, const launch_info& how, sched::scheduler& rt) {
  p.lives(home::blocking_pool);
  const std::uint64_t id = how.here != nullptr ? how.here->next_id() : rt.take_one_id();
  set_up(p, how, how.here != nullptr ? *how.here : rt.at(0), how.here, id);
  count_elsewhere(p, rt, how.here);
  try {
    rt.pool().start(p);
  } catch (...) {
    take_back(p, rt, how.here);
    throw;
  }
}

/// Not on a worker of its own, or not to be run by one.
[[gnu::noinline]] void launch_elsewhere(promise_base& p, const launch_info& how) {
  {
    const destination to(how.where);  // may start the global runtime
    os::step();
    sched::scheduler& rt = *to;
    if (!takes_routines(rt)) throw stopped();
    if (how.here == nullptr) os::refuse_in_child();
    if (how.plain && rt.how().manual) [[unlikely]] {
      launch_on_pool(p, how, rt);
    } else {
      set_up(p, how, rt.at(0), nullptr, rt.take_one_id());
      count_elsewhere(p, rt, nullptr);
      rt.inject(p);
    }
  }
  os::step(true);
}

}  // namespace

void* promise_base::allocate(std::size_t bytes) {
  return sched::allocate_frame(bytes);
}

void promise_base::release(void* frame, std::size_t bytes) noexcept {
  // The claim word is the pool's as well (Invariant T): right also if no promise was ever made here.
  auto& word = *reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(frame) + sched::claim_word_offset);
  if ((std::atomic_ref(word).load(std::memory_order_relaxed) & outlives_bit) != 0) {  // relaxed: own thread's
    claim_word<>(word).outlives_frame(false);
    static_cast<remains*>(frame)->bytes = bytes;
    return;
  }
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

sched::worker* check_open(sched::scheduler* where) {
  sched::worker* here = sched::current_worker();
  if (here != nullptr && (where == nullptr || where == &here->home())) {
    if (here->home().stopping() && here->home().drained()) [[unlikely]]
      throw stopped();
    return here;
  }
  if (where == nullptr) where = sched::scheduler::here();
  if (where == nullptr) return check_global_open(), nullptr;
  where->check_not_left();
  if (!takes_routines(*where)) throw stopped();
  return nullptr;
}

void launch(promise_base& p, const launch_info& how) {
  if (p.started()) misuse_empty_routine();
  sched::worker* const here = how.here;
  if (here == nullptr || (how.plain && here->home().how().manual)) [[unlikely]]
    return launch_elsewhere(p, how);
  os::step();
  if (here->home().stopping() && here->home().drained()) [[unlikely]]
    throw stopped();
  set_up(p, how, *here, here, here->next_id());
  here->count.spawned.add();
  here->push_next(p);
  os::step(true);
}

void capture_failure(promise_base& p, std::exception_ptr& slot) noexcept {
  const std::type_info* const type = abi::__cxa_current_exception_type();  // none of another language's
  const bool no_memory = type != nullptr && *type == typeid(std::bad_alloc);
  ::new (static_cast<void*>(&slot))
      std::exception_ptr(no_memory ? memory_failure() : std::current_exception());
  if (p.born() != birth::child) p.node.op = &slot;  // a root: failure_of() finds it there
  p.ended(is_cancellation() ? outcome::cancelled : outcome::exception);
}

void destroy_root(promise_base& root) noexcept {
  annex* extra = root.annexed() ? root.origin.extra : nullptr;
  if (root.born() == birth::joined) {
    auto* const left = static_cast<remains*>(frame_of(root));
    if (left->drop != nullptr) left->drop(root);
    sched::free_frame(left, left->bytes);
  } else {
    std::coroutine_handle<promise_base>::from_promise(root).destroy();
  }
  if (extra != nullptr) extra->destroy(*extra, true);
}

namespace {

/// A member that failed, or was cancelled: by the scope itself, or from around it.
[[gnu::noinline]] void end_without_value(context& scope, promise_base& p) noexcept {
  if (p.ended() == outcome::exception) {
    fail(scope, failure_of(p));
  } else if (cancel_state_around(scope) != live) {
    __atomic_store_n(&scope.block.lost_one, true, __ATOMIC_RELAXED);  // relaxed: read behind J3
  }
}

/// A member has ended on a worker.
[[gnu::always_inline]] inline std::coroutine_handle<> end_member(promise_base& p, sched::worker& w) noexcept {
  auto& scope = static_cast<context&>(*p.scope);
  w.runs(nullptr);
  word_of(p).set(state::none);
  if (p.ended() != outcome::value) [[unlikely]]
    end_without_value(scope, p);
  if (p.listed()) unlist(scope, p);
  // Before the scope can end: the frame may refer to what the scope's body owns.
  if (p.annexed()) {
    destroy_root(p);
  } else {
    std::coroutine_handle<promise_base>::from_promise(p).destroy();
  }
  w.owe_end(scope);
  w.count.finished.add();
  return switch_away(&w);
}

[[gnu::noinline]] std::coroutine_handle<> end_other(promise_base& p, sched::worker& w,
                                                    void (*drop)(promise_base&) noexcept) noexcept {
  if (p.ended() == outcome::exception) {  // the handle may be dropped when the runtime is gone
    p.frame = const_cast<exception_handler*>(w.home().how().on_unhandled_exception);
  }
  const bool on_pool = p.lives() == home::blocking_pool;
  w.runs(nullptr);
  word_of(p).set(state::none);
  switch (p.born()) {
    case birth::loose:
      if (p.ended() == outcome::exception) report_unhandled(p);
      destroy_root(p);
      break;
    case birth::member: {
      auto& scope = static_cast<context&>(*p.scope);
      if (p.ended() != outcome::value) end_without_value(scope, p);
      if (p.listed()) unlist(scope, p);
      destroy_root(p);
      count_off(scope, 1);
      break;
    }
    default: {
      // What go() was given is gone when the joiner goes on: a last sender among it has closed its channel.
      destroy_but_result(p, drop);
      if (p.annexed()) p.origin.extra->destroy(*p.origin.extra, false);
      waiter* joiner = nullptr;
      claimed how = claimed::lost;
      const bool frame_is_mine = join_of(p).end([&](std::uint64_t node) {
        auto& n = *reinterpret_cast<wait_node*>(node);
        joiner = &owner_of(n);
        how = word_of(*joiner).claim(n.index);
      });
      if (frame_is_mine) {
        if (p.ended() == outcome::exception) report_unhandled(p);
        destroy_root(p);
      } else if (joiner != nullptr) {
        deliver(*joiner, how);
      }
    }
  }
  if (on_pool) {
    sched::scheduler& rt = w.home();
    rt.count_shared.finished.add_shared();
    rt.check_drained();  // the pool is closed after this thread has left
    return std::noop_coroutine();
  }
  w.count.finished.add();
  return switch_away(&w);
}

}  // namespace

std::coroutine_handle<> complete(promise_base& p, void (*drop)(promise_base&) noexcept) noexcept {
  sched::worker& w = worker_of(p);
  if (p.born() == birth::member && p.lives() == home::workers) return end_member(p, w);
  return end_other(p, w, drop);
}

}  // namespace weft::detail

namespace weft::core {

using namespace detail;

bool join_ended(const promise_base& child) noexcept {
  return join_of(const_cast<promise_base&>(child)).has_ended();
}

bool join_enroll(promise_base& child, wait_node& n) noexcept {
  if (&child == &routine_of(owner_of(n))) misuse_join_oneself();
  if (join_of(child).enroll(word_for(n))) return true;
  if (join_of(child).has_node()) misuse_two_joiners(child);
  return false;
}

void join_withdraw(promise_base& child, wait_node& n) noexcept {
  join_of(child).withdraw(word_for(n));
}

void join_wait_final(promise_base& child) noexcept {
  join_of(child).wait_for_final();
}

namespace {

state wait_state_of(const promise_base& p) noexcept {
  return word_of(const_cast<promise_base&>(p)).wait_state();
}

}  // namespace

bool joins_after_main(const waiter& w) noexcept {
  if (!base::is_after_main() || w.node.why != static_cast<std::uint8_t>(wait_reason::join)) return false;
  const promise_base& child = *static_cast<const join_wait*>(w.node.op)->child;
  const auto& at = *static_cast<const sched::worker*>(
      __atomic_load_n(&child.worker, __ATOMIC_RELAXED));  // relaxed: an older one is of the same runtime
  if (join_ended(child) || !at.home().is_left()) return false;
  // On a worker or a thread of the pool, until it waits: who is woken now rests for good.
  const state now = wait_state_of(child);
  const bool waits = now == state::waiting || now == state::waiting_cancelled;
  if (!waits && at.current() == &child) return true;
  if (!waits && !at.home().is_at_rest()) return true;        // parts of it, perhaps
  if (now == state::none || join_ended(child)) return true;  // it destroys what it captured, or has ended
  base::misuse(
      "main has returned, and a routine is joined that the global runtime has left as it was; join it, or "
      "call runtime::global().stop(), before main returns",
      &describe_joined, &child);
}

std::exception_ptr& failure_of(promise_base& p) noexcept {
  return *static_cast<std::exception_ptr*>(p.node.op);
}

const std::exception_ptr& memory_failure() {
  static const auto& one = *new std::exception_ptr(std::make_exception_ptr(std::bad_alloc()));
  return one;
}

}  // namespace weft::core

namespace weft::detail {

// --- the joiner's side ---

bool join_ready(join_wait& j, waiter& w) noexcept {
  os::step();
  if (j.child == &routine_of(w)) misuse_join_oneself();
  j.how = wait_end::pending;  // an operation may be awaited again
  if (is_cancelled_untried(w)) {
    j.how = wait_end::cancelled;
    return true;
  }
  if (join_of(*j.child).has_node()) misuse_two_joiners(*j.child);
  if (!join_of(*j.child).has_ended()) return false;
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
      join_of(*j.child).wait_for_final();
      j.how = wait_end::done;
    } else {
      join_withdraw(*j.child, w.node);
      j.how = winner == by_timeout ? wait_end::timed_out : wait_end::cancelled;
    }
  }
  word_of(w).end();
}

bool join_done(const promise_base& child) noexcept {
  os::step();
  return join_ended(child);
}

void detach(promise_base& child) noexcept {
  os::step();
  if (join_of(child).has_node()) {
    return base::misuse_before_exit(
        "a join_handle is destroyed while somebody waits through it; keep it until the wait is over",
        &describe_joined, &child);
  }
  if (!join_of(child).detach()) return;
  if (child.ended() == outcome::exception) report_unhandled(child);
  destroy_root(child);
}

void cancel_routine(promise_base& child) noexcept {
  cancel_context(child.own_scope, cancel_requested);
}

void cancel_call(promise_base& child) noexcept {
  const cancel_state why = state_of_this_thread();
  cancel_context(child.own_scope, why == live ? cancel_requested : why);
}

void throw_routine_cancelled() {
  throw routine_cancelled();
}

void misuse_empty_handle() noexcept {
  base::misuse("a join_handle is used that is empty: its result was taken already, or it was moved from");
}

void misuse_broken_frame() noexcept {
  base::misuse(
      "g++ 12 has built a coroutine wrongly: one that awaits in the condition of an if, while, for or switch "
      "must "
      "declare a variable somewhere; write `const bool more = co_await ...; if (more)`");
}

void misuse_no_result() noexcept {
  base::misuse("a routine with a result ended without co_return; give one on each of its ways to the end");
}

void misuse_empty_routine() noexcept {
  base::misuse("a routine is started that is empty: it was awaited or started already, or moved from");
}

}  // namespace weft::detail
