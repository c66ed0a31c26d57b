#pragma once

// A small model checker: runs a program of two to four threads through all its interleavings, up to a number
// of preemptions, and lets every load return every value that C++20 allows it (as far as noted below).
//
// Use
//   using queue = run_queue<int, 2, model::atomic>;           the code under test, on modelled atomics:
//   model_atomic.hpp auto result = model::explore([] {                          called once per run: builds a
//   fresh world
//     auto world = std::make_shared<my_world>();
//     return model::program{{[=] { ... }, [=] { ... }}, [=] { model::check(world->taken == 1, "lost"); }};
//   }, {.preemptions = 3, .seconds = 2});
//   REQUIRE(result.failure == "");
//
// A program whose threads sleep for good at its end gives `when_all_sleep`: it looks whether they may, and
// wakes them.
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
#include <cstdio>
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
  std::function<void()> finally = {};         // runs after all threads, sees everything
  std::function<bool()> when_all_sleep = {};  // no thread can go on; true: now some can
};

struct limits {
  int preemptions = 3;
  double seconds = 3;             // then the search ends, but for
  int at_least = 0;               // so many preemptions, which a slow machine sees too
  bool old_values_count = false;  // as preemptions: for programs that are too big otherwise
  int first = 0;                  // the bound that the search begins with
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

