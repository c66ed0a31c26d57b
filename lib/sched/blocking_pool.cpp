#include "sched/blocking_pool.hpp"

#include <weft/error.hpp>

#include <atomic>
#include <system_error>

#include "os/lock.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

/// What a thread needs beyond the pool: its own id, so that the next one to start can join it; what it does.
struct blocking_pool::pool_thread {
  explicit pool_thread(blocking_pool& of) noexcept : pool(&of) {}

  blocking_pool* pool;
  os::thread_id id{};
  // Under the pool's lock:
  pool_thread* prev = nullptr;
  pool_thread* next = nullptr;
  int number = 0;
  bool busy = false;
  std::uint64_t routine = 0;
};

blocking_pool* blocking_pool::of_this_thread() noexcept {
  return current_pool();
}

void blocking_pool::link(blocking_job& job) noexcept {
  job.next = nullptr;
  job.prev = last_;
  (last_ != nullptr ? last_->next : first_) = &job;
  last_ = &job;
  job.linked = true;
  ++queued_;
}

void blocking_pool::unlink(blocking_job& job) noexcept {
  (job.prev != nullptr ? job.prev->next : first_) = job.next;
  (job.next != nullptr ? job.next->prev : last_) = job.prev;
  job.linked = false;
  --queued_;
}

bool blocking_pool::submit(blocking_job& job, bool (*waits)(blocking_job&) noexcept,
                           bool (*refused)(blocking_job&) noexcept) {
  idle_thread* to_wake = nullptr;
  std::uint64_t number;
  {
    const os::guard hold(lock_);
    if (closing_) throw stopped("weft: the runtime was stopped and its blocking pool takes no new calls");
    if (!waits(job)) return false;
    link(job);
    number = job.number = ++jobs_;
    to_wake = idle_;
    if (to_wake != nullptr) {
      idle_ = to_wake->below;
      to_wake->below = nullptr;
    }
  }
  if (to_wake != nullptr) {
    wake(*to_wake);
    return true;
  }
  try {
    start_thread();
  } catch (...) {
    const os::guard hold(lock_);
    if (somebody_takes_jobs()) return true;
    const blocking_job* at = first_;
    while (at != nullptr && at->number != number) at = at->next;
    if (at == nullptr) return true;  // one has taken it; the job may be gone, and another at its address
    unlink(job);
    if (!refused(job)) return true;
    ++refused_;
    throw;
  }
  return true;
}

void blocking_pool::wake(idle_thread& t) noexcept {
  // Not the thread's stack afterwards: the address alone.
  std::atomic_ref(t.word).store(1, std::memory_order_release);  // R1, pairs with A1
  home_->port().wake(t.word, 1);
}

bool blocking_pool::take_back(blocking_job& job) noexcept {
  const os::guard hold(lock_);
  if (!job.linked) return false;
  unlink(job);
  return true;
}

/// Under the lock.  Not those that wait in facade calls, perhaps for this very job; not those that are about
/// to end; not those that are being started, which may fail.
bool blocking_pool::somebody_takes_jobs() const noexcept {
  return counted_ > starting_;
}

/// One thread more, unless there are enough.  Throws what the port throws.
void blocking_pool::start_thread() {
  os::thread_id ended{};
  {
    const os::guard hold(lock_);
    if (counted_ >= home_->how().max_blocking_threads || closing_) return;
    ended_.reserve(alive_ + ended_.size() + 1);  // first: who is taken out is joined
    if (!ended_.empty()) {
      ended = ended_.back();
      ended_.pop_back();
    }
    ++counted_;
    ++starting_;
    ++alive_;
  }
  if (ended.value != 0) home_->port().join(ended);
  try {
    if (!home_->count_thread()) {
      throw std::system_error(
          std::make_error_code(std::errc::resource_unavailable_try_again),
          "weft: the blocking pool needs one thread more than runtime_options::max_threads");
    }
    auto me = std::make_unique<pool_thread>(*this);
    // The thread reads its id under the lock, so it is stored before.
    const os::guard hold(lock_);
    try {
      me->id = home_->port().start(&run_thread, me.get(), (home_->how().name + "-io").c_str());
    } catch (...) {
      home_->uncount_thread();
      throw;
    }
    (void)me.release();
    --starting_;
  } catch (...) {
    const os::guard hold(lock_);
    --counted_;
    --starting_;
    --alive_;
    throw;
  }
}

void blocking_pool::run_thread(void* p) noexcept {
  const std::unique_ptr<pool_thread> me(static_cast<pool_thread*>(p));
  blocking_pool& pool = *me->pool;
  set_current_pool(&pool);
  {
    const os::guard hold(pool.lock_);
    me->number = os::thread_number();
    me->next = pool.all_;
    if (me->next != nullptr) me->next->prev = me.get();
    pool.all_ = me.get();
  }
  pool.work(*me);
  set_current_pool(nullptr);
  pool.home_->uncount_thread();
  scheduler& home = *pool.home_;
  const std::uint32_t& word = pool.all_gone_;
  {
    const os::guard hold(pool.lock_);
    (me->prev != nullptr ? me->prev->next : pool.all_) = me->next;
    if (me->next != nullptr) me->next->prev = me->prev;
    pool.ended_.push_back(me->id);  // reserved when the thread was made
    --pool.alive_;
    std::atomic_ref(pool.all_gone_).fetch_add(1, std::memory_order_release);  // R2, pairs with A2
    home.port().wake(word, 1);  // under the lock: close() frees the pool after taking it
  }
}

