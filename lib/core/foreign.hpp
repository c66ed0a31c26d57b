#pragma once

// What a stop and a dump do with the coroutines of foreign types that wait.

#include <string>

#include "os/port.hpp"
#include "sched/scheduler.hpp"

namespace weft::core {

class winners;

/// Claims all that wait on `home`; the caller delivers.
void cancel_foreign(sched::scheduler& home, winners& won) noexcept;
/// A line for each that waits on `of`, and how many go on just now.
void describe_foreign(std::string& out, sched::scheduler& of);

}  // namespace weft::core
