#pragma once

// Slots that are written again: may a taker that has read one, and then won, have read what was put there
// afterwards?  C++20 allows it unless the read happens before that store; the model, which runs one access
// after the other, cannot let a load see what is stored later, so it asks for that order instead.
//
// A taker's reads count if its next read-modify-write of an index succeeds.

#include <array>
#include <cstdint>
#include <source_location>
#include <vector>

#include "model/model_atomic.hpp"

namespace weft::model {

/// Of one run.
class slot_log {
 public:
  static slot_log& now() {
    static const char key = 0;
    return engine::now()->at<slot_log>(&key);
  }

  void read(const void* slot) {
    engine& world = *engine::now();
    const std::size_t me = world.thread();
    pending_[me].push_back({slot, writes_.size(), me, world.tick()[me]});
  }

  void write(const void* slot) {
    const clock& when = engine::now()->thread_clock();
    for (const reading& each : taken_) check_order(each, slot, when);
    writes_.push_back({slot, when});
  }

  /// The running thread's read-modify-write.
  void decide(bool won) {
    std::vector<reading>& mine = pending_[engine::now()->thread()];
    for (const reading& each : mine) {
      if (!won) break;
      for (std::size_t i = each.writes_before; i < writes_.size(); ++i)
        check_order(each, writes_[i].slot, writes_[i].when);
      taken_.push_back(each);
    }
    mine.clear();
  }

 private:
  struct reading {
    const void* slot;
    std::size_t writes_before;
    std::size_t thread;
    std::uint32_t event;
  };

  struct writing {
    const void* slot;
    clock when;
  };

  static void check_order(const reading& read, const void* slot, const clock& written) {
    if (slot == read.slot && written[read.thread] < read.event)
      engine::now()->fail("a slot is written again that a taker may still read");
  }

  std::array<std::vector<reading>, max_threads> pending_;
  std::vector<reading> taken_;
  std::vector<writing> writes_;
};

/// An index: its read-modify-writes decide.
template <typename T>
struct checked_slots : atomic<T> {
  using atomic<T>::atomic;

  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure,
                               source where = source::current()) {
    const bool won = atomic<T>::compare_exchange_strong(expected, desired, success, failure, where);
    if (engine::now()->inside()) slot_log::now().decide(won);
    return won;
  }
};

/// A slot.  What else is a pointer has a type that is `is_slot<T> == false`.
template <typename T>
inline constexpr bool is_slot = false;

template <typename T>
requires is_slot<T>

struct checked_slots<T> : atomic<T> {
  using atomic<T>::atomic;

  T load(std::memory_order order, source where = source::current()) const {
    const T value = atomic<T>::load(order, where);
    if (engine::now()->inside()) slot_log::now().read(this);
    return value;
  }

  void store(T value, std::memory_order order, source where = source::current()) {
    atomic<T>::store(value, order, where);
    if (engine::now()->inside()) slot_log::now().write(this);
  }
};

}  // namespace weft::model
