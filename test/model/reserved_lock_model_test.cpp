// The reserved lock under all interleavings of tiny cases, and mutants that must be caught.  The code is
// lib/os/reserved_lock.hpp; the word is the model's own lock, membarrier the engine's.

#include <array>
#include <memory>

#include "model/model_test.hpp"
#include "os/reserved_lock.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::require_caught;
using model::require_each_order_matters;
using model::require_sound;
using weft::os::basic_reserved_lock;
using weft::os::basic_seat;

struct modelled {
  static constexpr std::uint16_t first_turns = 2;

  static void lock(std::uint32_t& word) { model::lock(word); }

  static bool try_lock(std::uint32_t& word) { return model::try_lock(word); }

  static void unlock(std::uint32_t& word) { model::unlock(word); }

  static void light_barrier() {}

  static void heavy_barrier() { model::heavy_barrier(); }

  static bool may_reserve() { return true; }

  static void wait(unsigned) { model::relax(); }
};

// --- mutants ---

/// Who ends a reservation does not make the owner pass a barrier.
struct without_barrier : modelled {
  static void heavy_barrier() {}
};

// --- the world ---

template <typename World, template <typename> class Atomic = model::atomic>
struct room {
  using lock_type = basic_reserved_lock<Atomic, World>;
  using seat = basic_seat<Atomic>;

  lock_type lock;
  std::array<seat, 3> seats;
  model::plain<int> inside;
  int entered = 0;

  void enter(seat* me) {
    const bool by_seat = lock.lock(me);
    inside = inside + 1;
    ++entered;
    lock.unlock(me, by_seat);
  }

  /// As a channel operation: inside of nothing else.
  void enter_alone(seat& me) {
    const bool by_seat = lock.enter_alone(me);
    if (!by_seat) lock.lock_by_word(me);
    inside = inside + 1;
    ++entered;
    by_seat ? me.leave_alone() : lock.unlock(&me, false);
  }

  void enter_if_free(seat* me) {
    bool by_seat = false;
    if (!lock.try_lock(me, by_seat)) return;
    inside = inside + 1;
    ++entered;
    lock.unlock(me, by_seat);
  }

  /// Before the threads start.
  void reserve_for(seat& first) {
    for (int i = 0; i < 2; ++i) lock.unlock(&first, lock.lock(&first));
  }
};

/// The owner comes twice while another thread comes, with a seat or without.
template <typename World, template <typename> class Atomic = model::atomic>
model::program owner_and_another(bool seated) {
  auto all = std::make_shared<room<World, Atomic>>();
  all->reserve_for(all->seats[0]);
  const auto owner = [all] {
    all->enter(&all->seats[0]);
    all->enter(&all->seats[0]);
  };
  const auto other = [all, seated] { all->enter(seated ? &all->seats[1] : nullptr); };
  const auto end = [all] { model::check(all->inside.get() == 3, "two were inside at once"); };
  return {{owner, other}, end};
}

/// The owner goes in alone, and once as any other.
template <typename World, template <typename> class Atomic = model::atomic>
model::program owner_alone_and_another() {
  auto all = std::make_shared<room<World, Atomic>>();
  all->reserve_for(all->seats[0]);
  const auto owner = [all] {
    all->enter_alone(all->seats[0]);
    all->enter(&all->seats[0]);
  };
  const auto other = [all] { all->enter_alone(all->seats[1]); };
  const auto end = [all] { model::check(all->inside.get() == 3, "two were inside at once"); };
  return {{owner, other}, end};
}

/// The other does not wait for the owner, nor the owner for it.
template <typename World, template <typename> class Atomic = model::atomic>
model::program owner_and_one_who_tries() {
  auto all = std::make_shared<room<World, Atomic>>();
  all->reserve_for(all->seats[0]);
  const auto owner = [all] {
    all->enter(&all->seats[0]);
    all->enter_if_free(&all->seats[0]);
  };
  const auto other = [all] {
    all->enter_if_free(&all->seats[1]);
    all->enter_if_free(nullptr);
  };
  const auto end = [all] { model::check(all->inside.get() == all->entered, "two were inside at once"); };
  return {{owner, other}, end};
}

/// Two others come at the same time: one ends the reservation, the other finds none.
template <typename World, template <typename> class Atomic = model::atomic>
model::program owner_and_two() {
  auto all = std::make_shared<room<World, Atomic>>();
  all->reserve_for(all->seats[0]);
  const auto comes = [all](std::size_t i) { return [all, i] { all->enter(&all->seats[i]); }; };
  const auto end = [all] { model::check(all->inside.get() == 3, "two were inside at once"); };
  return {{comes(0), comes(1), comes(2)}, end};
}

/// The reservation goes to the other, while the first owner is on its way in.
template <typename World, template <typename> class Atomic = model::atomic>
model::program owner_is_replaced() {
  auto all = std::make_shared<room<World, Atomic>>();
  all->reserve_for(all->seats[0]);
  const auto first = [all] { all->enter(&all->seats[0]); };
  const auto second = [all] {
    for (int i = 0; i < 5; ++i) all->enter(&all->seats[1]);
  };
  const auto end = [all] { model::check(all->inside.get() == 6, "two were inside at once"); };
  return {{first, second}, end};
}

/// What is inside is freed by whoever was there last: nothing of the lock is touched after leaving.
template <typename World, template <typename> class Atomic = model::atomic>
model::program last_one_frees() {
  struct world {
    std::unique_ptr<room<World, Atomic>> gone = std::make_unique<room<World, Atomic>>();
    std::array<typename room<World, Atomic>::seat, 2> seats;
    int left = 2;
  };

  auto all = std::make_shared<world>();
  all->gone->reserve_for(all->seats[0]);
  const auto comes = [all](std::size_t i) {
    return [all, i] {
      auto& at = *all->gone;
      const bool by_seat = at.lock.lock(&all->seats[i]);
      const bool last = --all->left == 0;
      at.lock.unlock(&all->seats[i], by_seat);
      if (last) all->gone.reset();
    };
  };
  return {{comes(0), comes(1)}};
}

template <typename World, template <typename> class Atomic = model::atomic>
model::programs cases() {
  return {[] { return owner_and_another<World, Atomic>(true); },
          [] { return owner_and_another<World, Atomic>(false); },
          owner_is_replaced<World, Atomic>,
          owner_and_two<World, Atomic>,
          owner_and_one_who_tries<World, Atomic>,
          owner_alone_and_another<World, Atomic>};
}

}  // namespace

TEST_CASE("one at a time is inside a reserved lock, whoever has the reservation", "[model][reserved_lock]") {
  for (const auto& each : cases<modelled>()) require_sound(each, 3);
  require_sound(last_one_frees<modelled>, 3);
}

TEST_CASE("the model check catches a reservation that is ended without a barrier", "[model][reserved_lock]") {
  require_caught([] { return owner_and_another<without_barrier>(true); });
  require_caught([] { return owner_and_another<without_barrier>(false); });
  require_caught(owner_and_one_who_tries<without_barrier>);
  require_caught(owner_alone_and_another<without_barrier>);
}

TEST_CASE("each order of the reserved lock is needed: weakened alone it is caught",
          "[model][reserved_lock]") {
  require_each_order_matters("os/reserved_lock.hpp", cases<modelled>());
}

#endif
