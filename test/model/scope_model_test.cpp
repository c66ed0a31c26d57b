// A scope's owner that joins, its members' ends, a member that starts another one, one that fails while
// another begins to wait for the first time: all interleavings, and mutants that must be caught.

#include <cstdint>
#include <memory>

#include "core/claim_word.hpp"
#include "core/member_count.hpp"
#include "model/model_test.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using namespace weft::core;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;

/// A plain number whose races are found.
class plain_count {
 public:
  plain_count& operator=(std::uint64_t n) {
    n_.set(n);
    return *this;
  }

  plain_count& operator++() { return *this = n_.get() + 1; }

  plain_count& operator--() { return *this = n_.get() - 1; }

  operator std::uint64_t() const { return const_cast<model::plain<std::uint64_t>&>(n_).get(); }

 private:
  model::plain<std::uint64_t> n_;
};

struct counted {
  plain_count started;
  std::uint64_t left = 0;
};

template <template <typename> class Ref>
using count_on = member_count<counted, Ref>;
using real = count_on<model::atomic_ref>;

// --- mutants of the count ---

/// Everybody counts as the owner does.
struct plain_for_all : real {
  using member_count::member_count;

  void start() { start_own(); }
};

/// The join trusts its first look.
struct trusts_its_look : real {
  using member_count::member_count;

  bool must_wait() {
    real::must_wait();
    return true;
  }
};

/// Nothing is added for the time before the join.
struct unbiased {
  explicit unbiased(counted& x) : x_(x) {}

  void begin() {
    x_.started = 0;
    x_.left = 0;
  }

  void start_own() { ++x_.started; }

  void start() { model::atomic_ref(x_.left).fetch_add(1, std::memory_order_relaxed); }

  bool all_ended() { return model::atomic_ref(x_.left).load(std::memory_order_acquire) + x_.started == 0; }

  bool must_wait() {
    const std::uint64_t n = x_.started;
    return model::atomic_ref(x_.left).fetch_add(n, std::memory_order_acq_rel) + n != 0;
  }

  bool end(std::uint64_t n) {
    return model::atomic_ref(x_.left).fetch_sub(n, std::memory_order_acq_rel) == n;
  }

  counted& x_;
};

// --- the world ---

using word = claim_word<model::atomic_ref, model::relax>;

struct world {
  counted members;
  std::uint64_t park = 0;
  model::plain<int> joiner;  // 1: the owner has put itself down
  model::plain<int> results[3];
  model::lifetime scope;
  model::atomic<int> wakes{0};
  model::atomic<int> third{0};  // it was started

  void set_up() {
    joiner.set(0);
    for (auto& each : results) each.set(0);
  }
};

enum class flaw { none, joiner_too_late, looks_back };

/// As scope_join_op does; then the scope is gone.
template <typename Count, flaw Flaw>
void join(world& all, int results) {
  Count count(all.members);
  word mine(all.park);
  if (!count.all_ended()) {
    mine.begin(state::waiting, no_cancel | no_stop);
    if (Flaw != flaw::joiner_too_late) all.joiner.set(1);
    if (count.must_wait()) {
      if (Flaw == flaw::joiner_too_late) all.joiner.set(1);
      while (all.wakes.load(std::memory_order_acquire) == 0) model::relax();
    } else {
      model::check(mine.claim(by_self) == claimed::parked, "somebody has woken it");
    }
    mine.end();
  }
  for (int i = 0; i < results; ++i) model::check(all.results[i].get() == 1, "joined before the end");
  all.scope.end();
}

/// As count_off() does.
template <typename Count, flaw Flaw>
void count_off(world& all, std::uint64_t n) {
  all.scope.touch();
  if (!Count(all.members).end(n)) {
    if (Flaw == flaw::looks_back) all.scope.touch();
    return;
  }
  all.scope.touch();
  model::check(all.joiner.get() == 1, "nobody has joined");
  model::check(word(all.park).claim(0) == claimed::parked, "the joiner does not wait");
  model::check(all.wakes.fetch_add(1, std::memory_order_acq_rel) == 0, "woken twice");
}

void finally_joined(world& all) {
  model::check(all.scope.ended(), "the scope never ended");
}

/// Two members end while the owner joins.
template <typename Count, flaw Flaw = flaw::none>
model::program two_end() {
  auto all = std::make_shared<world>();
  all->set_up();
  Count count(all->members);
  count.begin();
  count.start_own();
  count.start_own();
  const auto member = [=](int i) {
    return [=] {
      all->results[i].set(1);
      count_off<Count, Flaw>(*all, 1);
    };
  };
  return {.threads = {[=] { join<Count, Flaw>(*all, 2); }, member(0), member(1)},
          .finally = [=] { finally_joined(*all); }};
}

