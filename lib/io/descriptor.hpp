#pragma once

// descriptor: what weft knows of one open descriptor - who waits on it, whether the next call is worth
// trying.
//
// Protocol (descriptor_words.hpp; what is marked * under the descriptor's lock)
//   operation   O1 not closed? count me as a user; note the side's word
//               O2 the system call: EAGAIN
//               O3 the word as noted? not ready; else O2 again
//               O4* ready? O2 again; else queue, begin to wait
//   event       E1* ready, events + 1; E2* claim all who queue
// Guarantee: an event after O2 is seen by O3 or O4, or its E2 finds the waiter.  (Edge-triggered: the system
// tells of each change once, so a flag that says "not ready" must never outlive a change.)
//
//   close       C1 closed; C2* claim all who queue; C3 the last user closes the number*
// Guarantee: no system call is under way on a number when it is given back, so none can meet its next owner.
//
// Invariants
//   1. Records are never given back to the allocator: an event that was under way when its descriptor was
//      closed may find the next one's record.  It has the ticket of one time that the record was watched,
//      which is compared under the lock.  (Of a record that is watched 65,536 times meanwhile it would be
//      taken for new: operations look once more, a select's case would be believed.)
//   2. `ready` is false only until a driver watches the descriptor, or if the system said since the last
//      event that there is no more - or less came over TCP than was asked for, which says the same as long
//      as nothing but data is in the queue (epoll(7)): after an end, an error or urgent data the word is
//      `mixed`.
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

#include "io/descriptor_words.hpp"

namespace weft::core {
class winners;
}

namespace weft::io {

class reactor;

/// In the place of a descriptor's number.
inline constexpr int no_number = -1;   // C3 has happened, or nothing yet
inline constexpr int given_back = -2;  // C3 is to come, and has nothing to close

}  // namespace weft::io

namespace weft::detail {

/// One direction.
struct io_side {
  wait_queue queue;  // under the lock
  io::side_word<> word;
};

enum io_direction : std::uint8_t { to_read, to_write };

struct descriptor {
  std::uint32_t lock = 0;
  io::use_count<> uses;
  std::atomic<int> fd{io::no_number};  // written under the lock
  bool owned = false;                  // by a handle; under the lock
  std::uint16_t watch = 0;             // how often it has been watched; under the lock
  int refused = 0;                     // why it is watched no more; under the lock
  std::atomic<bool> of_thread{false};  // a thread's that belongs to no runtime: does not end with one
  std::array<io_side, 2> sides;
  std::atomic<io::reactor*> watched_by{nullptr};  // written under the lock
  std::atomic<std::uint64_t> request{0};          // the ticket of what its driver has asked for; 0: nothing
  descriptor* before = nullptr;                   // among those that it watches, under its lock
  descriptor* after = nullptr;
};

}  // namespace weft::detail

namespace weft::io {

using detail::descriptor;
using detail::io_direction;
using detail::io_side;

/// Under the lock; null: nobody.
inline reactor* watcher_of(const descriptor& d) noexcept {
  return d.watched_by.load(std::memory_order_relaxed);  // relaxed: written under the lock
}

/// C1 has happened.
inline bool is_closed(const descriptor& d) noexcept {
  return d.uses.is_closed();
}

/// Nobody uses it yet, and it was not ready just now: it is to be watched before anything is tried.
void note_looked_at(descriptor& d) noexcept;
/// O3.  True: nothing has happened meanwhile.
bool note_drained(descriptor& d, io_direction way, side_view& seen) noexcept;
/// C3.  `drained`: less came than was asked for.
void end_use(descriptor& d, io_direction way, side_view seen, bool drained) noexcept;

/// What an event says.
struct what_happened {
  bool readable, writable;
  bool mixed;
};

/// What a driver gives the system to hand back: the record, and which time it is watched; never 0.  Under the
/// lock, or by who has closed it.
std::uint64_t ticket_of(const descriptor& d) noexcept;
/// Whose record that was.
descriptor& record_of(std::uint64_t ticket) noexcept;

/// E1, E2.  The caller delivers.
void note_event(std::uint64_t ticket, const what_happened& what, core::winners& won) noexcept;
/// What was asked of the system is at its end, by an error or 0: is asked anew if it is watched still.
void request_ended(std::uint64_t ticket, int error, core::winners& won) noexcept;
/// E2.  Under the lock.
void claim_all(io_side& side, core::winners& won) noexcept;
/// Under the lock: nobody watches it any more; who waits looks for somebody who does.
void lose_watch(descriptor& d, core::winners& won) noexcept;
/// Its driver ends: `heir`, unless null, watches what is a thread's; who waits for others looks for a new
/// one.  False: `by` does not watch it any more.
bool unwatch(descriptor& d, reactor& by, reactor* heir, core::winners& won) noexcept;
/// By who closes it, as its last user: it is watched no more, and the system has let go of it.  Gives its
/// number, in the place of which is `instead` then.
int take_number(descriptor& d, int instead) noexcept;

}  // namespace weft::io
