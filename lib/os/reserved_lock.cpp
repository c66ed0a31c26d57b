#include "os/reserved_lock.hpp"

#include <utility>

#include "os/contention.hpp"
#include "os/port.hpp"

namespace weft::os {

namespace {

struct seat_pool {
  std::uint32_t lock;
  seat* free;
};

constinit seat_pool seats{};

/// Looks before it sleeps in between: the owner leaves within nanoseconds, unless its thread does not run;
/// and then one of a higher priority must not keep the processor from it.
constexpr nanos between_looks = 50'000;

}  // namespace

void real_world::heavy_barrier() noexcept {
  const contended waits;
  os::heavy_barrier();
}

void real_world::wait(unsigned looks) noexcept {
  if (looks < spin_limit) return relax_cpu();
  const contended waits;
  // Not the simulator's port: there nobody is switched away from inside a lock, so nobody comes so far.
  port& sleeping = real_port();
  if (looks < yield_limit) return sleeping.give_way();
  static constinit std::uint32_t never_changes = 0;
  sleeping.wait(never_changes, 0, sleeping.now() + between_looks);
}

seat_place::seat_place() {
  {
    const guard held(seats.lock);
    seat_ = seats.free;
    if (seat_ != nullptr) seats.free = std::exchange(seat_->next_free, nullptr);
  }
  if (seat_ != nullptr) {
    seat_->begin();
  } else {
    const spared_allocations kept;
    seat_ = new seat;
  }
}

seat_place::~seat_place() {
  const guard held(seats.lock);
  seat_->next_free = std::exchange(seats.free, seat_);
}

}  // namespace weft::os
