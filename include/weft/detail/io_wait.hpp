#pragma once

// io_wait: one operation on a descriptor, as detail/operation.hpp wants it.  Functions in lib/io/io_wait.cpp.
//
// It is a system call that is tried; if the descriptor is not ready the waiter queues there, and the call is
// tried again when it is woken.  So it happens wholly on the waiter's side, between two of its steps: one
// that was cancelled has not touched its buffer, and never will.

#include <weft/detail/operation.hpp>
#include <weft/detail/waiting_line.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::detail {

struct descriptor;

/// What is asked of the system.
enum class io_call : std::uint8_t {
  // Of bytes; `whole`: goes on until all have been moved, or the end.
  read,     // into `data`
  write,    // from `data`
  receive,  // the same of sockets
  receive_tcp,
  send,     // of all sockets
  gather,   // `data` are `size` buffers, to be written one after the other
  scatter,  // to be read into
  // Of anything else.
  accept,    // gives the new descriptor
  connect,   // to the address at `data`
  message,   // receives one: `data` is a datagram
  datagram,  // sends it
  take_fd,   // receives a byte and what came with it: `data` is a passed_descriptor
  pass_fd,   // sends them
  ended,     // nothing: waits until the status of this pidfd's process can be taken, or is lost
  none,      // the same, until it is readable
  none_out,  // writable
};

struct datagram {
  void* bytes;
  std::size_t size;
  void* address;  // null: none
  std::size_t address_size;
};

struct passed_descriptor {
  int fd = -1;
};

class WEFT_API io_wait : public op_base, public second_look {
 public:
  io_wait(descriptor* on, io_call call, bool whole, void* data, std::size_t size) noexcept
      : io_wait(on, call, whole, data, size, size) {}

  /// `size` buffers at `data`, of so many bytes in all.
  io_wait(descriptor* on, io_call call, bool whole, void* data, std::size_t size, std::size_t total) noexcept
      : on_(on), data_(data), size_(size), total_(total), call_(call), whole_(whole) {}

  bool ready(waiter& w) noexcept;
  bool park(waiter& w) noexcept;
  void give_up() noexcept;
  /// On a thread that was woken: true, it must park() again.
  bool again(waiter& w) noexcept;

  /// What it waits on, for dumps.
  int number() const noexcept;

  io_wait(const io_wait&) = delete;
  io_wait& operator=(const io_wait&) = delete;

 protected:
  /// Before the wait.
  void from(const void* data) noexcept { data_ = const_cast<void*>(data); }

  void on(descriptor* d) noexcept { on_ = d; }

  io_call call() const noexcept { return call_; }

  std::size_t asked_for() const noexcept { return total_; }

  /// Without a descriptor: it ends at once, so.
  void end_with(std::int64_t result) noexcept { absent_ = result; }

  /// How many bytes, or what the call gives.  Throws cancelled, std::system_error.
  std::int64_t end(waiter& w);
  /// The same without the error: below zero, it is that.
  std::int64_t end_quietly(waiter& w);

 private:
  friend struct io_steps;

  descriptor* on_;
  void* data_;
  std::size_t size_;
  std::size_t total_;
  std::size_t done_ = 0;
  std::int64_t result_ = 0;
  std::int64_t absent_ = -9;          // EBADF
  sched::scheduler* kept_ = nullptr;  // whose driver it is, of a thread without a runtime
  std::uint32_t seen_ = 0;            // of the direction, when the call was tried
  io_call call_;
  bool whole_;
  bool holds_ = false;  // counted in the descriptor
  bool was_tried_ = false;
  bool gives_way_ = false;  // to others, before it goes on
  wait_end how_ = wait_end::pending;
};

}  // namespace weft::detail