/// One member starts another one and ends; the owner starts its second one meanwhile, and joins.
template <typename Count, flaw Flaw = flaw::none>
model::program one_starts_another() {
  auto all = std::make_shared<world>();
  all->set_up();
  Count(all->members).begin();
  Count(all->members).start_own();
  const auto owner = [=] {
    Count(all->members).start_own();
    all->results[1].set(1);  // runs and ends here
    count_off<Count, Flaw>(*all, 1);
    join<Count, Flaw>(*all, 3);
  };
  const auto first = [=] {
    Count(all->members).start();
    all->third.store(1, std::memory_order_release);
    all->results[0].set(1);
    count_off<Count, Flaw>(*all, 1);
  };
  const auto third = [=] {
    while (all->third.load(std::memory_order_acquire) == 0) model::relax();
    all->results[2].set(1);
    count_off<Count, Flaw>(*all, 1);
  };
  return {.threads = {owner, first, third}, .finally = [=] { finally_joined(*all); }};
}

/// A worker counts two off at once, another one the third.
template <typename Count>
model::program several_at_once() {
  auto all = std::make_shared<world>();
  all->set_up();
  Count count(all->members);
  count.begin();
  for (int i = 0; i < 3; ++i) count.start_own();
  const auto two = [=] {
    all->results[0].set(1);
    all->results[1].set(1);
    count_off<Count, flaw::none>(*all, 2);
  };
  const auto one = [=] {
    all->results[2].set(1);
    count_off<Count, flaw::none>(*all, 1);
  };
  return {.threads = {[=] { join<Count, flaw::none>(*all, 3); }, two, one},
          .finally = [=] { finally_joined(*all); }};
}

// --- the first wait of a member, and a canceller ---

enum class listing { right, never, behind_the_look, looks_not };

struct cancelled_world : world {
  std::uint32_t lock = 0;
  std::uint64_t member_park = 0;
  model::atomic<int> state{0};
  bool listed = false;  // under the lock
  model::lifetime member;
  model::atomic<int> member_wakes{0};
};

/// One member fails, which cancels the other one, which begins to wait directly in the scope: nobody else
/// wakes it.  Then both end.
template <listing How>
model::program one_fails() {
  auto all = std::make_shared<cancelled_world>();
  all->set_up();
  real count(all->members);
  count.begin();
  count.start_own();
  count.start_own();
  const auto fails = [=] {
    {
      const model::guard hold(all->lock);  // as cancel_tree()
      all->state.store(1, std::memory_order_seq_cst);
      if (all->listed) {
        all->member.touch();
        if (word(all->member_park).claim(by_cancel, no_cancel) == claimed::parked)
          all->member_wakes.store(1, std::memory_order_release);
      }
    }
    all->results[0].set(1);
    count_off<real, flaw::none>(*all, 1);
  };
  const auto waits = [=] {
    word mine(all->member_park);
    const auto list = [=] {
      const model::guard hold(all->lock);
      all->listed = true;
    };
    const auto is_cancelled = [=] {
      return How != listing::looks_not && all->state.load(std::memory_order_seq_cst) != 0;
    };
    if (How == listing::right || How == listing::looks_not) list();
    mine.begin(state::waiting, no_flags);
    const bool sleeps = mine.goes_on_unless(is_cancelled);
    if (How == listing::behind_the_look) list();
    if (sleeps) {
      while (all->member_wakes.load(std::memory_order_acquire) == 0) model::relax();
    }
    mine.end();
    if (How != listing::never) {
      const model::guard hold(all->lock);
      all->listed = false;
    }
    all->member.end();
    all->results[1].set(1);
    count_off<real, flaw::none>(*all, 1);
  };
  return {.threads = {[=] { join<real, flaw::none>(*all, 2); }, fails, waits},
          .finally = [=] { finally_joined(*all); }};
}

}  // namespace

TEST_CASE("a scope is joined once all its members have ended, by one wake", "[model][scope]") {
  require_sound(two_end<real>, 3);
  require_sound(several_at_once<real>, 3);
}

TEST_CASE("a member that starts another one keeps the scope", "[model][scope]") {
  require_sound(one_starts_another<real>, 2);
}

TEST_CASE("a member that begins to wait for the first time while its scope is cancelled is woken",
          "[model][scope]") {
  require_sound(one_fails<listing::right>, 2);
}

TEST_CASE("the model check catches a member that counts another one as the owner does", "[model][scope]") {
  require_caught(one_starts_another<plain_for_all>);
}

TEST_CASE("the model check catches a join that trusts its first look", "[model][scope]") {
  require_caught(two_end<trusts_its_look>);
}

TEST_CASE("the model check catches a count that is nothing before the join", "[model][scope]") {
  require_caught(one_starts_another<unbiased>);
}

TEST_CASE("the model check catches a joiner that puts itself down too late", "[model][scope]") {
  require_caught(two_end<real, flaw::joiner_too_late>);
}

TEST_CASE("the model check catches an end that looks at the scope again", "[model][scope]") {
  require_caught(two_end<real, flaw::looks_back>);
}

TEST_CASE("the model check catches a member that is listed too late or never, or does not look",
          "[model][scope]") {
  require_caught(one_fails<listing::never>);
  require_caught(one_fails<listing::behind_the_look>);
  require_caught(one_fails<listing::looks_not>);
}

TEST_CASE("each order of the member count is needed: weakened alone it is caught", "[model][scope]") {
  require_each_order_matters("core/member_count.hpp",
                             {two_end<real>, one_starts_another<real>, several_at_once<real>});
}

#endif
