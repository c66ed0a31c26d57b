#pragma once

// channel_core: one lock (reserved for the worker that uses it, os/reserved_lock.hpp), a buffer, two queues
// of waiters.  Knows no T: elements are moved through element_ops.
//
// Invariants (all under lock)
//   1. Somebody waits to receive only while the buffer is empty and nobody waits to send; somebody waits to
//   send only
//      while the buffer is full.
//   2. A waiter that was claimed by a counterpart is off its queue, and its value is moved after the unlock:
//   the claim
//      pins it.  Through the buffer a value is moved under the lock, so that it stays first in, first out.
//   3. `inside` counts the waits that will still take the lock: those in a queue, and those that were taken
//   off it but
//      had been claimed by somebody else; and the pins, which keep the memory and are no end of the channel.
//      The memory goes when no handle is left and inside is 0.
//   4. The unlock is the last access: the channel may be gone then.
//
// Source: Go's hchan.  Rejected: a lock-free ring for the elements (Vyukov; on 2 cores as fast as this lock,
// and select,
//         close and cancellation would need more than a claim); Kotlin's cells (an element whose receiver was
//         cancelled after the rendezvous is lost there).

#include <weft/detail/channel_core.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/park.hpp"
#include "os/reserved_lock.hpp"

namespace weft::detail {

struct channel_core {
  // Each operation's: a cache line's worth.
  os::reserved_lock lock;  // first: whoever enters it stores its address
  std::uint32_t inside = 0;
  static constexpr std::uint8_t closed = 1, no_receivers = 2;
  std::atomic<std::uint8_t> shut{0};  // by one or both; written under the lock
  const bool is_plain;                // detail::plain_size is not 0
  const std::size_t capacity;
  std::atomic<std::size_t> count{0};  // in the buffer; written under the lock
  std::size_t head = 0;               // bounded: index of the oldest
  std::byte* ring = nullptr;          // bounded

  std::atomic<wait_node*> waiting_senders{nullptr};  // == senders.first, for looks without the lock
  wait_queue senders;
  wait_queue receivers;
  struct block;
  block* first_block = nullptr;  // unbounded: a list of blocks
  block* last_block = nullptr;
  std::size_t tail_index = 0;  // unbounded: in last_block

  const element_ops ops;
  /// What becomes of values that can no longer be received; the default destroys them.
  void (*undelivered)(channel_core&, void* value) noexcept = nullptr;
  block* spare_block = nullptr;

  // The ends that handles hold: {senders:32 | receivers:32}.  While some copy handles, for routines that they
  // start, others use the channel, or its neighbour in memory: on this one's cache line is nothing that every
  // operation needs, wherever on a line the channel begins.
  std::byte before_ends_[8];
  std::atomic<std::uint64_t> ends{(std::uint64_t{1} << 32) | 1};
  std::byte behind_ends_[40];

  channel_core(const element_ops& o, std::size_t n) noexcept
      : is_plain(o.move == nullptr && o.destroy == nullptr && (o.size == 4 || o.size == 8 || o.size == 16)),
        capacity(n),
        ops(o) {}
};

// operator new gives multiples of 16, so 8 bytes in 16 are within 56 of either end of a line, and it has 8
// bytes of its own between one object and the next.
static_assert(offsetof(channel_core, ends) % 16 == 8);
static_assert(offsetof(channel_core, ends) >= offsetof(channel_core, tail_index) + sizeof(std::size_t) + 56);
static_assert(sizeof(channel_core) + 8 >= offsetof(channel_core, ends) + 56);

/// The operations in full, where channel_quick.cpp does not know better.
bool send_ready_in_full(channel_wait& op, waiter& w) noexcept;
bool recv_ready_in_full(channel_wait& op, waiter& w) noexcept;
bool send_park_in_full(channel_wait& op, waiter& w) noexcept;
bool recv_park_in_full(channel_wait& op, waiter& w) noexcept;

}  // namespace weft::detail

namespace weft::chan {

using detail::channel_core;
using detail::channel_wait;

/// The channel's lock, held until unlock() or the end of the block.
class [[nodiscard]] holding {
 public:
  holding(channel_core& c, os::seat* me) noexcept : channel_(&c), me_(me) { lock(); }

  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

  ~holding() {
    if (channel_ != nullptr) channel_->lock.unlock(me_, by_seat_);
  }

  void lock() noexcept { by_seat_ = channel_->lock.lock(me_); }

  /// For a while, then lock() again.
  void let_go() noexcept { channel_->lock.unlock(me_, by_seat_); }

  /// The caller's handle keeps the channel.
  void unlock() noexcept {
    let_go();
    channel_ = nullptr;
  }

  /// Also frees the channel if this was the last that knew it.
  void unlock_and_free() noexcept;

 private:
  channel_core* channel_;
  os::seat* me_;
  bool by_seat_ = false;
};

/// What is left to do when the lock is free again: move a value, wake its owner.
struct handover {
  detail::channel_wait* other = nullptr;
  detail::waiter* party = nullptr;
  core::claimed how = core::claimed::lost;
};

/// Without waiting; `me` is the calling thread's seat, or null.
detail::wait_end try_send_now(channel_core& c, void* value, os::seat* me);
detail::wait_end try_recv_now(channel_core& c, void* storage, os::seat* me) noexcept;

/// Under the lock: done, closed or pending.  A claimed counterpart is noted in `after`; its value is moved by
/// complete().
detail::wait_end send_locked(channel_core& c, void* value, handover& after);
detail::wait_end recv_locked(channel_core& c, void* storage, handover& after) noexcept;
/// A send / receive that ended with `done` and `after.party` set is completed without the lock.
void complete_send(const detail::element_ops& ops, void* value, const handover& after) noexcept;
void complete_recv(const detail::element_ops& ops, void* storage, const handover& after) noexcept;

/// Under the lock, or as a hint: what has ended it, 0 for nothing.
inline std::uint8_t shut_by(const channel_core& c) noexcept {
  return c.shut.load(std::memory_order_relaxed);  // relaxed: see above
}

/// Under the lock.
inline void shut(channel_core& c, std::uint8_t by) noexcept {
  c.shut.store(shut_by(c) | by, std::memory_order_release);  // R3, pairs with A3
}

/// Under the lock: the queue of senders has changed.
inline void note_senders(channel_core& c) noexcept {
  c.waiting_senders.store(c.senders.first,
                          std::memory_order_release);  // R2, pairs with A2: looks without the lock
}

void enqueue(channel_core& c, detail::wait_node& n) noexcept;
/// Under the lock: takes off what is queued; the unlock may free the channel.
void leave(channel_core& c, detail::wait_node& n) noexcept;

}  // namespace weft::chan
