#pragma once

// The steps of parking in pairs: one thread does one thing, another the one that has to see it.  The order of
// each step shows here, where whole workers would take too long to search.

#include <memory>

#include "model/parking_world.hpp"

namespace weft::model {

class pair_home : public toy_home<pair_home> {
 public:
  using toy_home::toy_home;

  /// One of the worker and a spare that stands in for it, which is idle; all are parked.
  static std::shared_ptr<pair_home> with_a_spare(unsigned workers, unsigned active) {
    auto all = std::make_shared<pair_home>(workers, 1, 0, nothing);
    check(all->replace(all->at(0)), "there is a spare");
    all->active_.store(active, std::memory_order_relaxed);
    return all;
  }

  void monitor_sleeps() {
    monitor_sleeping_ = true;
    sleep_until_kicked(monitor_word_.load(std::memory_order_acquire), [] {});
    monitor_sleeping_ = false;
  }

  /// Nobody can go on.
  bool let_go() {
    if (monitor_sleeping_) {
      check(idle_.size() >= active_.newest(), "the monitor sleeps beside somebody awake");
      monitor_word_.fetch_add(2, std::memory_order_release);
      port().wake(monitor_word_, 1);
    }
    let_all_leave();
    return !std::exchange(over_, true);
  }

  void check_woken() const { check(idle_.empty(), "asleep beside an item"); }

 private:
  bool monitor_sleeping_ = false;
  bool over_ = false;
};

/// Somebody is woken, while the monitor falls asleep.
inline program monitor_and_waker() {
  auto all = pair_home::with_a_spare(1, 1);
  return {.threads = {[=] { all->monitor_sleeps(); }, [=] { all->inject(); }},
          .when_all_sleep = [=] { return all->let_go(); }};
}

/// A blocking call returns while the monitor falls asleep; its spare goes back, or another had retired.
inline program monitor_and_return(bool spare_goes) {
  auto all = pair_home::with_a_spare(spare_goes ? 1 : 2, 1);
  return {.threads = {[=] { all->monitor_sleeps(); }, [=] { all->end_block(all->at(0)); }},
          .when_all_sleep = [=] { return all->let_go(); }};
}

/// The last searcher has found something else while an item comes.
inline program producer_and_searcher() {
  auto all = pair_home::with_a_spare(2, 2);
  all->begin_search(all->at(1));
  return {.threads = {[=] { all->inject(); }, [=] { all->end_search(all->at(1)); }},
          .finally = [=] { all->check_woken(); }};
}

/// The last searcher is one too many and retires while an item comes.
inline program producer_and_retiring() {
  auto all = pair_home::with_a_spare(1, 2);
  all->begin_search(all->at(0));
  return {.threads = {[=] { all->inject(); }, [=] { all->park(all->at(0)); }},
          .finally = [=] { all->check_woken(); },
          .when_all_sleep = [=] { return all->let_go(); }};
}

/// One becomes the poller while the monitor lets a worker rest.
template <typename Home>
program poller_rests() {
  auto all = std::make_shared<Home>(2, 0, 0, nothing);
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  return run(all, {worker_of(all, 0), worker_of(all, 1), [=] { all->let_run(1); }});
}

inline programs parking_pairs() {
  return {monitor_and_waker, [] { return monitor_and_return(true); },
          [] { return monitor_and_return(false); }, producer_and_searcher, producer_and_retiring};
}

}  // namespace weft::model
