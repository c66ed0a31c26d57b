#pragma once

// A small model checker: runs a program of two to four threads through all its interleavings, up to a number
// of preemptions, and lets every load return every value that C++20 allows it (as far as noted below).
//
// Use
//   using queue = run_queue<int, 2, model::atomic>;           the code under test, on modelled atomics
//   auto result = model::explore([] {                          called once per run: builds a fresh world
//     auto world = std::make_shared<my_world>();
//     return model::program{{[=] { ... }, [=] { ... }}, [=] { model::check(world->taken == 1, "lost"); }};
//   }, {.preemptions = 3, .seconds = 2});
//   REQUIRE(result.failure == "");
//
// How
//   Threads are fibers on one thread.  Every access to a model::atomic may first switch to another one;
//   which, and which value a load returns, are choices.  A run records its choices; the next run changes the
//   last one that has an alternative: depth-first search.  The bound on preemptions rises from 0, so the
//   first failure has the fewest.
//
// What a load may return.  Each atomic keeps all its values in the order of the stores.  A thread may read
// back to the newest of: the last it has seen itself; the last whose store happens before the load (vector
// clocks); and for a seq_cst load the last seq_cst store of the same atomic, and what earlier seq_cst loads
// of it returned.  There is no global clock of seq_cst accesses: it would let them synchronise with one
// another and hide bugs (protocols.md G).
//
// Not shown: load buffering, stores that take effect out of order, fences, more than two stale reads of one
// atomic by one thread in a row (or a loop that polls would never end).
//
// Source: CHESS (iterative preemption bounding), CDSChecker and Rust's loom (store histories).

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <setjmp.h>
#include <ucontext.h>

namespace weft::model {

inline constexpr std::size_t max_threads = 4;

using clock = std::array<std::uint32_t, max_threads>;

inline void join(clock& into, const clock& other) {
  for (std::size_t i = 0; i < max_threads; ++i) into[i] = std::max(into[i], other[i]);
}

inline bool happens_before(const clock& event, const clock& now) {
  for (std::size_t i = 0; i < max_threads; ++i) {
    if (event[i] > now[i]) return false;
  }
  return true;
}

struct program {
  std::vector<std::function<void()>> threads;
  std::function<void()> finally;  // runs after all threads, sees everything
};

struct limits {
  int preemptions = 3;
  double seconds = 3;
};

struct outcome {
  std::string failure;  // empty: none found
  int complete = -1;    // all runs with up to so many preemptions were seen
  std::uint64_t runs = 0;
};

/// Where threads run.  One per explore(); model code reaches it through engine::now().
class engine {
 public:
  static engine*& now() {
    static engine* current = nullptr;
    return current;
  }

  explicit engine(int preemptions) : allowed_preemptions_(preemptions) {}

  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// One run.  False: it failed.
  bool run(const program& what) {
    position_ = 0;
    preemptions_ = 0;
    steps_ = 0;
    locks_.clear();
    count_ = what.threads.size();
    for (std::size_t i = 0; i < count_; ++i) {
      fiber& each = fibers_[i];
      each.body = &what.threads[i];
      each.blocked_on = nullptr;
      each.done = false;
      each.clock = {};
      each.clock[i] = 1;
      if (!each.started) start(each);
    }
    current_ = choose(count_);
    inside_ = true;
    jump(outside_, fibers_[current_].context);
    inside_ = false;
    if (failure_.empty() && what.finally) what.finally();
    return failure_.empty();
  }

  /// Moves to the next run; false: that was the last.
  bool advance() {
    while (!trail_.empty()) {
      if (++trail_.back().picked < trail_.back().options) return true;
      trail_.pop_back();
    }
    return false;
  }

  /// Lets the search decide between 0 .. options - 1.
  std::size_t choose(std::size_t options) {
    if (options < 2) return 0;
    if (position_ == trail_.size()) trail_.push_back({options, 0});
    if (trail_[position_].options != options) std::abort();  // the program under test is not deterministic
    return trail_[position_++].picked;
  }

  void fail(const std::string& why) {
    if (failure_.empty()) failure_ = why;
  }

  /// Before each visible access: another thread may run first.
  void step() {
    if (!inside_) return;
    if (++steps_ > max_steps) fail("livelock: a thread goes on for ever");
    reschedule(true);
  }

