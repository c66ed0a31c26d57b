#pragma once

// The port of the world in parking_world.hpp, whose time passes when all sleep, and the driver of its
// descriptors.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/model_test.hpp"
#include "os/port.hpp"

namespace weft::model {

/// Found by parking.hpp instead of the one for std::atomic.
template <typename Orders>
const basic_atomic<std::uint32_t, Orders>& word_of(const basic_atomic<std::uint32_t, Orders>& a) {
  return a;
}

using os::nanos;
using os::never;

/// Time stands still while a thread can go on, unless `impatient`: then a sleep may end too early.
class toy_port {
 public:
  bool impatient = false;

  nanos now() const { return now_; }

  template <typename Word>
  bool wait(const Word& word, std::uint32_t expected, nanos deadline) {
    const bool timed = deadline < never / 2;
    if (!timed || impatient) {
      const bool in_time = model::wait(word, &word, expected, timed);
      if (!in_time) now_ = std::max(now_, deadline);
      return in_time;
    }
    sleeper me{&word, deadline, false};
    sleepers_.push_back(&me);
    model::wait(word, &word, expected, false);
    sleepers_.erase(std::find(sleepers_.begin(), sleepers_.end(), &me));
    return !me.late;
  }

  template <typename Word>
  void wake(const Word& word, int) {
    model::wake(&word);
  }

  /// Ends the sleep with the earliest deadline; false: there is none.
  bool pass_time() {
    const auto first = std::min_element(sleepers_.begin(), sleepers_.end(),
                                        [](sleeper* a, sleeper* b) { return a->deadline < b->deadline; });
    if (first == sleepers_.end()) return false;
    now_ = (*first)->deadline;
    (*first)->late = true;
    model::wake((*first)->word);
    return true;
  }

 private:
  struct sleeper {
    const void* word;
    nanos deadline;
    bool late;
  };

  nanos now_ = 0;
  std::vector<sleeper*> sleepers_;
};

/// Where the poller sleeps if descriptors are watched: an event makes an item for whoever finds it.
template <template <typename> class Atomic>
struct toy_driver {
  toy_port* port = nullptr;
  Atomic<int>* items = nullptr;
  Atomic<int> watched{0};
  Atomic<std::uint32_t> word{0};  // 1: interrupted; 2 for each event
  std::uint32_t found = 0;        // the poller's

  bool wait(nanos deadline) {
    for (;;) {
      if (word.load(std::memory_order_acquire) != 0) {
        const std::uint32_t seen = word.exchange(0, std::memory_order_acq_rel);
        found = seen >> 1;
        return seen == 1;
      }
      if (!port->wait(word, 0, deadline)) return false;
    }
  }

  void deliver() { items->fetch_add(static_cast<int>(std::exchange(found, 0)), std::memory_order_seq_cst); }

  void interrupt() {
    word.fetch_or(1, std::memory_order_release);
    port->wake(word, 1);
  }

  void event() {
    word.fetch_add(2, std::memory_order_release);
    port->wake(word, 1);
  }
};

}  // namespace weft::model
