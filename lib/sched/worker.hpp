#pragma once

// worker: the queues of one thread that runs routines, and its loop.
//
// A worker and its thread stay together.  When the thread blocks, nothing is handed over: a spare worker is
// activated, and the blocked one's queues are stolen from, its timers run by others.
//
// What runs next, in this order:
//   1. the LIFO slot: the routine made runnable last; its data is in the cache.  At most `hand_offs` in
//      a row, then
//   2. the lane: what has come from the inject queue, which is asked for more when the lane is empty; but
//      every `ring_interval` dispatches first
//   3. the ring, first in first out; from the loop, the slot and these two take turns
//   4. fork continuations of this worker, newest first, take turns with 2 and 3; and the oldest before all
//      others every `poll_interval` dispatches
//   5. the inject queue; and before all others every `poll_interval` dispatches, or about each ms; while
//      the lane has something, what is overdue there
//   6. due timers, at least so often, too: into the ring, or if that is full before all others
//   7. other workers' queues
// What goes before all others never does so twice in a row.
//
// Invariants
//   1. Only the own thread pushes; slot, lane, ring and forks may be taken from by thieves: from the first
//      three only between begin_theft() and end_theft() of their bias (queue_bias.hpp).
//   2. tick_ changes with every dispatch: a tick that stands still is a worker inside one routine.
//   3. A push that leaves more than one routine waiting is a surplus: the tail of ring or lane is stored
//      seq_cst before the count of sleepers is loaded (parking.hpp has the other half).
//   4. What is in the lane runs, here or at a thief's, or is given up as a whole: it is not pushed out.
//
// Source: Go's runnext and runq; Tokio's LIFO slot with its budget; libfork for the fork continuations.
// Rejected: waking a worker for the first item in the slot (Tokio 1.51: -30 % throughput, taken back).

#include <weft/detail/context.hpp>
#include <weft/detail/waiter.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "base/random.hpp"
#include "os/contention.hpp"
#include "os/port.hpp"
#include "os/reserved_lock.hpp"
#include "sched/end_gates.hpp"
#include "sched/fork_deque.hpp"
#include "sched/parking.hpp"
#include "sched/queue_bias.hpp"
#include "sched/run_queue.hpp"
#include "sched/timer_heap.hpp"

namespace weft::sched {

class scheduler;
class worker;
using detail::forkable;
using detail::waiter;

/// Transfers before the stack is unwound to the loop: so many frames of a sanitizer build are harmless, and
/// one bounce (2-4 ns) in 15 is hardly seen.  Between two items of the ring are at most four turns of 1 + 15:
/// its own, the slot's and, every `poll_interval`, one of the inject queue and one of a fork.
inline constexpr std::int32_t hand_offs = 15;
/// Operations that may complete without suspending before the routine yields; Tokio's value.
inline constexpr std::int32_t ready_operations = 128;
/// Dispatches between two looks at the inject queue, and at the forks; Go's and Tokio's value, a prime.
inline constexpr std::uint32_t poll_interval = 61;
/// And between two turns of the ring beside the lane; each of both may be twice `hand_offs` of them.
inline constexpr std::uint32_t ring_interval = 32;
/// As both where dispatches are long, and of looks at the timers; but so many dispatches at least, or each
/// would be of what has come from outside.
inline constexpr os::nanos longest_interval = 1'000'000;
inline constexpr std::uint32_t shortest_interval = 4;

class alignas(64) worker final : public detail::worker_face, public parker<> {
 public:
  /// Throws std::bad_alloc.
  worker(scheduler& home, unsigned index, std::uint64_t seed);
  /// The berth of a thread of the blocking pool (blocking_pool.hpp): always in a call that blocks, never
  /// quick; the timers of its routines are the first worker's.  Throws std::bad_alloc.
  worker(scheduler& home, std::uint64_t seed);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  scheduler& home() const noexcept { return *home_; }

  unsigned index() const noexcept { return index_; }

  // --- own thread ---