  /// Waits for `word` to become 0.
  void wait_for_zero(const std::uint32_t& word) {
    step();
    if (word == 0) return;
    fibers_[current_].blocked_on = &word;
    reschedule(false);
    fibers_[current_].blocked_on = nullptr;
  }

  bool inside() const { return inside_; }

  std::size_t thread() const { return current_; }

  clock& thread_clock() { return fibers_[current_].clock; }

  /// A new event of the running thread.
  const clock& tick() {
    ++thread_clock()[current_];
    return thread_clock();
  }

  clock& lock_clock(const void* word) { return locks_[word]; }

  const std::string& failure() const { return failure_; }

 private:
  static constexpr std::uint32_t max_steps = 2000;
  static constexpr std::size_t stack_bytes = 128 << 10;

  struct fiber {
    jmp_buf context;
    std::unique_ptr<std::byte[]> stack;
    const std::function<void()>* body = nullptr;
    const std::uint32_t* blocked_on = nullptr;
    bool started = false;
    bool done = false;
    model::clock clock{};
  };

  struct choice {
    std::size_t options;
    std::size_t picked;
  };

  bool runnable(std::size_t i) const {
    return !fibers_[i].done && (fibers_[i].blocked_on == nullptr || *fibers_[i].blocked_on == 0);
  }

  /// Goes on with a thread that can, or leaves the run if none can or it has failed.
  void reschedule(bool can_stay) {
    std::array<std::size_t, max_threads> candidates{};
    std::size_t count = 0;
    if (can_stay) candidates[count++] = current_;
    for (std::size_t i = 0; i < count_ && (!can_stay || preemptions_ < allowed_preemptions_); ++i) {
      if ((!can_stay || i != current_) && runnable(i)) candidates[count++] = i;
    }
    if (count == 0 && !std::all_of(fibers_.begin(), fibers_.begin() + static_cast<std::ptrdiff_t>(count_),
                                   [](const fiber& each) { return each.done; })) {
      fail("deadlock");
    }
    const std::size_t from = current_;
    if (count == 0 || !failure_.empty()) return jump(fibers_[from].context, outside_);
    current_ = candidates[choose(count)];
    if (current_ == from) return;
    if (can_stay) ++preemptions_;
    jump(fibers_[from].context, fibers_[current_].context);
  }

  // Contexts are entered once by ucontext and switched by setjmp: swapcontext makes a system call each time.
  static void jump(jmp_buf& from, jmp_buf& to) {
    if (_setjmp(from) == 0) _longjmp(to, 1);
  }

  static void fiber_main() {
    engine& self = *now();
    fiber& mine = self.fibers_[self.starting_];
    if (_setjmp(mine.context) == 0) _longjmp(self.outside_, 1);
    for (;;) {
      (*mine.body)();
      mine.done = true;
      self.reschedule(false);
    }
  }

  void start(fiber& which) {
    which.started = true;
    which.stack = std::make_unique<std::byte[]>(stack_bytes);
    starting_ = static_cast<std::size_t>(&which - fibers_.data());
    ucontext_t unused;
    ucontext_t entry;
    getcontext(&entry);
    entry.uc_stack.ss_sp = which.stack.get();
    entry.uc_stack.ss_size = stack_bytes;
    entry.uc_link = nullptr;
    makecontext(&entry, &engine::fiber_main, 0);
    if (_setjmp(outside_) == 0) swapcontext(&unused, &entry);
  }

  std::array<fiber, max_threads> fibers_;
  jmp_buf outside_;
  std::size_t count_ = 0;
  std::size_t current_ = 0;
  std::size_t starting_ = 0;
  bool inside_ = false;
  std::vector<choice> trail_;
  std::size_t position_ = 0;
  int preemptions_ = 0;
  const int allowed_preemptions_;
  std::uint32_t steps_ = 0;
  std::string failure_;
  std::map<const void*, clock> locks_;
};

inline void check(bool holds, const std::string& otherwise) {
  if (!holds) engine::now()->fail(otherwise);
}

/// Searches with a rising bound until it is reached, the time is over, or a run fails.
inline outcome explore(const std::function<program()>& build, limits within) {
  outcome result;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(within.seconds);
  for (int bound = 0; bound <= within.preemptions; ++bound) {
    engine search(bound);
    engine::now() = &search;
    do {
      ++result.runs;
      if (!search.run(build())) {
        result.failure = search.failure() + " (" + std::to_string(bound) + " preemptions)";
        return result;
      }
      if (result.runs % 256 == 0 && std::chrono::steady_clock::now() > end) return result;
    } while (search.advance());
    result.complete = bound;
  }
  return result;
}

/// What basic_atomic does with the orders it is given: mutants weaken them.
struct orders_as_written {
  static constexpr std::memory_order load(std::memory_order order) { return order; }