void blocking_pool::work(pool_thread& me) noexcept {
  for (;;) {
    if (home_->frozen()) [[unlikely]]
      home_->rest_for_good(false);
    idle_thread here;
    if (blocking_job* job = take_job(me, here)) {
      job->run(*job);
    } else if (here.leaves || !rest(here)) {
      return;
    }
  }
}

/// The next job that may begin; else the thread is listed as idle, or is to leave.  One or the other under
/// one lock: a job that came in between would be nobody's.
blocking_job* blocking_pool::take_job(pool_thread& me, idle_thread& here) noexcept {
  const os::guard hold(lock_);
  me.busy = false;
  const bool too_many =
      counted_ > home_->how().max_blocking_threads;  // grew while others waited in facade calls
  while (blocking_job* job = too_many ? nullptr : first_) {
    unlink(*job);
    if (!job->begin(*job)) continue;
    me.busy = true;
    me.routine = job->routine;
    return job;
  }
  if (closing_ || too_many) {
    --counted_;
    here.leaves = true;
  } else {
    here.below = idle_;
    idle_ = &here;
  }
  return nullptr;
}

/// Sleeps until there may be a job.  False: this thread is no longer needed.
bool blocking_pool::rest(idle_thread& me) noexcept {
  const os::nanos deadline = home_->port().now() + home_->how().blocking_idle_timeout;
  while (std::atomic_ref(me.word).load(std::memory_order_acquire) == 0) {  // A1, pairs with R1
    if (home_->port().wait(me.word, 0, deadline)) continue;
    const os::guard hold(lock_);
    for (idle_thread** at = &idle_; *at != nullptr; at = &(*at)->below) {
      if (*at != &me) continue;
      *at = me.below;
      --counted_;
      return false;
    }
    // taken off the list by a waker: its store is on the way
  }
  return true;
}

void blocking_pool::begin_wait() {
  if (pool_waits()++ != 0) return;
  bool grow;
  {
    const os::guard hold(lock_);
    --counted_;
    grow = first_ != nullptr;
  }
  if (!grow) return;
  try {
    start_thread();
  } catch (...) {
    const os::guard hold(lock_);
    if (first_ == nullptr || somebody_takes_jobs()) return;  // it would only have been quicker
    ++counted_;
    pool_waits() = 0;
    throw;
  }
}

void blocking_pool::end_wait() noexcept {
  if (--pool_waits() != 0) return;
  {
    const os::guard hold(lock_);
    ++counted_;
  }
  if (home_->frozen()) [[unlikely]]
    home_->rest_for_good(false);
}

void blocking_pool::enter(running_call& call) noexcept {
  const os::guard hold(lock_);
  call.next = running_;
  if (call.next != nullptr) call.next->prev = &call;
  running_ = &call;
}

void blocking_pool::leave(running_call& call) noexcept {
  const os::guard hold(lock_);
  (call.prev != nullptr ? call.prev->next : running_) = call.next;
  if (call.next != nullptr) call.next->prev = call.prev;
}

void blocking_pool::cancel_running(void* winners) noexcept {
  const os::guard hold(lock_);
  for (running_call* c = running_; c != nullptr; c = c->next) c->cancel(*c, winners);
}

void blocking_pool::close() noexcept {
  {
    const os::guard hold(lock_);
    closing_ = true;
  }
  for (;;) {
    idle_thread* t;
    std::uint32_t seen;
    {
      const os::guard hold(lock_);
      seen = std::atomic_ref(all_gone_).load(std::memory_order_acquire);  // A2, pairs with R2
      t = idle_;
      if (t != nullptr) idle_ = t->below;
      if (t == nullptr && alive_ == 0) break;
    }
    if (t != nullptr) {
      wake(*t);
    } else {
      home_->port().wait(all_gone_, seen, os::never);
    }
  }
  for (const os::thread_id id : ended_) home_->port().join(id);
  ended_.clear();
}

std::vector<blocking_pool::busy_thread> blocking_pool::busy() const {
  std::vector<busy_thread> found;
  const os::guard hold(lock_);
  for (const pool_thread* t = all_; t != nullptr; t = t->next) {
    if (t->busy) found.push_back({t->number, t->routine});
  }
  return found;
}

std::size_t blocking_pool::threads() const noexcept {
  const os::guard hold(lock_);
  return alive_;
}

unsigned blocking_pool::idle_threads() const noexcept {
  const os::guard hold(lock_);
  if (first_ != nullptr) return not_still;
  unsigned n = 0;
  for (const idle_thread* t = idle_; t != nullptr; t = t->below) ++n;
  return n;
}

std::size_t blocking_pool::queued() const noexcept {
  const os::guard hold(lock_);
  return queued_;
}

std::uint64_t blocking_pool::jobs() const noexcept {
  const os::guard hold(lock_);
  return jobs_ - refused_;
}

}  // namespace weft::sched
