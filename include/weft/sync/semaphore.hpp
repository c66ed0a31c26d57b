#pragma once

// semaphore: a number of permits.

#include <weft/config.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/waiting_line.hpp>

#include <cstdint>

namespace weft {

class semaphore;

class [[nodiscard("co_await it")]] acquire_op : public detail::op_base {
 public:
  WEFT_API explicit acquire_op(semaphore & s) noexcept;

  WEFT_API bool ready(detail::waiter & w) noexcept;
  WEFT_API bool park(detail::waiter & w) noexcept;
  void finish(detail::waiter & w) {
    detail::finish_line_wait(wait_, w);
  }

 private:
  static bool look(detail::looking_wait & wait, detail::waiter & w) noexcept;
  detail::looking_wait wait_;
};

/// acquire() takes a permit, waiting for one; release() gives some back.  First come, first served.
/// \par Order  What happened before release() happens before the acquire() it serves returns.
class WEFT_API semaphore {
 public:
  explicit semaphore(std::uint64_t permits) noexcept : permits_(detail::checked_count(0, permits)) {}

  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore();

  /// Suspends until there is a permit.  Throws `cancelled`: then none was taken.
  acquire_op acquire() noexcept { return acquire_op(*this); }

  [[nodiscard]] bool try_acquire() noexcept;
  /// Never waits; any thread.
  void release(std::uint64_t n = 1) noexcept;
  [[nodiscard]] std::uint64_t available() const noexcept;

 private:
  friend class acquire_op;
  mutable detail::waiting_line line_;
  std::uint64_t permits_;  // under the line's lock; 0 while somebody waits
};

}  // namespace weft
