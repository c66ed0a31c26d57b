#pragma once

// What the routines of a runtime are doing, as plain text: for dump(), for what remains after a stop_for(),
// for the reports of deadlocks, real and simulated.

#include <weft/detail/waiter.hpp>

#include <string>
#include <string_view>

#include "os/port.hpp"

namespace weft::sched {
class scheduler;
}

namespace weft::core {

/// Takes the text piece by piece: a million routines do not fit into one string.
struct text_sink {
  void (*write)(void* context, std::string_view text);
  void* context;
};

/// Of coroutines of foreign types, what they wait for.  One paragraph for each live routine: id, name, what
/// it does or waits for, the source line of each await up the async stack, where it was started.  By id, in
/// batches.  Routines that wait are held while they are read; of those that run, no more than what cannot
/// vanish is shown.
void describe_routines(sched::scheduler& of, text_sink to);
void describe_routines(std::string& out, sched::scheduler& of);

/// What `w`, which cannot leave meanwhile, waits for: "recv on channel 0x...".
void describe_wait(std::string& out, const detail::waiter& w, os::nanos now);

/// " in routine 3 'name'", of the one that runs on this thread; nothing if none does.
void describe_here(std::string& out);

/// One line for each worker and pool thread that is not idle: the routine it runs and what the kernel says of
/// it.
void describe_threads(sched::scheduler& of, text_sink to);

}  // namespace weft::core
