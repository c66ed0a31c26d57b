#pragma once

// The simulator's port: the threads of a run are real, but only the one that has the baton runs.
//
// Protocol of the baton
//   - A thread that the port starts waits at its gate before it runs anything; it is runnable at once.
//   - The holder gives the baton away in wait() and join(), if it has to wait; in give_way(); at its end; and
//     in step(), before an operation that others can see, if the schedule says so.  Nowhere else: so no lock
//     of weft's is held meanwhile, and what stands between two operations is never interrupted.
//   - The next holder is one of the runnable threads, as the schedule decides.  It is let through its gate,
//     and the old holder waits at its own.
//   - wake() makes threads runnable that wait on that address; they are found by it and ordered by when they
//     came.  As a fault a woken thread is late by some steps, or until nobody else can run: then time has not
//     moved.
//   - If no thread is runnable, time goes on to the earliest deadline.  If there is none either, the run is
//     stuck: the first time that is a deadlock, see the phases; the second time the run is given up.
//
// Everything below is guarded by the baton: the gate's release and acquire hand it over.
//
// Phases
//   running   f runs
//   dead      a deadlock was reported: all runtimes are stopped, and facade calls are cancelled instead of
//             waiting, so that f comes to its end; the youngest routines first, main last, as most use what
//             is their starter's
//   ending    f has returned: leaks were reported, the run's own runtime is stopped, facade calls as above
//   A run that does not get through the last two - a wait that is shielded, a routine that never ends - is
//   given up: the report names what is left, and its threads stay at their gates for ever.
//
// Determinism: a decision depends on the schedule and on what ran before, never on an address, a clock or
// another thread.  The hash takes in every change of the holder, of the time and every pick.
//
// What the port allocates itself never fails by the fault of failing_allocations: see `inside`.
//
// Source: FoundationDB (one thread, virtual time, seeded), Coyote and shuttle (real code between the decision
//         points), Go's testing/synctest (time moves when all are blocked).
// Rejected: one OS thread with a stack for each party (sanitizers and thread_locals go by the OS's threads);
//           a switch in wake() and start() (they are called under locks).

#include <weft/sim.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/simulation.hpp"
#include "os/port.hpp"
#include "sim/machine.hpp"
#include "sim/schedule.hpp"

namespace weft::sim {

class port final : public os::port, public core::simulation {
 public:
  port(plan, const options&);
  port(const port&) = delete;
  port& operator=(const port&) = delete;

  /// Before run(): the answers are kept, and can be had behind it.
  void record() noexcept { schedule_.record(); }

  const std::vector<answered>& recorded() const noexcept { return schedule_.recorded(); }

  /// Before run(): the report of a run that is not ok says where the order was not the obvious one.
  void explain() noexcept { explains_ = true; }

  /// The whole run.  Throws std::system_error if its first thread cannot be had.  Called once, outside.
  result run(detail::program);

  /// After run(): threads of it are left for ever, and so must the port be.
  bool left_threads() const noexcept { return given_up_ || !threads_.empty(); }

  /// Faults may happen from here on: what the run itself needs to begin is there.
  void begin_faults() noexcept { faults_ = true; }

  os::nanos now() noexcept override;
  std::uint64_t random() noexcept override;

  bool simulated() const noexcept override { return true; }

  bool wait(const std::uint32_t& word, std::uint32_t expected, os::nanos deadline) noexcept override;
  void wake(const std::uint32_t& word, int count) noexcept override;
  os::thread_id start(os::thread_entry entry, void* argument, const char* name) override;
  void join(os::thread_id) noexcept override;
  void give_way() noexcept override;

  unsigned cpus() override { return how_.workers == 0 ? 1 : how_.workers; }

  std::size_t pick(std::size_t n, const std::uint64_t* ids) noexcept override;

  std::size_t draw(std::size_t n) noexcept override { return schedule_.draw(n); }

  bool allocation_fails() noexcept override;

  bool spare_allocations(bool from_now) noexcept override { return std::exchange(inside_, from_now); }

  void step(bool woke) noexcept override;
  void note(std::uint64_t what) noexcept override;
  bool wait_as(const void* party, const std::uint32_t& word, std::uint32_t expected,
               os::nanos deadline) noexcept override;

  bool over() const noexcept override { return phase_ != phase::running; }

  void* above() noexcept override { return static_cast<core::simulation*>(this); }

