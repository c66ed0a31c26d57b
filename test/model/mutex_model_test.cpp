// The mutex's word, its line and a canceller under all interleavings of tiny cases, and mutants that must be
// caught.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "core/claim_word.hpp"
#include "model/claim_cases.hpp"
#include "model/model_test.hpp"
#include "sync/mutex_word.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using namespace weft::core;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using model::require_sound_big;
using weft::sync::mutex_word;
using real = mutex_word<model::atomic_ref>;

// --- mutants ---

/// An unlock lets go although there is a line and nobody was called.
struct calls_nobody : real {
  using mutex_word::mutex_word;

  release let_go() {
    word_.fetch_and(~held, std::memory_order_release);
    return release::done;
  }
};

/// Who looks in vain does not say that it is no longer on its way.
struct stays_called : real {
  using mutex_word::mutex_word;

  bool look() { return take_or_announce(); }
};

/// Who queues up does not say so.
struct queues_in_silence : real {
  using mutex_word::mutex_word;

  bool take_or_announce() { return take(); }
};

/// A mutex that is handed over loses the rest of its line.
struct forgets_the_line : real {
  using mutex_word::mutex_word;

  void hand_over(bool) { mutex_word::hand_over(false); }
};

/// The rest of the line is forgotten when the first is called.
struct calls_the_last : real {
  using mutex_word::mutex_word;

  void call(bool) { mutex_word::call(false); }
};

// --- the world ---

constexpr std::uint16_t served = 0, called = 1;
constexpr std::size_t parties = 3;

using claim = model::claim_word_on<model::atomic_ref>;

struct party {
  std::uint64_t park = 0;
  std::uint16_t index = called;
  int in_vain = 0;
  model::atomic<int> wakes{0};
  bool cancelled = false;
};

struct world {
  std::uint32_t state = 0;
  std::uint32_t line_lock = 0;
  std::deque<party*> line;
  std::array<party, parties> all;
  model::plain<int> inside;
  int entered = 0;
};

/// As lock_op does.  False: cancelled while it waited.
template <typename Word>
bool lock(world& w, party& me) {
  if (Word(w.state).take()) return true;
  for (int woken = 0;;) {
    {
      const model::guard hold(w.line_lock);
      if (woken != 0 ? Word(w.state).look() : Word(w.state).take_or_announce()) return true;
      claim(me.park).begin(state::waiting, no_flags);
      if (woken != 0) {
        model::check(++me.in_vain == 1, "looked in vain twice");
        me.index = served;
        w.line.push_front(&me);
      } else {
        w.line.push_back(&me);
      }
    }
    while (me.wakes.load(std::memory_order_acquire) == woken) model::relax();
    ++woken;
    const std::uint16_t how = claim(me.park).winner();
    claim(me.park).end();
    if (how == by_cancel) {
      const model::guard hold(w.line_lock);
      std::erase(w.line, &me);
      return false;
    }
    if (how == served) return true;
  }
}

template <typename Word>
void unlock(world& w) {
  const auto end = Word(w.state).let_go();
  model::check(end != Word::release::not_held, "unlocked by nobody");
  if (end == Word::release::done) return;
  party* next = nullptr;
  {
    const model::guard hold(w.line_lock);
    while (!w.line.empty() && next == nullptr) {
      party* first = w.line.front();
      w.line.pop_front();
      if (claim(first->park).claim(first->index) != claimed::lost) next = first;
    }
    const bool more = !w.line.empty();
    if (next == nullptr) {
      Word(w.state).free();
    } else if (next->index == served) {
      Word(w.state).hand_over(more);
    } else {
      Word(w.state).call(more);
    }
  }
  if (next != nullptr) next->wakes.fetch_add(1, std::memory_order_acq_rel);
}

