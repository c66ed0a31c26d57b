#pragma once

// What others need of joining.  The protocol is in join_word.hpp.

#include <weft/detail/join.hpp>

#include <exception>

namespace weft::core {

/// The routine has ended.
bool join_ended(const detail::promise_base& child) noexcept;
/// Registers the node with a routine that has not ended; false: it has.
bool join_enroll(detail::promise_base& child, detail::wait_node& n) noexcept;
/// Takes the node back; if the end holds it, waits until it lets go.
void join_withdraw(detail::promise_base& child, detail::wait_node& n) noexcept;
/// The end has woken this waiter: waits until it lets go of the frame.
void join_wait_final(detail::promise_base& child) noexcept;
/// By a thread that waits without a limit: misuse if it is for a routine that will never end, as main has
/// returned.  True: main has, but the routine is still running and may end.
bool joins_after_main(const detail::waiter& w) noexcept;
/// The exception of a root that ended by one.
std::exception_ptr& failure_of(detail::promise_base& p) noexcept;

/// The std::bad_alloc of all routines that end by one.  An exception that is kept when memory is out comes
/// from what the C++ runtime has put aside, which ends the process when it is used up (some 500 of them).
/// The first call makes it: with a runtime, while there is memory.
const std::exception_ptr& memory_failure();

}  // namespace weft::core
