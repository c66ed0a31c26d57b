// A thread enters a scope: on one of weft's own through the routine that runs there, elsewhere through the
// thread itself.

#include <weft/blocking.hpp>

#include "core/context.hpp"
#include "sched/current.hpp"
#include "sched/worker.hpp"

namespace weft::blocking::detail {

thread_scope::thread_scope(std::int64_t deadline) : owner_(nullptr) {
  owner_ = sched::current_routine();
  if (owner_ != nullptr) {
    weft::detail::open_context(scope, *owner_, false, deadline);
  } else {
    core::open_for_thread(scope, false, deadline);
  }
}

thread_scope::~thread_scope() {
  if (owner_ != nullptr) {
    weft::detail::close_context(scope, *owner_);
  } else {
    core::close_for_thread(scope);
  }
}

}  // namespace weft::blocking::detail
