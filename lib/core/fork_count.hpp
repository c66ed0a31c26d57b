#pragma once

// How a fork group counts its children, and who goes on with it.
//
// Who has the group (has popped or stolen it, or ended the called child) has it alone: next and taken are
// plain.  A child ends on the worker that resumed it last.  There the group may be on top because of a
// *later* fork, so each fork has a number - how many children have been started with it - and only its own
// child may pop it; anybody else who takes the group - a thief, or the owner's loop after the child has
// parked - counts the fork as taken, and then its child counts itself off.
//
//   join: taken == 0                                    all have ended: the parent goes on
//         pending -= many - taken; result 0             the same, the taken ones were quicker
//         else                                          the last child that counts itself off finds 1
//
// Model-checked in test/model/fork_model_test.cpp.

#include <atomic>
#include <cstdint>

namespace weft::core {

/// What runs after a child has ended.
enum class after_child : std::uint8_t {
  others,
  next_child,
  parent,
  unknown,      // end_child() tells
  popped_later  // give_back() tells
};

/// `Group` has count, next, taken and pending.
template <typename Group, template <typename> class Ref = std::atomic_ref>
class fork_count {
 public:
  explicit fork_count(Group& g) noexcept : g_(g) {}

  /// Before the first child starts.
  void begin() noexcept {
    g_.next = 0;
    g_.taken = 0;
    g_.pending = many;
  }

  /// The caller has the group: which child it starts.
  std::uint32_t next_child() noexcept { return g_.next++; }

  /// Are there others behind the child that is being started?  Then the group is pushed for them.
  bool must_fork() const noexcept { return g_.next < g_.count; }

  /// The number of the fork that is about to be pushed: from 1, each greater than those before.
  std::uint32_t number() const noexcept { return g_.next; }

  /// A thief or the owner's loop has taken the group.
  void take() noexcept { ++g_.taken; }

  /// All children have been started, and each fork was taken.  True: all have ended.
  bool all_taken() noexcept { return join(); }

  /// end_child() of a child whose fork nobody took: all but always.  `pop` may fail for other reasons, too.
  template <typename Pop>
  after_child end_quickly(std::uint32_t number, Pop pop) noexcept {
    if (number == 0) {
      if (must_fork()) return after_child::next_child;
      return g_.taken == 0 ? after_child::parent : after_child::unknown;
    }
    if (!pop()) return after_child::unknown;
    return g_.next == number ? after_child::next_child : after_child::popped_later;
  }

  /// What was popped is a later fork's: the own one was taken.
  template <typename Push>
  after_child give_back(Push push_back) noexcept {
    push_back();
    return count_off() ? after_child::parent : after_child::others;
  }

  /// The child of that number - 0: it was called - has ended.  `pop` takes the group off the deque of this
  /// worker if it is on top, `push_back` undoes that.
  template <typename Pop, typename Push>
  after_child end_child(std::uint32_t number, Pop pop, Push push_back) noexcept {
    if (number == 0) {
      if (must_fork()) return after_child::next_child;
      return join() ? after_child::parent : after_child::others;
    }
    if (pop()) {
      if (g_.next == number) return after_child::next_child;
      return give_back(push_back);
    }
    return count_off() ? after_child::parent : after_child::others;
  }

 private:
  static constexpr std::uint32_t many = 1U << 30;

  /// The caller has the group, and all children have been started.
  bool join() noexcept {
    if (g_.taken == 0) return true;
    const std::uint32_t rest = many - g_.taken;
    return Ref(g_.pending).fetch_sub(rest, std::memory_order_acq_rel) == rest;  // J1, pairs with J2
  }

  bool count_off() noexcept {
    return Ref(g_.pending).fetch_sub(1, std::memory_order_acq_rel) == 1;  // J2, pairs with J1
  }

  Group& g_;
};

}  // namespace weft::core
