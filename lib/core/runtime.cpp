// runtime: the value that owns a scheduler, the global one, and the stop.
//
// Stop: the flag is stored seq_cst, then the registry of frames is walked and every waiting routine of this
// runtime is claimed, also one that is about to wait.  A routine that begins to wait later sees the flag
// (claim_word.hpp: W1, W2), so one walk is enough.  What the walk reads may have ended: the claim word is
// never reset, so a stale one cannot be claimed.

#include <weft/error.hpp>
#include <weft/runtime.hpp>
#include <weft/stats.hpp>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <vector>

#include <unistd.h>

#include "base/fatal.hpp"
#include "core/context.hpp"
#include "core/describe.hpp"
#include "core/foreign.hpp"
#include "core/fork_group.hpp"
#include "core/global.hpp"
#include "core/join.hpp"
#include "core/park.hpp"
#include "core/simulation.hpp"
#include "core/site.hpp"
#include "core/unhandled.hpp"
#include "os/asymmetric.hpp"
#include "os/forked.hpp"
#include "os/lock.hpp"
#include "os/thread_state.hpp"
#include "sched/blocked_here.hpp"
#include "sched/current.hpp"
#include "sched/frame_pool.hpp"
#include "sched/hosting.hpp"
#include "sched/scheduler.hpp"

