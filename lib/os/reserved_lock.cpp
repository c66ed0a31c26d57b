#include "os/reserved_lock.hpp"

#include <utility>

#include "os/port.hpp"

namespace weft::os {

namespace {

struct seat_pool {
  std::uint32_t lock;
  seat* free;
};

constinit seat_pool seats{};

constexpr unsigned spin_limit = 64;

}  // namespace

void real_world::wait(unsigned looks) noexcept {
  looks < spin_limit ? relax_cpu() : give_way();
}

seat_place::seat_place() {
  {
    const guard held(seats.lock);
    seat_ = seats.free;
    if (seat_ != nullptr) seats.free = std::exchange(seat_->next_free, nullptr);
  }
  if (seat_ != nullptr) return;
  const spared_allocations kept;
  seat_ = new seat;
}

seat_place::~seat_place() {
  const guard held(seats.lock);
  seat_->next_free = std::exchange(seats.free, seat_);
}

}  // namespace weft::os
