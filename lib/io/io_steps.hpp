#pragma once

// The steps of an operation on a descriptor, for those that wake its waiters.

#include <weft/detail/io_wait.hpp>
#include <weft/detail/waiter.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "io/descriptor_words.hpp"

namespace weft::io {

/// A waiter, not a thread, that queues on a descriptor was claimed: before it goes on, the call is tried.
/// `now` is what is known of its direction.
void look_again_first(detail::waiter& w, side_view now) noexcept;

/// Two await one operation, whose state is that of one wait.
[[noreturn]] void misuse_awaited_twice() noexcept;

/// The calling thread is one that weft has started, where SIGPIPE is blocked for good: not that of a host,
/// which is a worker while it polls.
bool is_own_thread() noexcept;

/// One try of an operation's call.
struct io_try {
  detail::io_call call;
  int fd;
  void* data;
  std::size_t size;
  std::size_t done;  // bytes, by earlier tries
  bool again;        // it is not the first
};

/// A try that came too early.  No system error: EAGAIN may also be an answer, as of a local connect().
inline constexpr std::int64_t not_ready = std::numeric_limits<std::int64_t>::min();

/// What the call gives, the system's error below zero, or not_ready.
std::int64_t attempt(const io_try& what) noexcept;

}  // namespace weft::io
