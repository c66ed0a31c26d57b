#pragma once

// The global runtime, for threads that are none of its own: another thread may stop it and start it anew at
// any moment.

namespace weft::sched {
class scheduler;
}

namespace weft::core {

/// Its scheduler, started if need be, which the caller drops.
[[nodiscard]] sched::scheduler& hold_global();
/// Throws stopped from its stop() until it is started anew, and when main has returned.
void check_global_open();

}  // namespace weft::core
