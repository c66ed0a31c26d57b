// The end of a routine, its joiner, its handle and a canceller under all interleavings of tiny cases, and
// mutants that must be caught.  The cases are those of protocols.md A1 to A3; 3a .. 3j are the names of its
// models.

#include <cstdint>
#include <memory>

#include "core/claim_word.hpp"
#include "core/join_word.hpp"
#include "model/claim_cases.hpp"
#include "model/model_test.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using namespace weft::core;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;

void pause(int) noexcept {
  model::relax();
}

template <template <typename> class Ref>
using join_on = join_word<Ref, pause>;
using real = join_on<model::atomic_ref>;

// --- mutants ---

/// Nobody waits until the end has let go.
struct hasty : real {
  using join_word::join_word;

  void withdraw(std::uint64_t node) {
    word_.compare_exchange_strong(node, 0, std::memory_order_acq_rel, std::memory_order_acquire);
  }

  void wait_for_final() const {}
};

/// The handle frees only what has just ended (3g).
struct leaks : real {
  using join_word::join_word;

  bool detach() { return word_.exchange(detached, std::memory_order_acq_rel) == done; }
};

/// A wait that ends otherwise leaves its node behind.
struct forgets_its_node : real {
  using join_word::join_word;

  void withdraw(std::uint64_t) {}
};

/// The end stores `final` first and looks for a joiner then.
struct lets_go_early : real {
  using join_word::join_word;

  template <typename Claim>
  bool end(Claim claim) {
    const std::uint64_t before = word_.exchange(final, std::memory_order_acq_rel);
    if (is_node(before)) claim(before);
    return before == detached;
  }
};

// --- the world ---

constexpr std::uint64_t node = 64;

struct child {
  std::uint64_t join = 0;
  model::plain<int> result;
  model::lifetime frame;
};

struct world : child {
  std::uint64_t park = 0;
  std::uint32_t scope_lock = 0;
  bool member = true;
  model::atomic<int> cancelled{0};
  model::atomic<int> wakes{0};
  model::lifetime joiner;
  model::plain<int> in_node;  // what the end finds at the node
  bool is_thread = false;

  bool is_cancelled() { return cancelled.load(std::memory_order_seq_cst) != 0; }
};

using word = model::claim_word_on<model::atomic_ref>;

void deliver(world& all, claimed how) {
  if (how != claimed::parked) return;
  all.joiner.touch();
  if (all.is_thread) {
    word(all.park).set_delivered();
    model::wake(&all.park);
  } else {
    model::check(all.wakes.fetch_add(1, std::memory_order_acq_rel) == 0, "resumed twice");
  }
}

void wait_on(world& all, bool is_parked) {
  if (all.is_thread) {
    leave_when_delivered(word(all.park), is_parked, weft::detail::no_deadline,
                         [&](std::uint32_t seen, std::int64_t) {
                           return model::wait(model::atomic_ref(all.park), &all.park, seen, false);
                         });
  } else {
    while (is_parked && all.wakes.load(std::memory_order_acquire) == 0) model::relax();
  }
}

/// As join_ready(), join_park() and join_settle() do, then takes the result or drops the handle.
template <typename Join>
void join(world& all) {
  Join end(all.join);
  word mine(all.park);
  bool done = end.has_ended();
  if (!done) {
    mine.begin(state::preparing, all.is_thread ? on_thread : no_flags);
    bool is_parked = false;
    all.in_node.set(1);
    if (end.enroll(node)) {
      is_parked = mine.commit_unless([&] { return all.is_cancelled(); });
    } else {
      mine.claim(by_self);
      done = true;
    }
    wait_on(all, is_parked);
    if (!done && mine.winner() == 0) {
      end.wait_for_final();
      done = true;
    } else if (!done) {
      end.withdraw(node);
    }
    mine.end();
  }
  if (done) {
    model::check(all.result.get() == 7, "joined before the end");
    all.frame.end();
  } else if (end.detach()) {
    all.frame.end();
  }
  {
    const model::guard hold(all.scope_lock);
    all.member = false;
  }
  all.joiner.end();
}

