// all(): children, their stolen continuations and the join, under all interleavings of tiny cases, and
// mutants that must be caught.  The counting and the deque are those of lib/; the cases are those of
// protocols.md A13 and A14, 5a .. 5q are the names of its models.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/fork_count.hpp"
#include "model/model_test.hpp"
#include "sched/fork_deque.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound_big;
using weft::core::after_child;
using weft::core::fork_count;
using weft::sched::fork_deque;

struct group {
  explicit group(std::uint32_t children) : count(children) {}

  std::uint32_t count;
  model::plain<std::uint32_t> next, taken;
  std::uint32_t pending = 0;
  model::lifetime life;
  int parent = 0;
};

template <template <typename> class Ref>
using counts_on = fork_count<group, Ref>;
using real = counts_on<model::atomic_ref>;

// --- mutants ---

/// Takers are not counted.
struct takes_uncounted : real {
  using fork_count::fork_count;

  void take() {}
};

/// A child goes on with whatever fork of its group is on top, and a taken one counts itself off in vain.
struct pops_after_counting : real {
  using fork_count::fork_count;

  template <typename Pop>
  after_child end_quickly(std::uint32_t, Pop) {
    return after_child::unknown;
  }

  template <typename Pop, typename Push>
  after_child end_child(std::uint32_t number, Pop pop, Push push_back) {
    const after_child then = fork_count::end_child(
        number, [] { return false; }, push_back);
    return then == after_child::others && number != 0 && pop() ? after_child::next_child : then;
  }
};

// --- the world ---

/// Routine 0 is the root; it forks `children` in group 0.  Some of them suspend; the first may fork two more,
/// in group 1.
struct shape {
  std::uint32_t children = 2;
  int workers = 2;
  std::array<int, 6> suspends{};  // how often, in the order of the routines
  bool nests = false;
  bool pops_any = false;  // a mutant of the deque's owner
};

template <typename Counts>
class world {
 public:
  explicit world(shape s)
      : shape_(s), groups_{group(s.children), group(2)}, routines_(1 + s.children + 2), deques_(3) {
    for (int i = 0; i < static_cast<int>(s.children); ++i) routines_[static_cast<std::size_t>(1 + i)].of = 0;
    groups_[1].parent = 1;
    first_of_nested_ = static_cast<int>(1 + s.children);
    ready_.push_back(0);
  }

  void run_worker(int w) {
    while (!done_) {
      int now = take(w);
      if (now == none) {
        if (!done_) model::engine::now()->wait_for_wake(&ready_lock_);
        continue;
      }
      while (now != none) now = run(now, w);
    }
  }

  void look() const { model::check(done_, "the parent never went on"); }

 private:
  static constexpr int none = -1;

  struct routine {
    int of = 1;  // its group
    model::plain<std::uint32_t> number;
    model::plain<int> step;
    model::plain<int> result;
    model::lifetime frame;
  };

  routine& at(int i) { return routines_[static_cast<std::size_t>(i)]; }

  group& group_of(int i) { return groups_[static_cast<std::size_t>(at(i).of)]; }

  fork_deque<group, 4, model::atomic>& forks(int w) { return deques_[static_cast<std::size_t>(w)]; }

  int first_child(const group& g) const { return &g == &groups_[0] ? 1 : first_of_nested_; }

  /// Ready routines first, as worker::next_frame() does; then own forks, then other workers'.
  int take(int w) {
    {
      const model::guard hold(ready_lock_);
      if (!ready_.empty()) {
        const int first = ready_.front();
        ready_.erase(ready_.begin());
        return first;
      }
    }
    group* taken = forks(w).pop();
    for (int i = 0; taken == nullptr && i < shape_.workers; ++i) {
      if (i != w) taken = forks(i).steal().item;
    }
    if (taken == nullptr) return none;
    Counts(*taken).take();
    return start_next(*taken, w);
  }

  int start_next(group& g, int w) {
    g.life.touch();
    Counts of(g);
    const std::uint32_t number = of.next_child();
    model::check(number < g.count, "a child is started twice");
    if (number >= g.count) return none;
    const int child = first_child(g) + static_cast<int>(number);
    if (of.must_fork()) {
      at(child).number = of.number();
      push(g, w);
    }
    return child;
  }

  void push(group& g, int w) {
    forks(w).push(&g);
    model::wake(&ready_lock_);
  }