/// Three lock, count and unlock, `times` each; the last of them may be cancelled meanwhile.
template <typename Word>
model::program contend(std::array<int, parties> times, bool with_canceller) {
  auto w = std::make_shared<world>();
  w->inside.set(0);
  const auto routine = [=](std::size_t i) {
    return [=] {
      for (int n = 0; n < times[i]; ++n) {
        party& me = w->all[i];
        me.in_vain = 0;
        me.index = called;
        me.wakes.store(0, std::memory_order_relaxed);
        if (!lock<Word>(*w, me)) {
          me.cancelled = true;
          return;
        }
        w->inside.set(w->inside.get() + 1);
        unlock<Word>(*w);
      }
    };
  };
  const auto cancel = [=] {
    party& last = w->all[parties - 1];
    if (claim(last.park).claim(by_cancel) == claimed::parked)
      last.wakes.fetch_add(1, std::memory_order_acq_rel);
  };
  const auto look = [=] {
    int expected = 0;
    for (std::size_t i = 0; i < parties; ++i) expected += w->all[i].cancelled ? 0 : times[i];
    model::check(w->inside.get() == expected, "two were inside at once");
    model::check(Word(w->state).is_unused(), "the mutex is not free at the end");
    model::check(w->line.empty(), "somebody was forgotten");
  };
  if (with_canceller) return {.threads = {routine(0), routine(1), routine(2), cancel}, .finally = look};
  return {.threads = {routine(0), routine(1), routine(2)}, .finally = look};
}

template <typename Word>
model::program three() {
  return contend<Word>({1, 1, 1}, false);
}

template <typename Word>
model::program two_that_come_again() {
  return contend<Word>({3, 2, 0}, false);
}

template <typename Word>
model::program one_comes_again() {
  return contend<Word>({2, 1, 1}, false);
}

template <typename Word>
model::program one_is_cancelled() {
  return contend<Word>({1, 1, 1}, true);
}

/// Who finds the mutex unused may take down what it guards.
template <typename Word>
model::program last_look() {
  struct guarded : world {
    model::atomic<int> locked{0};
  };

  auto w = std::make_shared<guarded>();
  const auto locks = [=] {
    if (!lock<Word>(*w, w->all[0])) return;
    w->locked.store(1, std::memory_order_release);
    w->inside.set(1);
    unlock<Word>(*w);
  };
  const auto looks = [=] {
    if (w->locked.load(std::memory_order_acquire) != 0 && Word(w->state).is_unused())
      model::check(w->inside.get() == 1, "not what was written under the lock");
  };
  return {.threads = {locks, looks}};
}

}  // namespace

TEST_CASE("three who lock get the mutex one at a time, and nobody is forgotten or looks in vain twice",
          "[model][mutex]") {
  require_sound_big(three<real>, 2);
  require_sound_big(one_comes_again<real>, 2);
}

TEST_CASE("two who lock again and again do not lock each other out", "[model][mutex]") {
  require_sound(two_that_come_again<real>, 2);
}

TEST_CASE("a waiter of a mutex that is cancelled leaves the others their turn", "[model][mutex]") {
  require_sound([] { return contend<real>({1, 0, 1}, true); }, 3);
  require_sound(one_is_cancelled<real>, 1);
  require_sound(last_look<real>, 3);
}

TEST_CASE("the model check catches a mutex that forgets who waits", "[model][mutex]") {
  require_caught(three<calls_nobody>);
  require_caught(three<queues_in_silence>);
  require_caught(three<calls_the_last>);
  require_caught(two_that_come_again<stays_called>);
  require_caught(one_comes_again<forgets_the_line>);
}

TEST_CASE("the model check catches a mutex that does not release or acquire", "[model][mutex]") {
  require_caught(three<mutex_word<model::no_release_ref>>);
  require_caught(three<mutex_word<model::no_acquire_ref>>);
}

TEST_CASE("each order of the mutex is needed: weakened alone it is caught", "[model][mutex]") {
  require_each_order_matters("sync/mutex_word.hpp", {three<real>, two_that_come_again<real>,
                                                     one_is_cancelled<real>, last_look<real>});
}

#endif
