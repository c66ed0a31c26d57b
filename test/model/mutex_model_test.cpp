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
#include "os/reserved_lock.hpp"
#include "sync/mutex_word.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using namespace weft::core;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using model::require_sound_big;
using weft::os::basic_seat;
using weft::sync::mutex_state;
using weft::sync::mutex_word;

/// Nothing is reserved.
struct plain_world {
  static constexpr std::uint16_t first_turns = 1;

  static void light_barrier() {}

  static void heavy_barrier() { model::heavy_barrier(); }

  static bool may_reserve() { return false; }

  static void wait(unsigned) { model::relax(); }
};

/// Whoever takes it twice in a row reserves it.
struct eager_world : plain_world {
  static bool may_reserve() { return true; }
};

using seat = basic_seat<model::atomic>;
template <template <typename> class Ref, typename World = plain_world>
using word_in = mutex_word<Ref, World, seat>;
using real = word_in<model::atomic_ref>;
using reserving = word_in<model::atomic_ref, eager_world>;

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

/// Who ends a reservation does not make the owner pass a barrier.
struct without_barrier : eager_world {
  static void heavy_barrier() {}
};

/// A lock that others do not see is taken from them.
struct takes_what_is_reserved : reserving {
  using mutex_word::mutex_word;

  bool take() {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    while ((seen & held) == 0) {
      if (word_.compare_exchange_strong(seen, seen | held, std::memory_order_acquire)) return true;
    }
    return false;
  }
};

/// Who unlocks elsewhere leaves the reservation as it is.
struct lets_go_what_is_reserved : reserving {
  using mutex_word::mutex_word;

  release let_go() {
    const release end = mutex_word::let_go();
    if (end != release::reserved) return end;
    std::uint32_t seen = held | reserved;
    word_.compare_exchange_strong(seen, reserved, std::memory_order_release);
    return release::done;
  }
};

/// The line is forgotten when the mutex is reserved.
struct reserves_with_a_line : reserving {
  using mutex_word::mutex_word;

  void reserve(seat& me) {
    favourite_.store(reinterpret_cast<std::uintptr_t>(&me) | 1, std::memory_order_relaxed);
    word_.store(held | reserved, std::memory_order_relaxed);
  }
};

/// Who ends a reservation does not wait for the owner, who may be inside.
struct ends_it_at_once : reserving {
  using mutex_word::mutex_word;

  void end_reservation(const seat*) {
    if ((favourite_.exchange(0, std::memory_order_relaxed) & 1) == 0) return;
    model::heavy_barrier();
    word_.fetch_and(~reserved, std::memory_order_release);
  }
};

// --- the world ---

constexpr std::uint16_t served = 0, called = 1;
constexpr std::size_t parties = 3;

using claim = model::claim_word_on<model::atomic_ref>;

struct party {
  std::uint64_t park = 0;
  seat* here = nullptr;
  std::uint16_t index = called;
  int in_vain = 0;
  model::atomic<int> wakes{0};
  bool cancelled = false;
};

struct world {
  mutex_state state;
  std::uint32_t line_lock = 0;
  std::deque<party*> line;
  std::array<party, parties> all;
  std::array<seat, parties> seats;
  model::plain<int> inside;
  int entered = 0;
};

