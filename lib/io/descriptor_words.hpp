#pragma once

// The two words of a descriptor that operations change without its lock.  What they are for is in
// descriptor.hpp, to whose protocol the letters belong.
//
// use_count: how many operations have begun and not ended, and whether the descriptor is closed.  Who brings
// it to "closed, and nobody" is the one who closes the number; nobody begins after C1, so there is one.
//
// side_word: whether a direction is worth trying, and how many events it has had.  One word, so that O3 is a
// CAS that fails if there was an event since O1.
//
// Model-checked in test/model/descriptor_model_test.cpp.
// Rejected: both under the lock: a file that two workers read is a queue there (file_reads).

#include <atomic>
#include <cstdint>

namespace weft::io {

template <template <typename> class Atomic = std::atomic>
class use_count {
 public:
  /// O1.  False: closed.
  bool begin() noexcept {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while ((seen & closed) == 0) {
      if (word_.compare_exchange_weak(seen, seen + one, std::memory_order_relaxed))
        return true;  // relaxed: C3
    }
    return false;
  }

  /// True: it was the last of a closed one, and closes the number.
  bool end() noexcept {
    const std::uint32_t before = word_.fetch_sub(one, std::memory_order_acq_rel);  // C3, pairs with itself
    return before == (closed | one);
  }

  /// C1, and the caller counts as one who is to end().  False: it was closed before.
  bool close() noexcept {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    while ((seen & closed) == 0) {
      if (word_.compare_exchange_weak(seen, (seen | closed) + one, std::memory_order_relaxed))
        return true;  // relaxed: end() has the order
    }
    return false;
  }

  /// The same if nobody uses it, and nobody is counted.
  bool close_unused() noexcept {
    std::uint32_t nobody = 0;
    return word_.compare_exchange_strong(nobody, closed, std::memory_order_acquire);  // C3, pairs with end()
  }

  /// Without the others' knowledge, for a new life.
  void reopen() noexcept { word_.store(0, std::memory_order_relaxed); }  // relaxed: nobody has it

  bool is_closed() const noexcept {
    return (word_.load(std::memory_order_relaxed) & closed) != 0;  // relaxed: it brings nothing along
  }

  /// Nobody but `mine` uses it.
  bool is_only(std::uint32_t mine) const noexcept {
    return word_.load(std::memory_order_acquire) / one == mine;  // C3, pairs with end()
  }

 protected:
  static constexpr std::uint32_t closed = 1, one = 2;

  Atomic<std::uint32_t> word_{0};
};

/// What an operation has seen of a side.
using side_view = std::uint32_t;

template <template <typename> class Atomic = std::atomic>
class side_word {
 public:
  /// O1, O4.
  side_view look() const noexcept { return word_.load(std::memory_order_relaxed); }  // relaxed: the CAS of O3

  static bool is_ready(side_view v) noexcept { return (v & ready) != 0; }

  /// O3, of a direction that is watched.  False: something has happened since `seen`, which is what is now.
  bool note_drained(side_view& seen) noexcept {
    return word_.compare_exchange_strong(seen, seen & ~ready,
                                         std::memory_order_relaxed);  // relaxed: one word
  }

  /// O3, of one that is not: it stays worth trying.
  bool is_unchanged(side_view& seen) const noexcept {
    const side_view before = seen;
    return before == (seen = look());
  }

  /// The same as the first where less came than was asked for.
  void note_short(side_view seen) noexcept {
    if ((seen & mixed) == 0) note_drained(seen);
  }

  // Under the lock:

  /// E1.
  void note_event(bool is_mixed) noexcept {
    side_view seen = look();
    while (!word_.compare_exchange_weak(seen, ((seen + one) | ready) | (is_mixed ? mixed : 0),
                                        std::memory_order_relaxed)) {  // relaxed: one word
    }
  }

  void note_unready() noexcept { word_.fetch_and(~ready, std::memory_order_relaxed); }  // relaxed: same

  /// For a new life.
  void start() noexcept { word_.store(ready, std::memory_order_relaxed); }  // relaxed: nobody has it

 protected:
  static constexpr side_view ready = 1, mixed = 2, one = 4;

  Atomic<side_view> word_{ready};
};

}  // namespace weft::io
