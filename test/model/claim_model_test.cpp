// The claim word under all interleavings of tiny cases, and mutants that must be caught.
// The cases are those of protocols.md A4, A16 and B; 1a, 2b, 10a are the names of its models.

#include <array>
#include <cstdint>
#include <memory>

#include "core/claim_word.hpp"
#include "model/claim_cases.hpp"
#include "model/model_test.hpp"
#include "support/catch.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using namespace weft::core;
using model::require_caught;
using model::require_sound;

template <template <typename> class Ref>
using word_on = model::claim_word_on<Ref>;
using real = word_on<model::atomic_ref>;
using light = model::claim_word_on<model::atomic_ref, model::unlike_barriers>;
using model::plainly;

// Mutants of the word itself.

/// The sequence number stays what it was.
template <typename T>
struct unnumbered_ref : model::atomic_ref<T> {
  using model::atomic_ref<T>::atomic_ref;

  void store(T value, std::memory_order order) const {
    model::atomic_ref<T>::store(value & 0xffffffff, order);
  }
};

/// The stop claims only who waits already.
struct late : word_on<model::atomic_ref> {
  using claim_word::claim_word;

  template <typename Question>
  claimed claim_of(std::uint16_t index, std::uint8_t unless, Question is_right) {
    if (state_of(read()) != state::waiting) return claimed::lost;
    return claim_word::claim_of(index, unless, is_right);
  }
};

/// Who cancels takes one look.
struct hasty : light {
  using claim_word::claim_word;
  using barriers = model::full_barriers;
};

/// Who cancels takes a second look only at those that run.
struct spares_all : light {
  using claim_word::claim_word;

  bool is_spared(std::uint8_t) const { return state_of(read()) != state::preparing; }
};

/// W2 is left out.
struct blind : word_on<model::atomic_ref> {
  using claim_word::claim_word;

  template <typename Cancelled>
  bool goes_on_unless(Cancelled) {
    return true;
  }

  template <typename Cancelled>
  bool commit_unless(Cancelled) {
    return commit();
  }
};

// --- one race ---

/// A waiter that commits and three claimers: one of them wins, and knows whether it must wake.
template <typename Word>
model::program race(state begins) {
  struct world {
    std::uint64_t park = 0;
    std::array<claimed, 3> how{};
    bool sleeps = false;
  };

  auto all = std::make_shared<world>();
  Word(all->park).begin(begins, no_flags);
  const auto waiter = [=] { all->sleeps = begins == state::waiting || Word(all->park).commit(); };
  const auto claimer = [=](std::uint16_t i) { return [=] { all->how[i] = Word(all->park).claim(i); }; };
  const auto look = [=] {
    int winners = 0;
    for (std::uint16_t i = 0; i < 3; ++i) {
      if (all->how[i] == claimed::lost) continue;
      ++winners;
      model::check(Word(all->park).winner() == i, "the winner is somebody else");
      model::check((all->how[i] == claimed::parked) == all->sleeps, "woken twice, or never");
    }
    model::check(winners == 1, "not exactly one winner");
  };
  return {.threads = {waiter, claimer(0), claimer(1), claimer(2)}, .finally = look};
}

// --- a routine that receives ---

/// What a receiver, who may wake it and who may cancel it have between them.
template <template <typename> class Atomic>
struct receiver {
  std::uint64_t park = 0;
  std::uint32_t queue_lock = 0;
  std::uint32_t scope_lock = 0;
  std::uint32_t heap_lock = 0;
  bool linked = false;
  bool member = true;
  bool armed = false;
  Atomic<int> cancelled{0};
  Atomic<int> wakes{0};
  model::atomic<int> timer_idle{1};
  model::plain<int> value;
  model::lifetime frame;
  bool went_on = false;  // without sleeping; one thread's until `frame` ends
  bool sent = false;
  bool received = false;

  bool is_cancelled() { return cancelled.load(std::memory_order_seq_cst) != 0; }