  /// Runs routines until the runtime ends or this worker is no longer needed.
  void run() noexcept;
  /// Runs what is ready now, for a host's loop.  Returns how many were resumed.
  std::size_t run_ready(std::size_t at_most) noexcept;

  /// Makes `r` the next to run; what was next goes to the ring.
  void push_next(waiter& r) noexcept;

  /// The same for a worker that may_be_quick(), if nothing is next.
  [[nodiscard]] bool push_next_quickly(waiter& r) noexcept {
    if (is_replaced() || slot_.load(std::memory_order_relaxed) != nullptr) return false;  // relaxed: own
    slot_.store(&r, std::memory_order_release);  // R6, pairs with A6: a thief sees the routine
    keep_nothing_if_replaced();
    return true;
  }

  /// K5 of parking.hpp, behind a push of code that may sleep before it comes back to the loop.
  void keep_nothing_if_replaced() noexcept {
    os::light_barrier();
    if (is_replaced()) [[unlikely]]
      give_up_queues();
  }

  /// To the end of the ring; a surplus if others wait too.
  void push_back(waiter& r) noexcept;
  /// A yield: to the end of the ring.
  void push_yielding(waiter& r) noexcept;

  /// False: no memory, or a berth's, where nobody would take it.  The caller else looks whether that is
  /// wanted_elsewhere().
  [[nodiscard]] bool push_fork(forkable& f) noexcept { return !is_berth_ && forks_.push(&f); }

  /// The same, if there is room already.
  [[nodiscard]] bool push_fork_quickly(forkable& f) noexcept { return forks_.push_quickly(&f); }

  /// In scheduler.hpp.
  inline bool wanted_elsewhere() const noexcept;

  bool pop_fork(forkable& f) noexcept { return forks_.pop_if(&f) != nullptr; }

  bool pop_fork_quickly(forkable& f) noexcept { return forks_.pop_quickly_if(&f); }

  /// What runs next instead of a routine that has just parked, or a no-op: back to the loop.
  std::coroutine_handle<> take_next() noexcept;

  void bounce(waiter& r) noexcept { bounced_ = &r; }

  /// A member of `x` has ended here, which is counted off soon: not before those of its siblings that begin
  /// here next have ended, too, for until then nobody waits for the count.  A scope of many routines is the
  /// business of one word, and that word of many workers.
  void owe_end(detail::context& x) noexcept {
    if (owed_to_ != &x) settle();
    owed_to_ = &x;
    ++owed_;
    if (simulated_) settle();  // the seed decides what comes between
  }

  /// Before anything else runs or this worker looks for work elsewhere.  True: something may be ready.
  bool settle() noexcept;

  /// On a berth's thread: runs `r` until it waits, has ended or goes back to the workers.
  void run_here(waiter& r) noexcept;

  /// `r` runs from here on; gives its frame.  A coroutine of a foreign type has run already: until it gave
  /// control back.
  void* enter(waiter& r) noexcept;

  /// The same for a child of all() that another part of the same routine starts, or that goes back to it.
  void enter_part(waiter& r) noexcept {
    __atomic_store_n(&r.worker, static_cast<detail::worker_face*>(this),
                     __ATOMIC_RELAXED);  // relaxed: dumps read it
    runs(&r);
  }

  /// Empties the slot and the ring into the inject queue, for a worker that retires (protocols.md A11) or
  /// whose thread blocks: thieves are those that have nothing to do, and there may be none.
  [[gnu::noinline]] void give_up_queues() noexcept;
  /// The same for forks, which stay in their deque: those that run take one now and then, until
  /// fetch_forks(), or until one finds that there are no more.
  void leave_forks() noexcept;
  void fetch_forks() noexcept;

  std::uint64_t next_id() noexcept {
    if (ids_ == ids_end_) [[unlikely]]
      fetch_ids();
    return ids_++;
  }

  base::random& random() noexcept { return random_; }

  // --- any thread ---

  bool is_berth() const noexcept { return is_berth_; }

