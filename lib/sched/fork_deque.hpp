#pragma once

// fork_deque: one worker's LIFO of fork/join continuations.  The owner pushes and pops at the bottom, depth
// first; thieves take one from the top, which is the oldest and so the largest subtree.
//
// Protocol
//   owner   push   slot[bottom] = item; bottom + 1; barrier (then it reads who is idle)
//           pop    bottom - 1; barrier; read top; if top is below, the item is ours; if equal, one CAS of
//                  top decides
//   thief   read top; barrier; read bottom, then the buffer and slot[top]; one CAS of top decides
//   sleeper announce sleep; if open: barrier; read top and bottom
//
// The barriers are of unlike cost (os/asymmetric.hpp): the owner's is none at all, so that a fork that nobody
// takes costs no read-modify-write; a thief's is a system call, for those that come to a deque with items.
// Without membarrier, and among many workers, where thieves are many and each barrier interrupts them all,
// the owner's stores are seq_cst.
//
// So that sleepers need no barrier in a program without forks, a deque is *open* from its first push until
// its owner has found it empty and shuts it:
//   owner   O1 open = true, seq_cst; push; P2 read who is idle
//   sleeper S1 announce sleep, seq_cst; O2 open? then a barrier; look
// Guarantee: O2 sees O1, or P2 sees S1.  As run_queue's: push() before the caller reads who is idle; empty()
// after sleep was announced and, if any is open, a barrier.
//
// Invariants
//   1. top only grows; bottom - top is -1 (a pop that found nothing, for a moment) or the number of items.
//   2. The owner takes an index without a CAS only if it read top below it after lowering bottom.  A thief
//      that could still take that index has read top, at that index, before its barrier.  Was the owner's
//      read of top before that barrier, so was the lowered bottom, and the thief sees that; was it after,
//      the owner has seen the thief's top.
//   3. A replaced buffer is kept until the deque ends: a thief may be reading it.  They add up to less than
//      one more.
//   4. pop_if() lowers bottom only for the item it names, so nobody sees an empty deque that is not
//      (protocols.md A14).
//   5. limit_ is at most the index that needs more room: top was read when it was set, and only grows.
//
// Source: Chase and Lev 2005; Le, Pop, Cohen, Zappa Nardelli, PPoPP 2013 (doi 10.1145/2442516.2442524), with
//         seq_cst accesses for its fences (which TSan cannot see and clang makes mfence) and a release store
//         of the buffer, which the paper's listing lacks.  Model-checked in test/model/deque_model_test.cpp.
// Rejected: top and bottom packed in one word (8-13 ns a pair here against 4-6: the mixed sizes defeat store
//           forwarding); private deques whose owner hands out what a thief has asked for (a child that
//           computes for long answers nobody).

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "os/asymmetric.hpp"

namespace weft::sched {

/// What the deque needs of its surroundings; the model checker has its own.
struct fork_world {
  /// Among more workers thieves pay, and make all others pay, more than the owners save.
  static constexpr unsigned most_workers = 16;

  static bool is_asymmetric(unsigned workers) noexcept {
    return os::barriers_are_asymmetric() && workers <= most_workers;
  }

  static void light_barrier() noexcept { os::light_barrier(); }

  static void heavy_barrier() noexcept { os::heavy_barrier(); }
};

/// The items are never dereferenced, so tagged pointers are welcome; null is not.
template <typename T, std::uint32_t InitialCapacity = 64, template <typename> class Atomic = std::atomic,
          typename World = fork_world>
class fork_deque {
  static_assert(std::has_single_bit(InitialCapacity));

 public:
  struct steal_result {
    T* item;    ///< null: nothing was taken
    bool lost;  ///< another taker came first: there may be more, try again
  };

  /// Of one of so many workers.
  explicit fork_deque(unsigned workers = 1)
      : asymmetric_(World::is_asymmetric(workers)),
        newest_(std::make_unique<buffer>(InitialCapacity)),
        slots_(newest_->slots.get()),
        mask_(newest_->mask),
        buffer_(newest_.get()) {}

