#include "io/descriptor.hpp"

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "core/context.hpp"
#include "core/park.hpp"
#include "io/io_steps.hpp"
#include "io/reactor.hpp"
#include "io/system.hpp"
#include "os/lock.hpp"

namespace weft::io {

namespace {

using core::claimed;
using core::winners;
using detail::waiter;

/// Records nobody uses.  They stay reachable, and are few: as many as were open at the same time.
struct record_pool {
  std::uint32_t lock = 0;
  descriptor* free = nullptr;
};

constinit record_pool pool;

constexpr std::size_t batch = 64;

/// Records that were used are told apart from new ones by nothing: each is set up anew.
descriptor& take_record() {
  {
    const os::guard hold(pool.lock);
    if (pool.free != nullptr) return *std::exchange(pool.free, pool.free->after);
  }
  os::may_fail();
  auto* const made = new descriptor[batch];
  const os::guard hold(pool.lock);
  for (std::size_t i = 1; i < batch; ++i) made[i].after = std::exchange(pool.free, &made[i]);
  return made[0];
}

void put_record(descriptor& d) noexcept {
  const os::guard hold(pool.lock);
  d.after = std::exchange(pool.free, &d);
}

/// E2, under the lock.
void claim_all(io_side& side, winners& won) noexcept {
  while (detail::wait_node* n = side.queue.first) {
    core::remove(side.queue, *n);
    waiter& w = core::owner_of(*n);
    const bool is_case = n->in_case;
    const claimed how = core::word_of(w).claim(n->index);
    if (how == claimed::parked && !is_case && w.kind() != detail::waiter_kind::thread) look_again_first(w);
    won.add(w, how);
  }
}

void note_side(io_side& side, bool ended, winners& won) noexcept {
  side.ready = true;
  side.ended = side.ended || ended;
  ++side.events;
  claim_all(side, won);
}

/// One user less.  The last one of a closed descriptor gives the number back; and the record, if there is no
/// handle any more.
void leave(descriptor& d) noexcept {
  int fd = -1;
  bool forgotten = false;
  {
    const os::guard hold(d.lock);
    if (--d.users != 0 || !d.closed) return;
    if (d.watched_by != nullptr) std::exchange(d.watched_by, nullptr)->remove(d);
    fd = d.fd.exchange(-1, std::memory_order_relaxed);  // relaxed: under the lock
    forgotten = !d.owned;
  }
  if (fd >= 0) sys::close(fd);
  if (forgotten) put_record(d);
}

}  // namespace

bool begin_use(descriptor& d, io_direction way, std::uint32_t& events, bool& worth_trying) noexcept {
  const os::guard hold(d.lock);
  if (d.closed) return false;
  ++d.users;
  events = d.sides[way].events;
  worth_trying = d.sides[way].ready;
  return true;
}

bool note_drained(descriptor& d, io_direction way, std::uint32_t& events) noexcept {
  const os::guard hold(d.lock);
  io_side& side = d.sides[way];
  if (std::exchange(events, side.events) != side.events) return false;
  side.ready = d.watched_by == nullptr;
  return true;
}

void end_use(descriptor& d, io_direction way, std::uint32_t events, bool drained) noexcept {
  {
    const os::guard hold(d.lock);
    io_side& side = d.sides[way];
    if (drained && d.watched_by != nullptr && side.events == events && !side.ended) side.ready = false;
    if (!d.closed) {
      --d.users;
      return;
    }
  }
  leave(d);
}

void note_event(descriptor& d, const what_happened& what, winners& won) noexcept {
  const os::guard hold(d.lock);
  if (d.watched_by == nullptr) return;
  if (what.readable) note_side(d.sides[detail::to_read], what.read_ended, won);
  if (what.writable) note_side(d.sides[detail::to_write], what.write_ended, won);
}

void unwatch(descriptor& d, reactor& by, winners& won) noexcept {
  const os::guard hold(d.lock);
  if (d.watched_by != &by) return;
  d.watched_by = nullptr;
  by.remove(d);
  for (io_side& side : d.sides) note_side(side, false, won);
}

}  // namespace weft::io

namespace weft::detail {

using namespace io;

descriptor* adopt_descriptor(int fd) {
  try {
    descriptor& d = take_record();
    const os::guard hold(d.lock);  // an event of its last life may look at it
    d.sides = {};
    d.owned = true;
    d.closed = false;
    d.fd.store(fd, std::memory_order_relaxed);  // relaxed: the handle brings it along
    if (system* const s = simulated()) s->watch(d);
    return &d;
  } catch (...) {
    sys::close(fd);
    throw;
  }
}

void close_descriptor(descriptor& d) noexcept {
  os::step();
  core::winners won;
  {
    const os::guard hold(d.lock);
    if (std::exchange(d.closed, true)) return;
    for (io_side& side : d.sides) note_side(side, true, won);
    ++d.users;  // this call, which may be the one that closes the number
  }
  leave(d);
  won.deliver_all();
}

void drop_descriptor(descriptor& d) noexcept {
  close_descriptor(d);
  {
    const os::guard hold(d.lock);
    d.owned = false;
    if (d.users != 0) return;  // the last of them gives the record back
  }
  put_record(d);
}

int release_descriptor(descriptor& d) {
  int fd;
  {
    const os::guard hold(d.lock);
    if (d.users != 0) {
      throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                              "weft: release() of a descriptor that operations are under way on");
    }
    if (d.watched_by != nullptr) std::exchange(d.watched_by, nullptr)->remove(d);
    fd = d.fd.exchange(-1, std::memory_order_relaxed);  // relaxed: under the lock
    d.closed = true;
    d.owned = false;
  }
  put_record(d);
  return fd;
}

int number_of(const descriptor& d) noexcept {
  return d.fd.load(
      std::memory_order_relaxed);  // relaxed: a number; closed meanwhile, it is the caller's race
}

}  // namespace weft::detail
