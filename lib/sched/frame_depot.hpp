#pragma once

// What the threads' caches of frames exchange, and what a walk over all frames needs: the parts of the frame
// pool that several threads touch, apart from where the memory comes from (frame_pool.cpp).
//
//   magazine   a stack of free blocks; one thread's, or the depot's
//   depot      of one size: full magazines, one that is being filled, the slab that is bumped; under a lock
//              What another thread has freed is in that one's cache, or in none: whoever takes blocks of
//              such a magazine asks for a later one each time (spawn_join on two workers 86 -> 54 ns).
//   slab_uses  how many blocks of a slab were ever handed out
//   registry   all slabs, newest first
//
// Protocol (the stop walks while a frame is handed out)
//   owner   V1 newest = slab, used = more; a routine begins there; V3 is the stop flag set? then it says so
//   stop    V4 sets the stop flag; V2 reads newest, used, and claims what it finds
// Guarantee: V3 sees V4, or V2 sees V1; all four are seq_cst.
//
// Model-checked in test/model/frame_model_test.cpp.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/prefetch.hpp"
#include "os/lock.hpp"

namespace weft::sched {

/// `Block::make(void*)` turns a block that is not in use into a link; it has `next`, and instead of each
/// other `next_magazine` and `later`: in a magazine that has been in the depot, one that comes some places
/// later.
template <typename Block, std::uint32_t Size>
struct magazine {
  Block* top = nullptr;
  std::uint32_t count = 0;

  bool empty() const noexcept { return count == 0; }

  bool full() const noexcept { return count == Size; }

  void push(void* block) noexcept {
    auto* free = Block::make(block);
    free->next = std::exchange(top, free);
    free->later = nullptr;
    ++count;
  }

  void* pop() noexcept {
    --count;
    if (const Block* const later = top->later) base::prefetch_to_write(later);
    return std::exchange(top, static_cast<Block*>(top->next));
  }

  /// By who has freed them, in whose cache they are.
  void link_to_later() noexcept {
    constexpr std::uint32_t distance = 4;
    Block* later = top;
    for (std::uint32_t i = 0; i < std::min(distance, count); ++i) later = later->next;
    for (Block* each = top; later != nullptr; each = each->next, later = later->next) each->later = later;
  }
};

template <template <typename> class Atomic = std::atomic>
class slab_uses {
 public:
  explicit slab_uses(std::uint32_t capacity) noexcept : capacity_(capacity) {}

  // --- under the depot's lock ---

  bool up() const noexcept {
    return used_.load(std::memory_order_relaxed) == capacity_;  // relaxed: written under the lock
  }

  struct run {
    std::uint32_t first;
    std::uint32_t count;
  };

  /// Blocks never handed out before, at most so many.
  run take(std::uint32_t at_most) noexcept {
    const std::uint32_t first = used_.load(std::memory_order_relaxed);  // relaxed: written under the lock
    const std::uint32_t count = std::min(at_most, capacity_ - first);
    used_.store(first + count, std::memory_order_seq_cst);  // V1, pairs with V2
    return {first, count};
  }

  // --- anybody ---

  std::uint32_t count() const noexcept {
    return used_.load(std::memory_order_seq_cst);  // V2, pairs with V1
  }

  std::uint32_t estimate() const noexcept {
    return used_.load(std::memory_order_relaxed);  // relaxed: a count
  }

 private:
  const std::uint32_t capacity_;   // blocks
  Atomic<std::uint32_t> used_{0};  // blocks ever handed out; only grows
};

/// `Slab` has a link `older`.
template <typename Slab, template <typename> class Atomic = std::atomic>
class slab_registry {
 public:
  void add(Slab* made) noexcept {
    Slab* newest = newest_.load(std::memory_order_relaxed);  // relaxed: R1 publishes what it points to
    do {
      made->older = newest;
    } while (!newest_.compare_exchange_weak(newest, made,
                                            std::memory_order_seq_cst,    // R1, V1, pair with A1, V2
                                            std::memory_order_relaxed));  // relaxed: tried again
  }

  Slab* newest() const noexcept {
    return newest_.load(std::memory_order_seq_cst);  // A1, V2, pair with R1, V1
  }

 private:
  Atomic<Slab*> newest_{nullptr};
};

/// `Slab` has `uses`, `block(index)` and `run_length()`.
template <typename Block, typename Slab, std::uint32_t Size, typename Guard = os::guard>
class frame_depot {
 public:
  using blocks = magazine<Block, Size>;

  /// Empty: it needs a slab.
  blocks take() noexcept {
    typename decltype(Slab::uses)::run fresh{};
    Slab* from = nullptr;
    {
      const Guard hold(lock_);
      if (Block* top = full_) {
        full_ = top->next_magazine;
        top->later = nullptr;
        return {top, Size};
      }
      if (!loose_.empty()) return std::exchange(loose_, {});
      if (current_ == nullptr) return {};
      from = current_;
      fresh = from->uses.take(std::min(Size, from->run_length()));
    }
    blocks filled;
    for (std::uint32_t i = fresh.count; i-- > 0;) filled.push(from->block(fresh.first + i));
    return filled;
  }

  void give_full(blocks full) noexcept {
    full.link_to_later();
    const Guard hold(lock_);
    stack(full);
  }

  void give_loose(blocks some) noexcept {
    const Guard hold(lock_);
    while (!some.empty()) {
      loose_.push(some.pop());
      if (loose_.full()) stack(std::exchange(loose_, {}));
    }
  }

  enum class need { none, first_slab, another_slab };

  need needs_slab() noexcept {
    const Guard hold(lock_);
    return current_ == nullptr ? need::first_slab : current_->uses.up() ? need::another_slab : need::none;
  }

  /// False: another thread was quicker, and the slab remains the caller's.
  template <typename Registry>
  bool add(Slab* made, Registry& all) noexcept {
    const Guard hold(lock_);
    if (current_ != nullptr && !current_->uses.up()) return false;
    all.add(made);
    current_ = made;
    return true;
  }

 private:
  void stack(const blocks& full) noexcept {
    full.top->next_magazine = full_;
    full_ = full.top;
  }

  std::uint32_t lock_ = 0;   // of all below
  blocks loose_;             // what ended threads left, until it is full
  Block* full_ = nullptr;    // stack of full magazines
  Slab* current_ = nullptr;  // bumped until it is used up
};

}  // namespace weft::sched
