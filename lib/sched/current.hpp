#pragma once

// Which worker this thread is.

#include "os/reserved_lock.hpp"

namespace weft::detail {
struct context_base;
struct waiter;
}  // namespace weft::detail

namespace weft::sched {

class blocking_pool;
class worker;

/// Null on threads that are no workers.  A call, never inlined: compilers keep the address of a thread_local
/// across a suspension, after which the thread may be another.  Hot paths take the worker from the waiter
/// instead.
[[nodiscard]] worker* current_worker() noexcept;
/// What this thread takes reserved locks by, or null.
[[nodiscard]] os::seat* current_seat() noexcept;
void set_current_worker(worker*) noexcept;

/// The blocking pool this thread belongs to, or null.
[[nodiscard]] blocking_pool* current_pool() noexcept;
void set_current_pool(blocking_pool*) noexcept;

/// On a pool's thread: the facade calls that it is in, one inside another, since a select's handler may
/// block, too.
[[nodiscard]] unsigned& pool_waits() noexcept;

/// What a thread of the blocking pool has in a worker's place while it runs a routine; or null.
[[nodiscard]] worker* current_berth() noexcept;
void set_current_berth(worker*) noexcept;

/// The routine that this thread runs: on a worker, or on a thread of the blocking pool.  Null if none.
[[nodiscard]] detail::waiter* current_routine() noexcept;

/// On the main thread: `f` is called when main has returned or exit() is called there, before any static is
/// destroyed.  Once; elsewhere nothing happens.
void call_at_end_of_main(void (*f)());

/// Tells living threads apart.
[[nodiscard]] const void* this_thread_token() noexcept;

/// The context that a thread has entered through blocking::scope and its kin, or null.
[[nodiscard]] detail::context_base* current_scope() noexcept;
void set_current_scope(detail::context_base*) noexcept;

}  // namespace weft::sched
