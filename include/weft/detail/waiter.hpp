#pragma once

// waiter: the one party that can wait - a routine, a blocked thread or a coroutine of a foreign type.
//
// Whatever may wake somebody (channel, select, timer, join, event, cancellation, the facade) holds a
// wait_node of that somebody and races for the waiter's claim word by CAS; exactly one wins, and only the
// winner delivers and wakes. Layout only: the protocol and its functions are in lib/core/park.hpp.
//
// The claim word is the first member of the first base of every promise, so it stands at the same place in
// every frame (16 bytes in).  The frame pool never writes there, and its sequence number is never reset: a
// claim on a word that was read from a block which died meanwhile fails instead of hitting whoever lives
// there now.

#include <weft/config.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::sched {
class scheduler;
}

namespace weft::detail {

struct waiter;
struct context;

/// The part of a worker that awaiting code counts down in line.  Written by the worker's own thread only.
struct worker_face {
  std::int32_t transfers;  // symmetric transfers left before the stack is unwound to the worker's loop
  std::int32_t ready;      // operations that may still complete without suspending before the routine yields
};

/// Why a routine sleeps.  For the dump; nothing decides by it.
enum class wait_reason : std::uint8_t {
  none,
  yield,
  send,
  recv,
  select,
  join,
  sleep,
  event,
  wait_group,
  mutex,
  semaphore,
  scope,
  all,
  block_on_io,
  foreign,
  schedule,
  readable,
  writable,
  resume_on,
};

/// One registration of one waiter in one queue.
struct wait_node {
  wait_node* prev;
  wait_node* next;
  void* op;             // the waiting operation; its first member is the object it waits for
  std::uint16_t index;  // which case won, for the claim word
  std::uint8_t why;     // wait_reason; atomic, dumps read it at any time
  bool linked;          // under the lock of the queue it is in
  bool in_case;         // a select's node: the owner is in its case_node
  std::uint8_t slot;    // scratch of a select case
  bool is_send;         // a select may wait on both ends of one channel

  void because(wait_reason reason) noexcept {
    __atomic_store_n(&why, static_cast<std::uint8_t>(reason),
                     __ATOMIC_RELAXED);  // relaxed: a dump shows what it finds
  }
};

/// The head of a queue of wait_nodes.  Guarded by its owner's lock.
struct wait_queue {
  wait_node* first = nullptr;
  wait_node* last = nullptr;
};

/// What every cancellable thing starts with; 16 bytes, because every routine that was started by go() embeds
/// one. The full story is in detail/context.hpp.
struct context_base {
  std::uint32_t lock;
  std::uint8_t state;     // cancel_state; atomic
  std::uint8_t kind;      // context_kind
  std::uint8_t shielded;  // stop() and outer contexts do not reach in
  std::uint8_t linked;    // its parent's canceller will find it; atomic
  context* children;      // under lock
};

struct member_links {
  waiter* prev;
  waiter* next;
};

/// A continuation that exactly one worker takes: what fork deques hold.
struct forkable {
  /// Goes on, on `by`, which has taken it: gives who is to run there.
  waiter& (*go_on)(forkable& self, worker_face& by) noexcept;
};

struct fork_group;

/// Where a forked routine belongs.
struct fork_place {
  fork_group* group;
  std::uint32_t number;  // of the fork that started it; 0: it was called, nothing was forked
};

enum class waiter_kind : std::uint8_t { routine, thread, foreign };

/// How a routine came to be, which decides what happens when it ends.
enum class birth : std::uint8_t {
  child,   // awaited by another coroutine: continuation
  joined,  // go(): join word
  loose,   // go() detached: nobody looks
  member,  // scope: counted there
  forked,  // all(): counted in the fork group
};

/// How a coroutine ended.
enum class outcome : std::uint8_t { none, value, exception, cancelled };

/// Where a runnable may run.  Every wake honours it; only resume_on changes it.
enum class home : std::uint8_t {
  workers,
  blocking_pool,
  host,  // a thread that drives its runtimes while it waits: `frame` is what to raise (sched/hosting.hpp)
};

struct waiter {
  std::uint64_t park;   // the claim word: {sequence:32 | index:16 | flags:8 | state:8}
  waiter* next;         // in the run queue or in a batch of wakes; owned by whoever won the claim
  void* frame;          // the innermost suspended coroutine, set before the waiter is published
  worker_face* worker;  // the worker it runs on or last ran on; null for threads that belong to no runtime
  wait_node node;       // the registration of a wait for one thing
  context_base* scope;  // the inherited context: cancellation, deadline; null for threads in no scope
  std::uint32_t id_low;
  std::uint16_t id_high;
  std::uint8_t
      origins;       // birth:4 | annexed | annex_loose | started | listed; a dump may read it while it runs
  std::uint8_t now;  // waiter_kind:2 | outcome:2 | home:3 | fresh; own thread.  Plain integers with
                     // accessors: g++ 12 cannot compare enum bit-fields in templates