  /// One step of a routine; what runs next here.
  int run(int i, int w) {
    routine& r = at(i);
    const int step = r.step++;
    const bool is_parent = i == 0 || (i == 1 && shape_.nests);
    if (is_parent && step == 0) {
      group& g = groups_[i == 0 ? 0 : 1];
      Counts(g).begin();
      return start_next(g, w);
    }
    if (!is_parent && step < shape_.suspends[static_cast<std::size_t>(i)]) {
      {
        const model::guard hold(ready_lock_);
        ready_.push_back(i);
      }
      model::wake(&ready_lock_);
      return none;
    }
    if (is_parent) end_group(groups_[i == 0 ? 0 : 1]);
    if (i == 0) {
      done_ = true;
      model::wake(&ready_lock_);
      return none;
    }
    r.result = 1;
    return end(i, w);
  }

  int end(int i, int w) {
    group& g = group_of(i);
    g.life.touch();
    const std::uint32_t number = at(i).number;
    const auto pop = [&] { return (shape_.pops_any ? forks(w).pop() : forks(w).pop_if(&g)) != nullptr; };
    const auto pop_quickly = [&] {
      return shape_.pops_any ? forks(w).pop() != nullptr : forks(w).pop_quickly_if(&g);
    };
    const auto push_back = [&] { push(g, w); };
    after_child then = Counts(g).end_quickly(number, pop_quickly);
    if (then == after_child::popped_later) then = Counts(g).give_back(push_back);
    if (then == after_child::unknown) then = Counts(g).end_child(number, pop, push_back);
    if (then == after_child::next_child) return start_next(g, w);
    return then == after_child::parent ? g.parent : none;
  }

  /// After the join: the children's frames and the group are gone.
  void end_group(group& g) {
    for (std::uint32_t i = 0; i < g.count; ++i) {
      routine& child = at(first_child(g) + static_cast<int>(i));
      model::check(child.result == 1, "joined before a child has ended");
      child.frame.end();
    }
    g.life.end();
  }

  const shape shape_;
  std::array<group, 2> groups_;
  std::vector<routine> routines_;
  std::vector<fork_deque<group, 4, model::atomic>> deques_;
  int first_of_nested_;
  std::uint32_t ready_lock_ = 0;
  std::vector<int> ready_;
  bool done_ = false;
};

template <typename Counts = real>
model::program all(shape s) {
  auto everything = std::make_shared<world<Counts>>(s);
  model::program what{.threads = {}, .finally = [=] { everything->look(); }};
  for (int w = 0; w < s.workers; ++w) what.threads.push_back([=] { everything->run_worker(w); });
  return what;
}

constexpr shape plain{};
constexpr shape first_suspends{.suspends = {0, 1}};
constexpr shape three_suspend{.children = 3, .suspends = {0, 1, 1}};
constexpr shape three_workers{.children = 3, .workers = 3, .suspends = {0, 1}};
constexpr shape nested{.suspends = {0, 0, 0, 2, 1}, .nests = true};
constexpr shape nested_three_workers{.workers = 3, .suspends = {0, 0, 0, 1}, .nests = true};

}  // namespace

TEST_CASE("all goes on once, after every child, whoever takes its continuations", "[model][fork]") {
  require_sound_big([] { return all(plain); }, 2);
  require_sound_big([] { return all(first_suspends); }, 2);
  require_sound_big([] { return all(three_suspend); }, 1);
  require_sound_big([] { return all(three_workers); }, 1);
}

TEST_CASE("all inside all: each counts its own children", "[model][fork]") {
  require_sound_big([] { return all(nested); }, 1);
  require_sound_big([] { return all(nested_three_workers); }, 1);
}

TEST_CASE("the model check catches a taker that is not counted", "[model][fork]") {
  require_caught([] { return all<takes_uncounted>(first_suspends); });
}

TEST_CASE("the model check catches a child that counts itself off and goes on with the group",
          "[model][fork]") {
  require_caught([] { return all<pops_after_counting>(three_suspend); });
}

TEST_CASE("the model check catches an owner that pops another group", "[model][fork]") {
  require_caught([] {
    shape s = nested;
    s.pops_any = true;
    return all(s);
  });
}

TEST_CASE("the model check catches a count that does not release or acquire", "[model][fork]") {
  require_caught([] { return all<counts_on<model::no_release_ref>>(first_suspends); });
  require_caught([] { return all<counts_on<model::no_acquire_ref>>(first_suspends); });
}

TEST_CASE("each order of the counts of a fork is needed: weakened alone it is caught", "[model][fork]") {
  require_each_order_matters("core/fork_count.hpp", {[] { return all(first_suspends); }});
}

#endif
