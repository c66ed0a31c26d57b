#pragma once

// waiting_line: a lock and a queue of waiters, first in first out; what events, mutexes, semaphores and wait
// groups are made of.  Functions in lib/core/waiting_line.cpp.

#include <weft/detail/operation.hpp>
#include <weft/detail/waiter.hpp>

#include <cstdint>

namespace weft::detail {

struct waiting_line {
  std::uint32_t lock = 0;
  wait_queue queue;

  waiting_line() noexcept = default;
  waiting_line(const waiting_line&) = delete;
  waiting_line& operator=(const waiting_line&) = delete;
};

/// One wait in a line.  `object` is what a dump shows.
struct line_wait {
  void* object;
  waiting_line* line;
  wait_end how = wait_end::pending;
};

/// Resumed in the place of a coroutine, to look before that goes on: begins as a coroutine's frame does.
struct second_look {
  void (*resume)(void* self) = nullptr;
  void (*destroy)(void* self) = nullptr;  // never called
  void* frame = nullptr;                  // of the coroutine
  waiter* who = nullptr;
};

/// A wait in a line for what only one can have: nobody yields who has just got it
/// (lib/core/waiting_line.hpp).
struct looking_wait : line_wait, second_look {
  bool called = false;  // was woken to look, not served
};

[[noreturn]] WEFT_API void misuse_negative_count() noexcept;

/// A number of permits or of things to do that is added to another.
inline std::uint64_t checked_count(std::uint64_t now, std::uint64_t more) noexcept {
  constexpr std::uint64_t most = INT64_MAX;  // -1 becomes more than that
  if (more > most || now > most - more) [[unlikely]]
    misuse_negative_count();
  return now + more;
}

/// After the wait: withdraws if it was not served; throws if it was cancelled.
WEFT_API void finish_line_wait(line_wait& wait, waiter& w);

}  // namespace weft::detail
