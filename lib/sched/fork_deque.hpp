#pragma once

// fork_deque: one worker's LIFO of fork/join continuations.  The owner pushes and pops at the bottom, depth
// first; thieves take one from the top, which is the oldest and so the largest subtree.
//
// Protocol
//   owner   push   slot[bottom] = item; bottom + 1
//           pop    bottom - 1; read top; if top is below, the item is ours; if equal, one CAS of top decides
//   thief   read top, then bottom, then the buffer and slot[top]; one CAS of top decides
//
// Guarantee: as run_queue's: push() before the caller reads who is idle, empty() after sleep was announced.
//
// Invariants
//   1. top only grows; bottom - top is -1 (a pop that found nothing, for a moment) or the number of items.
//   2. The owner takes an index without a CAS only if it read top below it after lowering bottom; both are
//      seq_cst, and so are the thief's loads: a thief that could still take that index reads the lowered
//      bottom.
//   3. A replaced buffer is kept until the deque ends: a thief may be reading it.  They add up to less than
//      one more.
//   4. pop_if() lowers bottom only for the item it names, so nobody sees an empty deque that is not
//      (protocols.md A14).
//
// Source: Chase and Lev 2005; Le, Pop, Cohen, Zappa Nardelli, PPoPP 2013 (doi 10.1145/2442516.2442524), with
//         seq_cst accesses for its fences (which TSan cannot see and clang makes mfence) and a release store
//         of the buffer, which the paper's listing lacks.  Model-checked in test/model/queues_model_test.cpp.
// Rejected: top and bottom packed in one word (8-13 ns a pair here against 4-6: the mixed sizes defeat store
//           forwarding); membarrier instead of the owner's barrier (0-1 ns gained, 0.4-1 us a steal and an
//           interrupt of every core).

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace weft::sched {

/// The items are never dereferenced, so tagged pointers are welcome; null is not.
template <typename T, std::uint32_t InitialCapacity = 64, template <typename> class Atomic = std::atomic>
class fork_deque {
  static_assert(std::has_single_bit(InitialCapacity));

 public:
  struct steal_result {
    T* item;    ///< null: nothing was taken
    bool lost;  ///< another taker came first: there may be more, try again
  };

  fork_deque() : newest_(std::make_unique<buffer>(InitialCapacity)), buffer_(newest_.get()) {}

  fork_deque(const fork_deque&) = delete;
  fork_deque& operator=(const fork_deque&) = delete;

  /// Owner.  Throws std::bad_alloc if it must grow and cannot; then nothing was pushed.
  void push(T* item) {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);  // relaxed: the owner's own
    const std::int64_t top =
        top_.load(std::memory_order_acquire);  // A1, pairs with C1: slots read by thieves
    if (bottom - top > newest_->mask) grow(top, bottom);
    newest_->slot(bottom).store(item, std::memory_order_relaxed);  // relaxed: S1 publishes it
    bottom_.store(bottom + 1, std::memory_order_seq_cst);          // S1, pairs with S3: item, then idlers
  }

  /// Owner.  The item pushed last, null if there is none.
  [[nodiscard]] T* pop() noexcept { return has_items() ? pop_bottom() : nullptr; }

  /// Owner.  Pops only if the item pushed last is `expected`; else null, and nobody has noticed.
  [[nodiscard]] T* pop_if(T* expected) noexcept {
    if (!has_items()) return nullptr;
    const std::int64_t last = bottom_.load(std::memory_order_relaxed) - 1;  // relaxed: the owner's own
    const T* newest = newest_->slot(last).load(std::memory_order_relaxed);  // relaxed: the owner wrote it
    return newest == expected ? pop_bottom() : nullptr;
  }

  /// Anybody.  The oldest item.
  [[nodiscard]] steal_result steal() noexcept {
    std::int64_t top = top_.load(std::memory_order_seq_cst);              // S4, pairs with C1: before bottom
    const std::int64_t bottom = bottom_.load(std::memory_order_seq_cst);  // S3, pairs with S1 and S2
    if (top >= bottom) return {nullptr, false};
    buffer* from = buffer_.load(std::memory_order_acquire);     // A2, pairs with R2
    T* item = from->slot(top).load(std::memory_order_relaxed);  // relaxed: S3 or A2 brought it, or C1 fails
    if (!claim(top)) return {nullptr, true};
    return {item, false};
  }

  /// Anybody, as the re-check before sleep.
  [[nodiscard]] bool empty() const noexcept {
    const std::int64_t top = top_.load(std::memory_order_seq_cst);  // S4, pairs with C1
    return top >= bottom_.load(std::memory_order_seq_cst);  // S3, pairs with S1: sleep announced, then read
  }

 private:
  struct buffer {
    explicit buffer(std::size_t capacity)
        : mask(static_cast<std::int64_t>(capacity) - 1), slots(std::make_unique<Atomic<T*>[]>(capacity)) {}

    Atomic<T*>& slot(std::int64_t index) noexcept { return slots[static_cast<std::size_t>(index & mask)]; }

    const std::int64_t mask;
    const std::unique_ptr<Atomic<T*>[]> slots;
    std::unique_ptr<buffer> older;  // what it replaced
  };

  /// Owner, without a barrier.  A stale top is too small, so `false` is certain.
  bool has_items() const noexcept {
    return bottom_.load(std::memory_order_relaxed) >  // relaxed: the owner's own
           top_.load(std::memory_order_relaxed);      // relaxed: pop_bottom() reads it again
  }

  T* pop_bottom() noexcept {
    const std::int64_t last = bottom_.load(std::memory_order_relaxed) - 1;  // relaxed: the owner's own
    bottom_.store(last, std::memory_order_seq_cst);                 // S2, pairs with S3: lowered, then top
    std::int64_t top = top_.load(std::memory_order_seq_cst);        // S4, pairs with C1
    T* item = newest_->slot(last).load(std::memory_order_relaxed);  // relaxed: the owner wrote it
    if (top < last) return item;
    if (top > last || !claim(top)) item = nullptr;
    bottom_.store(last + 1, std::memory_order_relaxed);  // relaxed: top has passed last, so it offers nothing
    return item;
  }

  bool claim(std::int64_t top) noexcept {
    return top_.compare_exchange_strong(top, top + 1,
                                        std::memory_order_seq_cst,   // C1, pairs with S4 and A1
                                        std::memory_order_relaxed);  // relaxed: the loser starts anew
  }

  [[gnu::noinline]] void grow(std::int64_t top, std::int64_t bottom) {
    auto larger = std::make_unique<buffer>(static_cast<std::size_t>(newest_->mask + 1) * 2);
    for (std::int64_t i = top; i < bottom; ++i) {
      T* item = newest_->slot(i).load(std::memory_order_relaxed);  // relaxed: the owner wrote it
      larger->slot(i).store(item, std::memory_order_relaxed);      // relaxed: R2 publishes it
    }
    larger->older = std::move(newest_);
    newest_ = std::move(larger);
    buffer_.store(newest_.get(), std::memory_order_release);  // R2, pairs with A2: the copied slots
  }

  alignas(64) Atomic<std::int64_t> top_{0};
  alignas(64) Atomic<std::int64_t> bottom_{0};  // written by the owner only, as is all below
  std::unique_ptr<buffer> newest_;              // the owner's view; thieves go through buffer_
  Atomic<buffer*> buffer_;
};

}  // namespace weft::sched
