#pragma once

// How weft ends the process when going on would be wrong: one sentence on standard error, who did it, abort.
//
//   misuse()   a bug of the caller: "weft: misuse: <sentence>"; the sentence says what to do instead.
//   broken()   a bug of ours: "weft: internal error: <sentence>"
//
// Invariants
//   1. Nothing here allocates, locks or throws, only write(2) and abort(3): it may be called under any lock
//      and in a signal handler.
//   2. The context writer runs at most once in a process; a fatal error inside it skips it and aborts.
//
// Rejected: an exception (it unwinds through the frames that are wrong);
//           stdio (locks, and lost in a forked child).

#include <cstdint>
#include <string_view>

namespace weft::base {

/// Writes whole lines on what the calling thread was doing (routine, spawn site).  Must not allocate or lock.
using context_writer = void (*)(int fd) noexcept;

/// Sets the one context writer of the process; null takes it away.  For the floor that knows about routines.
void set_context_writer(context_writer) noexcept;

[[noreturn]] void misuse(std::string_view sentence) noexcept;

/// Writes whole lines on what the sentence is about.  Must not allocate or lock.
using detail_writer = void (*)(int fd, const void* about) noexcept;

[[noreturn]] void misuse(std::string_view sentence, detail_writer more, const void* about) noexcept;

[[noreturn]] void broken(std::string_view sentence) noexcept;

/// In a destructor.  Returns if main has returned: what routines that are never resumed wait for goes then.
void misuse_before_exit(std::string_view sentence, detail_writer more = nullptr,
                        const void* about = nullptr) noexcept;

/// The process ends, and its global runtime with it, as it is.  By the thread that then destroys the statics.
void main_has_returned() noexcept;
/// It has, and this is that thread.
bool is_after_main() noexcept;

/// Writes all of `text`, over interruptions and short writes; gives up silently on an error.
void write_text(int fd, std::string_view text) noexcept;

/// Writes `number` in decimal.
void write_number(int fd, std::uint64_t number) noexcept;

}  // namespace weft::base
