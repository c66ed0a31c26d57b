#pragma once

// A second look: what is resumed in the place of a waiter's coroutine, to see whether that may go on.
//
// A few words in the operation begin as a coroutine's frame does, so no worker need know.  Who wakes a waiter
// of that kind has claimed it, and puts the look before its coroutine; the look runs where the coroutine
// would.

#include <weft/detail/waiting_line.hpp>

#include <coroutine>

namespace weft::core {

/// `Again(wait, w)` runs when the waiter is resumed: true, it goes on; false, it waits again.
template <typename Wait, bool (*Again)(Wait&, detail::waiter&)>
void look_first(Wait& wait, detail::waiter& w) noexcept {
  detail::second_look& look = wait;
  look.resume = [](void* self) {
    auto& looking = *static_cast<detail::second_look*>(self);
    void* const frame = looking.frame;
    looking.who->frame = frame;
    if (Again(static_cast<Wait&>(looking), *looking.who))
      std::coroutine_handle<>::from_address(frame).resume();
  };
  look.frame = w.frame;
  look.who = &w;
  w.frame = &look;
}

}  // namespace weft::core