  /// Takes work from this worker for `thief`; `desperate`: also the last item of the ring and the slot.
  waiter* steal_half(worker& thief, bool desperate) noexcept;
  /// Monitor: what give_up_queues() and leave_forks() do, for one that sleeps.
  void lift_queues() noexcept;
  forkable* steal_fork() noexcept;

  bool forks_need_barrier() const noexcept { return forks_.needs_barrier(); }

  bool has_surplus() const noexcept { return queued() > 1 || !forks_.empty(); }

  bool has_queued() const noexcept;

  std::uint32_t tick() const noexcept {
    return tick_.load(std::memory_order_relaxed);
  }  // relaxed: only compared

  os::nanos dispatch_time() const noexcept {
    return dispatch_time_.load(std::memory_order_relaxed);  // relaxed: an estimate
  }

  /// It has been awake since then.
  os::nanos measured_when() const noexcept {
    return measured_when_.load(std::memory_order_relaxed);  // relaxed: an estimate
  }

  std::uint32_t queued() const noexcept { return ring_.size() + lane_.size(); }

  /// What runs here now; null for nothing and for coroutines of foreign types.  Others than the own thread
  /// may only compare it.
  waiter* current() const noexcept {
    return current_.load(std::memory_order_relaxed);  // relaxed: own thread writes it, dumps compare
  }

  void runs(waiter* r) noexcept { current_.store(r, std::memory_order_relaxed); }  // relaxed: as above

  // For dumps: in a call that nobody announced; since when, about.

  bool is_stuck() const noexcept { return is_blocked() && stuck_since() != 0; }

  os::nanos stuck_since() const noexcept {
    return stuck_since_.load(std::memory_order_relaxed);  // relaxed: for dumps
  }

  void stuck_since(os::nanos when) noexcept {
    stuck_since_.store(when, std::memory_order_relaxed);  // relaxed: for dumps
  }

  const timer_heap_place timer_place;
  timer_heap& timers;
  const os::seat_place seat_place;
  os::seat& seat = seat_place.here();

  /// For operations that look at nothing else first: the seat, unless the worker may not be quick.
  os::seat& quick_seat() const noexcept {
    return *quick_seat_.load(std::memory_order_relaxed);  // relaxed: a stop reaches all waits without it
  }

  /// It does not take part in a simulated run, nor does its runtime stop.
  bool may_be_quick() const noexcept { return &quick_seat() == &seat; }

  /// The runtime stops: any thread.
  void end_quickness() noexcept {
    quick_seat_.store(&os::nobodys_seat, std::memory_order_relaxed);  // relaxed: as above
  }

  std::uint32_t blocks = 0;  // own thread: announced calls that it is in, one inside another

  struct {
    counter spawned, finished, resumed, stolen, parks, injected, bounces, yields, timers_fired;
  } count;

  os::thread_id thread;

  struct {
    std::uint32_t tick = 0;
    std::uint64_t parks = 0;
    os::nanos contended = 0;
    os::nanos cpu_time = 0;
    os::nanos still = 0;   // so long it has neither moved nor had a processor
    bool counted = false;  // as one for whom there was no thread
    bool gets_on = false;  // it has been at its timers since the look before
  } watched;               // the monitor's

  std::uint32_t injected_takes = 0;   // own thread
  std::atomic<int> thread_number{0};  // the kernel's, for dumps
  os::contention waits;               // for locks
  os::nanos back_at = 0;              // under the culprit's lock: from a call that it was found in
  worker* next_berth = nullptr;       // of all there are
  worker* next_free = nullptr;        // of those without a thread, under the pool's lock

 private:
  static constexpr std::uint8_t in_lane = 1, in_forks = 2;

