#pragma once

// The modelled atomic, and what stands beside it: std::atomic_ref, a lock, a variable that may not be raced
// for, memory that is freed, the futex.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "model/model_engine.hpp"
#include "model/model_order.hpp"

namespace weft::model {

/// What basic_atomic does with the orders it is given: mutants weaken them.
struct orders_as_written {
  static constexpr std::memory_order load(std::memory_order order) { return order; }

  static constexpr std::memory_order store(std::memory_order order) { return order; }

  static constexpr std::memory_order update(std::memory_order order) { return order; }
};

/// The line that gives an order: a mutant may weaken it there.
using source = std::source_location;

/// Stands for std::atomic<T>.
template <typename T, typename Orders = orders_as_written>
class basic_atomic {
 public:
  basic_atomic() : basic_atomic(T{}) {}

  basic_atomic(T value) {
    values_.reserve(8);
    values_.push_back({value, {}, {}});
    if (engine::now()->inside()) values_.back().stored = engine::now()->tick();
  }

  struct was_there_before {};

  basic_atomic(T value, was_there_before) {
    values_.reserve(8);
    values_.push_back({value, {}, {}});
  }

  basic_atomic(const basic_atomic&) = delete;
  basic_atomic& operator=(const basic_atomic&) = delete;

  ~basic_atomic() { alive_ = 0; }

  T load(std::memory_order order, source where = source::current()) const {
    const std::memory_order effective = order_at(where, access::load, Orders::load(order));
    enter();
    if (!engine::now()->inside()) return values_.back().value;
    const std::size_t options = limited(values_.size() - oldest(effective));
    return read(values_.size() - 1 - pick(options), effective);
  }

  void store(T value, std::memory_order order, source where = source::current()) {
    const std::memory_order effective = order_at(where, access::store, Orders::store(order));
    enter();
    append(value, effective, {});
  }

  T exchange(T value, std::memory_order order, source where = source::current()) {
    return update([&](T) { return value; }, order, where);
  }

  T fetch_add(T operand, std::memory_order order, source where = source::current()) {
    return update([&](T old) { return static_cast<T>(old + operand); }, order, where);
  }

  T fetch_sub(T operand, std::memory_order order, source where = source::current()) {
    return update([&](T old) { return static_cast<T>(old - operand); }, order, where);
  }

  T fetch_or(T operand, std::memory_order order, source where = source::current()) {
    return update([&](T old) { return static_cast<T>(old | operand); }, order, where);
  }

  T fetch_and(T operand, std::memory_order order, source where = source::current()) {
    return update([&](T old) { return static_cast<T>(old & operand); }, order, where);
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure,
                               source where = source::current()) {
    return replace(expected, desired, order_at(where, access::update, Orders::update(success)),
                   order_at(where, access::failure, Orders::load(failure)));
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order order,
                               source where = source::current()) {
    const std::memory_order on_success = order_at(where, access::update, Orders::update(order));
    return replace(expected, desired, on_success, Orders::load(without_release(on_success)));
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order order,
                             source where = source::current()) {
    return compare_exchange_strong(expected, desired, order, where);
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure,
                             source where = source::current()) {
    return compare_exchange_strong(expected, desired, success, failure, where);
  }

  /// Not an access: for `finally`.
  T newest() const { return values_.back().value; }

 private:
  struct entry {
    T value;
    clock released;        // what an acquiring reader learns
    clock stored;          // when the store was made
    std::size_t made = 0;  // as how many of the run's
  };

  static constexpr std::uint8_t max_stale = 2;

  static constexpr std::memory_order without_release(std::memory_order order) {
    return order == std::memory_order::acq_rel   ? std::memory_order::acquire
           : order == std::memory_order::release ? std::memory_order::relaxed
                                                 : order;
  }

  static constexpr bool acquires(std::memory_order order) {
    return order == std::memory_order::acquire || order == std::memory_order::acq_rel ||
           order == std::memory_order::seq_cst;
  }

  static constexpr bool releases(std::memory_order order) {
    return order == std::memory_order::release || order == std::memory_order::acq_rel ||
           order == std::memory_order::seq_cst;
  }

  void enter() const {
    engine::now()->step();
    if (alive_ != living) engine::now()->fail("an atomic is used that is gone");
    if (engine::now()->inside() && !happens_before(values_.front().stored, engine::now()->thread_clock())) {
      engine::now()->fail("an atomic is used by a thread that cannot know it has been constructed");
    }
  }

