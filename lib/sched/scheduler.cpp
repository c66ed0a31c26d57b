#include "sched/scheduler.hpp"

#include <weft/error.hpp>

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/fatal.hpp"
#include "os/asymmetric.hpp"
#include "os/forked.hpp"
#include "os/host_wake.hpp"
#include "os/lock.hpp"
#include "sched/current.hpp"
#include "sched/hosting.hpp"

namespace weft::sched {

namespace {

constexpr unsigned most_threads = 0xffff;  // parking counts them in 16 bits

/// How long the end of main waits for routines to reach their next operation: far more than one that behaves
/// takes, and not felt at the end of a program whose routine computes.
constexpr os::nanos longest_freeze = 50'000'000;

struct kept_handler {
  exception_handler what;
  kept_handler* next;
};

constinit std::uint32_t handlers_lock = 0;
constinit kept_handler* handlers = nullptr;

/// One of each kind: programs have few.
const exception_handler* kept_for_ever(const exception_handler& h) {
  const os::guard hold(handlers_lock);
  for (const kept_handler* k = handlers; k != nullptr; k = k->next) {
    if (k->what.call == h.call && k->what.context == h.context) return &k->what;
  }
  const os::spared_allocations kept;
  handlers = new kept_handler{h, handlers};
  return &handlers->what;
}

settings read_settings(const runtime_options& o, os::port& port) {
  settings s;
  s.manual = o.workers == manual;
  s.workers = s.manual ? 1 : o.workers == 0 ? port.cpus() : o.workers;
  if (s.workers > most_threads) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            "weft: runtime_options::workers is more than the 65,535 a runtime can have");
  }
  s.max_threads = std::clamp(o.max_threads, s.workers, most_threads);
  s.max_blocking_threads = std::max(o.max_blocking_threads, 1U);
  // Simulated, idle threads stay: they would move the time, and hide that all wait for ever.
  const os::nanos idle = port.simulated() ? os::never : detail::nanos_of(o.blocking_idle_timeout);
  s.blocking_idle_timeout = std::clamp<os::nanos>(idle, 1'000'000, os::no_limit);
  s.stall_threshold = std::clamp<os::nanos>(detail::nanos_of(o.stall_threshold), 10'000, os::no_limit);
  s.stop_grace = detail::nanos_of(o.stop_grace);
  s.reactor = o.reactor;
  s.name = std::string(o.name);
  s.on_unhandled_exception = kept_for_ever(o.on_unhandled_exception);
  return s;
}

/// Which inject shard a foreign thread sticks to: its own number.
std::uint32_t shard_hint(const os::port& port) noexcept {
  if (worker* w = current_worker()) return w->index();
  if (port.simulated()) return 0;  // addresses differ between runs
  // Threads' tokens are as far apart as their stacks, a multiple of 8 MiB: multiplied, they spread.
  const auto token = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this_thread_token()));
  return static_cast<std::uint32_t>(token * 0x9e3779b97f4a7c15 >> 40);
}

}  // namespace

scheduler* scheduler::here() noexcept {
  if (const worker* w = current_worker()) return &w->home();
  const blocking_pool* pool = current_pool();
  return pool == nullptr ? nullptr : &pool->home();
}

scheduler::scheduler(const runtime_options& options, os::port& port)
    : port_(port),
      how_(read_settings(options, port)),
      table_(std::make_unique<std::atomic<worker*>[]>(how_.max_threads + 1U)),
      inject_(how_.workers),
      pool_(*this) {
  os::find_out_about_barriers();
  try {
    for (unsigned i = 0; i < how_.workers; ++i) add_worker();
    active_.store(how_.workers, std::memory_order_relaxed);   // relaxed: no thread has started
    allowed_.store(how_.workers, std::memory_order_relaxed);  // relaxed: same
    if (how_.manual) {
      host_ = std::make_unique<os::host_wake>();
      host_here(*this);
      if (!port_.simulated()) os::runtime_begins([] { freeze_in_child(); });
      return;
    }
    for (unsigned i = 0; i < how_.workers; ++i) {
      count_thread();
      start_thread(at(i));
    }
    if (!port_.simulated()) {  // nothing computes in virtual time: nobody to watch
      monitor_thread_ = port_.start([](void* s) { static_cast<scheduler*>(s)->run_monitor(); }, this,
                                    (how_.name + "-monitor").c_str());
      monitor_runs_ = true;
      add_runtime(*this);
      os::runtime_begins([] { freeze_in_child(); });
    }
  } catch (...) {
    end_started();
    throw;
  }
}

scheduler::~scheduler() {
  delete driver_.load(std::memory_order_relaxed);  // relaxed: nobody else is left
  for (unsigned i = 0; i < count(); ++i) delete &at(i);
}

worker& scheduler::add_worker() {
  auto* w = new worker(*this, 0, port_.random());
  const os::guard hold(table_lock_);
  const unsigned index = count_.load(std::memory_order_relaxed);  // relaxed: changes under the lock
  w->index_ = index;
  try {
    reserve_room(index + 1U);
  } catch (...) {
    delete w;
    throw;
  }
  if (stopping()) w->end_quickness();
  table_[index].store(w, std::memory_order_release);   // R2, pairs with A2
  count_.store(index + 1, std::memory_order_release);  // R3, pairs with A3
  return *w;
}