  static constexpr std::memory_order store(std::memory_order order) { return order; }

  static constexpr std::memory_order update(std::memory_order order) { return order; }
};

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

  basic_atomic(const basic_atomic&) = delete;
  basic_atomic& operator=(const basic_atomic&) = delete;

  T load(std::memory_order order) const {
    const std::memory_order effective = Orders::load(order);
    enter();
    if (!engine::now()->inside()) return values_.back().value;
    const std::size_t options = limited(values_.size() - oldest(effective));
    return read(values_.size() - 1 - pick(options), effective);
  }

  void store(T value, std::memory_order order) {
    enter();
    append(value, Orders::store(order), {});
  }

  T exchange(T value, std::memory_order order) {
    return update([&](T) { return value; }, order);
  }

  T fetch_add(T operand, std::memory_order order) {
    return update([&](T old) { return static_cast<T>(old + operand); }, order);
  }

  T fetch_sub(T operand, std::memory_order order) {
    return update([&](T old) { return static_cast<T>(old - operand); }, order);
  }

  T fetch_or(T operand, std::memory_order order) {
    return update([&](T old) { return static_cast<T>(old | operand); }, order);
  }

  T fetch_and(T operand, std::memory_order order) {
    return update([&](T old) { return static_cast<T>(old & operand); }, order);
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
    const std::memory_order on_success = Orders::update(success);
    const std::memory_order on_failure = Orders::load(failure);
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

  /// Not an access: for `finally`.
  T newest() const { return values_.back().value; }

 private:
  struct entry {
    T value;
    clock released;  // what an acquiring reader learns
    clock stored;    // when the store was made
  };

  static constexpr std::uint8_t max_stale = 2;

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
    if (engine::now()->inside() && !happens_before(values_.front().stored, engine::now()->thread_clock())) {
      engine::now()->fail("an atomic is used by a thread that cannot know it has been constructed");
    }
  }

  std::size_t oldest(std::memory_order order) const {
    std::size_t first = seen_[engine::now()->thread()];
    for (std::size_t i = values_.size(); i-- > first;) {
      if (happens_before(values_[i].stored, engine::now()->thread_clock())) first = i;
    }
    return order == std::memory_order::seq_cst ? std::max(first, sequential_) : first;
  }

  std::size_t limited(std::size_t options) const {
    return stale_[engine::now()->thread()] < max_stale ? options : std::min<std::size_t>(options, 1);
  }

  /// 0 is the newest.
  std::size_t pick(std::size_t options) const {
    const std::size_t picked = engine::now()->choose(options);
    std::uint8_t& stale = stale_[engine::now()->thread()];
    stale = picked == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(stale + 1);
    return picked;
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
    values_.push_back({value, released, stored});
  }

  template <typename Change>
  T update(Change change, std::memory_order order) {
    const std::memory_order effective = Orders::update(order);
    enter();
    const std::size_t newest = values_.size() - 1;
    const T old = read(newest, effective);
    append(change(old), effective, values_[newest].released);
    return old;
  }

  std::vector<entry> values_;
  mutable std::array<std::size_t, max_threads> seen_{};
  mutable std::array<std::uint8_t, max_threads> stale_{};
  mutable std::size_t sequential_ = 0;  // no seq_cst load may read below it
};

template <typename T>
using atomic = basic_atomic<T>;

/// Stands for os::guard.
class guard {
 public:
  explicit guard(std::uint32_t& word) : word_(word) {
    engine& world = *engine::now();
    world.wait_for_zero(word);
    word = 1;
    if (world.inside()) join(world.thread_clock(), world.lock_clock(&word));
  }

  ~guard() {
    engine& world = *engine::now();
    world.step();
    word_ = 0;
    if (world.inside()) world.lock_clock(&word_) = world.tick();
  }

  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;

 private:
  std::uint32_t& word_;
};

}  // namespace weft::model