namespace weft {

using namespace core;

namespace {

// --- the global runtime ---

struct global_slot {
  std::uint32_t lock = 0;
  runtime* now = nullptr;  // never destroyed: its routines may still run when main has returned
  bool freezes_at_exit = false;
};

constinit global_slot global_runtime;

void freeze_global() {
  sched::scheduler* core = nullptr;
  {
    const os::guard hold(global_runtime.lock);
    if (global_runtime.now == nullptr) return;
    core = &global_runtime.now->core();
    core->hold();
  }
  base::main_has_returned();
  core->freeze();
  core->drop();
}

/// There the freezing comes before every static's destructor, whenever it was made.  The atexit handler below
/// is for exit() on other threads and for a main thread that never asks for the runtime: it comes only before
/// what was made before the runtime.
void watch_main() {
  sched::call_at_end_of_main(&freeze_global);
}

/// Under the lock.
runtime& start_global(const runtime_options& options) {
  if (!global_runtime.freezes_at_exit) {
    global_runtime.freezes_at_exit = true;
    std::atexit(&freeze_global);
  }
  global_runtime.now = new runtime(options);
  return *global_runtime.now;
}

// --- the walk ---

struct walk {
  sched::scheduler* home;
  winners won;
};

detail::promise_base& promise_at(void* frame) noexcept {
  return detail::promise_of(frame);
}

bool belongs(detail::promise_base& p, const sched::scheduler& home) noexcept {
  return home.owns(__atomic_load_n(&p.worker, __ATOMIC_RELAXED));  // relaxed: the claim checks it
}

bool cancel_one(void* context, void* frame) {
  auto& all = *static_cast<walk*>(context);
  detail::promise_base& p = promise_at(frame);
  const claimed how =
      word_of(p).claim_of(by_cancel, no_cancel | no_stop, [&] { return belongs(p, *all.home); });
  all.won.add(p, how);
  return true;
}

/// From the outermost: id, then the numbers of the forks.
std::vector<std::uint64_t> birth_of(const waiter& w) {
  if (w.born() != detail::birth::forked) return {detail::id_of(w)};
  std::vector<std::uint64_t> parent = birth_of(*w.fork.group->parent);
  parent.push_back(w.fork.number);
  return parent;
}

/// The walk goes through memory, and where a frame lies must not decide a simulated run.  At its early end
/// the youngest come first: most use what is their starter's.
void deliver_by_birth(winners& won, bool youngest_first) {
  std::vector<waiter*> all;
  for (waiter* w = won.take_all(); w != nullptr; w = w->next) all.push_back(w);
  std::sort(all.begin(), all.end(),
            [](const waiter* a, const waiter* b) { return birth_of(*a) < birth_of(*b); });
  if (youngest_first) std::reverse(all.begin(), all.end());
  for (waiter* w : all) deliver(*w, claimed::parked);
}

sched::scheduler* new_scheduler(const runtime_options& options) {
  os::refuse_in_child();
  os::port& port = os::current_port();
  simulation* run = simulation_of(port);
  if (run != nullptr) run->runtimes.reserve(run->runtimes.size() + 1);
  memory_failure();
  auto* made = new sched::scheduler(options, port);
  if (run != nullptr) run->runtimes.push_back(made);
  return made;
}

void delete_scheduler(sched::scheduler* core) noexcept {
  if (simulation* run = simulation_of(core->port())) std::erase(run->runtimes, core);
  if (core->how().manual) unhost(*core);
  core->drop();
}

/// In one of its routines, or in a call on its blocking pool.
bool on_own_thread(const sched::scheduler& home) noexcept {
  return sched::scheduler::here() == &home;
}

void name_remaining(sched::scheduler& home) {
  const text_sink to_stderr{[](void*, std::string_view text) { base::write_text(STDERR_FILENO, text); },
                            nullptr};
  base::write_text(STDERR_FILENO, "weft: these routines have not ended:\n");
  describe_routines(home, to_stderr);
  describe_threads(home, to_stderr);
}

}  // namespace

namespace core {

sched::scheduler& hold_global() {
  os::refuse_in_child();
  const auto held = [](runtime& rt) -> sched::scheduler& {
    rt.core().hold();
    return rt.core();
  };
  if (os::current_port().simulated()) return held(runtime::global());
  watch_main();
  const os::guard hold(global_runtime.lock);
  return held(global_runtime.now != nullptr ? *global_runtime.now : start_global({}));
}

void check_global_open() {
  const auto check = [](const runtime* rt) {
    if (rt == nullptr) return;
    rt->core().check_not_left();
    if (rt->is_stopped()) throw stopped();
  };
  if (const simulation* run = simulation_of(os::current_port())) return check(run->global);
  const os::guard hold(global_runtime.lock);
  check(global_runtime.now);
}

void cancel_all(sched::scheduler& home) {
  home.request_stop();
  if (os::barriers_are_asymmetric()) os::heavy_barrier();  // whose W2 has not seen it, its W1 is visible
  walk all{&home, {}};
  sched::for_each_block(&cancel_one, &all);
  home.port().simulated() ? deliver_by_birth(all.won, home.port().over()) : all.won.deliver_all();
  winners others;
  home.pool().cancel_running(&others);
  cancel_foreign(home, others);
  others.deliver_all();
}

}  // namespace core

namespace {

/// Not on one of its own threads.
bool stop_now(sched::scheduler& home, std::int64_t deadline) {
  cancel_all(home);
  if (home.how().manual) {
    for (;;) {
      home.poll(sched::drive_batch);
      if (home.drained()) break;
      if (home.port().now() >= deadline) return name_remaining(home), false;
      home.host()->wait(deadline);
    }
  } else if (!home.wait_drained(deadline)) {
    name_remaining(home);
    return false;
  }
  home.join_threads();
  home.end_timers();
  return true;
}

}  // namespace

runtime::runtime(runtime_options options) : core_(new_scheduler(options)) {}

runtime::~runtime() {
  if (os::forked()) return;  // what it had is the parent's
  if (on_own_thread(*core_)) {
    base::misuse(
        "a runtime is destroyed on one of its own threads; let a thread that is not its own destroy it");
  }
  std::optional<sched::blocked_here> elsewhere;
  try {
    elsewhere.emplace();
  } catch (...) {  // then nobody stands in for this thread
  }
  const os::nanos grace = core_->how().stop_grace;
  const os::nanos now = core_->port().now();
  if (!stop_now(*core_, grace > os::never - now ? os::never : now + grace)) {
    if (simulation* run = simulation_of(core_->port())) run->give_up();
    base::write_text(STDERR_FILENO, "weft: ~runtime waited runtime_options::stop_grace for them\n");
    std::abort();
  }
  delete_scheduler(core_);
}

runtime& runtime::global() {
  os::refuse_in_child();
  if (simulation* run = simulation_of(os::current_port())) {
    if (run->global == nullptr) run->global = new runtime;
    return *run->global;
  }
  watch_main();
  const os::guard hold(global_runtime.lock);
  if (global_runtime.now != nullptr) return *global_runtime.now;
  return start_global({});
}

void init_global_runtime(runtime_options options) {
  os::refuse_in_child();
  const auto must_be_stopped = [](const runtime* now) {
    if (now == nullptr || now->core().has_ended()) return;
    throw std::logic_error(
        now->is_stopped()
            ? "weft: the global runtime is being stopped; initialise it when global().stop() has returned"
            : "weft: the global runtime runs already; initialise it before the first go(), or stop it first");
  };
  if (simulation* run = simulation_of(os::current_port())) {
    must_be_stopped(run->global);
    delete std::exchange(run->global, nullptr);
    run->global = new runtime(options);
    return;
  }
  watch_main();
  const os::guard hold(global_runtime.lock);
  must_be_stopped(global_runtime.now);
  if (global_runtime.now != nullptr) delete global_runtime.now;
  global_runtime.now = nullptr;
  start_global(options);
}

void runtime::stop() {
  stop_until(os::never);
}

bool runtime::stop_until(std::int64_t deadline) {
  os::refuse_in_child();
  if (core_->frozen() || os::forked()) return false;  // in a static's destructor: nothing is unwound any more
  if (on_own_thread(*core_)) return cancel_all(*core_), false;
  const sched::blocked_here elsewhere;  // on another runtime's thread; first, because it may throw
  return stop_now(*core_, deadline);
}

bool runtime::is_stopped() const noexcept {
  return core_->stopping();
}

unsigned runtime::workers() const noexcept {
  return core_->how().workers;
}

namespace {

routine<> resume_once(std::coroutine_handle<> h) {
  h.resume();
  co_return;
}

}  // namespace

void runtime::post(std::coroutine_handle<> h) {
  if (!h || h.done())
    base::misuse("post() was given a coroutine handle that is empty, or whose coroutine has ended");
  const std::uintptr_t here = detail::site_word(std::source_location::current());
  detail::spawn_request what{nullptr, {core_, detail::birth::loose, nullptr, here, nullptr}};
  what.how.certain = true;
  (void)detail::spawn(what, resume_once(h));
}

namespace {

/// What one poll() resumes at most: routines that yield to one another for ever must not keep the host.
constexpr std::size_t poll_batch = 1 << 16;

void check_may_drive(const sched::scheduler& home) {
  os::refuse_in_child();
  if (!home.how().manual)
    base::misuse("poll() of a runtime that has workers; it is for runtime_options::workers = manual");
  if (on_own_thread(home))
    base::misuse("poll() inside one of the runtime's own routines; the host's loop calls it");
}

}  // namespace

std::size_t runtime::poll() {
  check_may_drive(*core_);
  return core_->poll(poll_batch);
}

std::size_t runtime::run_until(std::int64_t deadline) {
  check_may_drive(*core_);
  std::size_t n = 0;
  for (;;) {
    n += core_->poll(sched::drive_batch);
    if (core_->port().now() >= deadline) return n;
    core_->host()->wait(deadline);
  }
}

int runtime::native_handle() const {
  if (core_->host() == nullptr) {
    base::misuse(
        "native_handle() of a runtime that has workers; it is for runtime_options::workers = manual");
  }
  return core_->host()->descriptor();
}

namespace {

unannounced_block last_unannounced(const sched::scheduler& home) noexcept {
  unannounced_block b;
  const sched::culprit who = home.last_culprit();
  if (who.since == 0) return b;
  b.routine = who.routine;
  std::copy(std::begin(who.name), std::end(who.name), b.name);
  if (const std::source_location at = site_of(who.spawned_at); at.line() != 0) {
    b.file = at.file_name();
    b.line = at.line();
  }
  b.worker = who.worker;
  if (const char* name = os::name_of_call(who.call)) b.call = name;
  b.call_number = who.call;
  b.nanoseconds = (who.until < 0 ? home.port().now() : who.until) - who.since;
  return b;
}

}  // namespace

runtime_stats runtime::stats() const noexcept {
  runtime_stats s;
  // Ends first, then starts, as in drained(): live does not go below zero.
  s.finished = core_->count_shared.finished.read();
  const unsigned m = core_->count();
  for (unsigned i = 0; i < m; ++i) s.finished += core_->at(i).count.finished.read();
  s.workers = core_->how().workers;
  if (!core_->has_ended()) {  // else their threads are gone
    s.threads = core_->threads();
    s.idle_workers = core_->idle();
    s.resting_workers = core_->resting();
    s.blocked_workers = core_->blocked();
  }
  s.spawned = core_->count_shared.spawned.read();
  s.wakes = core_->count_shared.wakes.read();
  s.spares = core_->count_shared.spares.read();
  s.monitor_looks = core_->count_shared.monitor_wakes.read();
  s.timers_fired = core_->count_shared.timers_fired.read();  // by the monitor
  s.unannounced_blocks = core_->count_shared.taken_over.read();
  s.blocks_not_replaced = core_->count_shared.not_replaced.read();
  s.last_unannounced = last_unannounced(*core_);
  const sched::blocking_pool& pool = core_->pool();
  const auto figures = pool.look();
  s.blocking_threads = figures.threads;
  s.blocking_most_threads = figures.most_threads;
  s.blocking_queued = figures.queued;
  s.blocking_queue_age_ns = static_cast<std::uint64_t>(figures.queue_age);
  s.blocking_jobs = pool.calls.read();
  s.migrations_from_pool = pool.left.read();
  s.migrations_to_pool = pool.arrived.read();
  pool.for_each_berth([&](const sched::worker& berth) { s.dispatches += berth.tick(); });
  const unsigned n = core_->count();
  for (unsigned i = 0; i < n; ++i) {
    const auto& c = core_->at(i).count;
    s.spawned += c.spawned.read();
    s.dispatches += core_->at(i).tick();
    s.steals += c.stolen.read();
    s.parks += c.parks.read();
    s.yields += c.yields.read();
    s.timers_fired += c.timers_fired.read();
  }
  s.live = s.spawned - s.finished;
  if (const sched::driver* const d = core_->io()) {
    const auto [what, refused] = d->tell();
    s.reactor = what;
    s.io_uring_error = refused;
  }
  return s;
}

}  // namespace weft