  union {
    member_links links;      // a member that is listed: its place in the scope's list, under the scope's lock
    fork_place fork;         // born forked
    context_base own_scope;  // else: its own context, the outermost it can be cancelled through
  };

  /// While it is runnable its node is free: in a long queue it tells which one comes a few places later, to
  /// be prefetched.  A hint; may be anything.
  void* ahead() const noexcept { return node.op; }

  void ahead(void* later) noexcept { node.op = later; }

  /// A new party, which lives on the workers.
  void become(waiter_kind k) noexcept {
    origins = 0;
    now = static_cast<std::uint8_t>(k);
  }

  waiter_kind kind() const noexcept { return static_cast<waiter_kind>(now & 3); }

  void kind(waiter_kind k) noexcept { now = static_cast<std::uint8_t>((now & ~3) | static_cast<int>(k)); }

  outcome ended() const noexcept { return static_cast<outcome>(now >> 2 & 3); }

  void ended(outcome o) noexcept { now = static_cast<std::uint8_t>((now & ~12) | static_cast<int>(o) << 2); }

  /// Where it may run, and at which priority level when there is more than one.
  home lives() const noexcept { return static_cast<home>(now >> 4 & 7); }

  void lives(home h) noexcept { now = static_cast<std::uint8_t>((now & ~112) | static_cast<int>(h) << 4); }

  /// Launched and not resumed yet: if it is cancelled now it never runs.
  bool fresh() const noexcept { return (now & fresh_bit) != 0; }

  void fresh(bool is) noexcept { now = static_cast<std::uint8_t>(is ? now | fresh_bit : now & ~fresh_bit); }

  /// A routine that lives on the workers; as most do, so one look.
  bool is_on_workers() const noexcept {
    static_assert(static_cast<int>(waiter_kind::routine) == 0 && static_cast<int>(home::workers) == 0);
    return (now & (3 | 112)) == 0;
  }

  /// The same, and it has run before.
  bool just_goes_on() const noexcept { return (now & (3 | 112 | fresh_bit)) == 0; }

  birth born() const noexcept { return static_cast<birth>(origins & 15); }

  /// It starts.  Also says that there is no annex.
  void born(birth b) noexcept { origins = static_cast<std::uint8_t>(static_cast<int>(b) | started_bit); }

  /// It runs or has run: nobody may start it again.
  bool started() const noexcept { return (origins & started_bit) != 0; }

  bool annexed() const noexcept { return (origins & annex_bit) != 0; }

  /// The annex is not in the frame pool: it may vanish while a dump reads it.
  bool annex_loose() const noexcept { return (origins & loose_bit) != 0; }

  void annex_here(bool loose) noexcept {
    origins = static_cast<std::uint8_t>(origins | annex_bit | (loose ? loose_bit : 0));
  }

  /// Born a member, and its scope's canceller does not find it: it has not waited yet.  Own thread.
  bool is_unlisted_member() const noexcept {
    return (origins & (15 | listed_bit)) == static_cast<int>(birth::member);
  }

  /// In its scope's list from here on.
  void list() noexcept {
    __atomic_store_n(&origins, static_cast<std::uint8_t>(origins | listed_bit),
                     __ATOMIC_RELAXED);  // relaxed: a dump reads the other bits
  }

  bool listed() const noexcept { return (origins & listed_bit) != 0; }

  static constexpr std::uint8_t annex_bit = 16, loose_bit = 32, started_bit = 64, fresh_bit = 128,
                                listed_bit = 128;
};

static_assert(sizeof(context_base) == 16);
static_assert(offsetof(waiter, park) == 0, "the claim word must stand at the same place in every frame");

/// How far the await of a coroutine of a foreign type is.
enum class foreign_stage : std::uint8_t {
  none,     // not counted
  entered,  // counted by its own thread
  waiting,  // suspended, or about to: counted by whoever resumes it
  call,     // no coroutine: the look-up of a name, which stands in `frame`; it goes on by itself
};

/// What a coroutine of a foreign type is while it awaits: a party of one runtime.  lib/core/foreign.cpp
struct foreign_party : waiter {
  sched::scheduler* home;
  foreign_party* before;  // among those that wait there, under a lock of the runtime's
  foreign_party* after;
  bool listed;       // the same
  bool keeps_home;   // its thread is none of the home's
  foreign_stage at;  // by who has it
};

inline std::uint64_t id_of(const waiter& w) noexcept {
  return (std::uint64_t{w.id_high} << 32) | w.id_low;
}

}  // namespace weft::detail