  void wake() {
    frame.touch();
    model::check(wakes.fetch_add(1, std::memory_order_acq_rel) == 0 && !went_on, "resumed twice");
  }

  void sleep_until_woken() {
    while (wakes.load(std::memory_order_acquire) == 0 && !went_on) model::relax();
  }

  /// After the wait: withdraws, and the routine ends.
  template <typename Word>
  void finish() {
    const std::uint16_t winner = Word(park).winner();
    {
      const model::guard hold(heap_lock);
      armed = false;
    }
    while (timer_idle.load(std::memory_order_acquire) == 0) model::relax();
    if (winner == 0) {
      model::check(value.get() == 42, "received something else");
      received = true;
    } else {
      const model::guard hold(queue_lock);
      linked = false;
    }
    Word(park).end();
    {
      const model::guard hold(scope_lock);
      member = false;
    }
    frame.end();
  }

  template <typename Word>
  void send() {
    claimed how = claimed::lost;
    {
      const model::guard hold(queue_lock);
      if (!linked) return;
      linked = false;
      frame.touch();
      how = Word(park).claim(0);
    }
    if (how == claimed::lost) return;
    frame.touch();
    value.set(42);
    sent = true;
    if (how == claimed::parked) wake();
  }

  template <typename Word>
  void cancel() {
    cancelled.store(1, std::memory_order_seq_cst);
    bool missed = false;
    claimed how = claim_member<Word>(missed);
    if (missed && Word::barriers::are_asymmetric()) {
      model::heavy_barrier();
      how = claim_member<Word>(missed);
    }
    if (how == claimed::parked) wake();
  }

  template <typename Word>
  claimed claim_member(bool& missed) {
    const model::guard hold(scope_lock);
    if (!member) return claimed::lost;
    frame.touch();
    const claimed how = Word(park).claim(by_cancel, no_cancel);
    missed = how == claimed::lost && !Word(park).is_spared(no_cancel);
    return how;
  }

  /// A timer that may also never be due.
  template <typename Word>
  void fire() {
    if (model::engine::now()->choose(2) == 0) return;
    {
      const model::guard hold(heap_lock);
      if (!armed) return;
      armed = false;
      timer_idle.store(0, std::memory_order_relaxed);
    }
    frame.touch();
    const claimed how = Word(park).claim(by_timeout);
    timer_idle.store(1, std::memory_order_release);
    if (how == claimed::parked) wake();
  }

  void look() const {
    model::check(frame.ended(), "never woken");
    model::check(sent == received, "a value was lost");
  }
};

/// A wait on one thing: it begins as `waiting`, under that thing's lock (1a).
template <typename Word, template <typename> class Atomic>
model::program plain_receive() {
  auto all = std::make_shared<receiver<Atomic>>();
  const auto suspends = [=] {
    {
      const model::guard hold(all->queue_lock);
      Word(all->park).begin(state::waiting, no_flags);
      if (Word(all->park).goes_on_unless([&] { return all->is_cancelled(); })) {
        all->frame.touch();
        all->linked = true;
        return;
      }
    }
    all->went_on = true;
    all->template finish<Word>();
  };
  const auto resumes = [=] {
    all->sleep_until_woken();
    if (!all->went_on) all->template finish<Word>();
  };
  return {.threads = {suspends, resumes, [=] { all->template send<Word>(); },
                      [=] { all->template cancel<Word>(); }},
          .finally = [=] { all->look(); }};
}

