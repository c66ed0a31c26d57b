#pragma once

// Embedding: any coroutine hops onto a runtime's workers, or is resumed there.

#include <weft/config.hpp>
#include <weft/runtime.hpp>

#include <coroutine>

namespace weft {

/// `co_await schedule_on(rt)` - or rt.schedule() - in any coroutine: it goes on on a worker of `rt`.
inline schedule_op schedule_on(runtime& rt) noexcept {
  return rt.schedule();
}

}  // namespace weft