  std::size_t oldest(std::memory_order order) const {
    std::size_t first = seen_[engine::now()->thread()];
    for (std::size_t i = values_.size(); i-- > first;) {
      if (happens_before(values_[i].stored, engine::now()->thread_clock()) ||
          values_[i].made <= engine::now()->barrier()) {
        first = i;
      }
    }
    return order == std::memory_order::seq_cst ? std::max(first, sequential_) : first;
  }

  std::size_t limited(std::size_t options) const {
    const engine& world = *engine::now();
    const bool may = stale_[world.thread()] < max_stale && world.may_fall_behind();
    return may ? options : std::min<std::size_t>(options, 1);
  }

  /// 0 is the newest.
  std::size_t pick(std::size_t options) const {
    const std::size_t picked = engine::now()->choose(options);
    std::uint8_t& stale = stale_[engine::now()->thread()];
    stale = picked == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(stale + 1);
    if (picked != 0) engine::now()->fell_behind();
    return picked;
  }

  bool replace(T& expected, T desired, std::memory_order on_success, std::memory_order on_failure) {
    enter();
    const std::size_t newest = values_.size() - 1;
    // The newest value decides, or an older one that differs from the expected.
    std::vector<std::size_t> options{newest};
    const std::size_t first = engine::now()->inside() ? oldest(on_failure) : newest;
    for (std::size_t i = newest; i-- > first && limited(2) == 2;) {
      if (values_[i].value != expected) options.push_back(i);
    }
    const std::size_t from = options[pick(options.size())];
    if (values_[from].value != expected) {
      expected = read(from, on_failure);
      return false;
    }
    read(newest, on_success);
    append(desired, on_success, values_[newest].released);
    return true;
  }

  T read(std::size_t index, std::memory_order order) const {
    engine& world = *engine::now();
    if (world.inside()) {
      std::size_t& seen = seen_[world.thread()];
      seen = std::max(seen, index);
      if (acquires(order)) join(world.thread_clock(), values_[index].released);
      if (order == std::memory_order::seq_cst) sequential_ = std::max(sequential_, index);
    }
    return values_[index].value;
  }

  /// `released`: of the value that an update replaces, whose release sequence it goes on with.
  void append(T value, std::memory_order order, clock released) {
    engine& world = *engine::now();
    clock stored{};
    if (world.inside()) {
      stored = world.tick();
      if (releases(order)) join(released, stored);
      seen_[world.thread()] = values_.size();
      if (order == std::memory_order::seq_cst) sequential_ = values_.size();
    }
    values_.push_back({value, released, stored, world.next_store()});
    world.changed();
  }

  template <typename Change>
  T update(Change change, std::memory_order order, source where) {
    const std::memory_order effective = order_at(where, access::update, Orders::update(order));
    enter();
    const std::size_t newest = values_.size() - 1;
    const T old = read(newest, effective);
    append(change(old), effective, values_[newest].released);
    return old;
  }

  static constexpr std::uint32_t living = 0xA70111CE;

  std::vector<entry> values_;
  volatile std::uint32_t alive_ = living;  // of a freed one, too: what is freed is left as it is for a while
  mutable std::array<std::size_t, max_threads> seen_{};
  mutable std::array<std::uint8_t, max_threads> stale_{};
  mutable std::size_t sequential_ = 0;  // no seq_cst load may read below it
};

template <typename T>
using atomic = basic_atomic<T>;

/// Stands for std::atomic_ref<T>.  The history belongs to the address, for the time of one run; the word
/// itself only says how it begins.
template <typename T, typename Orders = orders_as_written>
class basic_atomic_ref {
  using history = basic_atomic<T, Orders>;

 public:
  explicit basic_atomic_ref(const T& word)
      : history_(&engine::now()->at<history>(&word, word, typename history::was_there_before{})) {}

  T load(std::memory_order order, source where = source::current()) const {
    return history_->load(order, where);
  }

  void store(T value, std::memory_order order, source where = source::current()) const {
    history_->store(value, order, where);
  }

  T exchange(T value, std::memory_order order, source where = source::current()) const {
    return history_->exchange(value, order, where);
  }

  T fetch_add(T operand, std::memory_order order, source where = source::current()) const {
    return history_->fetch_add(operand, order, where);
  }

  T fetch_sub(T operand, std::memory_order order, source where = source::current()) const {
    return history_->fetch_sub(operand, order, where);
  }

  T fetch_or(T operand, std::memory_order order, source where = source::current()) const {
    return history_->fetch_or(operand, order, where);
  }

