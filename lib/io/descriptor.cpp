#include "io/descriptor.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "core/context.hpp"
#include "core/park.hpp"
#include "io/io_steps.hpp"
#include "io/reactor.hpp"
#include "os/lock.hpp"

namespace weft::io {

namespace {

using core::claimed;
using core::winners;
using detail::waiter;

/// Records nobody uses, and all there are: they stay reachable, and are as many as were open at the same
/// time.
struct record_pool {
  std::uint32_t lock = 0;
  std::uint32_t count = 0;
  descriptor* free = nullptr;
  std::array<std::atomic<descriptor*>, 26> blocks{};  // each as large as all before it
};

constinit record_pool pool;

constexpr std::uint32_t first_block = 64;

/// Which block has that number, and the first number there.
constexpr std::pair<std::size_t, std::uint32_t> block_of(std::uint32_t number) noexcept {
  if (number < first_block) return {0, 0};
  const std::uint32_t first = std::bit_floor(number);
  return {static_cast<std::size_t>(std::countr_zero(first / first_block)) + 1, first};
}

/// Records that were used are told apart from new ones by nothing: each is set up anew.
descriptor& take_record() {
  os::may_fail();
  const os::guard hold(pool.lock);
  if (pool.free != nullptr) return *std::exchange(pool.free, pool.free->after);
  const std::uint32_t first = pool.count, more = std::max(first, first_block);
  auto* const made = new descriptor[more];
  for (std::uint32_t i = 0; i < more; ++i) {
    made[i].number = first + i;
    if (i != 0) made[i].after = std::exchange(pool.free, &made[i]);
  }
  pool.blocks[block_of(first).first].store(made, std::memory_order_release);  // P1, pairs with P2
  pool.count += more;
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

/// Under the lock.  Who waits looks again.
void lose_watch(descriptor& d, winners& won) noexcept {
  std::exchange(d.watched_by, nullptr)->remove(d);
  for (io_side& side : d.sides) note_side(side, false, won);
}

/// Under the lock.  What it gives has to finish, without the lock.
reactor* stop_watching(descriptor& d) noexcept {
  if (d.watched_by != nullptr) d.watched_by->begin_remove(d);
  return std::exchange(d.watched_by, nullptr);
}

/// One user less.  The last one of a closed descriptor gives the number back; and the record, if there is no
/// handle any more.
void leave(descriptor& d) noexcept {
  reactor* watcher = nullptr;
  int fd = -1;
  {
    const os::guard hold(d.lock);
    if (d.users != 1 || !d.closed) {
      --d.users;
      return;
    }
    watcher = stop_watching(d);
    fd = d.fd.exchange(-1, std::memory_order_relaxed);  // relaxed: under the lock
  }
  if (watcher != nullptr) watcher->finish_remove(d);
  if (fd >= 0) ::close(fd);
  bool forgotten = false;
  {
    const os::guard hold(d.lock);
    --d.users;
    forgotten = !d.owned;
  }
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

std::uint64_t ticket_of(const descriptor& d) noexcept {
  return std::uint64_t{d.watch} << 32 | d.number;
}

descriptor& record_of(std::uint64_t ticket) noexcept {
  const auto number = static_cast<std::uint32_t>(ticket);
  const auto [block, first] = block_of(number);
  return pool.blocks[block].load(std::memory_order_acquire)[number - first];  // P2, pairs with P1
}

void note_event(std::uint64_t ticket, const what_happened& what, winners& won) noexcept {
  descriptor& d = record_of(ticket);
  const os::guard hold(d.lock);
  if (d.watched_by == nullptr || ticket_of(d) != ticket) return;
  if (what.readable) note_side(d.sides[detail::to_read], what.read_ended, won);
  if (what.writable) note_side(d.sides[detail::to_write], what.write_ended, won);
}

void request_ended(std::uint64_t ticket, int error, winners& won) noexcept {
  descriptor& d = record_of(ticket);
  const os::guard hold(d.lock);
  if (d.watched_by == nullptr || ticket_of(d) != ticket) return;
  d.refused = error != 0 ? error : d.watched_by->watch_anew(d);
  if (d.refused != 0) lose_watch(d, won);
}

bool unwatch(descriptor& d, reactor& by, winners& won) noexcept {
  const os::guard hold(d.lock);
  if (d.watched_by != &by) return false;
  lose_watch(d, won);
  return true;
}

}  // namespace weft::io

namespace weft::detail {

using namespace io;

descriptor* adopt_descriptor(int fd) {
  try {
    descriptor& d = take_record();
    const os::guard hold(d.lock);  // an event of its last life may look at it
    d.sides = {};
    d.refused = 0;
    d.owned = true;
    d.closed = false;
    d.fd.store(fd, std::memory_order_relaxed);  // relaxed: the handle brings it along
    return &d;
  } catch (...) {
    ::close(fd);
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
  reactor* watcher;
  int fd;
  {
    const os::guard hold(d.lock);
    if (d.users != 0) {
      throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                              "weft: release() of a descriptor that operations are under way on");
    }
    watcher = stop_watching(d);
    fd = d.fd.exchange(-1, std::memory_order_relaxed);  // relaxed: under the lock
    d.closed = true;
    d.owned = false;
  }
  if (watcher != nullptr) watcher->finish_remove(d);
  put_record(d);
  return fd;
}

int number_of(const descriptor& d) noexcept {
  return d.fd.load(
      std::memory_order_relaxed);  // relaxed: a number; closed meanwhile, it is the caller's race
}

}  // namespace weft::detail
