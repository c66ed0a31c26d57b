#include <weft/error.hpp>
#include <weft/scope.hpp>

#include <typeinfo>
#include <utility>

#include <cxxabi.h>

#include "core/context.hpp"
#include "core/park.hpp"

namespace weft::detail {

using namespace core;

bool scope_join_op::ready(waiter&) noexcept {
  os::step();
  return count_of(*scope_).all_ended();
}

bool scope_join_op::park(waiter& w) noexcept {
  begin_waiting(w, wait_reason::scope, this, no_cancel | no_stop);
  scope_->joiner = &w.node;
  if (count_of(*scope_).must_wait()) return true;
  word_of(w).claim(by_self);  // nobody else will, and a dump may be reading it
  return false;
}

void scope_join_op::finish(waiter& w) noexcept {
  word_of(w).end();
}

std::exception_ptr take_failure(context& scope) noexcept {
  return std::exchange(scope.failure, nullptr);  // its members have ended: nobody else looks at it
}

void check_members(const context& scope) {
  if (!scope.block.lost_one) return;
  const cancel_state around = cancel_state_around(scope);
  if (around == deadline_passed) throw deadline_exceeded();
  if (around != live) throw cancelled();
}

/// The types that weft throws are told by their names: to throw it again, so as to catch it by its base,
/// costs two thirds of what the first throw did.
bool is_cancellation() noexcept {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  if (type != nullptr && (*type == typeid(cancelled) || *type == typeid(deadline_exceeded))) return true;
  try {
    throw;
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

bool body_failed(context& scope) noexcept {
  if (!is_cancellation()) {
    fail(scope, std::current_exception());
    return false;
  }
  const bool asked = cancel_state_of(scope) == cancel_requested;
  cancel_context(scope, cancel_requested);
  return asked && cancel_state_around(scope) == live;
}

void throw_if_own_timeout(const context& scope) {
  if (!is_cancellation() || cancel_state_of(scope) != deadline_passed) return;
  if (scope.parent != nullptr && cancel_state_of(*scope.parent) != live) return;  // an outer one
  throw timeout_error();
}

}  // namespace weft::detail
