#pragma once

// Finds out that nothing in this process will ever wake a routine again, where that is certain.
//
// It is certain if every thread of the process is one of these, all at the same moment: a worker that is
// listed idle (with no queue, timer or job left anywhere), a spare, an idle thread of a pool, a sleeping
// monitor, or a thread in a wait of ours without a deadline.  One thread more - a foreign one that computes,
// reads a descriptor, waits for a signal - and somebody may still come: nothing is said.  So there are no
// false alarms and no option to turn it off.
//
// Two looks with the same result in between which no tick and no claim word has changed make it one moment (a
// double collect: sequence numbers and ticks only grow).
//
// Who looks: a thread that has slept for a millisecond in a wait without a deadline, once, and a monitor that
// goes to sleep.  Nobody wakes for it, so an idle runtime stays silent.
//
// Source: Go's checkdead, which cannot be certain with cgo or a poller and is switched off there;
// golang/go#61454 (a
//         false alarm because a count was lowered before the routine was ready) is why there are two looks.

#include <weft/detail/waiter.hpp>

#include <cstdint>

namespace weft::sched {

class scheduler;

/// A thread that sleeps while the claim word at `word` is `value`.  Lives on its stack.
struct sleeping_party {
  const std::uint64_t* word;
  std::uint64_t value;
  std::uint64_t ignored;        // bits of the word that may change
  const detail::waiter* alone;  // if the thread waits for itself; null: for the routine that runs on it
  int thread;
  sleeping_party* prev = nullptr;
  sleeping_party* next = nullptr;
};

void enlist(sleeping_party& p) noexcept;
void delist(sleeping_party& p) noexcept;

void add_runtime(scheduler& s) noexcept;
void remove_runtime(scheduler& s) noexcept;

/// Calls the reporter with every runtime if all is asleep, once until something has run again.
void look_for_deadlock() noexcept;

/// Everything that sleeps; both lists are locked.
struct sleepers {
  scheduler* runtimes;  // by next_runtime
  const sleeping_party* parties;
};

using deadlock_reporter = void (*)(const sleepers& all) noexcept;
/// Gives the one before.  Any thread.
deadlock_reporter set_deadlock_reporter(deadlock_reporter r) noexcept;

/// What one runtime adds to a look.
struct stillness {
  bool still = true;
  unsigned threads = 0;  // of the runtime, asleep for good; those in waits of ours are listed by themselves
  std::uint64_t ticks = 0;
};

}  // namespace weft::sched
