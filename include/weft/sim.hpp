#pragma once

// sim: runs a program in virtual time and with a seeded schedule; for tests.

#include <weft/config.hpp>
#include <weft/go.hpp>

#include <cstdint>
#include <source_location>
#include <stdexcept>  // std::string
#include <type_traits>

namespace weft::sim {

/// What a run came to.
struct result {
  bool ok = false;         ///< it returned, and left nothing behind
  std::uint64_t hash = 0;  ///< of what ran when; the same for the same seed, compiler and machine regardless
  std::string report;      ///< what went wrong; empty if ok
};

namespace detail {
WEFT_API result run(std::uint64_t seed, void (*program)(void*), void* context);
}

/// Runs `f()` to its end and returns when nothing of it is left.  `f` is plain or returns a routine.
///
/// Inside, one thread runs at a time and the seed decides which, at every operation of weft: the same seed is
/// the same run.  Time is virtual: it stands still while something can run, then goes on to the next
/// deadline.  go() uses a runtime of the run's own with two workers; f may make others.
///
/// Not ok, and a report, if f throws, if an exception is joined by nobody, if routines are left when f has
/// returned and no more can run, and on a deadlock: nothing can run and no time limit is pending.  Then
/// every wait is cancelled, so that f comes to its end.
///
/// Only what is done through weft is simulated.  Not so: other clocks and random numbers, std::mutex and
/// system calls (a thread that waits in one stops the run), threads that weft did not start, and objects
/// shared with code outside of the run.
///
/// \throws std::system_error if the first thread cannot be had
template <typename F>
result run(std::uint64_t seed, F&& f, std::source_location at = std::source_location::current()) {
  struct call {
    std::remove_reference_t<F>* f;
    std::source_location at;
  };

  call what{&f, at};
  const auto program = [](void* context) {
    auto& [call_of, where] = *static_cast<call*>(context);
    if constexpr (weft::detail::is_routine<std::invoke_result_t<std::remove_reference_t<F>&>>) {
      (void)weft::detail::go_here(where, spawn_options{.name = "main"}, (*call_of)()).join();
    } else {
      (void)(*call_of)();
    }
  };
  return detail::run(seed, program, &what);
}

}  // namespace weft::sim
