#pragma once

// run_queue: one worker's bounded FIFO of runnable items.  The owner pushes at the tail and pops at the head;
// thieves take half of it, oldest first, into their own.
//
// Protocol
//   owner    slot[tail] = item, then tail + 1: no read-modify-write, and it waits for nobody
//   takers   (owner and thieves alike) read head, tail and the slots between, then move head by one CAS;
//            a taker whose CAS fails forgets what it read
//
// Guarantee: a worker that announces its sleep (seq_cst) and then calls empty() sees what push() put, or the
//            pusher sees the announcement after push() returned, or both.  push_quietly() promises only that
//            thieves see it some time: for a yield, which wakes nobody.
//
// In a long queue push() orders an item only if the fifteen before it are not: the newest that is ordered is
// still in it, far behind the head, and who announces its sleep after the pusher has looked sees that one and
// all before it.  (Not if thieves halve the queue five times during one push; they are awake, and look again
// before they sleep.)
//
// Invariants
//   1. 0 <= tail - head <= Capacity; both indices wrap at 2^32.
//   2. Only the owner writes slots and tail, and only slots outside [head, tail).
//   3. A slot is rewritten only after the CAS that took its item, hence after every successful taker has read
//      it.
//
// Source: Go, runtime/proc.go (runqput, runqget, runqgrab); model-checked in
//         test/model/queues_model_test.cpp.
// Rejected: Tokio's packed {steal, real} head (two CAS per steal, one thief at a time); a LIFO end for the
//           owner (an old woken routine starves below a stream of new ones; fork_deque is for those who want
//           that).

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstdint>

namespace weft::sched {

/// 256: Go's and Tokio's length; half of it is the batch that overflows into the inject queue under one lock.
template <typename T, std::uint32_t Capacity = 256, template <typename> class Atomic = std::atomic>
class run_queue {
  static_assert(std::has_single_bit(Capacity) && Capacity >= 2);

 public:
  static constexpr std::uint32_t capacity = Capacity;

  /// `start` is the first index; tests begin just below 2^32 to see it wrap.
  explicit run_queue(std::uint32_t start = 0) noexcept
      : head_(start), tail_(start), ordered_(start - one_of) {}

  run_queue(const run_queue&) = delete;
  run_queue& operator=(const run_queue&) = delete;

  /// Owner.  A surplus push: whoever parks meanwhile sees it.  False: full, nothing pushed.
  [[nodiscard]] bool push(T* item) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    const std::uint32_t head = head_.load(std::memory_order_relaxed);  // relaxed: put() looks again
    if (tail - head >= Capacity / 8 && tail - ordered_ < one_of) return push_quietly(item);
    return push_last(item);
  }

