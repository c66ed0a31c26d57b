#include "sim/schedule.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace weft::sim {

namespace {

/// Of so many steps one may change the thread: a change costs some microseconds, and most programs have few
/// steps.
constexpr std::uint64_t steps_per_switch = 8;

/// After so many decisions the one with the highest priority is put last: it may wait in a loop, alone or
/// with others, for one that has never come.
constexpr std::uint32_t unfair_from = 256;

constexpr std::string_view explored_prefix = "explore";

/// Of the strategies, in their order.
constexpr std::string_view letters = "upr";

std::uint64_t mixed_with(std::uint64_t seed, std::uint64_t salt) noexcept {
  return base::random(seed + salt * 0x9e3779b97f4a7c15).next();
}

/// What is left of a schedule's text.
class reader {
 public:
  explicit reader(std::string_view text) noexcept : all_(text), left_(text) {}

  bool done() const noexcept { return left_.empty(); }

  bool take(std::string_view prefix) noexcept {
    if (!left_.starts_with(prefix)) return false;
    left_.remove_prefix(prefix.size());
    return true;
  }

  void expect(std::string_view prefix) {
    if (!take(prefix)) refuse();
  }

  template <typename T>
  T number() {
    T n{};
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), n);
    if (error != std::errc()) refuse();
    left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
    return n;
  }

  [[noreturn]] void refuse() const {
    throw std::invalid_argument(
        fmt::format("weft: '{}' is no schedule of a simulated run (as in WEFT_SIM_REPLAY)", all_));
  }

 private:
  const std::string_view all_;
  std::string_view left_;
};

}  // namespace

strategy strategy_of(const options& how, const plan& by) noexcept {
  if (by.by) return *by.by;
  if (how.schedule < strategy::mixed) return how.schedule;
  constexpr std::array all{strategy::uniform, strategy::pct, strategy::round_robin};
  return all[by.seed % all.size()];
}

// --- the text of a plan ---

plan plan::parse(std::string_view text) {
  reader in(text);
  plan p;
  if (in.take(explored_prefix)) {
    p.plain = true;
    p.scripted = true;
  } else {
    p.seed = in.number<std::uint64_t>();
    for (std::size_t i = 0; i < letters.size(); ++i) {
      if (in.take(letters.substr(i, 1))) {
        p.by = static_cast<strategy>(i);
        break;
      }
    }
  }
  if (in.done()) return p;
  in.expect(":");
  p.scripted = true;
  while (!in.done()) {
    if (!p.deviations.empty()) in.expect(",");
    deviation d;
    d.place = in.number<std::uint64_t>();
    in.expect("=");
    d.answer = in.number<std::uint32_t>();
    if (!p.deviations.empty() && d.place <= p.deviations.back().place) in.refuse();
    p.deviations.push_back(d);
  }
  return p;
}

std::string plan::text() const {
  std::string out = plain ? std::string(explored_prefix) : fmt::format("{}", seed);
  if (by) out += letters[static_cast<std::size_t>(*by)];
  if (!scripted) return out;
  char before = ':';
  if (deviations.empty()) out += before;
  for (const deviation& d : deviations) {
    fmt::format_to(std::back_inserter(out), "{}{}={}", before, d.place, d.answer);
    before = ',';
  }
  return out;
}

// --- answers ---

schedule::schedule(plan by, const options& how)
    : plan_(std::move(by)),
      strategy_(strategy_of(how, plan_)),
      choices_(mixed_with(plan_.seed, 1)),
      draws_(mixed_with(plan_.seed, 2)) {
  if (strategy_ == strategy::round_robin) quantum_ = 1 + static_cast<std::uint32_t>(choices_.below(8));
  if (strategy_ != strategy::pct) return;
  changes_ = std::min(how.change_points, most_change_points);
  for (unsigned i = 0; i < changes_; ++i) {
    const std::uint64_t magnitude = std::uint64_t{1} << choices_.below(17);
    change_at_[i] = magnitude + choices_.below(magnitude);
  }
}

std::size_t schedule::decide(question what, std::size_t n, const std::uint64_t* who) {
  if (n <= 1) return 0;
  const std::size_t answer = plan_.scripted ? by_script(what, n) : by_strategy(what, n, who);
  ++place_;
  if (recording_)
    recorded_.push_back({what, static_cast<std::uint32_t>(answer), static_cast<std::uint32_t>(n)});
  return answer;
}

bool schedule::happens(unsigned of_a_thousand) {
  if (of_a_thousand == 0) return false;
  bool does = false;
  if (plan_.scripted) {
    does = by_script(question::fault, 2) != 0;
  } else {
    does = choices_.below(1000) < of_a_thousand;
  }
  ++place_;
  if (recording_) recorded_.push_back({question::fault, does, 2});
  return does;
}

std::size_t schedule::by_strategy(question what, std::size_t n, const std::uint64_t* who) {
  switch (strategy_) {
    case strategy::pct:
      if (who != nullptr) return by_priority(what, n, who);
      break;
    case strategy::round_robin:
      return by_turns(what, n);
    case strategy::uniform:
    case strategy::mixed:
      break;
  }
  if (what == question::preempt && choices_.below(steps_per_switch) != 0) return 0;
  return choices_.below(n);
}

/// Whoever waits longest, after a few operations; the cases of selects in turn.
std::size_t schedule::by_turns(question what, std::size_t n) noexcept {
  if (what == question::select_case) return turn_++ % n;
  if (what != question::preempt || ++stayed_ < quantum_) return 0;
  stayed_ = 0;
  return 1;
}

std::uint64_t& schedule::priority_of(std::uint64_t who) {
  const auto [at, is_new] = priorities_.try_emplace(who, 0);
  if (is_new) at->second = (std::uint64_t{1} << 32) + (choices_.next() >> 32);
  return at->second;
}

/// The highest, which goes below all others at a change point, and after a long time.
std::size_t schedule::by_priority(question what, std::size_t n, const std::uint64_t* who) {
  const auto highest = [&] {
    std::size_t best = 0;
    for (std::size_t i = 1; i < n; ++i) {
      if (priority_of(who[i]) > priority_of(who[best])) best = i;
    }
    return best;
  };
  ++asked_;
  std::size_t best = highest();
  const bool changes = std::any_of(change_at_.begin(), change_at_.begin() + changes_,
                                   [&](std::uint64_t at) { return at == asked_; });
  std::uint32_t& since = what == question::routine ? of_routines_ : of_threads_;
  if (changes || ++since >= unfair_from) {
    since = 0;
    priority_of(who[best]) = --lowest_;
    best = highest();
  }
  return best;
}

std::size_t schedule::by_script(question what, std::size_t n) noexcept {
  if (next_ == plan_.deviations.size() || plan_.deviations[next_].place != place_)
    return obvious_.answer(what);
  obvious_.deviate();
  return std::min<std::size_t>(plan_.deviations[next_++].answer, n - 1);
}

std::vector<deviation> deviations_of(const std::vector<answered>& all) {
  std::vector<deviation> found;
  obvious by_default;
  for (std::uint64_t place = 0; place < all.size(); ++place) {
    obvious tried = by_default;
    if (tried.answer(all[place].what) == all[place].answer) {
      by_default = tried;
    } else {
      by_default.deviate();
      found.push_back({place, all[place].answer});
    }
  }
  return found;
}

}  // namespace weft::sim
