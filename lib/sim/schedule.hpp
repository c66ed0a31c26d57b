#pragma once

// schedule: who decides in a simulated run.  Every decision is a question with n answers; 0 is the obvious
// one: go on, take the oldest, no fault.  A strategy answers from the seed.  A script answers 0 but at the
// places it lists; since all else in a run follows from the answers, the script of a run's answers is the
// run.
//
// What is drawn but is no decision (turn lengths, victims) comes from a generator of its own, so that a
// script sees the draws of the seed it was taken from.  A plain schedule, explore()'s, has no draws that
// matter.
//
// Source: PCT (Burckhardt et al., A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs).  Its
//         change points are drawn log-uniformly from 2^16 steps, so that no length need be known.
// Rejected: replaying by seed alone (nothing can be taken back); recorded answers in full (a long line, and
//           shrinking would have to cut and renumber).

#include <weft/sim.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.hpp"

namespace weft::sim {

enum class question : std::uint8_t {
  preempt,      // who goes on: 0 the running thread, then those that could
  thread,       // the running one waits: who goes on
  routine,      // which of those that are ready on this worker
  select_case,  // which of the cases is looked at first
  fault,        // 1: it happens
};

/// One answer that is not 0.
struct deviation {
  std::uint64_t place = 0;  // the number of the question in the run
  std::uint32_t answer = 0;
};

/// What a run decides by: a seed alone, or a script as well.
struct plan {
  std::uint64_t seed = 0;
  bool plain = false;          // explore()'s: neither seed nor draws
  bool scripted = false;       // answers are 0 but for the deviations
  std::optional<strategy> by;  // if it does not follow from the options
  std::vector<deviation> deviations;

  /// "17", "17p" (u, p, r: the strategy), "17:12=1,40=2", "explore:3=1".  Throws std::invalid_argument.
  static plan parse(std::string_view);
  std::string text() const;
};

/// By which a plan without a script decides: never mixed.
strategy strategy_of(const options&, const plan&) noexcept;

/// A question that had more than one answer.
struct answered {
  question what;
  std::uint32_t answer;
  std::uint32_t answers;
};

/// What a script answers where it lists nothing: 0.  But a thread that was never interrupted for long may
/// wait in a loop for another one, and scripts are taken apart and put together: the next one's turn.
class obvious {
 public:
  std::uint32_t answer(question what) noexcept {
    return what == question::preempt && ++stayed_ % unfair == 0;
  }

  /// A listed answer was given instead.
  void deviate() noexcept { stayed_ = 0; }

 private:
  static constexpr std::uint32_t unfair = 200;

  std::uint32_t stayed_ = 0;
};

/// Where these answers are not the obvious ones.
std::vector<deviation> deviations_of(const std::vector<answered>&);

class schedule {
 public:
  schedule(plan, const options&);

  const plan& by() const noexcept { return plan_; }

  /// From now on every answer is written down.
  void record() noexcept { recording_ = true; }

  const std::vector<answered>& recorded() const noexcept { return recorded_; }

  /// One of `n`, at least 1; `who[i]` is the same for the same party all through the run.
  std::size_t decide(question, std::size_t n, const std::uint64_t* who);
  /// Whether what has so many of a thousand chances happens.
  bool happens(unsigned of_a_thousand);

  /// Below n, and no decision.  In a plain schedule n - 1: the longest turn, every wake.
  std::size_t draw(std::size_t n) noexcept { return plan_.plain ? n - 1 : draws_.below(n); }

  std::uint64_t seed_of_others() noexcept { return draws_.next(); }

 private:
  static constexpr unsigned most_change_points = 32;

  std::size_t by_strategy(question, std::size_t n, const std::uint64_t* who);
  std::size_t by_priority(question, std::size_t n, const std::uint64_t* who);
  std::size_t by_turns(question, std::size_t n) noexcept;
  std::size_t by_script(question, std::size_t n) noexcept;
  std::uint64_t& priority_of(std::uint64_t who);

  const plan plan_;
  strategy strategy_;
  base::random choices_;
  base::random draws_;

  std::uint64_t place_ = 0;  // questions so far
  std::size_t next_ = 0;     // of the plan's deviations
  obvious obvious_;
  std::uint32_t stayed_ = 0;   // of round_robin: since the last interruption
  std::uint32_t quantum_ = 1;  // and how long that may be
  std::uint32_t turn_ = 0;     // and for selects

  std::unordered_map<std::uint64_t, std::uint64_t> priorities_;
  std::array<std::uint64_t, most_change_points> change_at_{};
  unsigned changes_ = 0;
  std::uint64_t lowest_ = std::uint64_t{1} << 32;  // of the priorities given so far
  std::uint64_t asked_ = 0;                        // of threads and routines
  std::uint32_t of_threads_ = 0;                   // the same, apart, since the last was put last
  std::uint32_t of_routines_ = 0;

  bool recording_ = false;
  std::vector<answered> recorded_;
};

}  // namespace weft::sim
