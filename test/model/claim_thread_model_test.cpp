// The claim word of a thread, which leaves when it was delivered to, and of a routine that a dump reads:
// under all interleavings of tiny cases, with mutants that must be caught (protocols.md A1; its models 8a to
// 8d).

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
using model::require_each_order_matters;
using model::require_sound;

template <template <typename> class Ref>
using word_on = model::claim_word_on<Ref>;
using real = word_on<model::atomic_ref>;

/// A thread leaves as soon as somebody has won.
struct impatient : word_on<model::atomic_ref> {
  using claim_word::claim_word;

  std::uint64_t look() const {
    const std::uint64_t seen = claim_word::look();
    return state_of(seen) == state::won ? (seen | static_cast<std::uint64_t>(state::delivered)) : seen;
  }
};

/// Nobody may move what a dump looks at; here the dump forgets to say so.
struct unpinned : word_on<model::atomic_ref> {
  using claim_word::claim_word;

  bool pin() { return state_of(read()) == state::waiting; }

  void unpin() {}
};

// --- a thread ---

/// A thread with a deadline, a sender and a canceller; the stack of the thread is gone when it leaves
/// (8a-8d).
template <typename Word>
model::program thread_receives(bool may_time_out) {
  struct world {
    std::uint64_t park = 0;
    std::uint32_t queue_lock = 0;
    std::uint32_t scope_lock = 0;
    bool linked = false;
    bool member = true;
    model::atomic<int> cancelled{0};
    model::plain<int> value;
    model::lifetime stack;
    bool sent = false;
    bool received = false;
  };

  auto all = std::make_shared<world>();
  const auto waits = [=] {
    Word mine(all->park);
    bool is_parked = false;
    {
      const model::guard hold(all->queue_lock);
      mine.begin(state::waiting, on_thread);
      is_parked = mine.goes_on_unless([&] { return all->cancelled.load(std::memory_order_seq_cst) != 0; });
      all->linked = is_parked;
    }
    leave_when_delivered(mine, is_parked, may_time_out ? 1 : weft::detail::no_deadline,
                         [&](std::uint32_t seen, std::int64_t deadline) {
                           const bool timed = deadline != weft::detail::no_deadline;
                           return model::wait(model::atomic_ref(all->park), &all->park, seen, timed);
                         });
    if (mine.winner() == 0) {
      all->received = true;
      model::check(all->value.get() == 42, "received something else");
    } else {
      const model::guard hold(all->queue_lock);
      all->linked = false;
    }
    {
      const model::guard hold(all->scope_lock);
      all->member = false;
    }
    all->stack.end();
  };
  const auto deliver = [=] {
    all->stack.touch();
    Word(all->park).set_delivered();
    model::wake(&all->park);
  };
  const auto sender = [=] {
    claimed how = claimed::lost;
    {
      const model::guard hold(all->queue_lock);
      if (!all->linked) return;
      all->linked = false;
      all->stack.touch();
      how = Word(all->park).claim(0);
    }
    if (how == claimed::lost) return;
    all->stack.touch();
    all->value.set(42);
    all->sent = true;
    deliver();
  };
  const auto canceller = [=] {
    all->cancelled.store(1, std::memory_order_seq_cst);
    claimed how = claimed::lost;
    {
      const model::guard hold(all->scope_lock);
      if (!all->member) return;
      all->stack.touch();
      how = Word(all->park).claim(by_cancel, no_cancel);
    }
    if (how == claimed::parked) deliver();
  };
  const auto look = [=] {
    model::check(all->stack.ended(), "the thread never left");
    model::check(all->sent == all->received, "a value was lost");
  };
  return {.threads = {waits, sender, canceller}, .finally = look};
}

/// A thread that prepares is delivered to by whoever claims it, early or not: its winner may come after it
/// has found out that it need not wait.
template <typename Word>
model::program thread_is_claimed_early() {
  struct world {
    std::uint64_t park = 0;
    model::lifetime stack;
  };

  auto all = std::make_shared<world>();
  Word(all->park).begin(state::preparing, on_thread);
  const auto waits = [=] {
    Word mine(all->park);
    mine.claim(by_self);  // what it waits for has come: never registered, whoever has won
    leave_when_delivered(mine, false, weft::detail::no_deadline, [&](std::uint32_t seen, std::int64_t) {
      return model::wait(model::atomic_ref(all->park), &all->park, seen, false);
    });
    all->stack.end();
  };
  const auto canceller = [=] {
    if (all->stack.ended()) return;  // the scope's list would say so
    if (Word(all->park).claim(by_cancel, no_cancel) != claimed::parked) return;
    all->stack.touch();
    Word(all->park).set_delivered();
    model::wake(&all->park);
  };
  return {.threads = {waits, canceller},
          .finally = [=] { model::check(all->stack.ended(), "the thread never left"); }};
}

// --- a dump ---

/// A dump reads a waiting routine's frame while somebody wakes it, and the routine ends.
template <typename Word>
model::program dump_reads() {
  struct world {
    std::uint64_t park = 0;
    model::lifetime frame;
  };

  auto all = std::make_shared<world>();
  Word(all->park).begin(state::preparing, no_flags);
  const auto wakes_or_goes_on = [=] {
    Word word(all->park);
    if (word.commit() && word.claim(0) == claimed::lost) return;
    word.set(state::none);
    all->frame.end();
  };
  const auto dump = [=] {
    Word word(all->park);
    if (!word.pin()) return;
    all->frame.touch();
    word.unpin();
  };
  return {.threads = {wakes_or_goes_on, dump}};
}

}  // namespace

TEST_CASE("a thread leaves when it was delivered to, with what was delivered", "[model][claim]") {
  require_sound([] { return thread_receives<real>(false); }, 3);
  require_sound([] { return thread_receives<real>(true); }, 2);
  require_sound(thread_is_claimed_early<real>, 3);
}

TEST_CASE("a routine that a dump has pinned stays while the dump reads it", "[model][claim]") {
  require_sound(dump_reads<real>, 3);
  require_sound(dump_reads<model::plainly>, 3);
}

TEST_CASE("the model check catches a thread that leaves when it is won", "[model][claim]") {
  require_caught([] { return thread_receives<impatient>(false); });
  require_caught([] { return thread_receives<impatient>(true); });
}

TEST_CASE("the model check catches a delivery that is not released or not acquired", "[model][claim]") {
  require_caught([] { return thread_receives<word_on<model::no_release_ref>>(false); });
  require_caught([] { return thread_receives<word_on<model::no_acquire_ref>>(false); });
}

TEST_CASE("the model check catches a dump that does not pin", "[model][claim]") {
  require_caught(dump_reads<unpinned>);
  require_caught(dump_reads<word_on<model::no_release_ref>>);
}

TEST_CASE("each order of the claim word is needed: weakened alone it is caught", "[model][claim]") {
  model::programs cases = model::claims_of_routines();
  cases.insert(cases.begin(),
               {[] { return thread_receives<real>(false); }, dump_reads<real>, dump_reads<model::plainly>,
                [] { return thread_receives<real>(true); }, thread_is_claimed_early<real>});
  require_each_order_matters("core/claim_word.hpp", cases,
                             {"commit W1", "claim_of C2.2", "claim_of C2.3", "read C2", "pin P1", "set R2"});
}

#endif
