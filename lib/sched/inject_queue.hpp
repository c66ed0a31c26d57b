#pragma once

// inject_queue: the FIFO that any thread may push to and every worker takes from: work from outside, overflow
// of run queues, what a retiring spare leaves.  Sharded, intrusive (no allocation per push), one lock word
// per shard.
//
// Protocol
//   push        lock the shard; append; if it was empty set its bit in the mask; unlock
//   pop_batch   find a bit; lock that shard; cut off a chain; if nothing is left clear the bit; unlock
//
// What workers give up that block or retire has a shard of its own, which has every second turn: in one line
// with what comes from outside it would be behind that each time it is given up again, and for ever if what
// comes are calls that block.
//
// Routines whose timer the monitor has run, because all workers were stuck or busy, are late already: they
// have a shard that comes first, but never twice in a row while there is anything else.  So each of the three
// lines is asked at least once in four takes.
//
// Guarantee: as run_queue's: push() before the caller reads who is idle, empty() after sleep was announced.
//
// Invariants
//   1. Under a shard's lock its bit is set if and only if it has items.  So the mask is changed under that
//      lock: changed after it, a late clear could hide the item of a push that came between.
//   2. A push to a shard with items leaves the mask alone: the bit's seq_cst change happens before it,
//      through the lock.
//
// Source: Tokio's sharded injector (#7973 sticking to a shard: random ones cost 20-33 % at 8 threads; #8483)
//         and Go's batch size (globrunqget); model-checked in test/model/queues_model_test.cpp.
// Rejected: one lock (5.5 times slower with 64 threads, equal with one); a lock-free list (no faster than a
//           shard).

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "base/prefetch.hpp"
#include "os/lock.hpp"

namespace weft::sched {

/// `Next` is the link in T, e.g. &runnable::next; the queue's while the item is in it.  A `hint` names a
/// shard: a thread always gives the same one (its number), whatever it is.
template <typename T, T* T::*Next, template <typename> class Atomic = std::atomic, typename Guard = os::guard>
class inject_queue {
 public:
  static constexpr std::uint32_t max_shards = 8;   // Tokio: more shards gain nothing and lengthen the search
  static constexpr std::uint32_t max_batch = 128;  // what comes out fits into half a run queue

  explicit inject_queue(std::uint32_t workers) noexcept
      : shard_count_(std::min(max_shards, std::bit_ceil(std::max(workers, 1U)))) {}

  inject_queue(const inject_queue&) = delete;
  inject_queue& operator=(const inject_queue&) = delete;

  void push(T* item, std::uint32_t hint) noexcept { push_chain(item, item, 1, hint); }

  /// Appends the `count` items from `first` to `last`, linked through Next, under one lock.
  void push_chain(T* first, T* last, std::uint32_t count, std::uint32_t hint) noexcept {
    append(first, last, count, hint & (shard_count_ - 1));
  }

  /// The same for what a worker had and does not run.
  void push_given_up(T* first, T* last, std::uint32_t count) noexcept {
    append(first, last, count, given_up);
  }

  /// The same for what should run by now.
  void push_overdue(T* first, T* last, std::uint32_t count) noexcept { append(first, last, count, overdue); }

  /// No more than so many at a time from now on.
  void limit_batches(std::uint32_t most) noexcept {
    batch_.store(most, std::memory_order_relaxed);  // relaxed: a limit for later takes
  }

  /// The hint of a worker's `takes`-th take: its own shard, and every second time another; its own may never
  /// be empty, and there may be shards whose worker is blocked, or that are no worker's.
  [[nodiscard]] static std::uint32_t shard_in_turn(std::uint32_t worker, std::uint32_t takes) noexcept {
    return takes % 2 != 0 ? takes / 2 : worker;
  }