  void* next_frame() noexcept;
  void* maintain() noexcept;
  bool begin_turn(waiter& r) noexcept;
  [[gnu::noinline]] void* begin(waiter& r) noexcept;
  [[gnu::noinline]] std::coroutine_handle<> begin_next(waiter& r) noexcept;
  [[gnu::noinline]] std::coroutine_handle<> take_next_in_turn() noexcept;
  waiter* take_in_turn() noexcept;
  waiter* take_queued() noexcept;
  waiter* take_lane() noexcept;
  waiter* take_newest_fork() noexcept;
  waiter* start(forkable& f) noexcept;
  void* look_around() noexcept;
  waiter* take_oldest() noexcept;
  std::uint32_t injected_share() noexcept;
  waiter* take_slot() noexcept;
  waiter* take_turn() noexcept;
  void* take_picked() noexcept;
  /// Runs `frame` until everything it hands over to has suspended.
  void resume(void* frame) noexcept;
  void begin_simulated_turn() noexcept;
  waiter* take_injected() noexcept;
  waiter* take_overdue() noexcept;
  void* search() noexcept;
  void* steal_pass(bool desperate) noexcept;
  bool run_timers(os::nanos now) noexcept;
  void* run_timer_without_room() noexcept;
  bool run_others_timers() noexcept;
  void* run_all_timers() noexcept;
  /// It has slept.
  void begin_measure() noexcept;
  void measure(os::nanos now) noexcept;
  void stop_searching() noexcept;
  std::uint32_t room() const noexcept;
  void push_ring(waiter& r) noexcept;
  void overflow(waiter& r) noexcept;
  void note_surplus() noexcept;
  void* take_fork(forkable& f) noexcept;
  void strand_forks() noexcept;
  forkable* take_stranded() noexcept;
  void fetch_ids() noexcept;
  void expose_slot() noexcept;
  void* run_foreign(waiter& r) noexcept;
  void* run_guest(waiter& r) noexcept;
  bool worth_waking() const noexcept;

  scheduler* home_;
  std::atomic<os::seat*> quick_seat_;
  unsigned index_;
  const bool is_berth_ = false;
  const bool simulated_;  // the seed decides what runs next, and how far
  base::random random_;
  std::atomic<waiter*> current_{nullptr};
  bool slot_turn_ = false;
  bool stranded_turn_ = false;
  unsigned stranded_at_ = 0;  // the worker that is asked next
  waiter* bounced_ = nullptr;
  std::uint32_t bounces_ = 0;
  std::uint32_t polled_at_ = 0;
  std::uint32_t forked_at_ = 0;
  std::uint32_t interval_ = poll_interval;  // between two looks around
  std::uint32_t overflowed_at_ = ~0U;
  std::uint32_t share_ = 0;     // of the inject queue
  std::uint32_t ring_had_ = 0;  // by the last take
  std::uint8_t beside_ = 0;     // the ring: in_lane, in_forks, if something was put there, and it was not
                                // seen empty since
  bool fork_turn_ = false, lane_turn_ = false;
  bool hurries_ = false;        // timers are due and the ring is full: each turn comes back to the loop
  bool looked_around_ = false;  // what runs is not of these queues
  std::uint32_t ring_at_ = 0;   // its last turn beside the lane
  std::uint32_t measured_at_ = 0;
  std::atomic<os::nanos> measured_when_{0};
  std::uint64_t ids_ = 0, ids_end_ = 0;
  worker* last_victim_ = nullptr;
  detail::context* owed_to_ = nullptr;  // the scope of the members that have ended and are not counted off
  std::uint64_t owed_ = 0;
  std::atomic<os::nanos> stuck_since_{0};  // 0 in an announced call

  alignas(64) std::atomic<std::uint32_t> tick_{0};
  std::atomic<os::nanos> dispatch_time_{1'000'000};  // until measured, work is taken to be worth a wake
  queue_bias<> bias_;                                // of slot, ring and lane
  std::atomic<waiter*> slot_{nullptr};
  run_queue<waiter> ring_;
  run_queue<waiter> lane_;
  fork_deque<forkable> forks_;
  std::atomic<bool> stranded_{false};  // it does not run, and has forks; taken back by whoever finds none

  friend class scheduler;
};

}  // namespace weft::sched