  T fetch_and(T operand, std::memory_order order, source where = source::current()) const {
    return history_->fetch_and(operand, order, where);
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order order,
                               source where = source::current()) const {
    return history_->compare_exchange_strong(expected, desired, order, where);
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure,
                               source where = source::current()) const {
    return history_->compare_exchange_strong(expected, desired, success, failure, where);
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order order,
                             source where = source::current()) const {
    return history_->compare_exchange_strong(expected, desired, order, where);
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure,
                             source where = source::current()) const {
    return history_->compare_exchange_strong(expected, desired, success, failure, where);
  }

  T newest() const { return history_->newest(); }

 private:
  history* history_;
};

template <typename T>
using atomic_ref = basic_atomic_ref<T>;

/// Stands for os::relax_cpu() in a loop that polls.
inline void relax() noexcept {
  engine::now()->pause();
}

/// Stands for os::port's wait and wake.  With `may_time_out` it may end by itself, whenever that is: then
/// false.
template <typename Atomic, typename T>
bool wait(const Atomic& word, const void* address, T expected, bool may_time_out) {
  engine& world = *engine::now();
  world.step();
  if (static_cast<T>(word.newest()) != expected) return true;
  if (may_time_out) return world.wait_a_while(address);
  world.wait_for_wake(address);
  return true;
}

inline void wake(const void* address, std::size_t at_most = max_threads) {
  engine::now()->step();
  engine::now()->wake(address, at_most);
}

/// Stands for os::heavy_barrier(): every thread passes a full barrier, so from here on each sees all stores
/// that were made before.  Nothing is ordered by it as far as races go.
inline void heavy_barrier() {
  engine::now()->step();
  engine::now()->pass_barrier();
}

/// A variable that is not atomic: what two threads do with it must be ordered.
template <typename T>
class plain {
 public:
  explicit plain(T value = {}) : value_(value) {}

  T get() const {
    engine& world = *engine::now();
    if (world.inside()) {
      if (!happens_before(written_, world.thread_clock()))
        world.fail("a read that is not ordered after the write");
      read_[world.thread()] = world.tick()[world.thread()];
    }
    return value_;
  }

  operator T() const { return get(); }

  plain& operator=(T value) {
    set(value);
    return *this;
  }

  T operator++() { return *this = get() + 1, value_; }

  T operator++(int) { return *this = get() + 1, value_ - 1; }

  void set(T value) {
    engine& world = *engine::now();
    if (world.inside()) {
      const clock& now = world.thread_clock();
      if (!happens_before(written_, now) || !happens_before(read_, now)) {
        world.fail("a write that is not ordered after another access");
      }
      written_[world.thread()] = world.tick()[world.thread()];
    }
    value_ = value;
  }

 private:
  T value_;
  clock written_{};
  mutable clock read_{};
};

/// Something that ends: nobody may touch it then, and the end is ordered after all that was done with it.
class lifetime {
 public:
  void touch() {
    check(!ended_, "used after its end");
    engine& world = *engine::now();
    if (world.inside()) used_[world.thread()] = world.tick()[world.thread()];
  }

  void end() {
    check(!ended_, "ended twice");
    check(happens_before(used_, engine::now()->thread_clock()), "ended while another thread uses it");
    ended_ = true;
  }

  bool ended() const { return ended_; }

 private:
  bool ended_ = false;
  clock used_{};
};

/// Stand for os::lock() and os::unlock().
inline void lock(std::uint32_t& word) {
  engine& world = *engine::now();
  world.wait_for_zero(word);
  word = 1;
  if (world.inside()) join(world.thread_clock(), world.lock_clock(&word));
}

inline void unlock(std::uint32_t& word) {
  engine& world = *engine::now();
  world.step();
  word = 0;
  if (world.inside()) world.lock_clock(&word) = world.tick();
}

/// Stands for os::try_lock().
[[nodiscard]] inline bool try_lock(std::uint32_t& word) {
  engine& world = *engine::now();
  world.step();
  if (word != 0) return false;
  word = 1;
  if (world.inside()) join(world.thread_clock(), world.lock_clock(&word));
  return true;
}

/// Stands for os::guard.
class guard {
 public:
  explicit guard(std::uint32_t& word) : word_(&word) { lock(word); }

  ~guard() { unlock(); }

  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;

  void unlock() {
    if (std::uint32_t* const held = std::exchange(word_, nullptr)) model::unlock(*held);
  }

 private:
  std::uint32_t* word_;
};

}  // namespace weft::model
