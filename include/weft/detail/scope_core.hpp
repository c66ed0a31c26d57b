#pragma once

// What scopes are made of: a context that is open for the time of a block, members that are started in it,
// and the wait for their end.  Without clocks, whose header is dear.

#include <weft/detail/context.hpp>
#include <weft/detail/operation.hpp>

#include <cstdint>
#include <exception>
#include <type_traits>

namespace weft::detail {

/// Waits until every member has ended.  Nothing cancels that: the members are.
class [[nodiscard]] scope_join_op : public op_base {
 public:
  explicit scope_join_op(context& scope) noexcept : scope_(&scope) {}

  WEFT_API bool ready(waiter& w) noexcept;
  WEFT_API bool park(waiter& w) noexcept;
  WEFT_API void finish(waiter& w) noexcept;

 private:
  context* scope_;  // first: what a dump shows
};

/// The routine that awaits: for code that must know it.
struct self_op : op_base {
  waiter* self = nullptr;

  bool ready(waiter& w) noexcept {
    self = &w;
    return true;
  }

  bool park(waiter&) const noexcept { return false; }

  waiter& finish(waiter&) const noexcept { return *self; }
};

/// Once the members have ended: the first failure, or null.
WEFT_API std::exception_ptr take_failure(context& scope) noexcept;

/// The same where there is none, and the body has ended in order: throws cancelled or deadline_exceeded if
/// what is around is cancelled, and was when a member ended by that.
WEFT_API void check_members(const context& scope);

struct nothing {};

template <typename T>
using value_or_nothing = std::conditional_t<std::is_void_v<T>, nothing, T>;

/// A context that is open for the time of a block in a routine.
class open_scope {
 public:
  open_scope(waiter& owner, bool shielded, std::int64_t deadline) : owner_(&owner) {
    open_context(scope, owner, shielded, deadline);
  }

  /// Of a routine in the place of a call, with the deadline of its caller, who keeps it.
  struct of_call {
    std::int64_t deadline;
  };

  open_scope(waiter& owner, of_call how) noexcept : owner_(&owner) {
    open_context_of_call(scope, owner, how.deadline);
  }

  open_scope(const open_scope&) = delete;
  open_scope& operator=(const open_scope&) = delete;

  ~open_scope() { close_context(scope, *owner_); }

  context scope;

 private:
  waiter* owner_;
};

/// In a handler: the exception that ends a scope's body.  Not a cancellation: it cancels the members.  True
/// if it came of task_scope::cancel() and nothing around the scope is cancelled: that ends here.
WEFT_API bool body_failed(context& scope) noexcept;
/// In a handler: true if the exception is a cancellation.
WEFT_API bool is_cancellation() noexcept;
/// In a handler: throws timeout_error if it is a cancellation by the scope's own deadline; else returns.
WEFT_API void throw_if_own_timeout(const context& scope);

}  // namespace weft::detail