template <typename Join>
void complete(world& all) {
  all.frame.touch();
  all.result.set(7);
  bool found = false;
  claimed how = claimed::lost;
  const bool frame_is_mine = Join(all.join).end([&](std::uint64_t who) {
    model::check(who == node, "a node that nobody has put there");
    model::check(all.in_node.get() == 1, "an empty node");
    all.frame.touch();
    all.joiner.touch();
    found = true;
    how = word(all.park).claim(0);
    all.frame.touch();
  });
  if (frame_is_mine) {
    all.frame.end();
  } else if (found) {
    deliver(all, how);
  }
}

void cancel(world& all) {
  all.cancelled.store(1, std::memory_order_seq_cst);
  claimed how = claimed::lost;
  {
    const model::guard hold(all.scope_lock);
    if (!all.member) return;
    all.joiner.touch();
    how = word(all.park).claim(by_cancel, no_cancel);
  }
  deliver(all, how);
}

/// The joiner may be cancelled and then drops the handle (3a, 3b, 3h; a thread: 3j).
template <typename Join>
model::program joins(bool is_thread) {
  auto all = std::make_shared<world>();
  all->is_thread = is_thread;
  const auto look = [=] {
    model::check(all->joiner.ended(), "the joiner never went on");
    model::check(all->frame.ended(), "the frame was never freed");
  };
  return {.threads = {[=] { join<Join>(*all); }, [=] { complete<Join>(*all); }, [=] { cancel(*all); }},
          .finally = look};
}

/// The handle is dropped while the routine ends (3f).
template <typename Join>
model::program drops() {
  auto all = std::make_shared<child>();
  const auto handle = [=] {
    all->frame.touch();
    if (Join(all->join).detach()) all->frame.end();
  };
  const auto routine = [=] {
    all->frame.touch();
    if (Join(all->join).end([](std::uint64_t) {})) all->frame.end();
  };
  return {.threads = {handle, routine},
          .finally = [=] { model::check(all->frame.ended(), "the frame was never freed"); }};
}

}  // namespace

TEST_CASE("a joiner gets the result or its cancellation, and the frame is freed once", "[model][join]") {
  require_sound([] { return joins<real>(false); }, 2);
}

TEST_CASE("a thread that joins leaves when nobody touches it or the frame any more", "[model][join]") {
  require_sound([] { return joins<real>(true); }, 2);
}

TEST_CASE("a handle that is dropped while its routine ends: the frame is freed once", "[model][join]") {
  require_sound(drops<real>, 3);
}

TEST_CASE("the model check catches a joiner that does not wait until the end lets go", "[model][join]") {
  require_caught([] { return joins<hasty>(false); });
}

TEST_CASE("the model check catches an end that lets go before it has claimed", "[model][join]") {
  require_caught([] { return joins<lets_go_early>(false); });
  require_caught([] { return joins<lets_go_early>(true); });
}

TEST_CASE("the model check catches a handle that leaks after a wait that was cancelled", "[model][join]") {
  require_caught([] { return joins<leaks>(false); });
}

TEST_CASE("the model check catches a cancelled wait that leaves its node behind", "[model][join]") {
  require_caught([] { return joins<forgets_its_node>(false); });
}

TEST_CASE("the model check catches a join word that does not release or acquire", "[model][join]") {
  require_caught([] { return joins<join_on<model::no_release_ref>>(false); });
  require_caught([] { return joins<join_on<model::no_acquire_ref>>(false); });
  require_caught(drops<join_on<model::no_release_ref>>);
  require_caught(drops<join_on<model::no_acquire_ref>>);
}

TEST_CASE("each order of the join word is needed: weakened alone it is caught", "[model][join]") {
  require_each_order_matters(
      "core/join_word.hpp",
      {[] { return joins<real>(false); }, [] { return joins<real>(true); }, drops<real>}, {"withdraw J5"});
}

#endif
