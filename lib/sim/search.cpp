// Many runs of one program: with many seeds, in all orders, and in fewer and fewer steps aside.
//
// explore: every run is one path in the tree of answers, and a script names its path by the answers that are
// not the obvious ones.  A run of a script shows which other answers there were behind its last deviation;
// each of them is a script that nobody has run, and that nobody else comes to.  So no path is run twice, and
// when no script is left, all have been.  Those with fewer preemptions and faults come first.
//
// shrink: delta debugging (Zeller and Hildebrandt) on the deviations of the failing run.
//
// Rejected: depth first over full answer lists (keeps one path only, but finds long failures before short
//           ones); partial order reduction (weft's operations meet in queues and wakes that no object names).

#include <weft/sim.hpp>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/fatal.hpp"
#include "sim/port.hpp"
#include "sim/schedule.hpp"

namespace weft::sim {

namespace {

/// So many runs may be spent on making a failure simpler: 0.1 to 1 s.
constexpr int most_attempts = 1'000;

constexpr std::string_view other_run =
    "weft: the same seed came to another run: something decides that weft does not know of, such as a clock, "
    "an address, or what an earlier run has left\n";

/// And so many steps, some 10 s: a program that never ends takes most of them at each attempt.
constexpr std::uint64_t most_attempted_steps = 100'000'000;

// --- one run ---

struct outcome {
  result came_to;
  std::vector<answered> answers;
  bool left_threads;  // and memory: not to be repeated a thousand times
};

enum class detail_level : std::uint8_t { result_only, answers, story };

outcome execute(detail::program program, plan by, const options& how,
                detail_level level = detail_level::result_only) {
  auto run = std::make_unique<port>(std::move(by), how);
  if (level == detail_level::answers) run->record();
  if (level == detail_level::story) run->explain();
  result r = run->run(program);
  outcome o{std::move(r), run->recorded(), run->left_threads()};
  if (o.left_threads) static_cast<void>(run.release());  // they use it
  return o;
}

/// What went wrong, without where and when.
std::string_view kind_of(const result& r) {
  std::string_view first = r.report;
  first = first.substr(0, first.find('\n'));
  const auto at = first.find(" s: ");
  return at == std::string_view::npos ? first : first.substr(at);
}

// --- a simpler failure ---

class shrinker {
 public:
  shrinker(detail::program program, const options& how, const result& failure)
      : program_(program), how_(how), kind_(kind_of(failure)) {}

  /// From a plan that fails to the least one that fails in the same way, as far as it is found.
  plan shrink(plan by, const std::vector<answered>& answers) {
    by.scripted = true;
    by.deviations = deviations_of(answers);
    if (!fails(by)) return by;  // the caller sees that it does not
    for (std::size_t pieces = 2; !by.deviations.empty();) {
      const std::size_t each = (by.deviations.size() + pieces - 1) / pieces;
      bool less = false;
      for (std::size_t from = 0; from < by.deviations.size() && attempts_ < most_attempts;) {
        plan without = by;
        const auto first = without.deviations.begin() + static_cast<std::ptrdiff_t>(from);
        const std::size_t many = std::min(each, by.deviations.size() - from);
        without.deviations.erase(first, first + static_cast<std::ptrdiff_t>(many));
        if (fails(without)) {
          by = std::move(without);
          less = true;
        } else {
          from += many;
        }
      }
      if (attempts_ >= most_attempts || (each == 1 && !less)) break;
      pieces = less ? std::max<std::size_t>(2, pieces - 1) : pieces * 2;
    }
    return by;
  }

 private:
  bool fails(const plan& by) {
    ++attempts_;
    const outcome o = execute(program_, by, how_);
    steps_ += o.came_to.steps;
    if (o.left_threads || steps_ > most_attempted_steps) attempts_ = most_attempts;
    return !o.came_to.ok && kind_of(o.came_to) == kind_;
  }

  const detail::program program_;
  const options& how_;
  const std::string kind_;
  int attempts_ = 0;
  std::uint64_t steps_ = 0;
};

// --- the report ---

/// The line that started this process, quoted for a shell.
std::string command_line() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  const std::string all(std::istreambuf_iterator<char>(in), {});
  std::string line;
  for (std::size_t from = 0; from < all.size();) {
    const std::size_t end = std::min(all.find('\0', from), all.size());
    const std::string_view word(all.data() + from, end - from);
    const bool is_plain = word.find_first_of(" \t\n'\"\\$`*?[]{}()<>|&;#~!") == std::string_view::npos;
    line += ' ';
    if (is_plain && !word.empty()) {
      line += word;
    } else {
      line += '\'';
      for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
      line += '\'';
    }
    from = end + 1;
  }
  return line;
}

/// The simplest run that fails as `failure` does, with its story and the line that replays it; told on the
/// standard error as well.
result report_of(detail::program program, const options& how, plan by, const outcome& failure) {
  result told = failure.came_to;
  if (!failure.left_threads) {
    const outcome again = execute(program, by, how, detail_level::answers);
    if (again.came_to.hash != failure.came_to.hash) {
      told.report += other_run;
    } else {
      shrinker simpler(program, how, failure.came_to);
      by = simpler.shrink(std::move(by), again.answers);
      outcome last = execute(program, by, how, detail_level::story);
      if (!last.came_to.ok) told = std::move(last.came_to);
    }
  }
  if (told.schedule == by.text() && !by.scripted) {  // replay() does not take these options by default
    by.by = strategy_of(how, by);
    told.schedule = by.text();
  }
  fmt::format_to(std::back_inserter(told.report), "replay it by\n  WEFT_SIM_REPLAY={}{}\n", told.schedule,
                 command_line());
  base::write_text(STDERR_FILENO, told.report);
  return told;
}

/// At least `n`, and more if the environment says so.
std::uint64_t at_least(std::uint64_t n, const char* variable) noexcept {
  const char* const text = std::getenv(variable);
  return text == nullptr ? n : std::max<std::uint64_t>(n, std::strtoull(text, nullptr, 10));
}

/// What WEFT_SIM_REPLAY asks for; null if it does not.
const char* asked_for() noexcept {
  const char* const text = std::getenv("WEFT_SIM_REPLAY");
  return text == nullptr || *text == '\0' ? nullptr : text;
}

result replay_told(std::string_view schedule, detail::program program, const options& how) {
  result r = execute(program, plan::parse(schedule), how, detail_level::story).came_to;
  if (!r.ok) base::write_text(STDERR_FILENO, r.report);
  return r;
}

// --- all orders ---

/// A script nobody has run yet.
struct untried {
  std::vector<deviation> deviations;
  answered last{};  // the question that the last deviation answers
  unsigned preemptions = 0;
  unsigned faults = 0;

