#pragma once

// routine<T>: the coroutine type.

#include <weft/config.hpp>
#include <weft/detail/foreign.hpp>
#include <weft/detail/operation.hpp>
#include <weft/detail/promise.hpp>
#include <weft/detail/result.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

namespace weft {

template <typename T = void>
class routine;

namespace detail {

template <typename T>
class child_awaiter;

[[noreturn]] WEFT_API void misuse_empty_routine() noexcept;
[[noreturn]] WEFT_API void misuse_broken_frame() noexcept;
[[noreturn]] WEFT_API void misuse_no_result() noexcept;

/// g++ 12 puts the condition in front of the frame of a coroutine that awaits in conditions (if, while, for,
/// switch) and declares no variable; every handle to it is 8 bytes off then, and its body would silently
/// never run.
inline void check_frame(const promise_base& p) noexcept {
#if WEFT_DESTROYS_TWICE
  if ((reinterpret_cast<std::uintptr_t>(&p) & 15) != 0) [[unlikely]]
    misuse_broken_frame();
#else
  static_cast<void>(p);
#endif
}

/// What all promises of routines share: how they start, await and end.
template <typename T>
class promise_shared : public promise_base {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  final_awaiter final_suspend() const noexcept {
    if constexpr (!std::is_void_v<T>) {
      if (this->ended() == outcome::none) [[unlikely]]
        misuse_no_result();  // it ran off its end: compilers that say so do not refuse it
    }
    return {};
  }

  void unhandled_exception() noexcept {
    drop_value();
    capture_failure(*this, slot_.error);
  }

  /// Notes where the routine awaits, for the dump, and picks the awaiter: one store and no allocation.
  /// `at` is what std::source_location::current() wraps: g++ keeps two class temporaries of each await in the
  /// frame, 16 bytes, and no pointer.
  template <typename A>
  auto await_transform(A&& awaited, const void* at = __builtin_source_location()) {
    __atomic_store_n(&site, reinterpret_cast<std::uintptr_t>(at), __ATOMIC_RELAXED);  // read by dumps only
    if constexpr (!std::is_lvalue_reference_v<A>) check_fits_frame<A>();
    if constexpr (operation<A>) {
      check_safe_to_await<A>();
      return op_awaiter<std::remove_reference_t<A>&>(awaited, root());
    } else if constexpr (requires { operation_of(std::forward<A>(awaited)); }) {
      using op = decltype(operation_of(std::forward<A>(awaited)));
      return op_awaiter<op>(operation_of(std::forward<A>(awaited)), root());
    } else if constexpr (requires { awaited.await_as_child(root()); }) {
      static_assert(!std::is_lvalue_reference_v<A>, "weft: a routine is awaited once: co_await std::move(r)");
      return awaited.await_as_child(root());
    } else if constexpr (requires { operation_as_child(std::forward<A>(awaited), root()); }) {
      return operation_as_child(std::forward<A>(awaited), root());
    } else {
      static_assert(
          requires { awaiter_of(std::forward<A>(awaited)).await_ready(); },
          "weft: this cannot be awaited; a join_handle is awaited once: co_await std::move(h), a case "
          "goes into select()");
      if constexpr (requires { awaiter_of(std::forward<A>(awaited)).await_ready(); }) {
        return foreign_awaiter<A&&>(std::forward<A>(awaited), root());
      } else {
        return std::suspend_always();  // the sentence above is enough
      }
    }
  }

  /// The result, once; or throws what the routine threw.
  decltype(auto) take() {
    if (this->ended() == outcome::exception || this->ended() == outcome::cancelled) {
      std::exception_ptr error = std::move(slot_.error);
      std::rethrow_exception(std::move(error));
    }
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*slot_.value);
    } else if constexpr (!std::is_void_v<T>) {
      return static_cast<T&&>(slot_.value);
    }
  }

  std::exception_ptr& error() noexcept { return slot_.error; }

  static void drop_result_of(promise_base& p) noexcept { static_cast<promise_shared&>(p).drop_result(); }

 protected:
  promise_shared() noexcept = default;

  /// co_return has stored a value already, and then the destructor of a local threw.
  void drop_value() noexcept {
    if (this->ended() != outcome::value) return;
    this->ended(outcome::none);
    if constexpr (!std::is_void_v<T>) {
      using kept = stored<T>;
      slot_.value.~kept();
    }
  }

  void drop_result() noexcept {
    if (this->ended() == outcome::exception || this->ended() == outcome::cancelled) {
      slot_.error.~exception_ptr();
    } else {
      drop_value();
    }
  }

  ~promise_shared() {
    if (!this->outlives_frame()) drop_result();
  }

  result_slot<T> slot_;
};

template <typename T>
class promise final : public promise_shared<T> {
 public:
  routine<T> get_return_object() noexcept;

