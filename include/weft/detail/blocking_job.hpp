#pragma once

// One call for the blocking pool, and the waiter it is made for.  Functions in lib/.

#include <weft/detail/operation.hpp>

namespace weft::sched {

class blocking_pool;

/// Lives in the caller's frame or stack until `run` has been called or the job was taken back.
struct blocking_job {
  blocking_job* next = nullptr;
  blocking_job* prev = nullptr;
  bool linked = false;
  std::uint64_t number = 0;   // the pool's count of jobs: another may come to stand at the same address
  std::uint64_t routine = 0;  // its id, for dumps
  /// Under the pool's lock: may the call begin?  False: it was cancelled; its owner takes it back.
  bool (*begin)(blocking_job& self) noexcept = nullptr;
  void (*run)(blocking_job& self) noexcept = nullptr;
};

}  // namespace weft::sched

namespace weft::detail {

struct pool_call : sched::blocking_job {
  waiter* party = nullptr;
  void (*call)(pool_call& self) noexcept =
      nullptr;  // runs the user's function, keeps what it gives or throws
  wait_end how = wait_end::pending;
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