  std::size_t cost() const noexcept { return preemptions + faults; }
};

class exploration {
 public:
  exploration(const bounds& limit, std::uint64_t most) : limit_(limit), most_(most) { add({}); }

  /// The cheapest; among these the latest, which keeps the list short.
  bool take(untried& to) {
    for (auto& level : levels_) {
      if (level.empty()) continue;
      to = std::move(level.back());
      level.pop_back();
      return true;
    }
    return false;
  }

  /// The other answers that a run of `from` could have had behind its last deviation.
  void branch(const untried& from, const std::vector<answered>& answers) {
    const std::uint64_t behind = from.deviations.empty() ? 0 : from.deviations.back().place + 1;
    for (std::uint64_t place = answers.size(); place-- > behind;) {
      const answered& a = answers[place];
      untried next = from;
      if (a.what == question::preempt) ++next.preemptions;
      if (a.what == question::fault) ++next.faults;
      if (next.preemptions > limit_.preemptions || next.faults > limit_.faults) continue;
      next.deviations.push_back({place, 0});
      next.last = a;
      for (std::uint32_t answer = a.answers; answer-- > 0;) {
        if (answer == a.answer) continue;
        next.deviations.back().answer = answer;
        next.last.answer = answer;
        add(next);
      }
    }
  }

 private:
  void add(untried next) {
    const std::size_t cost = next.cost();
    if (levels_.size() <= cost) levels_.resize(cost + 1);
    auto& level = levels_[cost];
    level.push_back(std::move(next));
    if (level.size() > most_ && level.size() > 1) level.pop_front();  // the runs are used up before its turn
  }

  const bounds limit_;
  const std::uint64_t most_;
  std::vector<std::deque<untried>> levels_;
};

/// Whether that run came to the question that it was made to answer otherwise.
bool followed(const untried& script, const std::vector<answered>& answers) noexcept {
  if (script.deviations.empty()) return true;
  const std::uint64_t place = script.deviations.back().place;
  return place < answers.size() && answers[place].what == script.last.what &&
         answers[place].answer == script.last.answer && answers[place].answers == script.last.answers;
}

plan explored_plan(std::vector<deviation> deviations) {
  plan by;
  by.plain = true;
  by.scripted = true;
  by.deviations = std::move(deviations);
  return by;
}

}  // namespace

namespace detail {

result run(std::uint64_t seed, program program, const options& how) {
  plan by;
  by.seed = seed;
  return execute(program, std::move(by), how).came_to;
}

result replay(std::string_view schedule, program program, const options& how) {
  return execute(program, plan::parse(schedule), how, detail_level::story).came_to;
}

result for_each_seed(std::uint64_t n, program program, const options& how) {
  if (const char* const schedule = asked_for()) return replay_told(schedule, program, how);
  n = at_least(n, "WEFT_SIM_SEEDS");
  result last{.ok = true, .report = {}, .schedule = {}};
  for (std::uint64_t seed = 0; seed < n; ++seed) {
    plan by;
    by.seed = seed;
    outcome o = execute(program, by, how);
    if (!o.came_to.ok) return report_of(program, how, std::move(by), o);
    last = std::move(o.came_to);
  }
  return last;
}

explored explore(program program, const bounds& limit, const options& how) {
  explored seen;
  if (const char* const schedule = asked_for()) {
    seen.runs = 1;
    seen.failure = replay_told(schedule, program, how);
    seen.ok = seen.failure.ok;
    return seen;
  }
  const std::uint64_t most = at_least(limit.runs, "WEFT_SIM_RUNS");
  exploration all(limit, most);
  untried next;
  while (all.take(next)) {
    if (seen.runs == most) {
      seen.ok = true;
      return seen;
    }
    ++seen.runs;
    plan by = explored_plan(next.deviations);
    outcome o = execute(program, by, how, detail_level::answers);
    if (!o.came_to.ok) {
      seen.failure = report_of(program, how, std::move(by), o);
      return seen;
    }
    if (!followed(next, o.answers)) {
      seen.failure = std::move(o.came_to);
      seen.failure.ok = false;
      seen.failure.report = other_run;
      base::write_text(STDERR_FILENO, seen.failure.report);
      return seen;
    }
    all.branch(next, o.answers);
  }
  seen.ok = true;
  seen.complete = true;
  return seen;
}

}  // namespace detail
}  // namespace weft::sim
