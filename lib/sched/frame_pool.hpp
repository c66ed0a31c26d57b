#pragma once

// frame_pool: the allocator of coroutine frames, which is also the registry of live routines.  Process-wide;
// every function may be called on any thread, but see for_each_block().
//
// Layout of a frame: resume pointer at 0, destroy pointer at 8, promise at 16.  A weft promise begins with
// its claim word, so the 8 bytes at claim_word_offset of a block are the claim word of whatever routine lives
// or lived there.
//
// Invariant T (type stability)
//   The pool never writes those 8 bytes once a block exists; in a block that never held a frame they are
//   zero.  A block stays a block of its size for ever, and slab memory stays mapped while the process lives.
//   So who read a claim word too late reads an old claim word, never a foreign integer.
//   Frames of more than 4 KiB, and all frames in sanitizer builds, are given back to the system and so are
//   outside T: for_each_block() pins them by a lock instead.
//
// fork(): the child may use the pool if no other thread was inside it at that moment.

#include <cstddef>
#include <cstdint>

namespace weft::sched {

inline constexpr std::size_t claim_word_offset = 16;

/// Memory for a frame, aligned to 16.  Throws std::bad_alloc.
[[nodiscard]] void* allocate_frame(std::size_t bytes);

/// `bytes` as given to allocate_frame().  Any thread may free, also while it exits.
void free_frame(void* frame, std::size_t bytes) noexcept;

/// May an annex of that size be unmapped while its routine's frame is visited?  Not if it is a slab's
/// (Invariant T), nor where frames are listed: it goes after its frame, which the list's lock keeps.
[[nodiscard]] bool may_vanish(std::size_t annex_bytes, bool over_aligned) noexcept;

/// Visits every block ever handed out by the pool, living or dead, and every listed frame; ends when `visit`
/// returns false.  The visitor reads the claim word with a std::atomic_ref to find out whether a routine
/// lives there.  A listed frame is pinned during its visit by a lock: the visitor must neither allocate nor
/// free frames.  Sees at least the frames whose allocation happens before the call and that are not freed
/// during it.
void for_each_block(bool (*visit)(void* context, void* frame), void* context);

/// The same for one frame, which may be dead for long; false: no such block is or was handed out.
bool visit_block(void* frame, bool (*visit)(void* context, void* frame), void* context);

/// Fault seam for tests: `k` more allocations succeed, on whatever threads; the one after them throws
/// std::bad_alloc; those that follow succeed again.  Negative: off.
void fail_frame_after(long k) noexcept;

/// Frames ask os::may_fail() as long as somebody wants that; each true is taken back by a false.
void want_failures(bool wanted) noexcept;

struct frame_stats {
  std::uint64_t slab_bytes;  ///< address space mapped for slabs; memory is touched as blocks are handed out
  std::uint64_t blocks;      ///< slab blocks ever handed out: living frames, dead ones, and those in caches
  std::uint64_t listed;      ///< living frames outside slabs
  bool pooled;               ///< false in address and thread sanitizer builds: all frames are listed
};

[[nodiscard]] frame_stats read_frame_stats() noexcept;

}  // namespace weft::sched
