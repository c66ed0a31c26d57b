#pragma once

// blocking_pool: threads for calls that block.  Grows when a job comes and no thread is idle, up to a
// maximum; further jobs queue; idle threads end after a while.  Nothing in it polls.
//
// Invariants (all under lock_)
//   1. A thread is idle only if the queue is empty.
//   2. counted_ is the number of threads that take jobs; one that waits in a facade call is not counted
//   meanwhile.
//   3. A job is begun under the lock: whoever wants it back (a cancelled routine) either finds it linked or
//   it has begun.
//
// Source: Tokio's blocking pool; its bugs (#8406: scheduler threads counted as pool threads; a job orphaned
// when
//         pthread_create fails) are why 2 and the failure rule of submit() are spelled out.

#include <weft/detail/blocking_job.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "os/port.hpp"

namespace weft::sched {

class scheduler;

/// A call that runs on a pool thread, for whoever stops the runtime.
struct running_call {
  running_call* prev = nullptr;
  running_call* next = nullptr;
  /// Under the pool's lock: claims; nobody is woken before the lock is given up.
  void (*cancel)(running_call& self, void* winners) noexcept = nullptr;
};

class blocking_pool {
 public:
  explicit blocking_pool(scheduler& home) noexcept : home_(&home) {}

  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;

  scheduler& home() const noexcept { return *home_; }

  /// Queues the job and sees to it that a thread will take it.  Throws std::system_error only if no thread
  /// takes jobs and none can be had, and `stopped` after close(); then the job is not queued.
  void submit(blocking_job& job) { (void)submit(job, &always, &always); }

  /// Of a job whose owner waits for it and may be cancelled, after which it takes the job back.  Both under
  /// the pool's lock: waits() begins the wait - false: nothing is queued, and so says the result -; refused()
  /// ends it before submit() throws - false: it has ended otherwise, and nothing is thrown.
  bool submit(blocking_job& job, bool (*waits)(blocking_job&) noexcept,
              bool (*refused)(blocking_job&) noexcept);
  /// True if the job was still queued: it is no longer, and will not run.  Else it has begun or its begin()
  /// failed.
  bool take_back(blocking_job& job) noexcept;

  /// A pool thread is about to wait in a facade call / has come back.  Nested calls are part of the first.
  /// Throws std::system_error if jobs are queued, this was the last thread that took any and no other can be
  /// had.
  void begin_wait();
  void end_wait() noexcept;

  /// Between the two, cancel_running() calls `call.cancel`.
  void enter(running_call& call) noexcept;
  void leave(running_call& call) noexcept;
  void cancel_running(void* winners) noexcept;

  /// Ends the idle threads and waits for all.  Nothing is submitted any more.
  void close() noexcept;

  std::size_t threads() const noexcept;

  static constexpr unsigned not_still = ~0U;
  /// Threads that sleep without a job; those in facade calls are not among them.  not_still: jobs are queued.
  unsigned idle_threads() const noexcept;
  std::size_t queued() const noexcept;
  std::uint64_t jobs() const noexcept;

  struct busy_thread {
    int number;             // the kernel's
    std::uint64_t routine;  // for whom it runs a call; 0: for a plain thread or a foreign coroutine
  };

  /// The threads that run calls now, for dumps.
  std::vector<busy_thread> busy() const;

  /// True on a thread of some pool.
  static blocking_pool* of_this_thread() noexcept;

 private:
  struct pool_thread;

  static bool always(blocking_job&) noexcept { return true; }

  struct idle_thread {
    std::uint32_t word = 0;  // 0 sleeps, 1 woken
    idle_thread* below = nullptr;
    bool leaves = false;
  };

  static void run_thread(void* self) noexcept;
  void work(pool_thread& me) noexcept;
  blocking_job* take_job(pool_thread& me, idle_thread& here) noexcept;
  bool rest(idle_thread& me) noexcept;
  void start_thread();
  bool somebody_takes_jobs() const noexcept;
  void wake(idle_thread& t) noexcept;
  void link(blocking_job& job) noexcept;
  void unlink(blocking_job& job) noexcept;

  scheduler* home_;
  mutable std::uint32_t lock_ = 0;
  blocking_job* first_ = nullptr;
  blocking_job* last_ = nullptr;
  std::size_t queued_ = 0;
  std::size_t counted_ = 0;
  std::size_t starting_ = 0;  // of those counted
  std::size_t alive_ = 0;
  std::uint64_t jobs_ = 0;     // the last one's number
  std::uint64_t refused_ = 0;  // of those
  pool_thread* all_ = nullptr;
  running_call* running_ = nullptr;
  idle_thread* idle_ = nullptr;  // the last to fall asleep first: its caches are warm
  bool closing_ = false;
  std::uint32_t all_gone_ = 0;        // futex word: bumped when a thread ends
  std::vector<os::thread_id> ended_;  // to be joined
};

}  // namespace weft::sched