  /// Owner.  push() after others that were quiet: it publishes them, too.
  [[nodiscard]] bool push_last(T* item) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    if (!put(tail, item)) return false;
    tail_.store(tail + 1, std::memory_order_seq_cst);  // S1, pairs with S2 and A2: item, then idlers
    ordered_ = tail;
    return true;
  }

  /// Owner.  As push(), but orders nothing after it: a yield.
  [[nodiscard]] bool push_quietly(T* item) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    if (!put(tail, item)) return false;
    tail_.store(tail + 1, std::memory_order_release);  // R2, pairs with A2: the item and its slot
    return true;
  }

  /// Owner.  The oldest item, null if there is none.
  [[nodiscard]] T* pop() noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    std::uint32_t head = head_.load(std::memory_order_acquire);        // A1, pairs with R1
    while (head != tail) {
      T* item = slot(head).load(std::memory_order_relaxed);  // relaxed: the owner wrote it
      if (take(head, 1)) return item;
    }
    return nullptr;
  }

  /// Owner, while no thief can be here (queue_bias.hpp).
  [[nodiscard]] T* pop_alone() noexcept {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);   // relaxed: the owner's own for now
    if (head == tail_.load(std::memory_order_relaxed)) return nullptr;  // relaxed: the owner's own
    T* item = slot(head).load(std::memory_order_relaxed);               // relaxed: the owner wrote it
    head_.store(head + 1, std::memory_order_release);  // R1, pairs with A1: no newer than the tail it saw
    return item;
  }

  /// Owner.  If there are more than `many`, the item `places` behind the oldest: only to be prefetched, a
  /// thief may take it.
  [[nodiscard]] T* peek(std::uint32_t places, std::uint32_t many) noexcept {
    assert(places <= many);
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    const std::uint32_t head = head_.load(std::memory_order_relaxed);  // relaxed: a hint
    return tail - head > many ? slot(head + places).load(std::memory_order_relaxed)
                              : nullptr;  // relaxed: own
  }

  /// How many have been taken so far, modulo 2^32.  A snapshot.
  [[nodiscard]] std::uint32_t taken() const noexcept {
    return head_.load(std::memory_order_relaxed);  // relaxed: only compared
  }

  /// Owner, to make room.  Takes the older half (at least one, at most Capacity / 2) into `out` by one CAS
  /// and returns how many; 0 if the queue is empty or a thief came first, and then there is room.
  [[nodiscard]] std::uint32_t pop_half(T** out) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    std::uint32_t head = head_.load(std::memory_order_acquire);        // A1, pairs with R1
    const std::uint32_t count = half(tail - head);
    for (std::uint32_t i = 0; i < count; ++i) {
      out[i] = slot(head + i).load(std::memory_order_relaxed);  // relaxed: the owner wrote it
    }
    return count != 0 && take(head, count) ? count : 0;
  }

  /// Thief, owner of `mine`, which is empty.  Takes the older half: returns the oldest item and leaves the
  /// others in `mine`, in order and in one publication.  Null: nothing to take.
  [[nodiscard]] T* steal_into(run_queue& mine) noexcept {
    const std::uint32_t end = mine.tail_.load(std::memory_order_relaxed);  // relaxed: the caller owns it
    const std::uint32_t used = end - mine.head_.load(std::memory_order_acquire);  // A1, pairs with R1
    std::uint32_t head = head_.load(std::memory_order_acquire);                   // A1, pairs with R1
    for (;;) {
      const std::uint32_t tail = tail_.load(std::memory_order_acquire);  // A2, pairs with R2 and S1
      if (tail == head) return nullptr;
      // If head is out of date this is too many, but it fits into `mine` unseen, and the CAS fails.
      const std::uint32_t count = std::min(half(tail - head), Capacity - used + 1);
      T* first = slot(head).load(std::memory_order_relaxed);  // relaxed: A2 brought it
      for (std::uint32_t i = 1; i < count; ++i) {
        T* item = slot(head + i).load(std::memory_order_relaxed);       // relaxed: A2 brought it
        mine.slot(end + i - 1).store(item, std::memory_order_relaxed);  // relaxed: S1 below publishes it
      }
      if (!take(head, count)) continue;
      if (count == 1) return first;
      mine.tail_.store(end + count - 1, std::memory_order_seq_cst);  // S1, pairs with S2 and A2
      return first;
    }
  }

  /// Thief without a queue of its own.  The older half into `out`, which has room for Capacity; how many.
  [[nodiscard]] std::uint32_t steal_half(T** out) noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);  // A1, pairs with R1
    for (;;) {
      const std::uint32_t tail = tail_.load(std::memory_order_acquire);  // A2, pairs with R2 and S1
      // If head is out of date this may be too many, and the CAS fails.
      const std::uint32_t count = std::min(half(tail - head), Capacity);
      if (count == 0) return 0;
      for (std::uint32_t i = 0; i < count; ++i) {
        out[i] = slot(head + i).load(std::memory_order_relaxed);  // relaxed: A2 brought it
      }
      if (take(head, count)) return count;
    }
  }

  /// Anybody, as the re-check before sleep.  May count an item that is just being taken, never misses one
  /// that stays.
  [[nodiscard]] std::uint32_t size() const noexcept {
    const std::uint32_t head =
        head_.load(std::memory_order_seq_cst);  // A1, pairs with R1: no newer than tail
    const std::uint32_t tail =
        tail_.load(std::memory_order_seq_cst);  // S2, pairs with S1: sleep announced, then read
    return std::min(tail - head, Capacity);
  }

  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

 private:
  /// In a long queue one of so many is ordered.
  static constexpr std::uint32_t one_of = std::max<std::uint32_t>(Capacity / 16, 1);

  static constexpr std::uint32_t half(std::uint32_t count) noexcept { return count - count / 2; }

  Atomic<T*>& slot(std::uint32_t index) noexcept { return slots_[index % Capacity]; }

  bool put(std::uint32_t tail, T* item) noexcept {
    if (tail - head_.load(std::memory_order_acquire) == Capacity) return false;  // A1, pairs with R1
    slot(tail).store(item, std::memory_order_relaxed);  // relaxed: the store of tail publishes it
    return true;
  }

  /// On failure `head` is the present one.
  bool take(std::uint32_t& head, std::uint32_t count) noexcept {
    return head_.compare_exchange_strong(head, head + count,
                                         std::memory_order_acq_rel,   // R1, pairs with A1: the slots are read
                                         std::memory_order_acquire);  // A1, pairs with R1
  }

  alignas(64) Atomic<std::uint32_t> head_;  // moved by all takers
  alignas(64) Atomic<std::uint32_t> tail_;  // written by the owner only, as are the slots
  std::uint32_t ordered_;                   // the place that push() has ordered last; the owner's
  Atomic<T*> slots_[Capacity]{};
};

}  // namespace weft::sched
