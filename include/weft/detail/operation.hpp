#pragma once

// operation: what every waiting thing of weft is - send, recv, sleep, select, join - written once against a
// waiter, and the adapters that wait for it: in a routine, in a coroutine of a foreign type, on a thread.
//
//   bool ready(waiter&)
//
//       tries without waiting.  true: over (done, closed, cancelled ...), go on with finish()
//
//   bool park(waiter&)
//
//       registers.  false: over meanwhile.  true: published - the waiter may already run elsewhere, nothing
//       of it, of the frame or of the operation may be touched
//
//   R finish(waiter&)
//
//       withdraws what is still registered, gives the result or throws
//
//   void give_up()
//
//       of those that hold something since ready(): lets go of it
//
// After ready() returned false the adapter must call park(), and then finish() exactly once, on whatever
// thread the waiter was resumed; or, if it cannot wait, give_up() alone.  The bodies are in lib/: an inlined
// await_suspend may keep locals in the frame (clang < 19).

#include <weft/detail/promise.hpp>
#include <weft/detail/waiter.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace weft::sched {
class host_wait;
}

namespace weft::detail {

/// How far an operation is, or how it ended.
enum class wait_end : std::uint8_t { pending, done, closed, cancelled, timed_out, out_of_memory };

/// Throws what the end of a wait says: cancelled, deadline_exceeded, std::bad_alloc.
[[noreturn]] WEFT_API void throw_wait_end(wait_end how, const waiter& w);

/// Base of all operations: lets coroutines of foreign types find operator co_await below.
struct op_base {};

template <typename Op>
concept operation = std::derived_from<std::remove_cvref_t<Op>, op_base>;

template <operation Op>
using result_of = decltype(std::declval<std::remove_reference_t<Op>&>().finish(std::declval<waiter&>()));

/// An operation that owns a callable with a non-trivial destructor: g++ 12 would destroy it twice.
template <typename Op>
inline constexpr bool owns_callable = false;
template <typename Op>
requires requires {
  requires Op::owns_callable;
}
inline constexpr bool owns_callable<Op> = true;

template <typename A>
constexpr void check_fits_frame() {
  static_assert(alignof(A) <= 16,
                "weft: what is awaited may not be over-aligned, frames are not: pass a pointer to the value");
}

template <typename Op>
constexpr void check_safe_to_await() {
  check_fits_frame<Op>();
  static_assert(
      !WEFT_DESTROYS_TWICE || std::is_lvalue_reference_v<Op> || !owns_callable<std::remove_cvref_t<Op>>,
      "weft: g++ 12 destroys the captures of a lambda written inside co_await twice: name the lambda and "
      "pass the name, or pass a function and its arguments");
}

/// Waits in a routine.  `Held` is a reference to the operation, or the operation itself if it was made for
/// the await.
template <typename Held>
class op_awaiter {
 public:
  op_awaiter(Held op, waiter& root) noexcept : op_(op), root_(&root) {}

  bool await_ready() { return op_.ready(*root_); }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) noexcept {
    worker_face* worker = root_->worker;  // a local: once parked, the frame is not ours
    waiter& root = *root_;
    root.frame = self.address();
    return op_.park(root) ? switch_away(worker) : transfer(root, self.address());
  }

  decltype(auto) await_resume() { return op_.finish(*root_); }

 private:
  Held op_;
  waiter* root_;
};

/// The await of a coroutine whose promise weft does not know, as a party of the current runtime, or of the
/// global one: it goes on on that one's workers.  The stop of the runtime ends it and waits until it has.
class WEFT_API foreign_wait {
 public:
  /// `shielded`: the stop does not end it, for what ends by itself.  Throws stopped if the runtime is another
  /// thread's and takes nothing any more.
  explicit foreign_wait(bool shielded = false);
  foreign_wait(const foreign_wait&) = delete;
  foreign_wait& operator=(const foreign_wait&) = delete;
  ~foreign_wait();

  waiter& self() noexcept { return self_; }

  /// True: `h` is suspended, and may run elsewhere already.
  bool park(std::coroutine_handle<> h, void* op, bool (*park_op)(void* op, waiter& w) noexcept) noexcept;
  /// After finish().
  void end() noexcept;

