#pragma once

// Joining: what a handle, a select case and the facade share.  The protocol of the join word is in
// lib/core/join_word.hpp.

#include <weft/detail/operation.hpp>
#include <weft/detail/promise.hpp>

#include <cstdint>

namespace weft::detail {

/// A wait for the end of one routine.  `child` is what a dump shows.
struct join_wait {
  promise_base* child;
  wait_end how = wait_end::pending;
};

WEFT_API bool join_ready(join_wait& j, waiter& w) noexcept;
WEFT_API bool join_park(join_wait& j, waiter& w) noexcept;
/// Withdraws.  j.how is done, cancelled or timed_out afterwards.
WEFT_API void join_settle(join_wait& j, waiter& w) noexcept;

/// Made before something is started that this thread must wait for: then, on a worker, the wait does not fail
/// for want of a thread.  Throws what blocking would.
class [[nodiscard]] promised_spare {
 public:
  WEFT_API promised_spare();
  promised_spare(const promised_spare&) = delete;
  promised_spare& operator=(const promised_spare&) = delete;
  WEFT_API ~promised_spare();

 private:
  void* worker_ = nullptr;
};

WEFT_API bool join_done(const promise_base& child) noexcept;
/// The handle goes: the frame is freed now or by the routine's end; an exception that nobody saw is reported.
WEFT_API void detach(promise_base& child) noexcept;
WEFT_API void cancel_routine(promise_base& child) noexcept;
/// The same of one in the place of a call, for the reason for which this thread is cancelled.
WEFT_API void cancel_call(promise_base& child) noexcept;
/// Frees the frame of a routine that ended, and its annex.
WEFT_API void destroy_root(promise_base& root) noexcept;
[[noreturn]] WEFT_API void throw_routine_cancelled();
[[noreturn]] WEFT_API void misuse_empty_handle() noexcept;

}  // namespace weft::detail
