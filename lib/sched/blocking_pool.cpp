#include "sched/blocking_pool.hpp"

#include <weft/error.hpp>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <utility>

#include "os/lock.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

namespace {

/// So many threads are started as soon as they are asked for.
constexpr std::size_t few_threads = 8;
/// Else the oldest in the queue has waited for so long.
constexpr os::nanos longest_wait = 1'000'000;

/// The node of a routine that is ready is free but for what it is linked by.
os::nanos since(const waiter& r) noexcept {
  return static_cast<os::nanos>(reinterpret_cast<std::uintptr_t>(r.ahead()));
}

}  // namespace

/// What a thread needs beyond the pool: its own id, so that the next one to start can join it; what it does.
struct blocking_pool::pool_thread {
  pool_thread(blocking_pool& of, worker& at) noexcept : pool(&of), berth(&at) {}

  blocking_pool* pool;
  worker* berth;
  os::thread_id id{};
  bool called = true;  // own thread: it has been called, and has not come to the queue
  // Under the pool's lock:
  pool_thread* prev = nullptr;
  pool_thread* next = nullptr;
  int number = 0;
  bool busy = false;
  bool is_call = false;
  bool has_left = false;  // it ends; whoever started it may not have stored its id yet
  std::uint64_t routine = 0;
};

blocking_pool::blocking_pool(scheduler& home) noexcept
    : home_(&home),
      patience_(home.how().manual || home.port().simulated() ? 0 : longest_wait),
      at_once_(std::max<std::size_t>(few_threads, home.how().workers)),
      most_called_(std::max(home.how().workers, 2U)) {}

blocking_pool::~blocking_pool() {
  worker* berth = berths_.load(std::memory_order_relaxed);  // relaxed: nobody else is left
  while (berth != nullptr) delete std::exchange(berth, berth->next_berth);
}

// --- the queue, under the lock ---

/// No two are the same, so that jobs and routines have one order.
os::nanos blocking_pool::stamp() noexcept {
  return last_stamp_ = std::max(home_->port().now(), last_stamp_ + 1);
}