void scheduler::start_thread(worker& w) {
  std::string name = how_.name + "-" + std::to_string(w.index());
  w.thread = port_.start([](void* p) { run_worker(p); }, &w, name.c_str());
}

void scheduler::run_worker(void* p) noexcept {
  auto& w = *static_cast<worker*>(p);
  scheduler& home = w.home();
  bool starts_resting;
  {
    const os::guard hold(home.set_lock_);
    starts_resting = w.rests;
  }
  if (starts_resting && !home.sleep_in_reserve(w)) return;
  w.run();
}

driver& scheduler::attach(std::unique_ptr<driver> made) {
  if (how_.manual) host_->watch(made->handle());
  driver* const mine = made.get();
  {
    const os::guard hold(table_lock_);
    if (driver* const first = io()) return *first;
    if (driver_ends_) mine->end();                             // its runtime has: nobody would poll it
    driver_.store(made.release(), std::memory_order_seq_cst);  // R11, pairs with D5
  }
  if (!how_.manual) driver_came();
  return *mine;
}

/// The constructor has failed: ends what it had started.
void scheduler::end_started() noexcept {
  join_threads();
  for (unsigned i = 0; i < count(); ++i) delete &at(i);
  count_.store(0, std::memory_order_relaxed);  // relaxed: no thread is left
}

// --- runnable routines ---

void scheduler::wake(waiter& r) noexcept {
  scheduler& home = static_cast<worker*>(r.worker)->home();
  if (r.lives() == detail::home::blocking_pool) [[unlikely]]
    return home.queue_on_pool(r);
  worker* here = current_worker();
  if (here != nullptr && &here->home() == &home) {
    here->push_next(r);
  } else {
    home.inject_from_outside(r);
  }
}

void scheduler::wake_in_turn(waiter& r) noexcept {
  scheduler& home = static_cast<worker*>(r.worker)->home();
  if (r.lives() == detail::home::blocking_pool) [[unlikely]]
    return home.queue_on_pool(r);
  worker* here = current_worker();
  if (here != nullptr && &here->home() == &home && !here->is_replaced()) {
    here->push_back(r);
    here->keep_nothing_if_replaced();
  } else {
    home.inject_from_outside(r);
  }
}

void scheduler::queue_on_pool(waiter& r) noexcept {
  hold();  // as below
  pool_.queue(r);
  drop();
}

void scheduler::inject_from_outside(waiter& r) noexcept {
  hold();
  inject(r);
  drop();
}

void scheduler::wake_chain(waiter* first) noexcept {
  while (first != nullptr) {
    waiter* next = first->next;
    wake(*first);
    first = next;
  }
}

void scheduler::inject(waiter& r) noexcept {
  inject_chain(&r, &r, 1);
}

void scheduler::inject_chain(waiter* first, waiter* last, std::uint32_t n) noexcept {
  inject_.push_chain(first, last, n, shard_hint(port_));
  tell_of_injected();
}

void scheduler::inject_given_up(waiter* first, waiter* last, std::uint32_t n) noexcept {
  inject_.push_given_up(first, last, n);
  tell_of_injected();
}

void scheduler::inject_overdue(waiter& r) noexcept {
  inject_.push_overdue(&r, &r, 1);
  tell_of_injected();
}

void scheduler::tell_of_injected() noexcept {
  if (how_.manual) return host_->raise();
  // No "worth waking" here: nobody else may be awake (protocols.md A9).
  if (wants_searcher()) wake_one();
}

void scheduler::tell_of_timers() noexcept {
  const os::nanos due = next_timer();
  if (due != os::never && due < poller_deadline_.load(std::memory_order_seq_cst))  // T1, pairs with T2, T5
    timer_armed(due);
}

void scheduler::call_monitor() noexcept {
  monitor_word_.fetch_add(2, std::memory_order_release);  // R7, pairs with A7
  port_.wake(word_of(monitor_word_), 1);
}

waiter* scheduler::take_injected(worker& by, std::uint32_t at_most, std::uint32_t& n) noexcept {
  if (inject_.empty()) return nullptr;
  return inject_.pop_batch(inject_.shard_in_turn(by.index(), by.injected_takes++), how_.workers, at_most, n);
}

os::nanos scheduler::after_rest(os::nanos deadline) noexcept {
  if (deadline == os::never || port_.simulated()) return deadline;  // to wake takes no time there
  const os::nanos now = port_.now();
  const os::nanos rest = pace_.rest(now, [this] {
    timer_pace::counts all{};
    for (unsigned i = 0; i < count(); ++i) {
      all.fired += at(i).count.timers_fired.read();
      all.armed += at(i).timers.size();
    }
    return all;
  });
  return rest == 0 ? deadline : std::max(deadline, now + rest);
}

