#pragma once

// Structure: scopes that wait for their routines, time limits, shields.

#include <weft/detail/composite.hpp>
#include <weft/detail/deadline.hpp>
#include <weft/detail/scope_core.hpp>
#include <weft/go.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

/// A routine that the scope waits for.
template <typename F, typename... Args>
void spawn_member(context& scope, std::source_location at, F&& f, Args&&... args) {
  const launch_info how{nullptr, birth::member, &scope, site_word(at), nullptr};
  if constexpr (std::is_same_v<std::remove_cvref_t<F>, spawn_options>) {
    spawn_request what{&f, how};
    (void)spawn(what, std::forward<Args>(args)...);
  } else {
    spawn_request what{nullptr, how};
    (void)spawn(what, std::forward<F>(f), std::forward<Args>(args)...);
  }
}

}  // namespace detail

/// Where a scope's body starts its routines.
class task_scope {
 public:
  explicit task_scope(detail::context& scope) noexcept : scope_(&scope) {}

  task_scope(const task_scope&) = delete;
  task_scope& operator=(const task_scope&) = delete;

  /// Cancels every routine of the scope, and its body: `cancelled` that leaves the body then ends there, and
  /// scope() returns.  Unless the body gives a value, of which there is none: then it leaves scope(), too.  A
  /// routine that has not begun never does, see weft::go().
  void cancel() noexcept { detail::cancel_context(*scope_, detail::cancel_requested); }

  /// Starts a routine that the scope waits for.  As weft::go(), but gives no handle: results go through
  /// channels.  Not once the scope has ended: then *this is gone.
  template <typename F>
  void go(F&& f, std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f));
  }

  template <typename F, typename A0>
  void go(F&& f, A0&& a0, std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0));
  }

  template <typename F, typename A0, typename A1>
  void go(F&& f, A0&& a0, A1&& a1, std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1));
  }

  template <typename F, typename A0, typename A1, typename A2>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3,
          std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2),
          std::forward<A3>(a3));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4,
          std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2),
          std::forward<A3>(a3), std::forward<A4>(a4));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
          std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2),
          std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
            typename A6>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
          std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2),
          std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
            typename A6, typename A7>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7,
          std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2),
          std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6),
          std::forward<A7>(a7));
  }

  template <typename F, typename A0, typename A1, typename A2, typename A3, typename A4, typename A5,
            typename A6, typename A7, typename A8>
  void go(F&& f, A0&& a0, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7, A8&& a8,
          std::source_location at = std::source_location::current()) {
    start(at, std::forward<F>(f), std::forward<A0>(a0), std::forward<A1>(a1), std::forward<A2>(a2),
          std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6),
          std::forward<A7>(a7), std::forward<A8>(a8));
  }

 private:
  template <typename... Args>
  void start(std::source_location at, Args&&... args) {
    detail::spawn_member(*scope_, at, std::forward<Args>(args)...);
  }

  detail::context* scope_;
};

namespace detail {

/// What `co_await std::declval<A>()` gives in a routine.
template <typename A>
struct await_result {
  using type = decltype(awaiter_of(std::declval<A>()).await_resume());
};

template <operation A>
struct await_result<A> {
  using type = result_of<A>;
};

template <composite A>
struct await_result<A> {
  using type = typename routine_value<decltype(std::declval<A&>().run())>::type;
};

template <forking A>
struct await_result<A> {
  using type = forked_result<A>;
};

template <typename T>
struct await_result<routine<T>> {
  using type = T;
};

template <typename T>
struct await_result<join_handle<T>> {
  using type = T;
};

template <typename T, typename Body>
routine<T> run_scope(Body* body) {
  waiter& self = co_await self_op();
  open_scope open(self, false, no_deadline);
  task_scope scope(open.scope);
  std::optional<stored<value_or_nothing<T>>> value;
  std::exception_ptr ended;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await (*body)(scope);
    } else if constexpr (std::is_reference_v<T>) {
      auto&& referred = co_await (*body)(scope);
      value.emplace(__builtin_addressof(referred));
    } else {
      value.emplace(co_await (*body)(scope));
    }
  } catch (...) {
    const bool in_order = body_failed(open.scope);
    if (!std::is_void_v<T> || !in_order) ended = std::current_exception();
  }
  scope_join_op members(open.scope);
  co_await members;
  if (std::exception_ptr first = take_failure(open.scope)) std::rethrow_exception(first);
  if (ended) std::rethrow_exception(ended);
  check_members(open.scope);
  if constexpr (std::is_reference_v<T>) {
    co_return static_cast<T>(**value);
  } else if constexpr (!std::is_void_v<T>) {
    co_return *std::move(value);
  }
}