/// A wait that nobody cancels (for children), which another ends, or the waiter itself; then one that only
/// the canceller ends.
template <typename Word, template <typename> class Atomic, bool itself = false, bool by_claim = true>
model::program spared_then_cancelled() {
  auto all = std::make_shared<receiver<Atomic>>();
  auto ended = std::make_shared<model::atomic<int>>(0);
  Word(all->park).begin(state::waiting, no_cancel);
  const auto end_first = [=] {
    model::check(!by_claim || Word(all->park).claim(0) == claimed::parked, "somebody else ended it");
    ended->store(1, std::memory_order_release);
  };
  const auto suspends = [=] {
    if (itself) end_first();
    while (ended->load(std::memory_order_acquire) == 0) model::relax();
    Word(all->park).end();
    Word(all->park).begin(state::waiting, no_flags);
    if (Word(all->park).goes_on_unless([&] { return all->is_cancelled(); })) return;
    all->went_on = true;
    all->template finish<Word>();
  };
  const auto other = [=] {
    if (!itself) end_first();
  };
  const auto resumes = [=] {
    all->sleep_until_woken();
    if (!all->went_on) all->template finish<Word>();
  };
  return {.threads = {other, suspends, resumes, [=] { all->template cancel<Word>(); }},
          .finally = [=] { all->look(); }};
}

/// A wait on several things: it begins as `preparing`; `locked`: the data mover is locked out until commit
/// (2b).
template <typename Word, template <typename> class Atomic, bool locked = true>
model::program timed_receive() {
  auto all = std::make_shared<receiver<Atomic>>();
  const auto waits = [=] {
    {
      model::guard hold(all->queue_lock);
      Word(all->park).begin(state::preparing, no_flags);
      all->linked = true;
      if (!locked) hold.unlock();
      {
        const model::guard arm(all->heap_lock);
        all->armed = true;
      }
      all->went_on = !Word(all->park).commit_unless([&] { return all->is_cancelled(); });
    }
    if (!all->went_on) all->sleep_until_woken();
    all->template finish<Word>();
  };
  return {.threads = {waits, [=] { all->template send<Word>(); }, [=] { all->template cancel<Word>(); },
                      [=] { all->template fire<Word>(); }},
          .finally = [=] { all->look(); }};
}

// --- the stop, which walks the registry ---

/// The block's first life is ours and may be claimed, its second is another runtime's and may not (10a).
template <typename Word, template <typename> class Atomic>
model::program stop_walks(state begins) {
  struct world {
    std::uint64_t park = 0;
    std::uint32_t queue_lock = 0;
    bool linked = false;
    Atomic<int> stopping{0};
    model::atomic<int> owner{1};
    model::atomic<int> resumed{0};
  };

  auto all = std::make_shared<world>();
  Word(all->park).set(state::running);
  const auto lives_twice = [=] {
    Word mine(all->park);
    const auto stopping = [&] { return all->stopping.load(std::memory_order_seq_cst) != 0; };
    bool sleeps = false;
    {
      const model::guard hold(all->queue_lock);
      mine.begin(begins, no_flags);
      sleeps = begins == state::waiting ? mine.goes_on_unless(stopping) : mine.commit_unless(stopping);
      all->linked = sleeps;
    }
    while (sleeps && all->resumed.load(std::memory_order_acquire) == 0) model::relax();
    mine.end();
    {
      const model::guard hold(all->queue_lock);
      all->linked = false;
    }
    mine.set(state::none);
    all->owner.store(2, std::memory_order_relaxed);  // relaxed: as worker::enter() does
    mine.set(state::running);
    mine.begin(state::waiting, no_flags);
  };
  const auto sender = [=] {
    const model::guard hold(all->queue_lock);
    if (!all->linked || model::engine::now()->choose(2) == 0) return;
    if (Word(all->park).claim(0) == claimed::parked) all->resumed.store(1, std::memory_order_release);
  };
  const auto stop = [=] {
    all->stopping.store(1, std::memory_order_seq_cst);
    if (Word::barriers::are_asymmetric()) model::heavy_barrier();
    const auto ours = [&] { return all->owner.load(std::memory_order_relaxed) == 1; };
    const claimed how = Word(all->park).claim_of(by_cancel, no_cancel | no_stop, ours);
    if (how == claimed::parked) all->resumed.store(1, std::memory_order_release);
  };
  const auto look = [=] {
    model::check(Word(all->park).wait_state() == state::waiting, "another runtime's routine was claimed");
  };
  return {.threads = {lives_twice, stop, sender}, .finally = look};
}

}  // namespace

