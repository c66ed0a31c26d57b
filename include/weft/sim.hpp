#pragma once

// sim: runs a program in virtual time and with a seeded schedule, many times or in every order; for tests.

#include <weft/config.hpp>
#include <weft/go.hpp>

#include <cstdint>
#include <source_location>
#include <stdexcept>  // std::string
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::sim {

/// What a run came to.
struct result {
  bool ok = false;          ///< it returned, and left nothing behind
  std::uint64_t hash = 0;   ///< of what ran when; the same for the same seed, compiler and machine regardless
  std::string report;       ///< what went wrong; empty if ok
  std::string schedule;     ///< what replay() needs to come to the same run
  std::uint64_t steps = 0;  ///< operations of weft, and dispatches of routines
};

/// Who goes on wherever that is open.
enum class strategy : std::uint8_t {
  uniform,  ///< anyone, with equal chances; a running thread is interrupted at every eighth operation
  pct,      ///< by priorities drawn from the seed, which are lowered at a few points: finds what needs few
            ///< preemptions, but these at the right places (Burckhardt et al., ASPLOS 2010)
  round_robin,  ///< in turn, after 1 to 8 operations
  mixed,        ///< one of these, by the seed
};

/// How a program is run.  Faults are given as so many of a thousand chances, 0 to 1000.
struct options {
  strategy schedule = strategy::uniform;
  unsigned change_points = 3;            ///< of pct, at most 32
  unsigned workers = 2;                  ///< of a runtime that does not say, as the run's own
  std::uint64_t max_steps = 10'000'000;  ///< a program that takes more is ended with a report; 0: no limit
  unsigned failing_allocations = 0;      ///< of weft's own, and of those that ask allocation_fails()
  unsigned failing_threads = 0;          ///< a thread cannot be had: EAGAIN
  unsigned delayed_wakes = 0;            ///< a thread that is woken stays away until others have run
  unsigned spurious_wakes = 0;  ///< a thread that falls asleep wakes for no reason; not twice in a row

  // Of descriptors and files.
  unsigned short_transfers = 0;  ///< a read or write moves less than it could, but something
  unsigned delays = 0;           ///< of 1 us to 1 s: what is sent over TCP or UDP, a connection, its end, a
                                 ///< call of the file system
  unsigned resets = 0;           ///< of a TCP connection that is read, written or accepted: ECONNRESET, EPIPE
  unsigned no_descriptors = 0;   ///< EMFILE, wherever one is needed
  unsigned no_space = 0;         ///< ENOSPC, where a file is written, made or made longer
  unsigned lost_datagrams = 0;   ///< those that are late are overtaken
};

/// What explore() visits.
struct bounds {
  unsigned preemptions = 2;      ///< a run takes the processor away from a running thread at most so often
  unsigned faults = 1;           ///< and has so many of those that the options ask for, with any number but 0
  std::uint64_t runs = 100'000;  ///< and then it is enough
};

/// What explore() saw.
struct explored {
  bool ok = false;         ///< none of the runs failed
  bool complete = false;   ///< all there is within the bounds was seen; false if a run failed
  std::uint64_t runs = 0;  ///< how many interleavings were seen, each once
  result failure;          ///< the first that failed
};

namespace detail {

struct program {
  void (*call)(void* context);
  void* context;
};

WEFT_API result run(std::uint64_t seed, program, const options&);
WEFT_API result replay(std::string_view schedule, program, const options&);
WEFT_API result for_each_seed(std::uint64_t n, program, const options&);
WEFT_API explored explore(program, const bounds&, const options&);

/// The program runs: from here on faults are its own.
WEFT_API void begin_faults() noexcept;

template <typename F>
struct call {
  F* f;
  std::source_location at;

  static void run(void* context) {
    auto& [f, at] = *static_cast<call*>(context);
    if constexpr (weft::detail::is_routine<std::invoke_result_t<F&>>) {
      auto main = weft::detail::go_here(at, spawn_options{.name = "main"}, (*f)());
      begin_faults();
      (void)std::move(main).join();
    } else {
      begin_faults();
      (void)(*f)();
    }
  }

  operator program() noexcept { return {&run, this}; }
};

}  // namespace detail

/// Runs `f()` to its end and returns when nothing of it is left.  `f` is plain or returns a routine.
///
/// Inside, one thread runs at a time and the seed decides which, at every operation of weft: the same seed is
/// the same run.  Time is virtual: it stands still while something can run, then goes on to the next
/// deadline.  go() uses a runtime of the run's own; f may make others.
///
/// Not ok, and a report, if f throws, if an exception is joined by nobody, if routines are left when f has
/// returned and no more can run, if a sim::thread was not joined, if descriptors are open, on a deadlock -
/// nothing can run and no time limit ends within 146 years - and after `max_steps`.  Then every wait is
/// cancelled, so that f comes to its end.
///
/// Only what is done through weft is simulated.  Not so: other clocks and random numbers, std::mutex and
/// system calls (a thread that waits in one stops the run), threads that weft did not start (use
/// sim::thread), and objects shared with code outside of the run.
///
/// A run has a machine of its own, which is memory: sockets on loopback, TCP, UDP and local ones; pipes; and
/// files, of which there is "/tmp" at the beginning, without links and permissions, with times of the virtual
/// clock.  Its descriptors have numbers from 2^30 on.  Those of the system, processes, signals and passing a
/// descriptor are ENOTSUP.  Nothing takes time but by `options::delays`.
///
/// Prints nothing: what went wrong is in the result.
///
/// \throws std::system_error if the first thread cannot be had
template <typename F>
result run(std::uint64_t seed, F&& f, const options& how = {},
           std::source_location at = std::source_location::current()) {
  detail::call<std::remove_reference_t<F>> what{__builtin_addressof(f), at};
  return detail::run(seed, what, how);
}

/// Runs `f()` once more, in the order that `schedule` says: that of a result, with the same options.
///
/// \throws std::invalid_argument if that is no schedule
template <typename F>
result replay(std::string_view schedule, F&& f, const options& how = {},
              std::source_location at = std::source_location::current()) {
  detail::call<std::remove_reference_t<F>> what{__builtin_addressof(f), at};
  return detail::replay(schedule, what, how);
}

/// Runs `f()` with `n` seeds, 0 and on.  Gives the first result that is not ok, else the last one.
///
/// A run that fails is shrunk: what it decided is taken back piece by piece, as long as it still fails in the
/// same way.  The report of the rest says where its order is not the obvious one, and ends with the line that
/// replays it; both are written to the standard error.
///
/// The environment: WEFT_SIM_REPLAY=schedule runs that one alone; WEFT_SIM_SEEDS=m takes m seeds if that is
/// more.
template <typename F>
result for_each_seed(std::uint64_t n, F&& f, const options& how = {.schedule = strategy::mixed},
                     std::source_location at = std::source_location::current()) {
  detail::call<std::remove_reference_t<F>> what{__builtin_addressof(f), at};
  return detail::for_each_seed(n, what, how);
}

/// Runs `f()` in all orders within `limit`, at the operations of weft: who goes on when a thread waits, which
/// of the ready routines, which of the ready cases of a select, and up to so many preemptions and faults.
/// Ends with the first run that fails; that has fewest preemptions and faults of all, and is shrunk and
/// reported as in for_each_seed().  A run that does not come to what another came to by the same decisions
/// fails, too: something else decides.
///
/// The environment: WEFT_SIM_REPLAY as there; WEFT_SIM_RUNS=m makes m runs if that is more.
///
/// The number of orders grows fast: a few routines with a few operations each are 10^2 to 10^5 runs, of some
/// 0.1 ms each.
///
/// Source: iterative context bounding (Musuvathi and Qadeer, PLDI 2007).
template <typename F>
explored explore(F&& f, const bounds& limit = {}, const options& how = {},
                 std::source_location at = std::source_location::current()) {
  detail::call<std::remove_reference_t<F>> what{__builtin_addressof(f), at};
  return detail::explore(what, limit, how);
}

/// A thread of the run that is none of weft's, in the place of std::thread.  To be joined in the run.
class WEFT_API thread {
 public:
  /// Starts `f()`, which must not throw; but weft::cancelled, which its waits throw when the run is to end,
  /// may leave it.
  ///
  /// \throws std::system_error, std::bad_alloc
  template <typename F>
  explicit thread(F f) : state_(start(&enter<F>, &destroy<F>, new F(std::move(f)))) {}

  thread(const thread&) = delete;
  thread& operator=(const thread&) = delete;

  /// Joins.
  ~thread();

  /// Blocks until it has ended.
  void join() noexcept;

 private:
  struct state;

  template <typename F>
  static void enter(void* f) {
    (*static_cast<F*>(f))();
  }

  template <typename F>
  static void destroy(void* f) noexcept {
    delete static_cast<F*>(f);
  }

  static state* start(void (*enter)(void*), void (*destroy)(void*) noexcept, void* f);

  state* state_;
};

/// 64 bits from the seed of the run that the caller is in, for what a program draws itself; outside of runs
/// from the system.
[[nodiscard]] WEFT_API std::uint64_t random() noexcept;

/// Whether an allocation fails now, by `failing_allocations`: for an operator new of the test program, so
/// that those of the program and of the standard library fail, too.  False outside of runs.
[[nodiscard]] WEFT_API bool allocation_fails() noexcept;

}  // namespace weft::sim