bool scheduler::has_work() const noexcept {
  for (unsigned i = 0; i < count(); ++i) {
    if (at(i).has_queued()) return true;
  }
  return has_injected();
}

std::uint64_t scheduler::take_ids() noexcept {
  return next_ids_.fetch_add(1024, std::memory_order_relaxed);  // relaxed: only unique
}

// --- the end ---

void scheduler::request_stop() noexcept {
  {
    const os::guard hold(table_lock_);
    for (unsigned i = 0; i < count(); ++i) at(i).end_quickness();
    drain_.request();  // last: to whom a routine says that it is cancelled, to them its next wait says so
  }
  const os::guard pass(set_lock_);  // a worker that has just gone idle has seen it, or its counts are seen
}

bool scheduler::drained() const noexcept {
  // Ends first, then starts: if they are equal, at the moment between the two nothing was alive (ends never
  // exceed starts, and neither goes back).
  std::uint64_t ended = count_shared.finished.read() + foreign_.ended.read();
  const unsigned n = count();
  for (unsigned i = 0; i < n; ++i) ended += at(i).count.finished.read();
  std::uint64_t started = count_shared.spawned.read() + foreign_.begun.read();
  const unsigned m = count();
  for (unsigned i = 0; i < m; ++i) started += at(i).count.spawned.read();
  return ended == started;
}

void scheduler::check_drained() noexcept {
  if (frozen()) [[unlikely]]
    freeze_.tell(port_);
  if (!stopping() || !drained()) return;
  drain_.tell(port_);
  if (how_.manual) host_->raise();  // the host that stops it may sleep there
}

bool scheduler::wait_drained(os::nanos deadline) noexcept {
  return drain_.wait(
      port_, [this] { return drained(); }, deadline);
}

companion::~companion() = default;
driver::~driver() = default;

void scheduler::keep(std::unique_ptr<companion> c) {
  const os::guard hold(set_lock_);
  companions_.push_back(std::move(c));
}

void scheduler::join_threads() noexcept {
  const os::guard alone(join_lock_);
  std::vector<std::unique_ptr<companion>> ending;
  {
    const os::guard hold(set_lock_);
    ending.swap(companions_);
  }
  ending.clear();
  pool_.close();
  if (monitor_runs_) {                                     // before the workers: it may start one
    monitor_word_.fetch_or(1, std::memory_order_release);  // R7, pairs with A7
    port_.wake(word_of(monitor_word_), 1);
    port_.join(monitor_thread_);
    monitor_runs_ = false;
    remove_runtime(*this);
  }
  let_all_leave();
  for (unsigned i = 0; i < count(); ++i) {
    worker& w = at(i);
    if (w.thread.value != 0) port_.join(w.thread);
    w.thread = {};
  }
}

void scheduler::end_timers() noexcept {
  {
    const os::guard hold(table_lock_);
    driver_ends_ = true;
  }
  if (driver* const d = io()) d->end();
  for (unsigned i = 0; i < count(); ++i) at(i).timers.end();
  const bool before = ended_.exchange(true, std::memory_order_release);  // R10, pairs with A10
  if (!before && !port_.simulated()) os::runtime_ends();
}

void scheduler::freeze() noexcept {
  if (how_.manual || has_ended() || os::forked()) return;
  if (!freeze_.close()) return;
  const os::nanos limit = port_.now() + longest_freeze;
  freeze_.wait(
      port_, [this](unsigned resting) { return all_rest(resting); }, limit);
}

bool scheduler::is_at_rest() noexcept {
  return all_rest(freeze_.resting());
}

/// `resting` was read before: who goes there meanwhile is in neither count.
bool scheduler::all_rest(unsigned resting) noexcept {
  const worker* here = current_worker();
  const unsigned own = here != nullptr && &here->home() == this ? 1 : 0;  // exit() in a plain callable
  const os::guard hold(set_lock_);  // the monitor lets workers rest and come back: both of one moment
  const unsigned active = active_.load(std::memory_order_seq_cst);        // F1, pairs with F2
  const unsigned idle = idle_of(state_.load(std::memory_order_seq_cst));  // F1, pairs with F2
  return idle + resting + own >= active;
}

void scheduler::check_not_left() const {
  if (is_left()) [[unlikely]]
    throw stopped("weft: main has returned: the global runtime stays as it is and takes nothing new");
}

void scheduler::freeze_in_child() noexcept {
  scheduler* home = here();
  if (home == nullptr) return;
  home->freeze_.close_for_this_thread();
  worker* w = current_worker();
  if (w == nullptr) w = current_berth();
  if (w == nullptr) return;
  w->ready = 0;  // its next operation leads to the loop, which says so
  w->transfers = 0;
}

void scheduler::rest_for_good(bool is_worker) noexcept {
  if (os::forked()) os::misuse_in_child();
  if (worker* here = is_worker ? current_worker() : current_berth()) here->runs(nullptr);
  if (is_worker) {
    leave_for_good(*current_worker());
    freeze_.rest(port_);
  }
  static constinit std::uint32_t never_changes = 0;
  for (;;) port_.wait(never_changes, 0, os::never);
}

}  // namespace weft::sched
