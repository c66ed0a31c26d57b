#pragma once

// blocking_pool: threads for what blocks - calls, and routines that live here (resume_on).  Grows with load,
// up to a maximum; what is more queues; idle threads end after a while.  Nothing in it polls.
//
// Queue: two lists, of jobs and of routines that are ready, each in order of a time stamp that no two have;
// the older head is next, so first in, first out over both.
//
// Growth: who queues something, and who takes something and leaves more behind, calls one thread, unless as
// many as there are processors are on their way already: an idle one, else a new one if there are few
// (`at_once`) or if the oldest in the queue has waited for 1 ms.  If it has not yet, the monitor looks when
// it will have - everybody may be stuck until then.  So a burst of short calls is served by few threads, and
// calls that block get theirs one after the other, each started by the one before.  Without a monitor
// (simulated, manual mode) nobody waits for the millisecond.
//
// Berths: a routine counts on the worker it runs on, so each thread has a private worker, its berth, which no
// thief, timer or parker knows.  What is woken there goes to the inject queue or comes back here.
//
// Invariants (all under lock_)
//   1. A thread is idle only if the queue was empty when it came, and is then woken by who queues.
//   2. counted_ is the number of threads that take jobs, those that are being started included; one that
//   waits in a facade call is not counted meanwhile.
//   3. A job is begun under the lock: whoever wants it back (a cancelled routine) either finds it linked or
//   it has begun.
//   4. Something is queued only if counted_ != 0: who cannot start a thread, and finds that there is none,
//   refuses the jobs and gives the routines to the workers (worker::run_guest).
//
// Source: Tokio's blocking pool; its bugs (#8406: scheduler threads counted as pool threads; a job orphaned
// when
//         pthread_create fails) are why 2 and 4 are spelled out.

#include <weft/detail/blocking_job.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "os/port.hpp"
#include "sched/end_gates.hpp"

namespace weft::sched {

class scheduler;
class worker;
using detail::waiter;

/// A call that runs on a pool thread, for whoever stops the runtime.
struct running_call {
  running_call* prev = nullptr;
  running_call* next = nullptr;
  /// Under the pool's lock: claims; nobody is woken before the lock is given up.
  void (*cancel)(running_call& self, void* winners) noexcept = nullptr;
};

class blocking_pool {
 public:
  explicit blocking_pool(scheduler& home) noexcept;
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  ~blocking_pool();

  scheduler& home() const noexcept { return *home_; }

  /// Queues the job and sees to it that a thread takes it.  If there is none and none can be had, the job is
  /// refused, at once or later.  Under the pool's lock waits() begins its owner's wait - false: nothing is
  /// queued, and so says the result -; who is cancelled afterwards takes the job back.  Throws `stopped`
  /// after close(); then it is not queued.
  bool submit(blocking_job& job, bool (*waits)(blocking_job&) noexcept);
  /// True if the job was still queued: it is no longer, and will not run.  Else it has begun or its begin()
  /// failed.
  bool take_back(blocking_job& job) noexcept;

  /// A routine that lives here is ready.  Asks for no memory; if no thread can be had, a worker runs it.
  void queue(waiter& r) noexcept;
  /// The same for one that is about to start.  Throws std::system_error if no thread can be had.
  void start(waiter& r);

  /// A pool thread is about to wait in a facade call / has come back.  Nested calls are part of the first.
  /// Throws std::system_error if jobs are queued, this was the last thread that took any and no other can be
  /// had; routines are given to the workers then.
  void begin_wait();
  void end_wait() noexcept;

  /// Between the two, cancel_running() calls `call.cancel`.
  void enter(running_call& call) noexcept;
  void leave(running_call& call) noexcept;
  void cancel_running(void* winners) noexcept;

  /// Ends the idle threads and waits for all.  Nothing is submitted any more.
  void close() noexcept;

  // --- the monitor ---

  /// Something is queued that may need another thread soon.
  bool is_watched() const noexcept {
    return watched_.load(std::memory_order_seq_cst);  // M2, pairs with W1: set before the monitor is called
  }

