#pragma once

// child: what is kept of a process that was started, until its status was taken.

#include <weft/detail/descriptor.hpp>
#include <weft/io/process.hpp>

#include <cstdint>

namespace weft::detail {

struct child {
  int id = 0;
  descriptor_handle handle;  // a pidfd
  std::uint32_t lock = 0;
  bool has_status = false;  // under the lock
  bool is_lost = false;     // the same: somebody else took it
  exit_status status;       // the same
  child* next = nullptr;    // among those that nobody waits for, under the reaper's lock
  child* before = nullptr;  // of those that it watches
};

}  // namespace weft::detail

namespace weft::io {

/// Takes the status if it has ended.  False: it runs.  Under the child's lock.
bool take_status(detail::child& c, int pidfd) noexcept;

/// Owns `c` from now on, a child that runs: takes its status when it has ended.
void reap_later(detail::child* c) noexcept;

}  // namespace weft::io