  /// Takes min(length / workers + 1, at_most, max_batch) items of the first shard with any, beginning with
  /// the hinted one, or of what was given up or is overdue: returns them as a null-terminated chain, and
  /// their number in `count`.  Null: nothing there.
  [[nodiscard]] T* pop_batch(std::uint32_t hint, std::uint32_t workers, std::uint32_t at_most,
                             std::uint32_t& count) noexcept {
    const std::uint32_t filled = look();
    count = 0;
    if (filled == 0) return nullptr;
    const bool any_overdue = (filled >> overdue & 1U) != 0;
    if (any_overdue) {
      if (!was_overdue_.exchange(true, std::memory_order_relaxed)) {  // relaxed: only whose turn it is
        if (T* first = cut(overdue, workers, at_most, count)) return first;
      }
    }
    if (was_overdue_.load(std::memory_order_relaxed)) {      // relaxed: same
      was_overdue_.store(false, std::memory_order_relaxed);  // relaxed: same
    }
    const bool any_given_up = (filled >> given_up & 1U) != 0;
    if (any_given_up && (turns_.fetch_add(1, std::memory_order_relaxed) & 1U) == 0) {  // relaxed: a count
      if (T* first = cut(given_up, workers, at_most, count)) return first;
    }
    for (std::uint32_t i = 0; i < shard_count_; ++i) {
      const std::uint32_t index = (hint + i) & (shard_count_ - 1);
      if ((filled >> index & 1U) == 0) continue;
      if (T* first = cut(index, workers, at_most, count)) return first;
    }
    if (any_given_up) {
      if (T* first = cut(given_up, workers, at_most, count)) return first;
    }
    return any_overdue ? cut(overdue, workers, at_most, count) : nullptr;
  }

  /// One of those that are overdue, for who has others of the queue already.
  [[nodiscard]] T* pop_overdue() noexcept {
    if ((look() >> overdue & 1U) == 0) return nullptr;
    std::uint32_t count = 0;
    return cut(overdue, 1, 1, count);
  }

  /// One load: the re-check before sleep.
  [[nodiscard]] bool empty() const noexcept { return look() == 0; }

  /// For statistics: exact only while nobody pushes or pops.
  [[nodiscard]] std::uint64_t size() const noexcept {
    std::uint64_t sum = 0;
    for (const shard& each : shards_) sum += each.length.load(std::memory_order_relaxed);  // relaxed: same
    return sum;
  }

  [[nodiscard]] std::uint32_t shard_count() const noexcept { return shard_count_; }

 private:
  struct alignas(64) shard {
    std::uint32_t lock = 0;           // of head, tail, length and the bit in the mask
    Atomic<std::uint32_t> length{0};  // written under the lock, read by size() without
    T* head = nullptr;                // meaningless while length is 0, as is tail
    T* tail = nullptr;
  };

  static constexpr std::uint32_t given_up = max_shards, overdue = max_shards + 1;  // indices of those shards

  std::uint32_t look() const noexcept {
    return mask_.load(std::memory_order_seq_cst);  // S2, pairs with S1: after the announced sleep, too
  }

  void append(T* first, T* last, std::uint32_t count, std::uint32_t index) noexcept {
    shard& to = shards_[index];
    const Guard hold(to.lock);
    const std::uint32_t before = to.length.load(std::memory_order_relaxed);  // relaxed: the lock orders it
    (before == 0 ? to.head : to.tail->*Next) = first;
    to.tail = last;
    to.length.store(before + count, std::memory_order_relaxed);               // relaxed: the lock orders it
    if (before == 0) mask_.fetch_or(1U << index, std::memory_order_seq_cst);  // S1, pairs with S2
  }

  T* cut(std::uint32_t index, std::uint32_t workers, std::uint32_t at_most, std::uint32_t& count) noexcept {
    shard& from = shards_[index];
    const Guard hold(from.lock);
    const std::uint32_t length = from.length.load(std::memory_order_relaxed);  // relaxed: the lock orders it
    if (length == 0) return nullptr;                                           // another worker came first
    count = std::min({length / std::max(workers, 1U) + 1, length, at_most,
                      batch_.load(std::memory_order_relaxed)});  // relaxed: a limit
    T* first = from.head;
    T* last = first;
    for (std::uint32_t i = 1; i < count; ++i) {
      if constexpr (requires { last->ahead(); }) base::prefetch_to_write(last->ahead());
      last = last->*Next;
    }
    from.head = last->*Next;
    last->*Next = nullptr;
    from.length.store(length - count, std::memory_order_relaxed);  // relaxed: the lock orders it
    if (length == count) mask_.fetch_and(~(1U << index), std::memory_order_seq_cst);  // S3, pairs with S2
    return first;
  }

  const std::uint32_t shard_count_;            // a power of two, without the two special ones
  alignas(64) Atomic<std::uint32_t> mask_{0};  // bit i: shard i has items
  Atomic<std::uint32_t> turns_{0};             // takes while there was something given up
  Atomic<bool> was_overdue_{false};            // the last take while there was something overdue
  Atomic<std::uint32_t> batch_{max_batch};
  shard shards_[max_shards + 2];
};

}  // namespace weft::sched