/// with_timeout() and its kin borrow what they are given, and await it once.
template <typename A>
constexpr void check_awaited_once() {
  static_assert(
      !std::is_lvalue_reference_v<A>,
      "weft: with_timeout and its kin await once what they are given: with_timeout(1s, std::move(op))");
}

/// Limits around it that have passed do not end it if it is ready.
template <typename A>
concept awaited_alone = operation<A> || requires(A&& a) {
  operation_of(std::forward<A>(a));
} || bool{std::remove_cvref_t<A>::is_one_wait};

template <typename A>
routine<typename await_result<A>::type> run_in_context(A* awaited, bool shielded, std::int64_t deadline) {
  waiter& self = co_await self_op();
  open_scope open(self, shielded, deadline);
  open.scope.block.around_one = awaited_alone<A>;
  try {
    co_return co_await std::move(*awaited);
  } catch (...) {
    throw_if_own_timeout(open.scope);
    throw;
  }
}

}  // namespace detail

/// What scope(body) returns.  Borrows a body that is given as an lvalue, owns one given as an rvalue.
template <typename Body>
class [[nodiscard("co_await it")]] scope_op : public detail::composite_base {
  using body_type = std::remove_reference_t<Body>;
  using result = std::invoke_result_t<body_type&, task_scope&>;
  static_assert(detail::is_routine<result>, "weft: scope(body): body is a coroutine that takes task_scope&");

 public:
  static constexpr bool owns_callable =
      !std::is_reference_v<Body> && !std::is_trivially_destructible_v<body_type>;

  explicit scope_op(Body && body) : body_(std::forward<Body>(body)) {}

  auto run() {
    return detail::run_scope<typename detail::routine_value<result>::type, body_type>(
        __builtin_addressof(body_));
  }

 private:
  Body body_;
};

/// Runs `body(task_scope&)` and waits until every routine it has started in the scope has ended; gives the
/// body's value.
///
/// The first exception - of the body or of a routine - cancels the others and is rethrown when all have
/// ended; of the later ones nothing remains.  Routines that have not begun by then never do, see go().
/// `cancelled` leaving a routine of the scope is its normal end; so it is leaving a body without a value, if
/// it was the scope that was cancelled and nothing around it.  Cancellation and deadline reach everything
/// inside: where they have ended a routine of the scope, they are thrown when all have ended, though the body
/// has given its value.
///
/// \throws std::bad_alloc  if there is no memory for its frames, and nothing was started
template <typename Body>
requires std::invocable < std::remove_reference_t<Body>

&, task_scope& > scope_op<Body> scope(Body&& body) {
  return scope_op<Body>(std::forward<Body>(body));
}

/// What with_timeout, with_deadline and shield return.  Borrows the awaitable.
template <typename A>
class [[nodiscard("co_await it")]] limited_op : public detail::composite_base {
  using given = std::remove_reference_t<A>;

 public:
  static constexpr bool is_one_wait = detail::awaited_alone<given>;

  limited_op(A & awaited, bool shielded, std::int64_t deadline) noexcept
      : awaited_(__builtin_addressof(awaited)), deadline_(deadline), shielded_(shielded) {
    detail::check_awaited_once<A>();
  }

  auto run() {
    return detail::run_in_context<given>(awaited_, shielded_, deadline_);
  }

 private:
  given* awaited_;
  std::int64_t deadline_;
  bool shielded_;
};

/// Awaits `awaited`, cancelled when `d` has passed: then timeout_error is thrown, and the handle that was
/// joined or the value that was to be sent is still the caller's.  An outer deadline or cancellation passes
/// through unchanged.  A single operation that is ready happens, also under limits that have passed.
///
/// \throws std::bad_alloc  if there is no memory for the timer or a frame: nothing was awaited
template <typename Rep, typename Period, typename A>
limited_op<A> with_timeout(std::chrono::duration<Rep, Period> d, A&& awaited) {
  return limited_op<A>(awaited, false, detail::deadline_after(d));
}

template <typename Duration, typename A>
limited_op<A> with_deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> t, A&& awaited) {
  return limited_op<A>(awaited, false, detail::deadline_at(t));
}

/// Awaits `awaited` out of reach of every cancellation and deadline outside: for clean-up.
template <typename A>
limited_op<A> shield(A&& awaited) noexcept {
  return limited_op<A>(awaited, true, detail::no_deadline);
}

}  // namespace weft