  fork_deque(const fork_deque&) = delete;
  fork_deque& operator=(const fork_deque&) = delete;

  /// Owner.  False: it must grow and cannot, for want of memory; then nothing was pushed.
  bool push(T* item) noexcept {
    if (push_quickly(item)) return true;
    return make_room() && push_quickly(item);
  }

  /// Owner.  Only if there is room, as far as is known.
  bool push_quickly(T* item) noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);  // relaxed: the owner's own
    if (bottom >= limit_) [[unlikely]]
      return false;
    slot(bottom).store(item, std::memory_order_relaxed);  // relaxed: S1 publishes it
    set_bottom(bottom + 1);
    return true;
  }

  /// Owner.  The item pushed last, null if there is none.
  [[nodiscard]] T* pop() noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);  // relaxed: the owner's own
    // A stale top is too small, so that nothing is there is certain.
    if (bottom <= top_.load(std::memory_order_relaxed)) return nullptr;  // relaxed: pop_last() reads it again
    return pop_last(bottom - 1, slot(bottom - 1).load(std::memory_order_relaxed));  // relaxed: own
  }

  /// Owner.  Pops only if the item pushed last is `expected`; else null, and nobody has noticed.
  [[nodiscard]] T* pop_if(T* expected) noexcept {
    const std::int64_t last = bottom_.load(std::memory_order_relaxed) - 1;  // relaxed: the owner's own
    // What was taken by a thief may still stand there: pop_last() finds out.
    if (slot(last).load(std::memory_order_relaxed) != expected) return nullptr;  // relaxed: own
    return pop_last(last, expected);
  }

  /// Owner.  pop_if() that gives up if it may be the only one.
  [[nodiscard]] bool pop_quickly_if(T* expected) noexcept {
    const std::int64_t last = bottom_.load(std::memory_order_relaxed) - 1;     // relaxed: the owner's own
    if (slot(last).load(std::memory_order_relaxed) != expected) return false;  // relaxed: own
    set_bottom(last);
    if (top_.load(std::memory_order_seq_cst) < last) [[likely]]  // S4, pairs with C1
      return true;
    set_bottom(last + 1);  // as it was
    return false;
  }

  /// Owner.  The oldest item.
  [[nodiscard]] T* pop_oldest() noexcept {
    for (;;) {
      std::int64_t top = top_.load(std::memory_order_relaxed);             // relaxed: C1 decides
      if (top >= bottom_.load(std::memory_order_relaxed)) return nullptr;  // relaxed: own
      if (T* item = slot(top).load(std::memory_order_relaxed); claim(top)) return item;  // relaxed: own
    }
  }

  /// Owner, who has found it empty and will not push soon.
  void shut() noexcept {
    if (limit_ == shut_limit) return;
    limit_ = shut_limit;
    open_.store(false, std::memory_order_relaxed);  // relaxed: too late a look costs a barrier
  }

  /// Anybody.  The oldest item.
  [[nodiscard]] steal_result steal() noexcept {
    std::int64_t top = top_.load(std::memory_order_seq_cst);                      // S4, pairs with C1
    if (top >= bottom_.load(std::memory_order_relaxed)) return {nullptr, false};  // relaxed: a hint
    if (asymmetric_) World::heavy_barrier();
    const std::int64_t bottom = bottom_.load(std::memory_order_seq_cst);  // S3, pairs with S1 and S2
    if (top >= bottom) return {nullptr, false};
    buffer* from = buffer_.load(std::memory_order_acquire);     // A2, pairs with R2
    T* item = from->slot(top).load(std::memory_order_relaxed);  // relaxed: S3 or A2 brought it, or C1 fails
    if (!claim(top)) return {nullptr, true};
    return {item, false};
  }

  /// A sleeper that has announced itself.  True: it looks at the deque after a heavy barrier.
  [[nodiscard]] bool needs_barrier() const noexcept {
    return asymmetric_ && open_.load(std::memory_order_seq_cst);  // O2, pairs with O1
  }

  /// Anybody, as the re-check before sleep.
  [[nodiscard]] bool empty() const noexcept {
    const std::int64_t top = top_.load(std::memory_order_seq_cst);  // S4, pairs with C1
    return top >= bottom_.load(std::memory_order_seq_cst);  // S3, pairs with S1: sleep announced, then read
  }

 private:
  static constexpr std::int64_t shut_limit = INT64_MIN;

  struct buffer {
    explicit buffer(std::size_t capacity)
        : mask(static_cast<std::int64_t>(capacity) - 1), slots(std::make_unique<Atomic<T*>[]>(capacity)) {}

    Atomic<T*>& slot(std::int64_t index) noexcept { return slots[static_cast<std::size_t>(index & mask)]; }

    const std::int64_t mask;
    const std::unique_ptr<Atomic<T*>[]> slots;
    std::unique_ptr<buffer> older;  // what it replaced
  };

  Atomic<T*>& slot(std::int64_t index) noexcept { return slots_[static_cast<std::size_t>(index & mask_)]; }

  /// And the owner's barrier.
  void set_bottom(std::int64_t value) noexcept {
    if (asymmetric_) [[likely]] {
      bottom_.store(value, std::memory_order_release);  // S1, S2, pair with S3, by the barriers
      World::light_barrier();
    } else {
      bottom_.store(value, std::memory_order_seq_cst);  // S1, S2, pair with S3: stored, then idlers or top
    }
  }

  T* pop_last(std::int64_t last, T* item) noexcept {
    set_bottom(last);
    std::int64_t top = top_.load(std::memory_order_seq_cst);  // S4, pairs with C1
    if (top < last) [[likely]]
      return item;
    return settle(top, last) ? item : nullptr;
  }

  /// Owner: the last one may have been taken.
  [[gnu::noinline]] bool settle(std::int64_t top, std::int64_t last) noexcept {
    const bool mine = top == last && claim(top);
    bottom_.store(last + 1, std::memory_order_relaxed);  // relaxed: top has passed last, so it offers nothing
    return mine;
  }

  bool claim(std::int64_t top) noexcept {
    return top_.compare_exchange_strong(top, top + 1,
                                        std::memory_order_seq_cst,   // C1, pairs with S4 and A1
                                        std::memory_order_relaxed);  // relaxed: the loser starts anew
  }

  [[gnu::noinline]] bool make_room() noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);  // relaxed: the owner's own
    const std::int64_t top =
        top_.load(std::memory_order_acquire);  // A1, pairs with C1: slots read by thieves
    try {
      if (bottom - top > mask_) grow(top, bottom);
    } catch (const std::bad_alloc&) {
      return false;
    }
    if (limit_ == shut_limit) open_.store(true, std::memory_order_seq_cst);  // O1, pairs with O2
    limit_ = top + mask_ + 1;
    return true;
  }

  void grow(std::int64_t top, std::int64_t bottom) {
    auto larger = std::make_unique<buffer>(static_cast<std::size_t>(mask_ + 1) * 2);
    for (std::int64_t i = top; i < bottom; ++i) {
      T* item = slot(i).load(std::memory_order_relaxed);       // relaxed: the owner wrote it
      larger->slot(i).store(item, std::memory_order_relaxed);  // relaxed: R2 publishes it
    }
    larger->older = std::move(newest_);
    newest_ = std::move(larger);
    slots_ = newest_->slots.get();
    mask_ = newest_->mask;
    buffer_.store(newest_.get(), std::memory_order_release);  // R2, pairs with A2: the copied slots
  }

  alignas(64) Atomic<std::int64_t> top_{0};
  alignas(64) Atomic<std::int64_t> bottom_{0};  // written by the owner only, as is all below
  const bool asymmetric_;
  Atomic<bool> open_{false};
  std::int64_t limit_ = shut_limit;  // bottom that has no room, as far as is known
  std::unique_ptr<buffer> newest_;   // the owner's view; thieves go through buffer_
  Atomic<T*>* slots_;                // its
  std::int64_t mask_;                // its
  Atomic<buffer*> buffer_;
};

}  // namespace weft::sched
