#pragma once

// timer_heap holds one worker's pending timers; any thread may arm, cancel and run them.
//
// A 4-ary heap of inline {when, cell} keys, so that sifting touches no cell.  Cancelling is lazy: one CAS on
// the cell; the key stays behind as a zombie until it surfaces or the heap is compacted.  So cells are not in
// the frames, which end earlier, but in memory that is never given back and never holds anything but cells.
//
// How an owner and a runner share a cell is in timer_cell.hpp.
//
// Invariants
//   1. keys_, returned_ and the writes of size_ belong to the holder of lock_.
//   2. keys_[0, size_) is the heap; the cells behind it are spare.  So dropping zombies is a partition that
//      writes to no cell, and arming finds its cell without following links through cold memory.
//   3. zombies_ lacks the cancels between T2 and T3, so it may be negative for a moment.  It and own_zombies_
//      are the keys of cancelled cells.
//   4. Whenever the lock is free min_when_ is the top key's: with a zombie there too early, never too late.
//   5. An owner may come with cancel() when the runtime is gone: end() leaves no timer armed, and a worker's
//      heap is never given back, only reused (timer_heap_place).  What such an owner still writes there -
//      the count of zombies, the cell it returns - does the next user no harm.
//   6. expire() cancels no timer: its own and the rest of its batch are firing, it would wait for itself.
//      So what runs user code runs after fired (B28).
//
// Source: Go runtime/time.go (4-ary heap with inline keys, compaction above a quarter of zombies).
// Rejected: a timing wheel (2.2x cheaper in all, but 1 ms ticks; may be put in front for long deadlines);
//           index in the cell and eager deletion (a random cell written per sift: 2.9 us per re-arm);
//           fired cells back to a shared pool (a contended lock per timer; so a heap keeps its own peak).

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "os/port.hpp"
#include "os/reserved_lock.hpp"
#include "sched/timer_cell.hpp"

namespace weft::detail {
struct waiter;
}

namespace weft::sched {

class timer_heap;

/// Runs while the cell is firing, with the heap unlocked: claims what waits on `target` and delivers.
/// Returns the chain of waiters it has won, or null.  They must live until the sink has them.
using timer_expire = weft::detail::waiter* (*)(void* target) noexcept;

/// Wakes a chain that timer_expire has returned; the cells are fired by then.  Must not throw.
using timer_sink = void (*)(void* context, weft::detail::waiter* chain);

struct timer_cell : cell_state {
  std::uint32_t state;  // a cell_word
  os::nanos when;       // this and the others but next: by arm(), read-only until the cell is spare again
  timer_heap* heap;
  timer_cell* next;  // in lists of spare cells, and of those that end() fires
  bool fires_at_end;
  timer_expire expire;
  void* target;
};

class timer_heap {
 public:
  static constexpr std::size_t all = static_cast<std::size_t>(-1);

  timer_heap() = default;
  timer_heap(const timer_heap&) = delete;
  timer_heap& operator=(const timer_heap&) = delete;
  ~timer_heap();

  /// Any `when` but never; a passed one is due at once.  Throws std::bad_alloc; O(log n).
  /// min_when() is published when it returns: the caller then kicks a poller that sleeps longer (A7).
  [[nodiscard]] timer_cell* arm(os::nanos when, timer_expire expire, void* target) {
    return arm(when, expire, target, false);
  }

  /// One whose expire(), which returns null, is called by end() at the latest.  Null: end() has been.
  [[nodiscard]] timer_cell* arm_until_end(os::nanos when, timer_expire expire, void* target) {
    return arm(when, expire, target, true);
  }

  /// Nobody runs timers any more: all are disarmed, those of arm_until_end() after they have expired.
  void end() noexcept;

  /// The owner's only and last call for a cell, from any thread.  True: the timer will never fire.  False: it
  /// has, and expire() has returned.  Waits for a concurrent expire(), so hold no lock which that takes.
  static bool cancel(timer_cell*) noexcept;

  /// No live timer is due earlier; never if there is none.
  [[nodiscard]] os::nanos min_when() const noexcept {
    return min_when_.load(std::memory_order_seq_cst);  // S1, pairs with S2: in one order with A7's deadline
  }

  /// Runs timers with when <= now, the earliest first and at most so many, in batches; the sink is called
  /// between batches, with nothing locked.  Returns how many have fired.
  std::size_t run_due(os::nanos now, timer_sink, void* context, std::size_t at_most = all) noexcept;

  /// As run_due(), but gives up where another thread holds the heap: for thieves and the monitor.
  std::size_t try_run_due(os::nanos now, timer_sink, void* context, std::size_t at_most = all) noexcept;

  /// Keys in the heap, zombies included.  A snapshot.
  [[nodiscard]] std::size_t size() const noexcept {
    return size_.load(std::memory_order_relaxed);  // relaxed: a statistic
  }

 private:
  struct key {
    os::nanos when;
    timer_cell* cell;
  };

  friend class timer_heap_place;
  class holding;

  timer_cell* arm(os::nanos when, timer_expire expire, void* target, bool fires_at_end);
  void begin_anew() noexcept;
  void give_up_cells() noexcept;

  // These need lock_.
  timer_cell* take_cell();
  void add_spare_cells();
  void sift_up(std::size_t hole, key) noexcept;
  void sift_down(std::size_t hole, key) noexcept;
  timer_cell* pop() noexcept;
  void drop_spare() noexcept;
  std::size_t pop_due(os::nanos now, timer_cell** batch, std::size_t at_most) noexcept;
  void compact() noexcept;
  void resize(std::size_t) noexcept;
  void publish() noexcept;

  bool cancel_inside(timer_cell*) noexcept;
  void uncount_zombie() noexcept;

  [[nodiscard]] bool has_many_zombies(std::ptrdiff_t own) const noexcept;
  void count_zombie() noexcept;
  void give_back(timer_cell*) noexcept;
  std::size_t run_batch(holding&, os::nanos now, timer_sink, void* context, std::size_t at_most) noexcept;

  os::reserved_lock lock_;          // mostly for the worker whose heap it is
  timer_cell* returned_ = nullptr;  // what was taken from given_back_ and is not in keys_ yet
  std::vector<key> keys_;           // key i's children: 4i+1 .. 4i+4
  std::ptrdiff_t own_zombies_ = 0;  // of those that were cancelled under lock_
  bool ended_ = false;              // under lock_
  timer_heap* next_place_ = nullptr;

  // Written by the holder of lock_ (the last two: by any thread), read by all: on a line of their own.
  alignas(64) std::atomic<os::nanos> min_when_{os::never};
  std::atomic<std::size_t> size_{0};
  std::atomic<std::ptrdiff_t> zombies_{0};
  return_stack<timer_cell, &timer_cell::next> given_back_;
};

/// A heap for the life of a worker.
class timer_heap_place {
 public:
  /// Throws std::bad_alloc.
  timer_heap_place();
  timer_heap_place(const timer_heap_place&) = delete;
  timer_heap_place& operator=(const timer_heap_place&) = delete;
  ~timer_heap_place();

  timer_heap& heap() const noexcept { return *heap_; }

 private:
  timer_heap* heap_;
};

}  // namespace weft::sched
