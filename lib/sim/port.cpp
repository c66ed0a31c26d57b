#include "sim/port.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/fatal.hpp"
#include "sched/scheduler.hpp"

namespace weft::sim {

namespace {

/// Of so many steps one may change the thread: a change costs 10-30 us, and most programs have few steps.
constexpr std::uint64_t steps_per_switch = 8;

/// A thread that takes so many steps and dispatches nothing may wait for what is queued on its own worker,
/// which the monitor sees to in a real run.
constexpr std::uint32_t steps_of_a_stall = 64;

/// So many steps that start and wake nobody are loops that yield until something happens: time goes on.
constexpr std::uint32_t steps_of_a_spin = 20'000;

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept {
  return base::random(a + b * 0x9e3779b97f4a7c15).next();
}

}  // namespace

port::port(std::uint64_t seed) noexcept : seed_(seed), random_(mixed(seed, 1)) {
  main_.home = this;
  main_.name = "main";
}

void port::check_caller() const noexcept {
  if (&os::current_port() == this) return;
  base::misuse(
      "a thread that weft did not start uses something of a simulated run; start it by go() or "
      "block_on_io()");
}

// --- clock and chance ---

os::nanos port::now() noexcept {
  return now_;
}

std::uint64_t port::random() noexcept {
  return random_.next();
}

std::size_t port::pick(std::size_t n) noexcept {
  steps_since_pick_ = 0;
  const std::size_t chosen = n > 1 ? random_.below(n) : 0;
  note(n << 32 | chosen);
  return chosen;
}

void port::note(std::uint64_t what) noexcept {
  hash_ = mixed(hash_, what);
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
  if (&next == &me) return;
  open_gate(next);  // from here on this thread may touch nothing
  wait_at_gate(me);
}

void port::pass_baton(thread& me) noexcept {
  pass_baton_to(choose(), me);
}

port::thread& port::choose() noexcept {
  while (runnable_.empty()) {
    if (std::exchange(settling_, false)) return main_;
    if (!pass_time()) be_stuck();
  }
  return take_runnable(random_.below(runnable_.size()));
}

port::thread& port::take_runnable(std::size_t i) noexcept {
  thread& t = *runnable_[i];
  runnable_[i] = runnable_.back();
  runnable_.pop_back();
  return t;
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
    runnable_.push_back(s.who);
    return true;
  });
  return true;
}

// --- waiting ---

bool port::sleep(thread& me, const void* word, os::nanos deadline) noexcept {
  me.timed_out = false;
  sleepers_.push_back({word, deadline < os::no_limit ? deadline : os::never, &me});
  pass_baton(me);
  if (&me == &main_ && std::exchange(must_cancel_, false)) cancel_runtimes();
  return !me.timed_out;
}

bool port::wait(const std::uint32_t& word, std::uint32_t expected, os::nanos deadline) noexcept {
  check_caller();
  const std::atomic_ref now_there(const_cast<std::uint32_t&>(word));
  if (now_there.load(std::memory_order_relaxed) != expected) return true;  // relaxed: the gates order all
  if (deadline <= now_) return false;
  return sleep(*current_, &word, deadline);
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
  std::erase_if(sleepers_, [&](const sleeper& s) {
    if (s.word != &word || count <= 0) return false;
    --count;
    runnable_.push_back(s.who);
    return true;
  });
}

// --- giving way ---

void port::step(bool woke) noexcept {
  check_caller();
  if (woke) fruitless_steps_ = 0;
  thread& me = *current_;
  count_step(me);
  if (runnable_.empty() || random_.below(steps_per_switch) != 0) return;
  const std::size_t chosen = random_.below(runnable_.size() + 1);
  if (chosen == runnable_.size()) return;
  thread& next = take_runnable(chosen);
  runnable_.push_back(&me);
  pass_baton_to(next, me);
}

void port::give_way() noexcept {
  check_caller();
  thread& me = *current_;
  count_step(me);
  if (runnable_.empty()) return;
  thread& next = choose();
  runnable_.push_back(&me);
  pass_baton_to(next, me);
}

void port::count_step(thread& me) noexcept {
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
  if (++fruitless_steps_ < steps_of_a_spin) return;
  fruitless_steps_ = 0;
  pass_time();
}

// --- threads ---

void port::run_thread(void* raw) {
  thread& me = *static_cast<thread*>(raw);
  wait_at_gate(me);
  me.entry(me.argument);
  me.home->end(me);
}

void port::end(thread& me) noexcept {
  std::atomic_ref(me.ended).store(1, std::memory_order_relaxed);  // relaxed: the gates order all
  wake(me.ended, 1);
  thread& next = choose();
  current_ = &next;
  note(next.number);
  open_gate(next);
}

os::thread_id port::start(os::thread_entry entry, void* argument, const char* name) {
  check_caller();
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
