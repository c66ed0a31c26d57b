#pragma once

// Cases of a poller that sleeps in a driver, for the model checks of parking.

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "model/parking_world.hpp"

namespace weft::model {

template <typename Home>
std::vector<std::function<void()>> with_workers(const std::shared_ptr<Home>& all, unsigned workers,
                                                std::vector<std::function<void()>> threads) {
  for (unsigned i = 0; i < workers; ++i) threads.push_back(worker_of(all, i));
  return threads;
}

template <typename Home>
void with_driver(Home& all) {
  all.make_driver();
  all.attach();
}

template <typename Home>
void watching(Home& all) {
  with_driver(all);
  all.watch();
}

/// A descriptor becomes ready while work is injected.
template <typename Home>
program event_and_injection(unsigned workers) {
  auto all = std::make_shared<Home>(workers, 0, 2, nothing);
  watching(*all);
  const auto system = [=] { all->become_ready(); };
  const auto injector = [=] { all->inject(); };
  return run(all, with_workers(all, workers, {system, injector}));
}

/// A timer is due while a descriptor becomes ready, and while work is injected.
template <typename Home>
program event_and_timer() {
  auto all = std::make_shared<Home>(1, 0, 2, nothing);
  all->port().impatient = true;
  watching(*all);
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto system = [=] {
    all->become_ready();
    all->inject();
  };
  return run(all, {system, worker_of(all, 0)});
}

/// An earlier timer is armed in a sleeping worker's heap (A7), while the poller sleeps on its futex or in the
/// driver.
template <typename Home>
program earlier_timer(bool in_driver = false) {
  auto all = std::make_shared<Home>(2, 0, 0, nothing);
  if (in_driver) watching(*all);
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto outside = [=] {
    all->at(1).timers.when.store(5, std::memory_order_seq_cst);
    all->timer_armed(5);
  };
  return run(all, {outside, worker_of(all, 0), worker_of(all, 1)});
}

/// A thread begins to wait for a descriptor while the workers fall asleep.
template <typename Home>
program watch_from_outside(unsigned workers) {
  auto all = std::make_shared<Home>(workers, 0, 1, nothing);
  with_driver(*all);
  const auto outside = [=] {
    all->watch();
    all->watch_began();
    all->become_ready();
  };
  return run(all, with_workers(all, workers, {outside}));
}

/// The same while the poller, who has slept for a timer, runs that and falls asleep again.
template <typename Home>
program watch_beside_timer() {
  auto all = std::make_shared<Home>(1, 0, 1, nothing);
  with_driver(*all);
  all->port().impatient = true;
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto outside = [=] {
    all->watch();
    all->watch_began();
    all->become_ready();
  };
  return run(all, {outside, worker_of(all, 0)});
}

/// The first descriptor is watched while the poller sleeps for a timer, on its futex.
template <typename Home>
program driver_comes() {
  auto all = std::make_shared<Home>(2, 0, 1, nothing);
  all->make_driver();
  all->at(0).timers.when.store(100, std::memory_order_relaxed);
  const auto outside = [=] {
    all->attach();
    all->driver_came();
    all->watch();
    all->watch_began();
    all->become_ready();
  };
  return run(all, {outside, worker_of(all, 0), worker_of(all, 1)});
}

/// A worker's routine does, and ends.
template <typename Home>
program watch_from_worker() {
  auto all = std::make_shared<Home>(2, 0, 2, [](Home& here, auto&, int item) {
    if (item == 1) here.watch();
  });
  with_driver(*all);
  const auto outside = [=] {
    all->inject();
    all->become_ready();
  };
  return run(all, {outside, worker_of(all, 0), worker_of(all, 1)});
}

}  // namespace weft::model