  template <typename U = T>
  requires std::is_convertible_v<U&&, T> || std::is_constructible_v<T, U&&>

  void return_value(U&& result) {
    this->drop_value();
    if constexpr (std::is_reference_v<T>) {
      auto&& bound = static_cast<T>(result);
      ::new (static_cast<void*>(__builtin_addressof(this->slot_.value)))
          stored<T>(__builtin_addressof(bound));
    } else {
      ::new (static_cast<void*>(__builtin_addressof(this->slot_.value))) stored<T>(std::forward<U>(result));
    }
    this->ended(outcome::value);
  }
};

template <>
class promise<void> final : public promise_shared<void> {
 public:
  routine<void> get_return_object() noexcept;

  void return_void() noexcept { this->ended(outcome::value); }
};

template <typename T>
class child_awaiter {
 public:
  child_awaiter(std::coroutine_handle<promise<T>> child, waiter& root) noexcept
      : child_(child), root_(&root) {}

  bool await_ready() const noexcept {
    if (!child_ || child_.promise().started()) [[unlikely]]
      misuse_empty_routine();
    return false;
  }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) noexcept {
    promise<T>& p = child_.promise();
    p.born(birth::child);
    p.origin.root = root_;
    p.end.continuation = self.address();
    return transfer(*root_, child_.address());
  }

  T await_resume() { return child_.promise().take(); }

 private:
  std::coroutine_handle<promise<T>> child_;
  waiter* root_;
};

}  // namespace detail

/// A coroutine that weft runs.  Lazy: nothing of its body happens before it is awaited or handed to go().
///
/// `co_await std::move(r)` runs it as a child of the awaiting routine, on the same worker, by symmetric
/// transfer; the await gives its result or rethrows.  go(std::move(r)) runs it as a routine of its own.  One
/// that is dropped without having been started just frees its frame.
///
/// T may be void, a reference, move-only, and need not be default-constructible.
/// Parameters taken by reference must outlive the routine: take values, or pass them through go(), which
/// keeps copies. Parameters and local variables may not be over-aligned (alignas above 16): compilers
/// misplace them in frames. Cost: one frame from a per-thread pool (1-2 ns); awaiting a child is two indirect
/// jumps.
template <typename T>
class [[nodiscard("a routine does nothing until it is awaited or given to go()")]] routine {
 public:
  using promise_type = detail::promise<T>;
  static_assert(alignof(detail::result_slot<T>) <= 16,
                "weft: a routine's result may not be over-aligned, frames are not: return a pointer to it");

  routine() noexcept = default;
  routine(routine && other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}

  routine& operator=(routine&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }

  ~routine() {
    if (frame_) frame_.destroy();
  }

  /// False after it was moved from.
  explicit operator bool() const noexcept {
    return static_cast<bool>(frame_);
  }

  // Not for callers: how a routine's promise awaits it, and how go() takes its frame.
  detail::child_awaiter<T> await_as_child(detail::waiter & root) noexcept {
    return {frame_, root};
  }
  std::coroutine_handle<promise_type> release() noexcept {
    return std::exchange(frame_, nullptr);
  }
  std::coroutine_handle<promise_type> frame() const noexcept {
    return frame_;
  }

 private:
  friend promise_type;
  explicit routine(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <typename T>
routine<T> promise<T>::get_return_object() noexcept {
  check_frame(*this);
  return routine<T>(std::coroutine_handle<promise>::from_promise(*this));
}

inline routine<void> promise<void>::get_return_object() noexcept {
  check_frame(*this);
  return routine<void>(std::coroutine_handle<promise>::from_promise(*this));
}

/// As a parameter, which g++ and clang put into the frame.
template <typename P>
inline constexpr bool fits_frame = alignof(P) <= 16;
template <typename P>
inline constexpr bool fits_frame<P&> = true;
template <typename P>
inline constexpr bool fits_frame<P&&> = true;

/// Of a routine that nobody has started; else misuse.
template <typename T>
promise_base& unstarted(const routine<T>& r) noexcept {
  if (!r || r.frame().promise().started()) misuse_empty_routine();
  return r.frame().promise();
}

template <typename R>
inline constexpr bool is_routine = false;
template <typename T>
inline constexpr bool is_routine<routine<T>> = true;

template <typename R>
struct routine_value;

template <typename T>
struct routine_value<routine<T>> {
  using type = T;
};

}  // namespace detail
}  // namespace weft

template <typename T, typename... Parameters>
struct std::coroutine_traits<weft::routine<T>, Parameters...> {
  static_assert(
      (weft::detail::fits_frame<Parameters> && ...),
      "weft: a coroutine's parameters may not be over-aligned, frames are not: take a reference or a "
      "pointer (go() keeps what it is given, aligned)");
  using promise_type = typename weft::routine<T>::promise_type;
};
