// A timer's cell between its owner, two runners and the next owner, under all interleavings of tiny cases,
// and mutants that must be caught.  The cases are 6a and 6m of protocols.md; the heap is a list under a lock.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/model_test.hpp"
#include "sched/timer_cell.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::sched::cell_word;
using weft::sched::return_stack;

using real = cell_word<model::atomic_ref>;

/// The owner does not wait for expire().
struct hasty : real {
  using cell_word::cell_word;

  template <typename Pause>
  void wait_until_fired(Pause) const {}
};

/// The cell is the owner's before expire() has run.
struct fires_early : real {
  using cell_word::cell_word;

  bool leave_armed(std::uint32_t to) { return cell_word::leave_armed(to == firing ? fired : to); }

  void set_fired() {}
};

/// T2 as under the lock, but without it.
struct stores_without_lock : real {
  using cell_word::cell_word;

  bool leave_armed(std::uint32_t to) {
    return to == cancelled ? leave_armed_locked(to) : cell_word::leave_armed(to);
  }
};

enum class slip { none, runner_reads_fired, owner_reads_cancelled };

struct cell {
  std::uint32_t state = 0;
  cell* next = nullptr;
  model::plain<int> heap;
  model::plain<int> target;
};

constexpr int targets = 3;

template <typename Word, template <typename> class Atomic, slip Slip>
struct heap {
  std::array<cell, targets> cells;
  std::uint32_t lock = 0;
  std::vector<cell*> keys;
  std::vector<cell*> spare;
  return_stack<cell, &cell::next, Atomic> given_back;
  std::array<model::lifetime, targets> frames;
  std::array<model::plain<int>, targets> expired;

  cell* arm(int target) {
    const model::guard hold(lock);
    for (cell* back = given_back.take_all(); back != nullptr; back = back->next) spare.push_back(back);
    if (spare.empty()) spare.push_back(&cells[static_cast<std::size_t>(target)]);
    cell* mine = spare.back();
    spare.pop_back();
    mine->heap.set(1);
    mine->target.set(target);
    Word(mine->state).mark(Word::armed);
    keys.push_back(mine);
    return mine;
  }

  /// `inside`: under the lock, which is reserved for the owner's thread.
  bool cancel(cell& mine, bool inside) {
    (void)mine.heap.get();
    Word word(mine.state);
    if (inside) {
      const model::guard hold(lock);
      if (word.leave_armed_locked(Word::cancelled)) return true;
    } else if (word.leave_armed(Word::cancelled)) {
      if (Slip == slip::owner_reads_cancelled) (void)mine.heap.get();
      return true;
    }
    word.wait_until_fired([](int) { model::relax(); });
    word.mark(Word::free);
    given_back.push(&mine);
    return false;
  }

  void run_due() {
    std::vector<cell*> batch;
    {
      const model::guard hold(lock);
      for (cell* due : keys) (Word(due->state).leave_armed(Word::firing) ? batch : spare).push_back(due);
      keys.clear();
    }
    for (cell* due : batch) {
      const auto target = static_cast<std::size_t>(due->target.get());
      frames[target].touch();
      expired[target].set(expired[target].get() + 1);
      Word(due->state).set_fired();
      if (Slip == slip::runner_reads_fired) (void)due->target.get();
    }
  }

  /// A wait with a deadline, that something else has ended.
  void wait(int target) { end(target, *arm(target)); }

  void end(int target, cell& mine, bool inside = false) {
    const bool never_fires = cancel(mine, inside);
    const auto i = static_cast<std::size_t>(target);
    model::check(expired[i].get() == (never_fires ? 0 : 1), "cancelled and fired, or neither");
    frames[i].end();
  }
};

template <typename Word, template <typename> class Atomic = model::atomic, slip Slip = slip::none,
          bool Inside = false>
model::program timers() {
  using timer_heap = heap<Word, Atomic, Slip>;
  auto all = std::make_shared<timer_heap>();
  cell& first = *all->arm(0);
  cell& second = *all->arm(1);
  const auto owner = [=, &first] {
    all->end(0, first, Inside);
    all->wait(2);  // in the cell of the first, or of the other owner
  };
  const auto other = [=, &second] { all->end(1, second); };
  const auto runner = [=] { all->run_due(); };
  const auto look = [=] {
    for (const auto& each : all->frames) model::check(each.ended(), "an owner waits for ever");
  };
  return {.threads = {owner, other, runner, runner}, .finally = look};
}

}  // namespace

TEST_CASE("a timer is cancelled or fires once, and nobody touches its target or cell afterwards",
          "[model][timer]") {
  require_sound(timers<real>, 1);
  require_sound(timers<real, model::atomic, slip::none, true>, 1);
}

TEST_CASE("the model check catches an owner that does not wait for a firing timer", "[model][timer]") {
  require_caught(timers<hasty>);
  require_caught(timers<fires_early>);
}

TEST_CASE("the model check catches an owner that cancels by a store without the lock", "[model][timer]") {
  require_caught(timers<stores_without_lock>);
}

TEST_CASE("the model check catches a runner that reads a fired cell", "[model][timer]") {
  require_caught(timers<real, model::atomic, slip::runner_reads_fired>);
}

TEST_CASE("the model check catches an owner that reads a cancelled cell", "[model][timer]") {
  require_caught(timers<real, model::atomic, slip::owner_reads_cancelled>);
}

TEST_CASE("the model check catches a cell word that does not release or acquire", "[model][timer]") {
  require_caught(timers<cell_word<model::no_release_ref>>);
  require_caught(timers<cell_word<model::no_acquire_ref>>);
}

TEST_CASE("the model check catches cells that are given back without release or acquire", "[model][timer]") {
  require_caught(timers<real, model::no_release>);
  require_caught(timers<real, model::no_acquire>);
}

TEST_CASE("each order of a timer's cell is needed: weakened alone it is caught", "[model][timer]") {
  require_each_order_matters("sched/timer_cell.hpp", {timers<real>});
}

#endif
