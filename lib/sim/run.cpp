// The life of a run: the program, what is found when it has returned, and how a run that is stuck comes to
// its end.

#include <weft/error.hpp>
#include <weft/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <iterator>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/fatal.hpp"
#include "core/describe.hpp"
#include "core/unhandled.hpp"
#include "sched/frame_pool.hpp"
#include "sched/scheduler.hpp"
#include "sim/port.hpp"

namespace weft::sim {

namespace {

/// What may still run when the program has returned, or is to end: some 0.1 s.
constexpr std::uint32_t last_steps = 1'000'000;

class counted_run {
 public:
  explicit counted_run(bool fails) noexcept : fails_(fails) {
    os::simulated_runs.fetch_add(1, std::memory_order_relaxed);  // relaxed: os::step()
    if (fails_) sched::want_failures(true);
  }

  counted_run(const counted_run&) = delete;
  counted_run& operator=(const counted_run&) = delete;

  ~counted_run() {
    if (fails_) sched::want_failures(false);
    os::simulated_runs.fetch_sub(1, std::memory_order_relaxed);  // relaxed: os::step()
  }

 private:
  const bool fails_;
};

}  // namespace

// --- outside ---

result port::run(detail::program program) {
  const counted_run count(how_.failing_allocations != 0);
  program_ = program;
  const os::thread_id first = os::real_port().start(&run_main, this, "weft-sim");
  const std::atomic_ref finished(finished_);
  while (finished.load(std::memory_order_acquire) == 0) {  // A2, pairs with R2
    os::real_port().wait(finished_, 0, os::never);
  }
  if (!given_up_) os::real_port().join(first);
  if (!report_.empty() && !story_.empty()) {
    report_ += "where it left the obvious order:\n";
    report_ += story_;
  }
  return {report_.empty(), hash_, std::move(report_), schedule_.by().text(), steps_};
}

/// The baton stays here.
void port::finish() noexcept {
  std::atomic_ref(finished_).store(1, std::memory_order_release);  // R2, pairs with A2: hash and report
  os::real_port().wake(finished_, 1);
}

// --- the main thread ---

void port::run_main(void* self) {
  auto& run = *static_cast<port*>(self);
  os::set_current_port(&run);
  os::stay_on_this_cpu();  // one thread runs at a time, and a change of threads on one takes half the time
  run.live();
}

void port::live() noexcept {
  call_program();
  if (phase_ == phase::running) settle();
  const bool leaks = find_leaks();
  phase_ = phase::ending;
  steps_left_ = last_steps;
  if (leaks) end_facade_calls(false);
  end_runtimes();
  finish();
}

void port::call_program() noexcept {
  try {
    inside_ = false;
    program_.call(program_.context);
  } catch (const std::exception& error) {
    if (phase_ == phase::running) complain(fmt::format("the program threw: {}", error.what()));
  } catch (const cancelled&) {
    if (phase_ == phase::running) complain("the program threw weft::cancelled");
  } catch (...) {
    if (phase_ == phase::running) complain("the program threw an exception that is no std::exception");
  }
  inside_ = true;
}

/// Lets all others run until they wait, without moving the time; then what has not ended never would, or not
/// before the program's end.
void port::settle() noexcept {
  settling_ = true;
  steps_left_ = last_steps;
  pass_baton(main_);
}

bool port::find_leaks() noexcept {
  const bool leaks =
      std::any_of(runtimes.begin(), runtimes.end(), [](const auto* each) { return !each->drained(); });
  if (leaks && phase_ == phase::running) {
    complain("the program has returned, and these routines have not ended:");
    describe_all();
  }
  return leaks;
}

void port::end_runtimes() noexcept {
  if (global != nullptr) {
    global->stop();
    delete std::exchange(global, nullptr);
  }
  if (machine_ != nullptr) machine_->end();
  if (!runtimes.empty()) {
    complain("the program has returned and left a runtime that it had made");
  } else if (!threads_.empty()) {
    complain("the program has returned and left a sim::thread that nobody has joined");
    for (const auto& each : threads_) describe(*each);
  } else if (report_.empty() && machine_ != nullptr && machine_->has_open()) {
    complain("the program has returned and left open");
    machine_->describe(report_);
  }
}

io::system& port::system() noexcept {
  const inside here(*this);
  if (machine_ == nullptr) machine_ = std::make_unique<machine>(*this, how_);
  return *machine_;
}

// --- stuck ---

void port::be_stuck() noexcept {
  if (phase_ != phase::running) give_up();
  begin_dying("deadlock: nothing can run and no time limit ends within 146 years", true);
}

/// A livelock, or a long program: which it is the reader has to know.
void port::be_endless() noexcept {
  if (phase_ == phase::running)
    begin_dying(fmt::format("it has not ended after {} steps (options::max_steps)", how_.max_steps),
                current_ != &main_);
}

void port::begin_dying(std::string_view what, bool main_waits) noexcept {
  phase_ = phase::dead;
  steps_left_ = last_steps;
  complain(what);
  describe_all();
  must_cancel_ = true;
  end_facade_calls(main_waits);
}

/// They look at over().  So does nobody else, but main has to be up in any case, and first.
void port::end_facade_calls(bool main_waits) noexcept {
  std::erase_if(sleepers_, [&](const sleeper& s) {
    if (s.who == &main_) return true;
    if (!s.who->in_facade) return false;
    runnable_.push_back(s.who);
    return true;
  });
  if (!main_waits) return;
  std::erase(runnable_, &main_);
  std::erase_if(late_, [&](const late& l) { return l.who == &main_; });
  runnable_.insert(runnable_.begin(), &main_);
}

/// On main: it is in a wait or between two operations, but not as a worker, whose queues must not be touched
/// there.
void port::cancel_if_asked() noexcept {
  if (!std::exchange(must_cancel_, false)) return;
  for (sched::scheduler* each : std::vector(runtimes)) core::cancel_all(*each);
  settle();  // what main has on its stack goes last
  steps_left_ = last_steps;
}

void port::give_up() noexcept {
  inside_ = true;
  complain("the run cannot be ended; what is left stays for ever:");
  describe_all();
  given_up_ = true;
  finish();
  for (;;) wait_at_gate(*current_);
}

// --- the report ---

/// A deadlock's report would be lost if what its unwinding runs into ends the process.
void port::describe_run(int fd) const noexcept {
  base::write_text(fd, "  in simulation with ");
  base::write_text(fd, name_);
  base::write_text(fd, report_.empty() ? "\n" : ", whose report until then is\n");
  base::write_text(fd, report_);
  base::write_text(fd, "  WEFT_SIM_REPLAY=");
  base::write_text(fd, std::string_view(name_).substr(name_.find(' ') + 1));
  base::write_text(fd, " lets for_each_seed() and explore() run this alone\n");
}

void port::unhandled(const weft::detail::promise_base& p, const std::exception_ptr& error) noexcept {
  const inside here(*this);
  complain(core::sentence_of(p, error));
}

void port::complain(std::string_view what) noexcept {
  const std::uint64_t since = static_cast<std::uint64_t>(now_ - start_time);
  fmt::format_to(std::back_inserter(report_), "weft: simulation with {}, at {}.{:09} s: {}\n", name_,
                 since / 1'000'000'000, since % 1'000'000'000, what);
}

void port::describe_all() noexcept {
  for (sched::scheduler* each : runtimes) core::describe_routines(report_, *each);
  describe(main_);
  for (const auto& each : threads_) describe(*each);
  if (machine_ != nullptr) machine_->describe(report_);
}

/// Threads that wait in a facade call outside of routines, and main wherever it is.
void port::describe(const thread& t) noexcept {
  const auto out = std::back_inserter(report_);
  if (t.party == nullptr) {
    if (&t == &main_ && phase_ == phase::dead)
      fmt::format_to(out, "thread {} '{}': waits for a runtime\n", t.number, t.name);
    return;
  }
  fmt::format_to(out, "thread {} '{}': blocks in ", t.number, t.name);
  core::describe_wait(report_, *static_cast<const weft::detail::waiter*>(t.party), now_);
  report_ += '\n';
}

namespace detail {

void begin_faults() noexcept {
  static_cast<port&>(os::current_port()).begin_faults();
}

}  // namespace detail
}  // namespace weft::sim
