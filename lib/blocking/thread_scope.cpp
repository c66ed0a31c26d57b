// A thread enters a scope: on one of weft's own through the routine that runs there, elsewhere through the
// thread itself.

#include <weft/detail/context.hpp>

#include "core/context.hpp"
#include "sched/current.hpp"
#include "sched/worker.hpp"

namespace weft::detail {

thread_scope::thread_scope(bool shielded, std::int64_t deadline) : owner_(sched::current_routine()) {
  if (owner_ != nullptr) {
    open_context(scope, *owner_, shielded, deadline);
  } else {
    core::open_for_thread(scope, shielded, deadline);
  }
}

thread_scope::~thread_scope() {
  if (owner_ != nullptr) {
    close_context(scope, *owner_);
  } else {
    core::close_for_thread(scope);
  }
}

void reserve_spare() {
  sched::worker* here = sched::current_worker();
  if (here != nullptr && !here->home().how().manual) here->home().reserve_spare();
}

}  // namespace weft::detail