  void unhandled(const weft::detail::promise_base&, const std::exception_ptr&) noexcept override;
  void describe_run(int fd) const noexcept override;
  io::system& system() noexcept override;
  [[noreturn]] void give_up() noexcept override;

  // --- the machine's ---

  /// A fault with so many of a thousand chances.
  bool happens(unsigned of_a_thousand, const char* fault) noexcept;
  /// As start(), and no fault.
  os::thread_id start_own(os::thread_entry entry, void* argument, const char* name);

 private:
  enum class phase { running, dead, ending };

  static constexpr os::nanos start_time = 1'000'000'000;

  struct thread {
    port* home = nullptr;
    std::uint64_t number = 0;  // in the order of their starts
    std::string name;
    os::thread_entry entry = nullptr;
    void* argument = nullptr;
    os::thread_id real;
    std::uint32_t gate = 0;   // 1: the baton is here
    std::uint32_t ended = 0;  // 1: may be joined
    bool timed_out = false;
    bool woke_for_nothing = false;  // from its last wait
    bool in_facade = false;         // waits in a facade call
    const void* party = nullptr;    // and this is its waiter, if it is no routine
  };

  struct sleeper {
    const void* word;
    os::nanos deadline;
    thread* who;
  };

  /// Woken, and late.
  struct late {
    std::uint64_t from;  // in steps
    thread* who;
  };

  /// While the port itself runs.  Each thread keeps what it found, so it is right again when the baton comes
  /// back.
  class inside {
   public:
    explicit inside(port& of) noexcept : of_(of), before_(of.inside_) { of.inside_ = true; }

    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;

    ~inside() { of_.inside_ = before_; }

   private:
    port& of_;
    const bool before_;
  };

  // --- port.cpp: the baton ---
  static void run_thread(void* raw);
  static void open_gate(thread&) noexcept;
  static void wait_at_gate(thread&) noexcept;
  void check_caller() const noexcept;
  bool sleep(thread& me, const void* word, os::nanos deadline) noexcept;
  void pass_baton(thread& me) noexcept;
  void pass_baton_to(thread& next, thread& me) noexcept;
  thread& choose() noexcept;
  thread& take_runnable(std::size_t i) noexcept;
  std::size_t decide(question, std::size_t n, const std::uint64_t* who) noexcept;
  std::size_t decide_thread(question, const thread* me) noexcept;
  void make_runnable(thread&) noexcept;
  bool end_lateness(bool of_one) noexcept;
  void tell(std::string_view deviation) noexcept;
  bool pass_time() noexcept;
  void count_step(thread& me) noexcept;
  void end(thread& me) noexcept;

  // --- run.cpp: the life of a run ---
  static void run_main(void* self);
  void live() noexcept;
  void call_program() noexcept;
  void settle() noexcept;
  bool find_leaks() noexcept;
  void end_runtimes() noexcept;
  void end_facade_calls(bool main_waits) noexcept;
  void be_stuck() noexcept;
  void cancel_if_asked() noexcept;
  void finish() noexcept;
  void be_endless() noexcept;
  void begin_dying(std::string_view what, bool main_waits) noexcept;
  void complain(std::string_view what) noexcept;
  void describe_all() noexcept;
  void describe(const thread& t) noexcept;

  const options how_;
  schedule schedule_;
  const std::string name_;  // "seed 17"
  std::uint64_t hash_ = 0;
  os::nanos now_ = start_time;

  thread main_;
  thread* current_ = &main_;
  std::vector<std::unique_ptr<thread>> threads_;  // all but main that were not joined
  std::vector<thread*> runnable_;                 // without the holder
  std::vector<sleeper> sleepers_;                 // in the order they came
  std::vector<late> late_;                        // the same
  std::vector<std::uint64_t> who_;                // what decide_thread() writes
  std::uint64_t started_ = 0;
  std::unique_ptr<machine> machine_;  // null: no descriptor was asked for

  phase phase_ = phase::running;
  bool settling_ = false;     // main waits until nothing can run
  bool must_cancel_ = false;  // main has to stop the runtimes
  bool inside_ = true;
  bool faults_ = false;
  std::uint64_t steps_ = 0;
  std::uint32_t steps_since_pick_ = 0;
  std::uint32_t fruitless_steps_ = 0;
  std::uint32_t steps_left_ = 0;  // while settling, and in the last two phases

  detail::program program_{};
  std::string report_;
  bool explains_ = false;
  std::string story_;  // what explain() is about
  bool given_up_ = false;
  std::uint32_t finished_ = 0;  // what run() waits for
};

}  // namespace weft::sim