  explicit engine(int preemptions, bool old_values_count = false)
      : allowed_preemptions_(preemptions), old_values_count_(old_values_count) {}

  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// One run.  False: it failed.
  bool run(const program& what) {
    position_ = 0;
    preemptions_ = 0;
    steps_ = 0;
    stores_ = 0;
    barrier_ = 0;
    locks_.clear();
    count_ = what.threads.size();
    when_all_sleep_ = what.when_all_sleep;
    for (std::size_t i = 0; i < count_; ++i) {
      fiber& each = fibers_[i];
      each.body = &what.threads[i];
      each.blocked_on = nullptr;
      each.asleep = 0;
      each.polls = false;
      each.behind = false;
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
    attached_.clear();
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

  /// The body of a loop that polls: goes on when another thread has stored something.
  void pause() {
    fiber& mine = fibers_[current_];
    if (++steps_ > max_steps) fail("livelock: a thread goes on for ever");
    if (std::exchange(mine.behind, false))
      return reschedule(false);  // what it waits for may be there already
    mine.polls = true;
    wait_for_wake(nullptr);
    mine.polls = false;
  }

  /// The running thread has read an old value.
  void fell_behind() {
    fibers_[current_].behind = true;
    if (old_values_count_) ++preemptions_;
  }

  bool may_fall_behind() const { return !old_values_count_ || preemptions_ < allowed_preemptions_; }

  /// A store was made.
  void changed() {
    for (fiber& each : fibers_) {
      if (each.polls) each.asleep = 0;
    }
  }

  /// Sleeps until wake() of the same address.
  void wait_for_wake(const void* address) {
    fiber& mine = fibers_[current_];
    mine.address = address;
    mine.asleep = 1;
    mine.blocked_on = &mine.asleep;
    reschedule(false);
    mine.blocked_on = nullptr;
    mine.address = nullptr;
  }

  /// As wait_for_wake(), but may end by itself at any time: then false.
  bool wait_a_while(const void* address) {
    fiber& mine = fibers_[current_];
    mine.address = address;
    mine.asleep = 1;
    reschedule(false);
    mine.address = nullptr;
    return mine.asleep == 0;
  }

  void wake(const void* address, std::size_t at_most = max_threads) {
    for (fiber& each : fibers_) {
      if (at_most == 0 || each.address != address || each.asleep == 0) continue;
      each.asleep = 0;
      --at_most;
    }
  }

  /// What belongs to an address for the time of one run.
  template <typename T, typename... Args>
  T& at(const void* address, Args... args) {
    std::shared_ptr<void>& found = attached_[address];
    if (found == nullptr) found = std::make_shared<T>(args...);
    return *static_cast<T*>(found.get());
  }

  bool inside() const { return inside_; }

  std::size_t thread() const { return current_; }

  clock& thread_clock() { return fibers_[current_].clock; }

  /// A new event of the running thread.
  const clock& tick() {
    ++thread_clock()[current_];
    return thread_clock();
  }

  std::size_t next_store() { return ++stores_; }

  /// How many stores had been made when a thread last made all others pass a barrier.
  std::size_t barrier() const { return barrier_; }

  void pass_barrier() { barrier_ = stores_; }

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
    const void* address = nullptr;  // what it sleeps on
    std::uint32_t asleep = 0;
    bool polls = false;
    bool behind = false;
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

  using candidates = std::array<std::size_t, max_threads>;

  std::size_t find_candidates(bool can_stay, candidates& found) const {
    std::size_t count = 0;
    if (can_stay) found[count++] = current_;
    for (std::size_t i = 0; i < count_ && (!can_stay || preemptions_ < allowed_preemptions_); ++i) {
      if ((!can_stay || i != current_) && runnable(i)) found[count++] = i;
    }
    return count;
  }

  bool all_done() const {
    return std::all_of(fibers_.begin(), fibers_.begin() + static_cast<std::ptrdiff_t>(count_),
                       [](const fiber& each) { return each.done; });
  }

  /// Goes on with a thread that can, or leaves the run if none can or it has failed.
  void reschedule(bool can_stay) {
    candidates found{};
    std::size_t count = find_candidates(can_stay, found);
    if (count == 0 && !all_done()) {
      inside_ = false;
      const bool some_can = when_all_sleep_ && when_all_sleep_();
      inside_ = true;
      if (some_can) count = find_candidates(can_stay, found);
      if (count == 0) fail("deadlock");
    }
    const std::size_t from = current_;
    if (count == 0 || !failure_.empty()) return jump(fibers_[from].context, outside_);
    current_ = found[choose(count)];
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
  std::size_t stores_ = 0;
  std::size_t barrier_ = 0;
  int preemptions_ = 0;
  const int allowed_preemptions_;
  const bool old_values_count_;
  std::uint32_t steps_ = 0;
  std::string failure_;
  std::map<const void*, clock> locks_;
  std::map<const void*, std::shared_ptr<void>> attached_;
  std::function<bool()> when_all_sleep_;
};

inline void check(bool holds, const std::string& otherwise) {
  if (!holds) engine::now()->fail(otherwise);
}

/// What a process has searched; told at its end if WEFT_MODEL_REPORT is set.
struct tally {
  std::uint64_t runs = 0, cases = 0, mutants = 0;

  static tally& all() {
    static tally the;
    return the;
  }

  tally() = default;
  tally(const tally&) = delete;
  tally& operator=(const tally&) = delete;

  ~tally() {
    if (std::getenv("WEFT_MODEL_REPORT") == nullptr) return;
    std::fprintf(stderr, "model: %llu executions in %llu searches, %llu mutants caught\n",
                 static_cast<unsigned long long>(runs), static_cast<unsigned long long>(cases),
                 static_cast<unsigned long long>(mutants));
  }
};

/// Searches with a rising bound until that is reached, the time is over, or a run fails.
inline outcome explore(const std::function<program()>& build, limits within) {
  outcome result;
  ++tally::all().cases;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(within.seconds);
  for (int bound = within.first; bound <= within.preemptions; ++bound) {
    engine search(bound, within.old_values_count);
    engine::now() = &search;
    do {
      ++result.runs;
      ++tally::all().runs;
      if (!search.run(build())) {
        result.failure = search.failure() + " (" + std::to_string(bound) + " preemptions)";
        return result;
      }
      if (bound > within.at_least && result.runs % 256 == 0 && std::chrono::steady_clock::now() > end)
        return result;
    } while (search.advance());
    result.complete = bound;
  }
  return result;
}

}  // namespace weft::model