/// As lock_op does.  False: cancelled while it waited.
template <typename Word>
bool lock(world& w, party& me) {
  if (me.here != nullptr && Word(w.state).take_reserved(*me.here)) return true;
  if (Word(w.state).take()) {
    if (Word(w.state).note_turn(me.here)) {
      const model::guard hold(w.line_lock);
      Word(w.state).reserve(*me.here);
    }
    return true;
  }
  for (int woken = 0;;) {
    {
      const model::guard hold(w.line_lock);
      Word(w.state).end_reservation(me.here);
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
void unlock(world& w, seat* here) {
  if (here != nullptr && Word(w.state).is_reserved() && Word(w.state).let_go_reserved(*here)) return;
  auto end = Word(w.state).let_go();
  if (end == Word::release::reserved) {
    {
      const model::guard hold(w.line_lock);
      Word(w.state).end_reservation(here);
    }
    end = Word(w.state).let_go();
  }
  model::check(end != Word::release::not_held, "unlocked by nobody");
  model::check(end != Word::release::reserved, "reserved while somebody else has it");
  if (end == Word::release::done) return;
  Word(w.state).end_row();
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
model::program contend_in(const std::shared_ptr<world>& w, std::array<int, parties> times,
                          bool with_canceller) {
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
        unlock<Word>(*w, me.here);
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
model::program contend(std::array<int, parties> times, bool with_canceller) {
  return contend_in<Word>(std::make_shared<world>(), times, with_canceller);
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

// --- reserved ---

/// All but the last have a seat; the first has reserved it, if `reserved`.
template <typename Word, typename World = world>
std::shared_ptr<World> seated(bool reserved) {
  auto w = std::make_shared<World>();
  for (std::size_t i = 0; i + 1 < parties; ++i) w->all[i].here = &w->seats[i];
  for (int i = 0; reserved && i < 2; ++i) {
    lock<Word>(*w, w->all[0]);
    unlock<Word>(*w, w->all[0].here);
  }
  return w;
}

/// Who finds the mutex unused may take down what it guards.
template <typename Word>
model::program last_look(bool reserved) {
  struct guarded : world {
    model::atomic<int> locked{0};
  };

  auto w = seated<Word, guarded>(reserved);
  const auto locks = [=] {
    if (!lock<Word>(*w, w->all[0])) return;
    w->locked.store(1, std::memory_order_release);
    w->inside.set(1);
    unlock<Word>(*w, w->all[0].here);
  };
  const auto looks = [=] {
    if (w->locked.load(std::memory_order_acquire) != 0 && Word(w->state).is_unused())
      model::check(w->inside.get() == 1, "not what was written under the lock");
  };
  return {.threads = {locks, looks}};
}

/// The owner comes twice while another comes, that has a seat.
template <typename Word>
model::program owner_and_another() {
  return contend_in<Word>(seated<Word>(true), {2, 1, 0}, false);
}

/// The same, with one that has none.
template <typename Word>
model::program owner_and_a_thread() {
  return contend_in<Word>(seated<Word>(true), {2, 0, 1}, false);
}

/// Two come at once: one ends the reservation.
template <typename Word>
model::program owner_and_two() {
  return contend_in<Word>(seated<Word>(true), {1, 1, 1}, false);
}

/// The reservation goes to another while the owner is on its way in.
template <typename Word>
model::program owner_is_replaced() {
  return contend_in<Word>(seated<Word>(true), {1, 4, 0}, false);
}

/// It is reserved while another comes.
template <typename Word>
model::program reserved_meanwhile() {
  return contend_in<Word>(seated<Word>(false), {3, 1, 0}, false);
}

/// Who holds it goes to another thread, and unlocks there, while the owner wants it again.
template <typename Word>
model::program carried_away() {
  struct carrying : world {
    model::atomic<int> locked{0};
  };

  auto w = seated<Word, carrying>(true);
  w->inside.set(0);
  const auto use = [w](std::size_t i) {
    lock<Word>(*w, w->all[i]);
    w->inside.set(w->inside.get() + 1);
  };
  const auto owner = [=] {
    use(0);
    w->locked.store(1, std::memory_order_release);
    party& next = w->all[2];
    next.here = &w->seats[0];
    use(2);
    unlock<Word>(*w, next.here);
  };
  const auto other = [=] {
    while (w->locked.load(std::memory_order_acquire) == 0) model::relax();
    unlock<Word>(*w, &w->seats[1]);
  };
  const auto look = [=] {
    model::check(w->inside.get() == 2, "two were inside at once");
    model::check(Word(w->state).is_unused(), "the mutex is not free at the end");
  };
  return {.threads = {owner, other}, .finally = look};
}

template <typename Word>
model::programs reserved_cases() {
  return {owner_and_another<Word>, owner_and_a_thread<Word>, owner_and_two<Word>,
          owner_is_replaced<Word>, reserved_meanwhile<Word>, carried_away<Word>};
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
  require_sound([] { return last_look<real>(false); }, 3);
}

TEST_CASE("the model check catches a mutex that forgets who waits", "[model][mutex]") {
  require_caught(three<calls_nobody>);
  require_caught(three<queues_in_silence>);
  require_caught(three<calls_the_last>);
  require_caught(two_that_come_again<stays_called>);
  require_caught(one_comes_again<forgets_the_line>);
}

TEST_CASE("the model check catches a mutex that does not release or acquire", "[model][mutex]") {
  require_caught(three<word_in<model::no_release_ref>>);
  require_caught(three<word_in<model::no_acquire_ref>>);
}

TEST_CASE("one at a time has a mutex that is reserved, whoever comes meanwhile", "[model][mutex]") {
  for (const auto& each : reserved_cases<reserving>()) require_sound_big(each, 2);
  require_sound([] { return last_look<reserving>(true); }, 3);
}

TEST_CASE("the model check catches a mutex that is reserved and taken by others", "[model][mutex]") {
  require_caught(owner_and_another<word_in<model::atomic_ref, without_barrier>>);
  require_caught(owner_and_a_thread<word_in<model::atomic_ref, without_barrier>>);
  require_caught(owner_and_another<takes_what_is_reserved>);
  require_caught(carried_away<lets_go_what_is_reserved>);
  require_caught(reserved_meanwhile<reserves_with_a_line>);
  require_caught(owner_and_another<ends_it_at_once>);
}

TEST_CASE("each order of the mutex is needed: weakened alone it is caught", "[model][mutex]") {
  auto cases = reserved_cases<reserving>();
  cases.insert(cases.begin(),
               {three<real>, two_that_come_again<real>, one_is_cancelled<real>,
                [] { return last_look<real>(false); }, [] { return last_look<reserving>(true); }});
  require_each_order_matters("sync/mutex_word.hpp", cases);
}

#endif
