#pragma once

// resume_on: a routine goes to a thread of the blocking pool, and back to the workers.

#include <weft/detail/blocking_job.hpp>

namespace weft {

namespace detail {

struct blocking_pool_tag {
  explicit constexpr blocking_pool_tag() = default;
};

struct workers_tag {
  explicit constexpr workers_tag() = default;
};

struct pool_hop : sched::blocking_job {
  wait_end how = wait_end::pending;
  std::exception_ptr refused;  // no thread could be had
};

}  // namespace detail

/// For resume_on(): the threads that may block.
inline constexpr detail::blocking_pool_tag blocking_pool{};
/// For resume_on(): the threads that run routines.
inline constexpr detail::workers_tag workers{};

/// What resume_on(blocking_pool) returns.
class [[nodiscard("co_await it")]] to_blocking_pool_op : public detail::op_base {
 public:
  to_blocking_pool_op() noexcept {}
  to_blocking_pool_op(const to_blocking_pool_op&) = delete;
  to_blocking_pool_op& operator=(const to_blocking_pool_op&) = delete;

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  WEFT_API void finish(detail::waiter & w);

 private:
  detail::pool_hop hop_;
};

/// What resume_on(workers) returns.
class [[nodiscard("co_await it")]] to_workers_op : public detail::op_base {
 public:
  to_workers_op() noexcept {}

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  WEFT_API void finish(detail::waiter & w);

 private:
  bool moves_ = false;
};

/// The routine goes on on a thread of the blocking pool, where it may block, and lives there from now on:
/// whatever it waits for, it is resumed on a thread of the pool - until it awaits resume_on(workers).
///
/// It alone moves.  What it co_awaits runs where it is; children of all() live on the pool, too, each on a
/// thread of its own; what it starts by go() starts on the workers.  While it waits it takes no thread.
/// block_on_io() calls its function in place there.  Who is there already stays.  Suspends until a thread
/// is free; first in, first out with what else waits for one.
///
/// A coroutine of a type that weft does not know is resumed on the pool once: the next operation of weft
/// that it waits for resumes it on the workers.  On a thread, by blocking::wait(), it is misuse.
///
/// Cancellation reaches it until a thread has it: `throws cancelled`, and the routine is where it was.
///
/// \throws std::system_error  if the pool has no thread and none can be had; the routine is where it was
///
/// If all threads of the pool have ended while the routine waited, and none can be had when it is woken, its
/// next turn runs on a worker, for which a spare stands in if there is one.
///
/// \par Order  What happened before resume_on happens before what follows it.
///
/// \par Cost   A thread switch (some 20 us).  One there and one back for any number of blocking calls.
inline to_blocking_pool_op resume_on(detail::blocking_pool_tag /*to*/) noexcept {
  return {};
}

/// The routine goes on on a worker of its runtime - in manual mode in the host's poll() - and lives on the
/// workers again.
///
/// Who is there already stays, if it is a routine.  A coroutine of a type that weft does not know is resumed
/// on a worker of the current runtime, on a foreign thread on one of the global runtime's.  On a thread, by
/// blocking::wait(), it is misuse.
///
/// Suspends; fails in no way.  A cancelled routine comes back to a worker all the same: `throws cancelled`
/// there.
///
/// \par Order  What happened before resume_on happens before what follows it.
///
/// \par Cost   A thread switch (some 20 us).
inline to_workers_op resume_on(detail::workers_tag /*to*/) noexcept {
  return {};
}

}  // namespace weft
