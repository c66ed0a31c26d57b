#pragma once

// What waits for a thread of the blocking pool: a call, or a routine that goes there.  Functions in lib/.

#include <weft/detail/operation.hpp>

namespace weft::sched {

class blocking_pool;
struct blocking_job;

/// What a job does.
struct job_kind {
  /// Under the pool's lock: may it begin?  False: it was cancelled; its owner takes it back.
  bool (*begin)(blocking_job& self) noexcept;
  /// On a thread of the pool.  Gives a routine that goes on there, or null; the job may be gone then.
  detail::waiter* (*run)(blocking_job& self) noexcept;
  /// It has begun, and no thread can be had: instead of run(), on any thread.
  void (*refuse)(blocking_job& self, const std::exception_ptr& why) noexcept;
  bool is_call;  // else a coroutine itself comes; for dumps
};

/// Lives in the caller's frame or stack until it has begun or was taken back.
struct blocking_job {
  blocking_job* next = nullptr;
  blocking_job* prev = nullptr;
  std::int64_t since = 0;  // when it was queued; no two in one pool have the same
  const job_kind* kind = nullptr;
  detail::waiter* party = nullptr;
  bool linked = false;
};

}  // namespace weft::sched

namespace weft::detail {

struct pool_call : sched::blocking_job {
  wait_end how = wait_end::pending;
  void (*call)(pool_call& self) noexcept =
      nullptr;                 // runs the user's function, keeps what it gives or throws
  std::exception_ptr refused;  // the pool could not take it
  sched::blocking_pool* pool = nullptr;
  sched::scheduler* kept = nullptr;  // the pool's, if another thread may end that meanwhile
};

WEFT_API bool pool_call_ready(pool_call& c, waiter& w) noexcept;
WEFT_API bool pool_call_park(pool_call& c, waiter& w) noexcept;
/// Throws cancelled if the call has not begun.
WEFT_API void pool_call_finish(pool_call& c, waiter& w);

/// A thread is about to block: on a worker a spare becomes available.  Throws std::system_error past
/// max_threads.
WEFT_API void* begin_blocking();
WEFT_API void end_blocking(void* token) noexcept;

}  // namespace weft::detail