  /// Starts a thread if the oldest has waited for too long.  Gives when to look again, or never.
  os::nanos grow_if_late() noexcept;

  // --- looking ---

  struct figures {
    std::size_t threads, most_threads, queued;
    os::nanos queue_age;
  };

  figures look() const noexcept;

  static constexpr unsigned not_still = ~0U;
  /// Threads that sleep without a job; those in facade calls are not among them.  not_still: jobs are queued.
  unsigned idle_threads() const noexcept;

  struct busy_thread {
    int number;             // the kernel's
    std::uint64_t routine;  // for whom it runs a call; 0: for a plain thread or a foreign coroutine
    bool is_call;           // false: the routine itself runs there
  };

  /// The threads that run something now, for dumps.
  std::vector<busy_thread> busy() const;

  /// Each berth there ever was; any thread.
  template <typename F>
  void for_each_berth(F f) const;

  /// One of the berths?  The pointer may be stale and is not followed.
  bool owns(const detail::worker_face* w) const noexcept;

  counter calls;          // that have begun, of routines that live here, too
  counter arrived, left;  // coroutines that resume_on() has moved here, and away

 private:
  struct pool_thread;

  struct idle_thread {
    std::uint32_t word = 0;  // 0 sleeps, 1 woken
    idle_thread* below = nullptr;
    bool leaves = false;
  };

  /// What a thread does next.
  struct task {
    blocking_job* job = nullptr;
    waiter* routine = nullptr;
  };

  /// Who is called, decided under the lock and done without.
  struct summons {
    idle_thread* wakes = nullptr;
    bool starts = false;
    bool watches = false;
  };

  static void run_thread(void* self) noexcept;
  void work(pool_thread& me) noexcept;
  task take(pool_thread& me, idle_thread& here) noexcept;
  bool take_oldest(pool_thread& me, task& next) noexcept;
  bool rest(pool_thread& me, idle_thread& here) noexcept;

  summons call_another() noexcept;
  void make(summons c) noexcept;
  void give_up(const std::exception_ptr& why) noexcept;
  void count_starting() noexcept;
  void start_thread();
  void count_out(pool_thread& t) noexcept;
  void lose_one() noexcept;
  worker& take_berth();
  void wake(idle_thread& t) noexcept;

  os::nanos stamp() noexcept;
  void link(blocking_job& job) noexcept;
  void unlink(blocking_job& job) noexcept;
  void push(waiter& r) noexcept;
  waiter* pop() noexcept;
  bool take_out(const waiter& r, std::uint64_t id) noexcept;
  os::nanos oldest() const noexcept;

  scheduler* home_;
  const os::nanos patience_;  // how old the oldest in the queue is when the pool grows beyond at_once_
  const std::size_t at_once_, most_called_;
  mutable std::uint32_t lock_ = 0;
  blocking_job* first_ = nullptr;
  blocking_job* last_ = nullptr;
  waiter* first_ready_ = nullptr;
  waiter* last_ready_ = nullptr;  // if there is a first
  os::nanos last_stamp_ = 0;
  std::size_t queued_ = 0;
  std::size_t counted_ = 0;
  std::size_t called_ = 0;  // threads woken or started that have not come to the queue yet
  std::size_t alive_ = 0;
  std::size_t most_alive_ = 0;
  std::atomic<bool> watched_{
      false};  // under the lock; ended by the monitor alone, so that it is called seldom
  pool_thread* all_ = nullptr;
  worker* free_berths_ = nullptr;
  running_call* running_ = nullptr;
  idle_thread* idle_ = nullptr;  // the last to fall asleep first: its caches are warm
  bool closing_ = false;
  std::uint32_t all_gone_ = 0;        // futex word: bumped when a thread ends
  std::vector<os::thread_id> ended_;  // to be joined
  std::atomic<worker*> berths_{nullptr};
};

}  // namespace weft::sched
