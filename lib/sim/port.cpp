#include "sim/port.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/fatal.hpp"
#include "core/describe.hpp"
#include "sched/scheduler.hpp"

namespace weft::sim {

namespace {

/// A thread that takes so many steps and dispatches nothing may wait for what is queued on its own worker,
/// which the monitor sees to in a real run.
constexpr std::uint32_t steps_of_a_stall = 64;

/// So many steps that start and wake nobody are loops that yield until something happens: time goes on.
constexpr std::uint32_t steps_of_a_spin = 20'000;

/// A late thread is late by less than so many steps.
constexpr std::size_t longest_lateness = 64;

/// Threads and routines have numbers of their own; so they differ.
constexpr std::uint64_t of_a_thread = std::uint64_t{1} << 63;

constexpr unsigned always = 1000;

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept {
  return base::random(a + b * 0x9e3779b97f4a7c15).next();
}

}  // namespace

port::port(plan by, const options& how)
    : how_(how),
      schedule_(std::move(by), how),
      name_((schedule_.by().scripted ? "schedule " : "seed ") + schedule_.by().text()) {
  main_.home = this;
  main_.name = "main";
}

void port::check_caller() const noexcept {
  if (&os::current_port() == this) return;
  base::misuse(
      "a thread that weft did not start uses something of a simulated run; start it by go(), block_on_io() "
      "or sim::thread");
}

// --- clock, chance and faults ---

os::nanos port::now() noexcept {
  return now_;
}

std::uint64_t port::random() noexcept {
  return schedule_.seed_of_others();
}

std::size_t port::pick(std::size_t n, const std::uint64_t* ids) noexcept {
  const inside here(*this);
  steps_since_pick_ = 0;
  const std::size_t chosen = decide(ids == nullptr ? question::select_case : question::routine, n, ids);
  if (chosen != 0 && explains_) {
    tell(ids == nullptr
             ? "a select begins with another case"
             : fmt::format("routine {} runs before {} that were ready earlier", ids[chosen], chosen));
  }
  return chosen;
}

/// When the run is to end nothing is open any more, so that it unwinds in the order in which it is told to.
std::size_t port::decide(question what, std::size_t n, const std::uint64_t* who) noexcept {
  if (phase_ != phase::running) return 0;
  const std::size_t chosen = schedule_.decide(what, n, who);
  note(n << 32 | chosen);
  return chosen;
}

/// Among the runnable threads; with `me`, which is 0, before them.
std::size_t port::decide_thread(question what, const thread* me) noexcept {
  who_.clear();
  if (me != nullptr) who_.push_back(of_a_thread | me->number);
  for (const thread* each : runnable_) who_.push_back(of_a_thread | each->number);
  return decide(what, who_.size(), who_.data());
}

bool port::happens(unsigned of_a_thousand, const char* fault) noexcept {
  if (!faults_ || phase_ != phase::running) return false;
  if (!schedule_.happens(std::min(of_a_thousand, always))) return false;
  note(of_a_thousand);
  if (explains_) tell(fault);
  return true;
}

bool port::allocation_fails() noexcept {
  if (inside_) return false;
  const inside here(*this);
  return happens(how_.failing_allocations, "an allocation fails");
}

void port::note(std::uint64_t what) noexcept {
  hash_ = mixed(hash_, what);
}

void port::tell(std::string_view deviation) noexcept {
  fmt::format_to(std::back_inserter(story_), "  step {}: {}", steps_, deviation);
  core::describe_here(story_);
  story_ += '\n';
}

// --- the baton ---

void port::open_gate(thread& t) noexcept {
  std::atomic_ref(t.gate).store(1,
                                std::memory_order_release);  // R1, pairs with A1: all that the baton guards
  os::real_port().wake(t.gate, 1);
}

void port::wait_at_gate(thread& t) noexcept {
  const std::atomic_ref gate(t.gate);
  for (;;) {
    const std::uint32_t here = gate.load(std::memory_order_acquire);  // A1, pairs with R1
    if (here != 0) break;
    os::real_port().wait(t.gate, 0, os::never);
  }
  gate.store(0, std::memory_order_relaxed);  // relaxed: opened again by a later holder only
}

void port::pass_baton_to(thread& next, thread& me) noexcept {
  current_ = &next;
  note(next.number);
  if (&next != &me) {
    open_gate(next);  // from here on this thread may touch nothing
    wait_at_gate(me);
  }
  if (&me == &main_) cancel_if_asked();
}

void port::pass_baton(thread& me) noexcept {
  pass_baton_to(choose(), me);
}

port::thread& port::choose() noexcept {
  while (runnable_.empty()) {
    if (end_lateness(true)) break;
    if (std::exchange(settling_, false)) return main_;
    if (!pass_time()) be_stuck();
  }
  const std::size_t chosen = decide_thread(question::thread, nullptr);
  if (chosen != 0 && explains_)
    tell(fmt::format("thread '{}' goes on, not the first", runnable_[chosen]->name));
  return take_runnable(chosen);
}

port::thread& port::take_runnable(std::size_t i) noexcept {
  thread& t = *runnable_[i];
  runnable_.erase(runnable_.begin() + static_cast<std::ptrdiff_t>(i));
  return t;
}

void port::make_runnable(thread& t) noexcept {
  if (happens(how_.delayed_wakes, "a wake is late")) {
    late_.push_back({steps_ + 1 + schedule_.draw(longest_lateness), &t});
  } else {
    runnable_.push_back(&t);
  }
}

/// Those that are due, or else the first one whatever it is.  Whether somebody is runnable by it.
bool port::end_lateness(bool of_one) noexcept {
  const auto due = [&](const late& l) {
    if (l.from > steps_ && !std::exchange(of_one, false)) return false;
    runnable_.push_back(l.who);
    return true;
  };
  return std::erase_if(late_, due) != 0;
}

bool port::pass_time() noexcept {
  os::nanos earliest = os::never;
  for (const sleeper& s : sleepers_) earliest = std::min(earliest, s.deadline);
  if (earliest == os::never) return false;
  now_ = earliest;
  note(static_cast<std::uint64_t>(now_));
  std::erase_if(sleepers_, [&](const sleeper& s) {
    if (s.deadline > now_) return false;
    s.who->timed_out = true;
    make_runnable(*s.who);
    return true;
  });
  return true;
}

// --- waiting ---

bool port::sleep(thread& me, const void* word, os::nanos deadline) noexcept {
  me.timed_out = false;
  sleepers_.push_back({word, deadline < os::no_limit ? deadline : os::never, &me});
  pass_baton(me);
  return !me.timed_out;
}

bool port::wait(const std::uint32_t& word, std::uint32_t expected, os::nanos deadline) noexcept {
  check_caller();
  const std::atomic_ref now_there(const_cast<std::uint32_t&>(word));
  if (now_there.load(std::memory_order_relaxed) != expected) return true;  // relaxed: the gates order all
  if (deadline <= now_) return false;
  const inside here(*this);
  thread& me = *current_;
  // Never twice in a row: at a thousand of a thousand chances nobody would ever sleep.
  const bool may_wake = !std::exchange(me.woke_for_nothing, false);
  if (may_wake && happens(how_.spurious_wakes, "a thread wakes for no reason")) {
    me.woke_for_nothing = true;
    return true;
  }
  return sleep(me, &word, deadline);
}

bool port::wait_as(const void* party, const std::uint32_t& word, std::uint32_t expected,
                   os::nanos deadline) noexcept {
  thread& me = *current_;
  fruitless_steps_ = 0;
  me.in_facade = true;
  me.party = party;
  const bool in_time = wait(word, expected, deadline);
  me.in_facade = false;
  me.party = nullptr;
  return in_time;
}

void port::wake(const std::uint32_t& word, int count) noexcept {
  check_caller();
  const inside here(*this);
  std::erase_if(sleepers_, [&](const sleeper& s) {
    if (s.word != &word || count <= 0) return false;
    --count;
    make_runnable(*s.who);
    return true;
  });
}

// --- giving way ---

void port::step(bool woke) noexcept {
  check_caller();
  const inside here(*this);
  if (woke) fruitless_steps_ = 0;
  thread& me = *current_;
  count_step(me);
  if (runnable_.empty()) return;
  const std::size_t chosen = decide_thread(question::preempt, &me);
  if (chosen == 0) return;
  thread& next = *runnable_[chosen - 1];
  if (explains_) tell(fmt::format("thread '{}' is interrupted, '{}' goes on", me.name, next.name));
  take_runnable(chosen - 1);
  runnable_.push_back(&me);
  pass_baton_to(next, me);
}

void port::give_way() noexcept {
  check_caller();
  const inside here(*this);
  thread& me = *current_;
  count_step(me);
  if (runnable_.empty() && !end_lateness(true)) return;
  thread& next = choose();
  runnable_.push_back(&me);
  pass_baton_to(next, me);
}

void port::count_step(thread& me) noexcept {
  ++steps_;
  end_lateness(false);
  if (++steps_since_pick_ % steps_of_a_stall == 0) {
    for (sched::scheduler* each : runtimes) {
      if (each->has_work() && each->wants_searcher()) each->wake_one();
    }
  }
  if (settling_ || phase_ != phase::running) {
    if (--steps_left_ != 0) return;
    if (!std::exchange(settling_, false)) give_up();
    runnable_.push_back(&me);
    pass_baton_to(main_, me);
    return;
  }
  if (steps_ == how_.max_steps) {
    be_endless();
    if (&me == &main_) return cancel_if_asked();
    runnable_.push_back(&me);
    pass_baton_to(take_runnable(0), me);  // main, which be_endless() has put there
    return;
  }
  if (++fruitless_steps_ < steps_of_a_spin) return;
  fruitless_steps_ = 0;
  pass_time();
}

// --- threads ---

void port::run_thread(void* raw) {
  thread& me = *static_cast<thread*>(raw);
  wait_at_gate(me);
  me.home->inside_ = false;
  me.entry(me.argument);
  me.home->end(me);
}

void port::end(thread& me) noexcept {
  inside_ = true;
  std::atomic_ref(me.ended).store(1, std::memory_order_relaxed);  // relaxed: the gates order all
  wake(me.ended, 1);
  thread& next = choose();
  current_ = &next;
  note(next.number);
  open_gate(next);
}

os::thread_id port::start(os::thread_entry entry, void* argument, const char* name) {
  check_caller();
  const inside here(*this);
  if (happens(how_.failing_threads, "a thread cannot be had")) os::refuse_thread(EAGAIN);
  return start_own(entry, argument, name);
}

os::thread_id port::start_own(os::thread_entry entry, void* argument, const char* name) {
  const inside here(*this);
  auto made = std::make_unique<thread>();
  made->home = this;
  made->number = ++started_;
  made->name = name;
  made->entry = entry;
  made->argument = argument;
  threads_.reserve(threads_.size() + 1);
  runnable_.reserve(threads_.size() + 2);
  made->real = os::real_port().start(&run_thread, made.get(), name);
  thread* const added = made.get();
  threads_.push_back(std::move(made));
  runnable_.push_back(added);
  return {reinterpret_cast<std::uintptr_t>(added)};
}

void port::join(os::thread_id id) noexcept {
  check_caller();
  auto* const t = reinterpret_cast<thread*>(id.value);
  while (wait(t->ended, 0, os::never) &&
         std::atomic_ref(t->ended).load(std::memory_order_relaxed) == 0) {  // relaxed: the gates order all
  }
  os::real_port().join(t->real);  // it is on its way out
  std::erase_if(threads_, [t](const auto& each) { return each.get() == t; });
}

}  // namespace weft::sim
