#pragma once

// The one seam to the outside: clock, chance, sleeping, threads.  The simulator replaces it with virtual
// time, a seeded schedule and one running thread; everything above runs the same code on both.
//
// A thread's port is a thread_local, inherited by the threads it starts; without one it is the real port.
//
// Contract of wait() and wake(), that of the futex
//   wait   sleeps only if word == expected at the moment it would fall asleep, atomically against wake().
//          It may return early for no reason: the caller looks at its own word again and decides.
//   wake   uses the address alone.  The waker's last access to the object was the store before it, and the
//          object may be gone; so a wake may also hit a stranger that reuses the address, which then returns
//          for no reason.
//
// Source: futex(2); FoundationDB's simulator for the idea of one seam.
// Rejected: a template parameter (the whole of lib/ twice, or in headers); a replacement at link time (the
//           simulator could not run beside real runtimes in one process).

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>

#include "base/own_line.hpp"

namespace weft::os {

using nanos = std::int64_t;  // steady clock, ns

/// A deadline that never passes.
inline constexpr nanos never = std::numeric_limits<nanos>::max();

/// A duration that may be added to any clock, and does not end (146 years).
inline constexpr nanos no_limit = never / 2;

using thread_entry = void (*)(void*);

struct thread_id {
  std::uintptr_t value = 0;  // 0: no thread
};

class port {
 public:
  virtual ~port();

  /// CLOCK_MONOTONIC.
  virtual nanos now() noexcept = 0;

  /// 64 bits to seed a generator with.
  virtual std::uint64_t random() noexcept = 0;

  virtual bool simulated() const noexcept = 0;

  /// Blocks the thread while `word` == `expected`; false only when `deadline` has passed.
  virtual bool wait(const std::uint32_t& word, std::uint32_t expected, nanos deadline) noexcept = 0;

  /// Ends at most `count` waits on the address of `word`, which is never read.
  virtual void wake(const std::uint32_t& word, int count) noexcept = 0;

  /// Starts a thread that runs `entry(argument)`; each is joined once.  `name` is copied, cut to 15
  /// characters. Throws std::system_error (EAGAIN: no more threads), std::bad_alloc.
  virtual thread_id start(thread_entry entry, void* argument, const char* name) = 0;

  virtual void join(thread_id) noexcept = 0;

  /// Lets another thread run, in a spin that somebody else must end.
  virtual void give_way() noexcept;

  /// How many workers a runtime has that does not say.  Throws std::bad_alloc.
  virtual unsigned cpus();

  // --- for a simulator; on the real port these do nothing, and give 0 or false ---

  /// Which of `n` that are ready goes first: routines, or the cases of a select.  `ids` are the routines',
  /// null for cases.
  virtual std::size_t pick(std::size_t n, const std::uint64_t* ids) noexcept;

  /// Below `n`, and of less weight: how long a turn is, whether a wake is worth it.
  virtual std::size_t draw(std::size_t n) noexcept;

  /// Whether an allocation is to fail.
  virtual bool allocation_fails() noexcept;

  /// Whether allocations are spared from now on; gives what was.
  virtual bool spare_allocations(bool) noexcept;

  /// Before what others can see, and after somebody was woken or started: the run may go on on another
  /// thread. The caller holds no lock of weft's.
  virtual void step(bool woke) noexcept;

  /// What has been decided or has happened, for the trace.
  virtual void note(std::uint64_t what) noexcept;

  /// wait() in a facade call; `party` is the thread's own waiter, null if a routine's stands for it.
  virtual bool wait_as(const void* party, const std::uint32_t& word, std::uint32_t expected,
                       nanos deadline) noexcept;

  /// The run has come to an end early: facade calls that would wait are cancelled.
  virtual bool over() const noexcept;

  /// What a floor above keeps for all threads of this port (core/simulation.hpp); null on the real one.
  virtual void* above() noexcept;

 protected:
  port() = default;
  port(const port&) = default;
  port& operator=(const port&) = default;
};

/// Throws what port::start() throws.
[[noreturn]] void refuse_thread(int error);

/// The operating system's.  Never destroyed: static destructors may still use it.
port& real_port() noexcept;

/// The calling thread's.  Do not keep the reference across a suspension: the routine may wake on another
/// thread.
port& current_port() noexcept;

/// Sets the calling thread's port; null is the real one.
void set_current_port(port*) noexcept;

/// give_way() of the calling thread's port.
void give_way() noexcept;

/// The kernel's number of the calling thread, for dumps.
int thread_number() noexcept;

/// This thread, and those that it starts, run on the processor that it is on; where that is refused, nothing
/// happens.
void stay_on_this_cpu() noexcept;

/// The one that main() was called on.
bool is_main_thread() noexcept;

/// Simulated runs in this process.  A plain word and no thread_local: a real run pays for step() one load and
/// one branch that is never taken.
inline constinit base::own_line<std::atomic<std::uint32_t>> simulated_runs{0};

/// Every operation of weft that others can see begins with this; one that wakes or starts somebody ends with
/// it, too.
inline void step(bool woke = false) noexcept {
  // relaxed: a thread of a simulated run was started after the count went up
  if (simulated_runs.load(std::memory_order_relaxed) != 0) [[unlikely]]
    current_port().step(woke);
}

/// Some thread may be simulated: who leaves out a step must ask.
inline bool may_be_simulated() noexcept {
  return simulated_runs.load(std::memory_order_relaxed) != 0;  // relaxed: see step()
}

/// A decision that no thread switch shows, for the trace of a simulated run.
inline void note(std::uint64_t what) noexcept {
  if (simulated_runs.load(std::memory_order_relaxed) != 0) [[unlikely]]  // relaxed: see step()
    current_port().note(what);
}

/// Which of `n` cases is looked at first, if it is a simulated run that looks; else 0.
inline std::size_t pick_case(std::size_t n) noexcept {
  if (simulated_runs.load(std::memory_order_relaxed) == 0) [[likely]]  // relaxed: see step()
    return 0;
  return current_port().pick(n, nullptr);
}

/// In a simulated run that wants it: an allocation fails here.  May be called with locks held.
inline bool allocation_fails() noexcept {
  return simulated_runs.load(std::memory_order_relaxed) != 0 &&  // relaxed: see step()
         current_port().allocation_fails();
}

/// Before memory is taken from elsewhere than the pool of frames, which asks itself.
inline void may_fail() {
  if (allocation_fails()) [[unlikely]]
    throw std::bad_alloc();
}

/// As long as it lives no allocation fails by a simulated run: one that a run needs or not by what earlier
/// runs have left, or that has asked already.
class spared_allocations {
 public:
  // relaxed: see step()
  spared_allocations() noexcept
      : of_(simulated_runs.load(std::memory_order_relaxed) == 0 ? nullptr : &current_port()),
        before_(of_ != nullptr && of_->spare_allocations(true)) {}

  spared_allocations(const spared_allocations&) = delete;
  spared_allocations& operator=(const spared_allocations&) = delete;

  ~spared_allocations() {
    if (of_ != nullptr) of_->spare_allocations(before_);
  }

 private:
  port* const of_;
  const bool before_;
};

/// For tests: real_port() starts `successes` more threads, then fails once with EAGAIN.  Negative switches it
/// off.
void fail_thread_start_after(int successes) noexcept;

}  // namespace weft::os
