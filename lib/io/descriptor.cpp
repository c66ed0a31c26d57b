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

/// Of what a user's program gets from the kernel unless it asks for more.
constexpr unsigned address_bits = 48;

/// Records that were used are told apart from new ones by nothing: each is set up anew.
descriptor& take_record() {
  os::may_fail();  // whatever earlier runs have left
  {
    const os::guard hold(pool.lock);
    if (pool.free != nullptr) return *std::exchange(pool.free, pool.free->after);
  }
  const os::spared_allocations asked_already;
  auto* const made = new descriptor[batch];
  const os::guard hold(pool.lock);
  for (std::size_t i = 1; i < batch; ++i) made[i].after = std::exchange(pool.free, &made[i]);
  return made[0];
}

void put_record(descriptor& d) noexcept {
  const os::guard hold(pool.lock);
  d.after = std::exchange(pool.free, &d);
}

void note_side(io_side& side, bool mixed, winners& won) noexcept {
  side.word.note_event(mixed);
  claim_all(side, won);
}

/// C3: gives the number back; and the record, if there is no handle any more.
void close_number(descriptor& d) noexcept {
  const int fd = take_number(d, given_back);
  if (fd >= 0) sys::close(fd);
  bool forgotten = false;
  {
    const os::guard hold(d.lock);
    d.fd.store(no_number, std::memory_order_relaxed);  // relaxed: written under the lock
    forgotten = !d.owned;
  }
  if (forgotten) put_record(d);
}

}  // namespace

void claim_all(io_side& side, winners& won) noexcept {
  while (detail::wait_node* n = side.queue.first) {
    core::remove(side.queue, *n);
    waiter& w = core::owner_of(*n);
    const bool is_case = n->in_case;
    const claimed how = core::word_of(w).claim(n->index);
    if (how == claimed::parked && !is_case && w.kind() != detail::waiter_kind::thread)
      look_again_first(w, side.word.look());
    won.add(w, how);
  }
}

void note_looked_at(descriptor& d) noexcept {
  const os::guard hold(d.lock);
  for (io_side& each : d.sides) each.word.note_unready();
}

bool note_drained(descriptor& d, io_direction way, side_view& seen) noexcept {
  io_side& side = d.sides[way];
  // relaxed: who watches it from now on makes it unready, and who does no more makes an event
  const bool watched = d.watched_by.load(std::memory_order_relaxed) != nullptr;
  return watched ? side.word.note_drained(seen) : side.word.is_unchanged(seen);
}

void end_use(descriptor& d, io_direction way, side_view seen, bool drained) noexcept {
  if (drained && d.watched_by.load(std::memory_order_relaxed) != nullptr)  // relaxed: as above
    d.sides[way].word.note_short(seen);
  if (d.uses.end()) close_number(d);
}

std::uint64_t ticket_of(const descriptor& d) noexcept {
  return reinterpret_cast<std::uint64_t>(&d) | std::uint64_t{d.watch} << address_bits;
}

descriptor& record_of(std::uint64_t ticket) noexcept {
  return *reinterpret_cast<descriptor*>(ticket & ((std::uint64_t{1} << address_bits) - 1));
}

void note_event(std::uint64_t ticket, const what_happened& what, winners& won) noexcept {
  descriptor& d = record_of(ticket);
  const os::guard hold(d.lock);
  if (watcher_of(d) == nullptr || ticket_of(d) != ticket) return;
  if (what.readable) note_side(d.sides[detail::to_read], what.mixed, won);
  if (what.writable) note_side(d.sides[detail::to_write], what.mixed, won);
}

void request_ended(std::uint64_t ticket, int error, winners& won) noexcept {
  descriptor& d = record_of(ticket);
  const os::guard hold(d.lock);
  reactor* const by = watcher_of(d);
  if (by == nullptr || ticket_of(d) != ticket) return;
  d.refused = error != 0 ? error : by->watch_anew(d);
  if (d.refused != 0) lose_watch(d, won);
}

bool unwatch(descriptor& d, reactor& by, reactor* heir, winners& won) noexcept {
  const os::guard hold(d.lock);
  if (watcher_of(d) != &by) return false;
  if (d.of_thread.load(std::memory_order_relaxed) &&  // relaxed: written under the lock
      heir != nullptr) {
    by.give_up(d);
    if (heir->add(d) == 0) return heir->watch_began(), true;
  }
  lose_watch(d, won);
  return true;
}

int take_number(descriptor& d, int instead) noexcept {
  reactor* by = nullptr;
  int fd = no_number;
  {
    const os::guard hold(d.lock);
    by = watcher_of(d);
    if (by != nullptr) by->begin_to_give_up(d);
    fd = d.fd.exchange(instead, std::memory_order_relaxed);  // relaxed: written under the lock
  }
  if (by != nullptr) by->finish_giving_up(d);
  return fd;
}

void lose_watch(descriptor& d, winners& won) noexcept {
  if (reactor* const by = watcher_of(d)) by->give_up(d);
  for (io_side& side : d.sides) note_side(side, false, won);
}

}  // namespace weft::io

namespace weft::detail {

using namespace io;

descriptor* adopt_descriptor(int fd) {
  if (fd < 0) throw std::system_error(EBADF, std::system_category(), "weft: adopt");
  try {
    descriptor& d = take_record();
    const os::guard hold(d.lock);  // an event of its last life may look at it
    for (io_side& each : d.sides) each.word.start();
    d.uses.reopen();
    d.owned = true;
    d.of_thread.store(false, std::memory_order_relaxed);  // relaxed: written under the lock
    d.refused = 0;
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
  if (!d.uses.close()) return;
  core::winners won;
  {
    const os::guard hold(d.lock);
    for (io_side& side : d.sides) note_side(side, true, won);
  }
  if (d.uses.end()) close_number(d);
  won.deliver_all();
}

void drop_descriptor(descriptor& d) noexcept {
  close_descriptor(d);
  {
    const os::guard hold(d.lock);
    d.owned = false;
    if (d.fd.load(std::memory_order_relaxed) != no_number)
      return;  // relaxed: C3 is to come, and sees `owned`
  }
  put_record(d);
}

int release_descriptor(descriptor& d) {
  if (!d.uses.close_unused()) {
    if (is_closed(d)) return drop_descriptor(d), -1;
    throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                            "weft: release() of a descriptor that operations are under way on");
  }
  const int fd = take_number(d, no_number);
  {
    const os::guard hold(d.lock);
    d.owned = false;
  }
  put_record(d);
  return fd;
}

int number_of(const descriptor& d) noexcept {
  // relaxed: closed meanwhile, it is the caller's race
  return is_closed(d) ? -1 : d.fd.load(std::memory_order_relaxed);
}

}  // namespace weft::detail