model::programs weft::model::claims_of_routines() {
  return {plain_receive<real, model::atomic>,
          timed_receive<real, model::atomic>,
          [] { return stop_walks<real, model::atomic>(state::waiting); },
          [] { return stop_walks<real, model::atomic>(state::preparing); },
          [] { return race<real>(state::preparing); },
          plain_receive<light, model::atomic>,
          plain_receive<plainly, model::atomic>,
          timed_receive<light, model::atomic>,
          [] { return stop_walks<light, model::atomic>(state::waiting); }};
}

TEST_CASE("three claimers and a commit: exactly one wins, and wakes if and only if the waiter sleeps",
          "[model][claim]") {
  require_sound([] { return race<real>(state::preparing); }, 3);
  require_sound([] { return race<real>(state::waiting); }, 3);
}

TEST_CASE("a routine that waits on one thing is woken once by the sender or the canceller",
          "[model][claim]") {
  require_sound(plain_receive<real, model::atomic>, 2);
  require_sound(plain_receive<light, model::atomic>, 2);
  require_sound(plain_receive<plainly, model::atomic>, 2);
}

TEST_CASE("a routine that waits with a deadline is woken once by sender, canceller or timer",
          "[model][claim]") {
  require_sound(timed_receive<real, model::atomic>, 1);
  require_sound(timed_receive<light, model::atomic>, 1);
  require_sound(timed_receive<plainly, model::atomic>, 1);
}

TEST_CASE("a canceller that comes while its routine may not be cancelled ends the wait after that",
          "[model][claim]") {
  require_sound(spared_then_cancelled<real, model::atomic>, 2);
  require_sound(spared_then_cancelled<light, model::atomic>, 2);
  require_sound(spared_then_cancelled<light, model::atomic, true>, 2);
  require_caught(spared_then_cancelled<spares_all, model::atomic>);
}

TEST_CASE("the model check catches a waiter that ends a protected wait without a claim", "[model][claim]") {
  require_caught(spared_then_cancelled<light, model::atomic, true, false>);
}

TEST_CASE("the stop misses no routine that begins to wait, and claims none that lives there later",
          "[model][claim]") {
  require_sound([] { return stop_walks<real, model::atomic>(state::preparing); }, 3);
  require_sound([] { return stop_walks<real, model::atomic>(state::waiting); }, 3);
  require_sound([] { return stop_walks<light, model::atomic>(state::preparing); }, 3);
  require_sound([] { return stop_walks<light, model::atomic>(state::waiting); }, 3);
}

TEST_CASE("the model check catches a wait and a cancel that are not seq_cst", "[model][claim]") {
  require_caught(plain_receive<word_on<model::no_seq_cst_ref>, model::no_seq_cst>);
  require_caught(timed_receive<word_on<model::no_seq_cst_ref>, model::no_seq_cst>);
  require_caught(
      [] { return stop_walks<word_on<model::no_seq_cst_ref>, model::no_seq_cst>(state::waiting); });
}

TEST_CASE("the model check catches a canceller that does not look again behind a barrier", "[model][claim]") {
  require_caught(plain_receive<hasty, model::atomic>);
  require_caught(timed_receive<hasty, model::atomic>);
  require_caught([] { return stop_walks<hasty, model::atomic>(state::waiting); });
}

TEST_CASE("the model check catches a waiter that does not look at the flag", "[model][claim]") {
  require_caught(plain_receive<blind, model::atomic>);
  require_caught(timed_receive<blind, model::atomic>);
}

TEST_CASE("the model check catches a sender that is not locked out until the commit", "[model][claim]") {
  require_caught(timed_receive<real, model::atomic, false>);
}

TEST_CASE("the model check catches a stop that claims only who waits already", "[model][claim]") {
  require_caught([] { return stop_walks<late, model::atomic>(state::preparing); });
}

TEST_CASE("the model check catches a claim word without a sequence", "[model][claim]") {
  require_caught([] { return stop_walks<word_on<unnumbered_ref>, model::atomic>(state::waiting); });
}

#endif
