#pragma once

// ring: one io_uring, by the system's own interface.  Who may call what at a time is the caller's to order:
// one thread fills the queue of requests, one takes completions, any enters.
//
// The words that are shared with the kernel
//   requests     we write the tail, it the head: what lies between has not been submitted.  What was is read
//                off the head, for a submit may be short, and two threads may submit at a time.
//   completions  it writes the tail, we the head.  What does not fit it keeps, and says so in the flags.
//
// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
// Rejected: liburing (not everywhere, and 2.3 of Debian 12 exports less than its headers promise).

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <linux/io_uring.h>

#include "os/port.hpp"

namespace weft::io {

struct completion {
  std::uint64_t about = 0;  // the request's user_data
  std::int32_t result = 0;
  std::uint32_t flags = 0;
};

/// The kernel completes a request on the thread that submitted it: it interrupts that for it, which costs
/// each event 2 to 3 us; or waits until it enters the kernel, for at most a tick (4 ms at 250 Hz).
enum class completes : std::uint8_t { at_once, on_entry };

class ring {
 public:
  /// For `requests`, a power of two, between two submits.  Throws std::system_error: what the system says, or
  /// EOPNOTSUPP if it lacks a feature or one of the operations in `needs`.
  ring(unsigned requests, completes when, std::initializer_list<std::uint8_t> needs);
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  ~ring() { release(); }

  /// Readable when there are completions.
  int number() const noexcept { return fd_; }

  // --- requests: one thread at a time ---

  /// False: the queue is full.
  bool push(const io_uring_sqe& request) noexcept;

  // --- any thread ---

  /// How many wait to be submitted.
  unsigned pending() const noexcept;

  /// 0, or the system's error; `submitted` is its to say, see pending().
  int submit(unsigned requests) noexcept { return enter(requests, 0, 0, os::never); }

  /// Then sleeps until there are so many completions or `left` nanoseconds have passed: ETIME.  May end
  /// early: by a signal, EINTR, or when not all was submitted.
  int submit_and_wait(unsigned requests, unsigned completions, os::nanos left) noexcept {
    return enter(requests, completions, IORING_ENTER_GETEVENTS, left);
  }

  /// The kernel has completions, or what makes some, that it shows only to who enters.
  bool hides_completions() const noexcept;
  /// Enters for them.
  void show_completions() noexcept;

  bool has_completions() const noexcept;

  // --- completions: one thread at a time ---

  /// Takes at most `most`, oldest first; gives how many.
  unsigned take(completion* to, unsigned most) noexcept;

  /// Looks for one without taking any; `seen` is how many there are.
  template <typename F>
  bool has(F is_it, unsigned& seen) const noexcept {
    const unsigned head = own_head(), tail = their_tail();
    seen = tail - head;
    for (unsigned i = head; i != tail; ++i) {
      if (is_it(completion_at(i))) return true;
    }
    return false;
  }

  /// Beside `seen` that are not taken.
  bool has_room(unsigned seen) const noexcept { return seen <= completion_mask_; }

 private:
  struct mapping {
    void* at = nullptr;
    std::size_t size = 0;
  };

  mapping map(std::size_t size, std::uint64_t offset) const;
  void check(std::initializer_list<std::uint8_t> needs) const;
  int enter(unsigned requests, unsigned completions, unsigned flags, os::nanos left) noexcept;
  void release() noexcept;
  std::uint32_t own_head() const noexcept;
  std::uint32_t their_tail() const noexcept;
  completion completion_at(std::uint32_t i) const noexcept;

  int fd_ = -1;
  mapping queues_;
  mapping requests_;
  // In queues_.
  std::uint32_t* request_head_ = nullptr;
  std::uint32_t* request_tail_ = nullptr;
  std::uint32_t* flags_ = nullptr;
  std::uint32_t* completion_head_ = nullptr;
  std::uint32_t* completion_tail_ = nullptr;
  io_uring_cqe* completions_ = nullptr;
  std::uint32_t request_mask_ = 0;
  std::uint32_t completion_mask_ = 0;
};

}  // namespace weft::io
