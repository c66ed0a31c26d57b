// The poller that sleeps in a driver, for descriptors and timers: no event, wake or timer is slept through.
// The code is lib/sched/parking.hpp.

#include "model/parking_io_cases.hpp"
#include "model/parking_world.hpp"

#if !WEFT_TEST_ASAN && !WEFT_TEST_TSAN

namespace {

namespace model = weft::model;
using model::driver_comes;
using model::earlier_timer;
using model::event_and_injection;
using model::event_and_timer;
using model::require_caught;
using model::require_sound_big;
using model::toy_home;
using model::watch_beside_timer;
using model::watch_from_outside;
using model::watch_from_worker;

// --- homes: the real one, and those that leave out a step ---

struct home : toy_home<home> {
  using toy_home::toy_home;
};

/// Who begins to watch leaves it to whoever parks next.
struct watches_silently : toy_home<watches_silently> {
  using toy_home::toy_home;

  void watch_began() {}
};

/// A driver comes and nobody is told.
struct comes_silently : toy_home<comes_silently> {
  using toy_home::toy_home;

  void driver_came() {}
};

/// A parker waits for timers alone.
struct blind_to_descriptors : toy_home<blind_to_descriptors> {
  using toy_home::toy_home;

  bool watches() const { return false; }
};

/// The count of what is watched is read, or written, without an order (D1, D3).
struct reads_relaxed : toy_home<reads_relaxed> {
  using toy_home::toy_home;

  bool watches() {
    return toy_home::io() != nullptr && toy_home::io()->watched.load(std::memory_order_relaxed) != 0;
  }
};

struct counts_relaxed : toy_home<counts_relaxed> {
  using toy_home::toy_home;

  void watch() { toy_home::io()->watched.fetch_add(1, std::memory_order_relaxed); }
};

/// The driver is published, or looked for, without one (R11, D5).
struct attaches_relaxed : toy_home<attaches_relaxed> {
  using toy_home::toy_home;

  void attach() { has_driver_.store(1, std::memory_order_release); }
};

struct looks_relaxed : toy_home<looks_relaxed> {
  using toy_home::toy_home;

  model::toy_driver<model::atomic>* io() {
    return has_driver_.load(std::memory_order_acquire) != 0 ? io_.get() : nullptr;
  }
};

/// A waker takes every sleeper to be on its futex.
struct knows_futexes_only : toy_home<knows_futexes_only> {
  using toy_home::toy_home;

  struct deaf_driver : model::toy_driver<model::atomic> {
    void interrupt() {}
  };

  deaf_driver* io() { return static_cast<deaf_driver*>(toy_home::io()); }
};

/// The poller does not wait for the wake in flight.
struct leaves_a_wake : toy_home<leaves_a_wake> {
  using toy_home::toy_home;

  bool take_off(worker& w) { return toy_home::take_off(w), true; }
};

}  // namespace

TEST_CASE("neither an event nor a wake is lost by a poller that sleeps in the driver",
          "[model][parking][io]") {
  require_sound_big([] { return event_and_injection<home>(1); }, 2);
  require_sound_big([] { return event_and_injection<home>(2); }, 1);
  require_sound_big(event_and_timer<home>, 2);
}

TEST_CASE("a poller in the driver sleeps no longer than the earliest timer", "[model][parking][io]") {
  require_sound_big([] { return earlier_timer<home>(true); }, 1);
}

TEST_CASE("somebody sleeps in the driver once a descriptor is watched", "[model][parking][io]") {
  require_sound_big([] { return watch_from_outside<home>(1); }, 2);
  require_sound_big([] { return watch_from_outside<home>(2); }, 1);
  require_sound_big(watch_from_worker<home>, 1);
  require_sound_big(driver_comes<home>, 1);
  require_sound_big(watch_beside_timer<home>, 2);
}

TEST_CASE("the model check catches descriptors that nobody sleeps for", "[model][parking][io]") {
  require_caught([] { return watch_from_outside<watches_silently>(1); });
  require_caught([] { return event_and_injection<blind_to_descriptors>(1); });
  require_caught(driver_comes<comes_silently>);
}

TEST_CASE("the model check catches a driver, and a count of descriptors, without seq_cst",
          "[model][parking][io]") {
  require_caught(driver_comes<attaches_relaxed>);
  require_caught(driver_comes<looks_relaxed>);
  require_caught(watch_beside_timer<reads_relaxed>);
  require_caught(watch_beside_timer<counts_relaxed>);
}

TEST_CASE("the model check catches a poller in the driver that is not woken", "[model][parking][io]") {
  require_caught([] { return event_and_injection<knows_futexes_only>(1); });
  require_caught(event_and_timer<leaves_a_wake>);
}

#endif
