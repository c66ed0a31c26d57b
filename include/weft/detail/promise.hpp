#pragma once

// promise_base: the part of a routine's promise that does not depend on its type, and how one coroutine runs
// another.
//
// Frame layout decides how many routines fit in memory: g++ never overlaps the awaiters of a frame, so the
// one wait node is here and awaiters are small.  120 bytes, plus the result (measured:
// test/core/frame_size_test.cpp).
//
// A routine is a chain of frames, root first.  Only the root is a waiter in use; an awaited child keeps a
// pointer to the root and uses nothing of its own waiter.  Transfers between frames go through transfer(),
// which has a budget: g++ makes no tail call of a symmetric transfer at -O0, -Og and under sanitizers, so the
// stack is unwound to the worker's loop every now and then; the same counter keeps a chain of hand-offs from
// starving the run queue. Rejected: a stack-pointer watermark (1-2 ns more per await, and no fairness for
// free).

#include <weft/detail/context.hpp>
#include <weft/detail/waiter.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>

namespace weft::detail {

/// What a root owns beside its frame: the callable and arguments it borrows from, its name.  Comes from the
/// frame pool, so the word at offset 16 is a claim word of other lives: never touched.
struct annex {
  void (*destroy)(annex&, bool wholly) noexcept;  // the payload, once; `wholly`: the annex too
  std::uintptr_t spawned_at;
  std::uint64_t not_ours;
  const char* name;  // stands behind the payload
  std::uint32_t name_size : 31;
  std::uint32_t over_aligned : 1;  // then it is not from the frame pool
  std::uint32_t bytes;
};

static_assert(offsetof(annex, not_ours) == 16);

struct promise_base : waiter {
  std::uintptr_t site;  // where this frame awaits, a std::source_location; relaxed atomic, read by dumps

  union {
    std::uintptr_t spawned_at;  // a root's spawn site
    annex* extra;               // a root's, if annexed
    waiter* root;               // a child's
  } origin;

  union {
    std::uint64_t join;  // born joined: the join word; atomic
    void* continuation;  // born a child: the coroutine that awaits it
  } end;

  // The claim word is not written: its sequence number outlives the frame.  See waiter.hpp.
  promise_base() noexcept {  // NOLINT(cppcoreguidelines-pro-type-member-init)
    become(waiter_kind::routine);
    site = 0;
  }

  promise_base(const promise_base&) = delete;
  promise_base& operator=(const promise_base&) = delete;

  /// Once it has ended: a value or an exception.  Else it was cancelled, or never ran because it was.
  bool has_result() const noexcept { return ended() == outcome::value || ended() == outcome::exception; }

  /// Its frame is destroyed, and the result in it stays for the joiner: see complete().
  bool outlives_frame() const noexcept {
    return (__atomic_load_n(&park, __ATOMIC_RELAXED) & outlives_bit) != 0;  // relaxed: own thread set it
  }

  static constexpr std::uint64_t outlives_bit = 16U << 8;  // a flag of the claim word

  waiter& root() noexcept { return born() == birth::child ? *origin.root : *this; }

  static void* operator new(std::size_t bytes) { return allocate(bytes); }

  static void operator delete(void* frame, std::size_t bytes) noexcept { release(frame, bytes); }

 private:
  WEFT_API static void* allocate(std::size_t bytes);
  WEFT_API static void release(void* frame, std::size_t bytes) noexcept;
};

static_assert(sizeof(std::source_location) == sizeof(std::uintptr_t), "a site is stored as one word");

inline std::uintptr_t site_word(const std::source_location& at) noexcept {
  return __builtin_bit_cast(std::uintptr_t, at);
}

/// The frame that the promise stands in; every weft promise starts at the same offset.
inline void* frame_of(promise_base& p) noexcept {
  return std::coroutine_handle<promise_base>::from_promise(p).address();
}

inline promise_base& promise_of(void* frame) noexcept {
  return std::coroutine_handle<promise_base>::from_address(frame).promise();
}

// --- switching: lib/sched/worker.cpp; the end of a routine: lib/core/routine.cpp ---

/// The budget is spent: `frame` continues from the worker's loop.
WEFT_API std::coroutine_handle<> bounce(waiter& root, void* frame) noexcept;

/// Control goes from one frame of `root` to another.
inline std::coroutine_handle<> transfer(waiter& root, void* frame) noexcept {
  if (--root.worker->transfers > 0) [[likely]] {
    return std::coroutine_handle<>::from_address(frame);
  }
  return bounce(root, frame);
}

/// The routine that ran on this worker has parked (its frame may be gone): what runs instead.
WEFT_API std::coroutine_handle<> switch_away(worker_face* worker) noexcept;

/// A root has reached its end: tells whoever waits, frees the frame if nobody will look; what runs instead.
/// The coroutine of one that may be joined is destroyed here, as a function's parameters go when it returns;
/// the promise's memory stays, with the result that `drop` destroys.
WEFT_API std::coroutine_handle<> complete(promise_base& root, void (*drop)(promise_base&) noexcept) noexcept;

/// The same for a child of all().
WEFT_API std::coroutine_handle<> end_forked(promise_base& child) noexcept;

/// In unhandled_exception(): keeps the exception at `slot` and notes whether it is a cancellation.
WEFT_API void capture_failure(promise_base& p, std::exception_ptr& slot) noexcept;

struct final_awaiter {
  bool await_ready() const noexcept { return false; }

  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
    promise_base& p = self.promise();
    if (p.born() == birth::child) return transfer(*p.origin.root, p.end.continuation);
    if (p.born() == birth::forked) return end_forked(p);
    return complete(p, &Promise::drop_result_of);
  }

  void await_resume() const noexcept {}
};

}  // namespace weft::detail
