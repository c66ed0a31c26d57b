#pragma once

#include <coroutine>
#include <exception>

namespace weft::test {

/// A coroutine of a type that weft does not know: begins at once, tells nobody of its end.
struct foreign_task {
  struct promise_type {
    foreign_task get_return_object() const noexcept { return {}; }

    std::suspend_never initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    void return_void() const noexcept {}

    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

}  // namespace weft::test
