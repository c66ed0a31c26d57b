#pragma once

// How a scope counts the routines that were started in it, and which of them tells its joiner.
//
//   started   plain: what the scope's owner itself has started
//   left      atomic: `many` + what others have started - what has ended.  The join takes `many - started`
//             off, once: from then on it is how many have not ended, and 0 means all have
//
// Protocol
//   owner    starts one: ++started
//            joins: J1 left == many - started? all have ended.  Else it puts itself down as the joiner;
//            J2 left -= many - started; result 0: all have ended meanwhile, nobody will wake it
//   another  - a member, or who knows of one that lives - starts one: M1 left += 1, before it can run
//   end      J3 left -= n, for n that have ended; result 0: those were the last, the joiner sleeps and is to
//            be woken; else nothing of the scope may be touched any more
// Guarantee: `left` is 0 after J2 or after one J3 behind it, and never before J2.  What members did before
//            their J3 the joiner sees.
//
// The owner joins once, and starts nothing afterwards.
//
// Source: libfork's join counter.  Model-checked in test/model/scope_model_test.cpp.
// Rejected: a count under the scope's lock (a read-modify-write a start, one an end, and a queue at it).

#include <atomic>
#include <cstdint>

namespace weft::core {

/// `Scope` has started and left.
template <typename Scope, template <typename> class Ref = std::atomic_ref>
class member_count {
 public:
  explicit member_count(Scope& x) noexcept : x_(x) {}

  /// Nobody knows the scope yet.
  void begin() noexcept {
    x_.started = 0;
    x_.left = many;
  }

  // --- the owner ---

  void start_own() noexcept { ++x_.started; }

  /// The start has failed.
  void take_back_own() noexcept { --x_.started; }

  /// Before join().  True: it need not wait.
  bool all_ended() const noexcept {
    return Ref(x_.left).load(std::memory_order_acquire) == rest();  // J1, pairs with J3
  }

  /// The joiner can be found.  False: all have ended meanwhile; true: the last one will wake it.
  bool must_wait() noexcept {
    const std::uint64_t off = rest();
    return Ref(x_.left).fetch_sub(off, std::memory_order_acq_rel) != off;  // J2, pairs with J3
  }

  // --- anybody ---

  void start() noexcept {
    Ref(x_.left).fetch_add(1, std::memory_order_relaxed);  // M1; relaxed: who calls this keeps `left` above 0
  }

  /// True: they were the last, the joiner is the caller's to wake.
  bool end(std::uint64_t n) noexcept {
    return Ref(x_.left).fetch_sub(n, std::memory_order_acq_rel) == n;  // J3, pairs with J1, J2
  }

 private:
  static constexpr std::uint64_t many = std::uint64_t{1} << 62;

  std::uint64_t rest() const noexcept { return many - x_.started; }

  Scope& x_;
};

}  // namespace weft::core
