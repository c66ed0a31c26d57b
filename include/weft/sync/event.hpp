#pragma once

// event: something that happens once, until reset.

#include <weft/config.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/waiting_line.hpp>

namespace weft {

class event;

class [[nodiscard("co_await it")]] event_wait_op : public detail::op_base {
 public:
  WEFT_API explicit event_wait_op(event & e) noexcept;

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  void finish(detail::waiter & w) {
    detail::finish_line_wait(wait_, w);
  }

 private:
  detail::line_wait wait_;
};

/// Set or not.  wait() waits until it is set; set() wakes all who wait.  Also a case of select: on_event(e,
/// f).
///
/// It may be destroyed as soon as a wait for it has returned, though the set() that ended the wait has not.
/// \par Order  What happened before set() happens before a wait returns.
class WEFT_API event {
 public:
  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  /// Idempotent; never waits; any thread.
  void set() noexcept;
  /// Later waits wait again; those that set() has ended stay ended.
  void reset() noexcept;
  [[nodiscard]] bool is_set() const noexcept;

  /// Suspends until it is set.  Throws `cancelled`.
  event_wait_op wait() noexcept { return event_wait_op(*this); }

  // Not for callers.
  detail::waiting_line& line() noexcept { return line_; }

  bool set_flag() const noexcept { return set_; }

 private:
  detail::waiting_line line_;
  bool set_ = false;  // under the line's lock; read without it by is_set()
};

}  // namespace weft
