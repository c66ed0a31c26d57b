#pragma once

// runtime_stats: what runtime::stats() gives.  Counted per worker without synchronisation, summed when asked:
// each figure is right for some recent moment, not all for the same.

#include <cstddef>
#include <cstdint>

namespace weft {

/// A worker was found asleep in a call that nobody had announced (block_on_io, blocking_region), and
/// replaced.
struct unannounced_block {
  std::uint64_t routine = 0;  ///< its id; 0: not known, as of a child of all()
  char name[32] = {};         ///< the beginning of its name
  const char* file = "";      ///< where it was started; the line is 0 if that is not known
  unsigned line = 0;
  unsigned worker = 0;
  const char* call = "";         ///< "read"; empty if the system call has no name here
  long call_number = -1;         ///< -1: it slept in none, or the kernel does not tell
  std::int64_t nanoseconds = 0;  ///< from about when it fell asleep until now, or until its worker went on
};

/// What waits for a runtime's descriptors; none: it has not waited for one yet.
enum class reactor_in_use : unsigned char { none, epoll, io_uring };

struct runtime_stats {
  unsigned workers = 0;  ///< that may run at the same time
  unsigned threads = 0;  ///< alive: workers, spares, blocking pool; none once stop() has returned
  unsigned idle_workers = 0;
  unsigned resting_workers = 0;  ///< fewer that may run now: they would wait for one another's locks
  std::uint64_t spawned = 0;     ///< routines started
  std::uint64_t finished = 0;
  std::uint64_t live = 0;        ///< spawned - finished
  std::uint64_t dispatches = 0;  ///< resumptions (modulo 2^32 per worker)
  std::uint64_t steals = 0;
  std::uint64_t parks = 0;  ///< times a worker found nothing to do
  std::uint64_t wakes = 0;  ///< times one was woken
  std::uint64_t yields = 0;
  std::uint64_t timers_fired = 0;
  std::uint64_t spares = 0;  ///< spare threads ever started for blocked workers
  std::uint64_t monitor_looks = 0;
  unsigned blocked_workers = 0;          ///< in calls that block, announced or found
  std::uint64_t unannounced_blocks = 0;  ///< workers that were found asleep, and replaced
  std::uint64_t blocks_not_replaced =
      0;  ///< times that there was no thread for it: max_threads, or the system's limit
  unannounced_block last_unannounced;       ///< the last of them
  std::size_t blocking_threads = 0;         ///< of the blocking pool, now
  std::size_t blocking_most_threads = 0;    ///< the largest number there ever was
  std::size_t blocking_queued = 0;          ///< calls and routines that wait for one
  std::uint64_t blocking_queue_age_ns = 0;  ///< how long the oldest of those has waited; 0: none waits
  std::uint64_t blocking_jobs = 0;          ///< calls that have begun there, ever
  std::uint64_t migrations_to_pool = 0;     ///< coroutines that resume_on(blocking_pool) has moved
  std::uint64_t migrations_from_pool = 0;   ///< and resume_on(workers) back
  reactor_in_use reactor = reactor_in_use::none;
  int io_uring_error = 0;  ///< why it is epoll where io_uring was wanted: ENOSYS, EPERM, EMFILE, ENOMEM, or
                           ///< EOPNOTSUPP if this kernel's lacks something
};

}  // namespace weft
