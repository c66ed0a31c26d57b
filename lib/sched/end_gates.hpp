#pragma once

// What the threads of a runtime agree on at its end: that every routine has ended (a stop), and that no
// worker runs anything any more (the end of main).
//
// Stop
//   worker   D1 counts an end; D2 leaves the set's lock, under which it is listed as idle; D3 is there a
//   stop?
//            then drained? tells
//   stop     D4 sets the flag; D5 passes the set's lock; D6 drained? else sleeps
// Guarantee: through the lock D6 sees D1, or D3 sees D4.  (A count is a store without a barrier: with seq_cst
//            flags alone each could miss the other's.)
//
// End of main
//   worker   leaves the list of idle ones, seq_cst; F2 frozen? then counts itself as resting, for good
//   freezer  F1 sets the flag; counts who rests, then who is idle
// Guarantee: a worker that the freezer has counted as idle sees the flag before it runs anything.  It counts
//            nobody twice: who is idle may come to rest, never the other way round.
//
// Model-checked in test/model/end_model_test.cpp.

#include <atomic>
#include <cstdint>

#include "os/port.hpp"
#include "sched/parking.hpp"

namespace weft::sched {

/// Counts what happened on one worker.  Written by its thread only, so a load and a store are enough; read by
/// any.
template <template <typename> class Atomic = std::atomic>
class basic_counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    n_.store(n_.load(std::memory_order_relaxed) + n,
             std::memory_order_release);  // R1, pairs with A1; free on x86
  }

  /// For one that several threads write.
  void add_shared(std::uint64_t n = 1) noexcept {
    n_.fetch_add(n, std::memory_order_seq_cst);  // R1, pairs with A1; D1, pairs with D2
  }

  std::uint64_t read() const noexcept {
    return n_.load(std::memory_order_seq_cst);  // A1, pairs with R1: drained(); D2, pairs with D1
  }

 private:
  Atomic<std::uint64_t> n_{0};
};

using counter = basic_counter<>;

template <template <typename> class Atomic = std::atomic>
class drain_gate {
 public:
  /// The caller passes the set's lock afterwards.
  void request() noexcept {
    stopping_.store(true, std::memory_order_seq_cst);  // S6, pairs with S5
  }

  bool requested() const noexcept {
    return stopping_.load(std::memory_order_seq_cst);  // S5, pairs with S6: who parks meanwhile sees it
  }

  template <typename Port>
  void tell(Port& port) noexcept {
    word_.fetch_add(1, std::memory_order_acq_rel);  // R8, pairs with A8
    port.wake(word_of(word_), 1 << 20);
  }

  /// False: `deadline` came first.
  template <typename Port, typename Drained>
  bool wait(Port& port, Drained drained, os::nanos deadline) noexcept {
    for (;;) {
      const std::uint32_t seen = word_.load(std::memory_order_acquire);  // A8, pairs with R8
      if (drained()) return true;
      if (!port.wait(word_of(word_), seen, deadline) && !drained()) return false;
    }
  }

 private:
  Atomic<bool> stopping_{false};
  Atomic<std::uint32_t> word_{0};
};

template <template <typename> class Atomic = std::atomic>
class freeze_gate {
 public:
  /// False: another thread has.
  bool close() noexcept {
    return !frozen_.exchange(true, std::memory_order_seq_cst);  // F1, pairs with F2
  }

  /// In a forked child, where no other thread is.
  void close_for_this_thread() noexcept {
    frozen_.store(true, std::memory_order_relaxed);  // relaxed: for this thread
  }

  bool closed() const noexcept {
    return frozen_.load(std::memory_order_seq_cst);  // F2, pairs with F1: or the freezer counts this one
  }

  /// Of a worker that is awake.
  template <typename Port>
  void rest(Port& port) noexcept {
    resting_.fetch_add(1, std::memory_order_seq_cst);  // F2, pairs with F1
    tell(port);
  }

  unsigned resting() const noexcept {
    return resting_.load(std::memory_order_seq_cst);  // F1, pairs with F2
  }

  /// A worker may have become idle.
  template <typename Port>
  void tell(Port& port) noexcept {
    word_.fetch_add(1, std::memory_order_acq_rel);  // R11, pairs with A11
    port.wake(word_of(word_), 1);
  }

  /// Until `all_rest(resting)`, or the deadline.
  template <typename Port, typename AllRest>
  void wait(Port& port, AllRest all_rest, os::nanos deadline) noexcept {
    for (;;) {
      const std::uint32_t seen = word_.load(std::memory_order_acquire);  // A11, pairs with R11
      if (all_rest(resting())) return;
      if (!port.wait(word_of(word_), seen, deadline)) return;
    }
  }

 protected:
  Atomic<bool> frozen_{false};
  Atomic<unsigned> resting_{0};  // workers, for good
  Atomic<std::uint32_t> word_{0};
};

}  // namespace weft::sched
