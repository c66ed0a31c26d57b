#pragma once

// descriptor: what weft knows of one open descriptor - who waits on it, whether the next call is worth
// trying.
//
// Protocol (all of it under the descriptor's lock but the system calls)
//   operation   O1 not closed? count me as a user, note `events`
//               O2 the system call: EAGAIN
//               O3 `events` as noted? not ready; else O2 again
//               O4 ready? O2 again; else queue, begin to wait
//   event       E1 ready, events + 1; E2 claim all who queue
// Guarantee: an event after O2 is seen by O3 or O4, or its E2 finds the waiter.  (Edge-triggered: the system
// tells of each change once, so a flag that says "not ready" must never outlive a change.)
//
//   close       C1 closed; C2 claim all who queue; C3 the last user closes the number
// Guarantee: no system call is under way on a number when it is given back, so none can meet its next owner.
//
// Invariants
//   1. Records are never given back to the allocator: an event that was under way when its descriptor was
//      closed finds the next one's record.  It has the ticket of one time that the record was watched, and is
//      of no other: a select would take it for an event of its own.
//   2. `ready` is false only while a driver watches the descriptor and EAGAIN was seen since the last event -
//      or less came over TCP than was asked for, which says the same (epoll(7)).
//   3. An operation is a user from its beginning to its end, so a record that somebody waits on is not the
//      next one's.
//
// Source: Go's fdMutex and pollDesc; Tokio's ScheduledIo for the count of events.
// Rejected: waking one of several waiters (who is cancelled at that moment would swallow the event).

#include <weft/detail/descriptor.hpp>
#include <weft/detail/waiter.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weft::core {
class winners;
}

namespace weft::io {
class reactor;
}

namespace weft::detail {

/// One direction.
struct io_side {
  wait_queue queue;
  std::uint32_t events = 0;
  bool ready = true;
  bool ended = false;  // it will never be otherwise: the peer is gone
};

enum io_direction : std::uint8_t { to_read, to_write };

struct descriptor {
  std::uint32_t lock = 0;
  std::atomic<int> fd{-1};  // written under the lock
  std::uint32_t users = 0;  // operations that have begun and not ended
  bool owned = false;       // by a handle
  bool closed = false;
  int refused = 0;          // why it is not watched any more
  std::uint32_t watch = 0;  // how often it has been watched
  std::uint32_t number = 0;
  std::atomic<std::uint64_t> request{0};  // the ticket of what a driver has asked of the system; 0: nothing
  std::array<io_side, 2> sides;
  io::reactor* watched_by = nullptr;
  descriptor* before = nullptr;  // among those that it watches, under its lock
  descriptor* after = nullptr;
};

}  // namespace weft::detail

namespace weft::io {

using detail::descriptor;
using detail::io_direction;
using detail::io_side;

/// O1.  False: it is closed.
bool begin_use(descriptor& d, io_direction way, std::uint32_t& events, bool& worth_trying) noexcept;
/// O3.  True: nothing has happened meanwhile.
bool note_drained(descriptor& d, io_direction way, std::uint32_t& events) noexcept;
/// C3.  `drained`: less came than was asked for.
void end_use(descriptor& d, io_direction way, std::uint32_t events, bool drained) noexcept;

/// What an event says.
struct what_happened {
  bool readable, writable;
  bool read_ended, write_ended;
};

/// What a driver gives the system to know it by; never 0.  Under the lock, or as a user.
std::uint64_t ticket_of(const descriptor& d) noexcept;
/// Whose record that was.
descriptor& record_of(std::uint64_t ticket) noexcept;

/// E1, E2.  The caller delivers.
void note_event(std::uint64_t ticket, const what_happened& what, core::winners& won) noexcept;
/// What was asked of the system with that ticket is at its end, by an error or 0: is asked anew if it is
/// watched still.
void request_ended(std::uint64_t ticket, int error, core::winners& won) noexcept;
/// Its driver ends: who waits looks for another one.  False: it is not watched by it any more.
bool unwatch(descriptor& d, reactor& by, core::winners& won) noexcept;

}  // namespace weft::io
