#pragma once

// wait_group: waits for a number of things to be done.

#include <weft/config.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/waiting_line.hpp>

#include <cstdint>

namespace weft {

class wait_group;

class [[nodiscard("co_await it")]] wait_group_op : public detail::op_base {
 public:
  WEFT_API explicit wait_group_op(wait_group & g) noexcept;

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  void finish(detail::waiter & w) {
    detail::finish_line_wait(wait_, w);
  }

 private:
  detail::line_wait wait_;
};

/// Counts what is still to be done: add() before it is started, done() when it is, wait() until the count is
/// 0.
///
/// It may be destroyed as soon as wait() has returned.  More done() than add() is misuse.
/// \par Order  What happened before a done() happens before the wait that it ends returns.
class WEFT_API wait_group {
 public:
  explicit wait_group(std::uint64_t count = 0) noexcept : count_(detail::checked_count(0, count)) {}

  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;
  ~wait_group();

  /// Counts up; down is done().
  void add(std::uint64_t n = 1) noexcept;
  void done() noexcept;
  [[nodiscard]] std::uint64_t count() const noexcept;

  /// Suspends until the count is 0.  Throws `cancelled`.
  wait_group_op wait() noexcept { return wait_group_op(*this); }

 private:
  friend class wait_group_op;
  mutable detail::waiting_line line_;
  std::uint64_t count_;  // under the line's lock
};

}  // namespace weft