 private:
  foreign_party self_;
};

/// Ends a wait behind finish(), which may throw.
class foreign_end {
 public:
  explicit foreign_end(foreign_wait& w) noexcept : wait_(&w) {}

  foreign_end(const foreign_end&) = delete;
  foreign_end& operator=(const foreign_end&) = delete;

  ~foreign_end() { wait_->end(); }

 private:
  foreign_wait* wait_;
};

/// Waits in a coroutine whose promise weft does not know.  It carries the waiter that a routine has in its
/// promise.
template <typename Op>
class fat_awaiter {
 public:
  explicit fat_awaiter(Op& op) : op_(&op) {}

  fat_awaiter(const fat_awaiter&) = delete;
  fat_awaiter& operator=(const fat_awaiter&) = delete;

  bool await_ready() { return op_->ready(wait_.self()); }

  bool await_suspend(std::coroutine_handle<> h) noexcept { return wait_.park(h, op_, &park_op); }

  decltype(auto) await_resume() {
    const foreign_end end(wait_);
    return op_->finish(wait_.self());
  }

 private:
  static bool park_op(void* op, waiter& w) noexcept { return static_cast<Op*>(op)->park(w); }

  Op* op_;
  foreign_wait wait_;
};

template <operation Op>
auto operator co_await(Op&& op) {
  check_safe_to_await<Op>();
  return fat_awaiter<std::remove_reference_t<Op>>(op);
}

// --- threads ---

/// A thread's turn to wait.  On a weft thread the waiter is the routine that runs there; else one of its own.
class WEFT_API thread_party {
 public:
  thread_party() noexcept;
  ~thread_party();
  thread_party(const thread_party&) = delete;
  thread_party& operator=(const thread_party&) = delete;

  waiter& self() noexcept { return *self_; }

  /// Before parking: makes a spare worker available on a weft thread.  Throws std::system_error past
  /// max_threads.
  void prepare();
  /// For a wait that has to be: if no thread can be had, nobody stands in.
  void prepare_anyway() noexcept;
  /// After park(): sleeps until the claim was delivered; at `deadline` claims for itself.
  void sleep(bool is_parked, std::int64_t deadline) noexcept;

 private:
  waiter own_;
  waiter* self_;
  void* compensation_ = nullptr;         // the worker that a spare stands in for
  sched::host_wait* hosting_ = nullptr;  // drives this thread's runtimes in manual mode
  bool waits_on_pool_ = false;
};

template <typename Op>
std::int64_t deadline_for_thread(const Op& op) noexcept {
  if constexpr (requires { op.deadline(); }) {
    return op.deadline();
  } else {
    return no_deadline;
  }
}

/// An operation that may find nothing when it is woken: it is tried again, and true is that it must park
/// again. In a coroutine it puts a second look before that, when it is woken.
template <typename Op>
bool must_wait_again(Op& op, waiter& w) noexcept {
  if constexpr (requires { op.again(w); }) {
    return op.again(w);
  } else {
    return false;
  }
}

/// Between ready() and park().  Throws as thread_party::prepare().
template <typename Op>
void prepare_to_wait(thread_party& me, Op& op) {
  if constexpr (requires { op.give_up(); }) {
    try {
      me.prepare();
    } catch (...) {
      op.give_up();
      throw;
    }
  } else {
    me.prepare();
  }
}

/// Runs one operation to its end on this thread.
template <operation Op>
decltype(auto) wait_on_thread(Op&& op) {
  thread_party me;
  if (!op.ready(me.self())) {
    prepare_to_wait(me, op);
    do me.sleep(op.park(me.self()), deadline_for_thread(op));
    while (must_wait_again(op, me.self()));
  }
  return op.finish(me.self());
}

/// For the end of what this thread has started and what refers to its stack: must not fail.
template <operation Op>
decltype(auto) wait_on_thread_anyway(Op&& op) {
  thread_party me;
  if (!op.ready(me.self())) {
    me.prepare_anyway();
    me.sleep(op.park(me.self()), deadline_for_thread(op));
  }
  return op.finish(me.self());
}

}  // namespace weft::detail