void blocking_pool::link(blocking_job& job) noexcept {
  job.since = stamp();
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

void blocking_pool::push(waiter& r) noexcept {
  r.ahead(
      reinterpret_cast<void*>(static_cast<std::uintptr_t>(stamp())));  // NOLINT(performance-no-int-to-ptr)
  r.next = nullptr;
  (first_ready_ != nullptr ? last_ready_->next : first_ready_) = &r;
  last_ready_ = &r;
  ++queued_;
}

waiter* blocking_pool::pop() noexcept {
  --queued_;
  return std::exchange(first_ready_, first_ready_->next);
}

/// The life `id` of a routine that may have ended since.
bool blocking_pool::take_out(const waiter& r, std::uint64_t id) noexcept {
  waiter* before = nullptr;
  for (waiter* at = first_ready_; at != nullptr; before = at, at = at->next) {
    if (at != &r || detail::id_of(*at) != id) continue;
    (before != nullptr ? before->next : first_ready_) = at->next;
    if (at == last_ready_) last_ready_ = before;
    --queued_;
    return true;
  }
  return false;
}

/// Since when.  Something is queued.
os::nanos blocking_pool::oldest() const noexcept {
  if (first_ == nullptr) return since(*first_ready_);
  return first_ready_ == nullptr ? first_->since : std::min(first_->since, since(*first_ready_));
}

// --- who comes ---

/// Something was queued, or taken with more behind it.  Under the lock.
blocking_pool::summons blocking_pool::call_another() noexcept {
  if (called_ >= std::min(queued_, most_called_)) return {};
  if (idle_ != nullptr) {
    ++called_;
    idle_thread* const t = std::exchange(idle_, idle_->below);
    t->below = nullptr;
    return {.wakes = t};
  }
  if (closing_ || counted_ >= home_->how().max_blocking_threads) return {};
  if (counted_ < at_once_ || home_->port().now() - oldest() >= patience_) {
    count_starting();
    return {.starts = true};
  }
  const bool watched = watched_.exchange(true, std::memory_order_seq_cst);  // W1, pairs with M2
  return {.watches = !watched};
}

void blocking_pool::count_starting() noexcept {
  ++called_;
  ++counted_;
  ++alive_;
  most_alive_ = std::max(most_alive_, alive_);
}

void blocking_pool::make(summons c) noexcept {
  if (c.wakes != nullptr) return wake(*c.wakes);
  if (c.watches) return home_->call_monitor();
  if (!c.starts) return;
  try {
    start_thread();
  } catch (...) {
    give_up(std::current_exception());
  }
}

/// A thread could not be started.  If there is another, that one will come, and the monitor tries again.
void blocking_pool::give_up(const std::exception_ptr& why) noexcept {
  blocking_job* refused = nullptr;
  waiter* routines = nullptr;
  {
    const os::guard hold(lock_);
    if (counted_ != 0) {
      if (queued_ != 0) watched_.store(true, std::memory_order_seq_cst);  // W1, pairs with M2
    } else {
      while (blocking_job* job = first_) {
        unlink(*job);
        if (!job->kind->begin(*job)) continue;
        job->next = std::exchange(refused, job);
      }
      routines = std::exchange(first_ready_, nullptr);
      queued_ = 0;
    }
  }
  if (is_watched()) home_->call_monitor();
  while (refused != nullptr) {
    blocking_job& job = *std::exchange(refused, refused->next);
    job.kind->refuse(job, why);
  }
  while (routines != nullptr) home_->inject(*std::exchange(routines, routines->next));
}

bool blocking_pool::submit(blocking_job& job, bool (*waits)(blocking_job&) noexcept) {
  home_->check_not_left();
  summons c;
  {
    const os::guard hold(lock_);
    if (closing_) throw stopped("weft: the runtime was stopped and its blocking pool takes no new calls");
    if (!waits(job)) return false;
    link(job);
    c = call_another();
  }
  make(c);
  return true;
}

void blocking_pool::queue(waiter& r) noexcept {
  summons c;
  {
    const os::guard hold(lock_);
    push(r);
    c = call_another();
  }
  make(c);
}

void blocking_pool::start(waiter& r) {
  const std::uint64_t id = detail::id_of(r);
  summons c;
  {
    const os::guard hold(lock_);
    if (closing_) throw stopped("weft: the runtime was stopped and its blocking pool takes no new calls");
    push(r);
    c = call_another();
  }
  if (!c.starts) return make(c);
  try {
    start_thread();
  } catch (...) {
    bool is_mine;
    {
      const os::guard hold(lock_);
      is_mine = counted_ == 0 && take_out(r, id);
    }
    give_up(std::current_exception());
    if (is_mine) throw;
  }
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

os::nanos blocking_pool::grow_if_late() noexcept {
  if (!is_watched()) return os::never;
  summons c;
  os::nanos due;
  {
    const os::guard hold(lock_);
    if (queued_ == 0 || closing_ || counted_ >= home_->how().max_blocking_threads) {
      watched_.store(false, std::memory_order_relaxed);  // relaxed: for this thread
      return os::never;
    }
    const os::nanos now = home_->port().now();
    due = oldest() + patience_;
    if (due <= now) {
      c = call_another();
      due = now + patience_;
    }
  }
  make(c);
  return due;
}

// --- threads ---

/// One that is free, or a new one.  Throws std::bad_alloc.
worker& blocking_pool::take_berth() {
  {
    const os::guard hold(lock_);
    if (worker* const free = free_berths_) {
      free_berths_ = free->next_free;
      return *free;
    }
  }
  auto* const made = new worker(*home_, home_->port().random());
  worker* head = berths_.load(std::memory_order_relaxed);  // relaxed: the CAS decides
  do {
    made->next_berth = head;
  } while (!berths_.compare_exchange_weak(head, made, std::memory_order_release,  // R3, pairs with A3
                                          std::memory_order_relaxed));            // relaxed: as above
  return *made;
}

/// It is counted.  Throws what the port throws, and then it is not.
void blocking_pool::start_thread() {
  try {
    os::thread_id ended{};
    {
      const os::guard hold(lock_);
      ended_.reserve(alive_ + ended_.size());  // first: who is taken out is joined
      // In a simulated run another thread would come on: the caller may be anywhere inside of an operation.
      if (!ended_.empty() && !home_->port().simulated()) {
        ended = ended_.back();
        ended_.pop_back();
      }
    }
    if (ended.value != 0) home_->port().join(ended);
    if (!home_->count_thread()) {
      throw std::system_error(
          std::make_error_code(std::errc::resource_unavailable_try_again),
          "weft: the blocking pool needs one thread more than runtime_options::max_threads");
    }
    worker* berth = nullptr;
    try {
      berth = &take_berth();
      auto made = std::make_unique<pool_thread>(*this, *berth);
      const os::thread_id id =
          home_->port().start(&run_thread, made.get(), (home_->how().name + "-io").c_str());
      pool_thread& started = *made.release();
      const os::guard hold(lock_);
      started.id = id;
      if (started.has_left) count_out(started);
    } catch (...) {
      home_->uncount_thread();
      if (berth != nullptr) {
        const os::guard hold(lock_);
        berth->next_free = std::exchange(free_berths_, berth);
      }
      throw;
    }
  } catch (...) {
    const os::guard hold(lock_);
    --called_;
    --counted_;
    lose_one();  // close() may wait for this one
    throw;
  }
}

void blocking_pool::run_thread(void* p) noexcept {
  auto& me = *static_cast<pool_thread*>(p);
  blocking_pool& pool = *me.pool;
  set_current_pool(&pool);
  {
    const os::guard hold(pool.lock_);
    me.number = os::thread_number();
    me.next = pool.all_;
    if (me.next != nullptr) me.next->prev = &me;
    pool.all_ = &me;
  }
  pool.work(me);
  set_current_pool(nullptr);
  pool.home_->uncount_thread();
  {
    const os::guard hold(pool.lock_);
    (me.prev != nullptr ? me.prev->next : pool.all_) = me.next;
    if (me.next != nullptr) me.next->prev = me.prev;
    me.berth->next_free = std::exchange(pool.free_berths_, me.berth);
    me.has_left = true;
    if (me.id.value != 0) pool.count_out(me);
  }
}

/// Under the lock, by the last of the two: the thread as it ends, or who has started it and so knows its id.
/// After this line `t` is gone, and when the lock is given up close() may free the pool.
void blocking_pool::count_out(pool_thread& t) noexcept {
  ended_.push_back(t.id);  // reserved when the thread was made
  delete &t;
  lose_one();
}

/// Under the lock.
void blocking_pool::lose_one() noexcept {
  --alive_;
  std::atomic_ref(all_gone_).fetch_add(1, std::memory_order_release);  // R2, pairs with A2
  home_->port().wake(all_gone_, 1);
}

void blocking_pool::work(pool_thread& me) noexcept {
  for (;;) {
    if (home_->frozen()) [[unlikely]]
      home_->rest_for_good(false);
    idle_thread here;
    task next = take(me, here);
    if (next.job != nullptr) next.routine = next.job->kind->run(*next.job);
    if (next.routine != nullptr) {
      me.berth->run_here(*next.routine);
    } else if (next.job == nullptr && (here.leaves || !rest(me, here))) {
      return;
    }
  }
}

/// Under the lock.  False: there is nothing that may begin.
bool blocking_pool::take_oldest(pool_thread& me, task& next) noexcept {
  while (queued_ != 0) {
    const waiter* party;
    if (first_ == nullptr || (first_ready_ != nullptr && since(*first_ready_) < first_->since)) {
      party = next.routine = pop();
    } else {
      blocking_job& job = *first_;
      unlink(job);
      if (!job.kind->begin(job)) continue;
      next.job = &job;
      party = job.party;
    }
    me.busy = true;
    me.is_call = next.job != nullptr && next.job->kind->is_call;
    if (me.is_call) calls.add_shared();
    me.routine = party->kind() == detail::waiter_kind::routine ? detail::id_of(*party) : 0;
    return true;
  }
  return false;
}

/// What comes next; else the thread is listed as idle, or is to leave.  One or the other under one lock: a
/// job that came in between would be nobody's.
blocking_pool::task blocking_pool::take(pool_thread& me, idle_thread& here) noexcept {
  task next;
  summons c;
  {
    const os::guard hold(lock_);
    if (std::exchange(me.called, false)) --called_;
    me.busy = false;
    const bool too_many =
        counted_ > home_->how().max_blocking_threads;  // grew while others waited in facade calls
    if (!too_many && take_oldest(me, next)) {
      c = call_another();
    } else if (closing_ || too_many) {
      --counted_;
      here.leaves = true;
      c = call_another();  // it may have been called for something
    } else {
      here.below = idle_;
      idle_ = &here;
    }
  }
  make(c);
  return next;
}

/// Sleeps until there may be a job.  False: this thread is no longer needed.
bool blocking_pool::rest(pool_thread& me, idle_thread& here) noexcept {
  const os::nanos deadline = home_->port().now() + home_->how().blocking_idle_timeout;
  while (std::atomic_ref(here.word).load(std::memory_order_acquire) == 0) {  // A1, pairs with R1
    if (home_->port().wait(here.word, 0, deadline)) continue;
    const os::guard hold(lock_);
    for (idle_thread** at = &idle_; *at != nullptr; at = &(*at)->below) {
      if (*at != &here) continue;
      *at = here.below;
      --counted_;
      return false;
    }
    // taken off the list by a waker: its store is on the way
  }
  me.called = true;
  return true;
}

void blocking_pool::begin_wait() {
  if (pool_waits()++ != 0) return;
  bool grow;
  {
    const os::guard hold(lock_);
    --counted_;
    grow = queued_ != 0 && idle_ == nullptr && !closing_ && counted_ < home_->how().max_blocking_threads;
    if (grow) count_starting();
  }
  if (!grow) return;
  try {
    start_thread();
  } catch (...) {
    {
      const os::guard hold(lock_);
      if (queued_ == 0 || counted_ != 0) return;  // it would only have been quicker
      if (first_ != nullptr) {
        ++counted_;
        pool_waits() = 0;
        throw;
      }
    }
    give_up(std::current_exception());  // routines only
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
      if (t != nullptr) {
        idle_ = t->below;
        ++called_;
      }
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

// --- looking ---

std::vector<blocking_pool::busy_thread> blocking_pool::busy() const {
  std::vector<busy_thread> found;
  const os::guard hold(lock_);
  for (const pool_thread* t = all_; t != nullptr; t = t->next) {
    if (t->busy) found.push_back({t->number, t->routine, t->is_call});
  }
  return found;
}

blocking_pool::figures blocking_pool::look() const noexcept {
  const os::guard hold(lock_);
  const os::nanos age = queued_ == 0 ? 0 : std::max<os::nanos>(home_->port().now() - oldest(), 1);
  return {alive_, most_alive_, queued_, age};
}

unsigned blocking_pool::idle_threads() const noexcept {
  const os::guard hold(lock_);
  if (queued_ != 0 || called_ != 0) return not_still;
  unsigned n = 0;
  for (const idle_thread* t = idle_; t != nullptr; t = t->below) ++n;
  return n;
}

bool blocking_pool::owns(const detail::worker_face* w) const noexcept {
  const worker* berth = berths_.load(std::memory_order_acquire);  // A3, pairs with R3
  while (berth != nullptr && berth != w) berth = berth->next_berth;
  return berth != nullptr;
}

}  // namespace weft::sched
