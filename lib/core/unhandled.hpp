#pragma once

// Exceptions that nobody joins.

#include <weft/detail/promise.hpp>

#include <exception>
#include <string>

namespace weft::core {

/// Gives the exception of a detached routine to the runtime's handler; the default prints it and aborts.
void report_unhandled(detail::promise_base& p) noexcept;

/// "unhandled exception in routine 7 'crawler' started at main.cpp:12: what it says".
std::string sentence_of(const detail::promise_base& p, const std::exception_ptr& error);

/// "routine 7 'crawler' started at main.cpp:12", for messages of the process's end.
void describe(const detail::promise_base& p, int fd) noexcept;

}  // namespace weft::core
