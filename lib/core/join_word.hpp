#pragma once

// The join word: the end of a routine, who waits for it and the handle agree on who frees the frame.
//
//   0            running, nobody waits
//   wait_node*   running, somebody waits
//   done         ended; if somebody waited, the winner is being decided
//   final        ended, and the routine's side touches nothing of the frame any more
//   detached     the handle is gone: the end frees the frame
//
// Protocol (protocols.md A1-A3)
//   end      E1 the result is in the promise; E2 old = exchange(done); a node: E3 claim its owner,
//            E4 store final, E5 deliver; detached: free the frame
//   joiner   J1 preparing; J2 CAS 0 -> node (fails: ended); J3 cancelled? claim yourself; J4 commit
//            woken or won early: by the end: wait for final; else J5 CAS node -> 0 (fails: wait for final)
//   handle   H1 old = exchange(detached); done or final: free the frame
//
// Model-checked in test/model/join_model_test.cpp.
// Rejected: results built in the joiner's frame (it may be cancelled and gone); a reference count (Tokio: 6-8
//           RMW).

#include <atomic>
#include <cstdint>

#include "os/lock.hpp"
#include "os/port.hpp"

namespace weft::core {

/// What a wait for the end's last store does: it takes some ns, unless that thread was descheduled.
inline void wait_a_little(int spins) noexcept {
  if (spins < 100) {
    os::relax_cpu();
  } else {
    os::give_way();
  }
}

template <template <typename> class Ref = std::atomic_ref, void (*Pause)(int) noexcept = wait_a_little>
class join_word {
 public:
  explicit join_word(std::uint64_t& w) noexcept : word_(w) {}

  // --- the routine ---

  /// E2 to E4.  `claim(node)` claims who waits there.  True: the handle is gone, the frame is the caller's.
  /// False: nothing of the frame may be touched any more.
  template <typename Claim>
  bool end(Claim claim) noexcept {
    const std::uint64_t before = word_.exchange(done, std::memory_order_acq_rel);  // E2, pairs with J2, H1
    if (is_node(before)) {
      claim(before);
      word_.store(final, std::memory_order_release);  // R1, pairs with A1
    }
    return before == detached;
  }

  // --- who waits ---

  /// False: it has ended.
  bool enroll(std::uint64_t node) noexcept {
    std::uint64_t none = 0;
    return word_.compare_exchange_strong(none, node, std::memory_order_acq_rel);  // J2, pairs with E2
  }

  /// Takes the node back; if the end holds it, waits until it lets go.
  void withdraw(std::uint64_t node) noexcept {
    if (!word_.compare_exchange_strong(node, 0, std::memory_order_acq_rel)) {  // J5, pairs with E2
      wait_for_final();
    }
  }

  /// The end has claimed the waiter: waits until it lets go of the frame.
  void wait_for_final() const noexcept {
    for (int spins = 0; word_.load(std::memory_order_acquire) != final; ++spins) {  // A1, pairs with R1
      Pause(spins);
    }
  }

  bool has_ended() const noexcept {
    const std::uint64_t now = word_.load(std::memory_order_acquire);  // A2, pairs with E2
    return now == done || now == final;
  }

  bool has_node() const noexcept {
    return is_node(word_.load(std::memory_order_relaxed));  // relaxed: own thread put it there, or misuse
  }

  // --- the handle ---

  /// The handle goes.  True: the routine has ended, the frame is the caller's.
  bool detach() noexcept {
    const std::uint64_t before = word_.exchange(detached, std::memory_order_acq_rel);  // H1, pairs with E2
    return before == done || before == final;
  }

 protected:
  static constexpr std::uint64_t done = 1, detached = 2, final = 3;

  static bool is_node(std::uint64_t word) noexcept { return word > final; }

  Ref<std::uint64_t> word_;
};

}  // namespace weft::core
