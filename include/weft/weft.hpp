#pragma once

// Everything.  For programs; the library itself includes what it uses.

#include <weft/all.hpp>
#include <weft/all_range.hpp>
#include <weft/any.hpp>
#include <weft/block_on_io.hpp>
#include <weft/blocking.hpp>
#include <weft/channel.hpp>
#include <weft/config.hpp>
#include <weft/error.hpp>
#include <weft/go.hpp>
#include <weft/resume_on.hpp>
#include <weft/routine.hpp>
#include <weft/runtime.hpp>
#include <weft/schedule.hpp>
#include <weft/scope.hpp>
#include <weft/select.hpp>
#include <weft/stats.hpp>
#include <weft/status.hpp>
#include <weft/sync/event.hpp>
#include <weft/sync/mutex.hpp>
#include <weft/sync/semaphore.hpp>
#include <weft/sync/wait_group.hpp>
#include <weft/time.hpp>
