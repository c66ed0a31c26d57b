#pragma once

// The facade: weft for code without co_await.  The same objects; a thread sleeps where a routine would
// suspend.
//
// Legal on foreign threads, on workers (in plain callables and inside coroutine bodies) and on blocking-pool
// threads.  On weft's own threads a spare takes over while the call sleeps, so nothing deadlocks for want of
// workers; past runtime_options::max_threads, or if no thread can be had, a call that would wait throws
// std::system_error there, and nothing has happened.  Not legal in signal handlers and in a forked child.

#include <weft/all.hpp>
#include <weft/any.hpp>
#include <weft/block_on_io.hpp>
#include <weft/channel.hpp>
#include <weft/go.hpp>
#include <weft/scope.hpp>
#include <weft/select.hpp>
#include <weft/time.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

// Their headers are for who uses them.
class mutex;
class runtime;
struct runtime_options;
class semaphore;
class wait_group;

}  // namespace weft

namespace weft::detail {

/// weft::all() of a range, which argument-dependent look-up finds if its header is included.
template <routine_range Range>
auto all_of(Range&& routines) {
  return all_in(fork_base(), std::forward<Range>(routines));
}

}  // namespace weft::detail

namespace weft::blocking {

using weft::after;
using weft::biased;
using weft::channel_receiver;
using weft::channel_sender;
using weft::event;
using weft::go;
using weft::join_handle;
using weft::make_channel;  // its ends have operations to be waited for: wait(tx.send(v)), wait(rx.recv())
using weft::mutex;
using weft::now;
using weft::on_deadline;
using weft::on_event;
using weft::on_join;
using weft::on_recv;
using weft::on_send;
using weft::on_timeout;
using weft::otherwise;
using weft::received;
using weft::recv_status;
using weft::routine;
using weft::runtime;
using weft::runtime_options;
using weft::selector;
using weft::semaphore;
using weft::send_status;
using weft::send_until_status;
using weft::spawn_options;
using weft::task_scope;
using weft::ticker;
using weft::try_send_status;
using weft::wait_group;
using weft::yield;

namespace this_routine = weft::this_routine;

namespace detail {

template <typename T>
concept here = true;
template <typename... Ts>
concept all_here = true;
template <typename... Cases>
concept facade_cases = weft::detail::select_arguments<Cases...> && all_here<Cases...>;
template <typename Body>
concept facade_body = std::invocable < std::remove_reference_t<Body>
&, task_scope& > &&here<Body>;

}  // namespace detail

/// Runs a routine to its end; gives its result or rethrows.  If this thread is cancelled, so is the routine:
/// what it shields is done nevertheless.  It inherits the thread's deadline, too.
template <typename T>
T run(routine<T> r, std::source_location at = std::source_location::current()) {
  const weft::detail::promised_spare stands_in;
  return weft::detail::join_own(weft::detail::start_as_call(at, std::move(r)));
}

/// Waits for any operation of weft: `wait(event.wait())`, `wait(ch.recv_for(1s))`.  One that runs routines -
/// a routine, scope, with_timeout, all, any - as run().
template <typename Op>
requires weft::detail::operation<Op> || weft::detail::composite<Op> || weft::detail::forking<Op>

decltype(auto) wait(Op&& op, std::source_location at = std::source_location::current()) {
  using weft::detail::wait_on_thread;
  if constexpr (weft::detail::operation<Op>) {
    return wait_on_thread(std::forward<Op>(op));
  } else {
    return wait_on_thread(std::forward<Op>(op), at);
  }
}

template <typename T>
T wait(join_handle<T>&& h) {
  return h.join();
}

template <typename T>
T wait(routine<T> r, std::source_location at = std::source_location::current()) {
  return run(std::move(r), at);
}

/// A weft::channel whose waiting operations block the thread.  Adds nothing: the two convert into one
/// another.
template <typename T>
class channel : public weft::channel<T> {
  using base = weft::channel<T>;

 public:
  using base::base;

  channel(const base& other) noexcept : base(other) {}

  channel(base&& other) noexcept : base(std::move(other)) {}

  static channel unbounded() { return base::unbounded(); }

  send_status send(const T& value) const { return wait(base::send(value)); }

  send_status send(T&& value) const { return wait(base::send(std::move(value))); }

  template <typename D>
  send_until_status send_for(const T& value, D d) const {
    return wait(base::send_for(value, d));
  }

  template <typename D>
  send_until_status send_for(T&& value, D d) const {
    return wait(base::send_for(std::move(value), d));
  }

  template <typename P>
  send_until_status send_until(const T& value, P t) const {
    return wait(base::send_until(value, t));
  }

  template <typename P>
  send_until_status send_until(T&& value, P t) const {
    return wait(base::send_until(std::move(value), t));
  }

  auto recv() const { return wait(base::recv()); }

  template <typename U = T>
  bool recv_into(std::type_identity_t<U>& out) const {
    return wait(base::recv_into(out));
  }

  template <typename D>
  received<T> recv_for(D d) const {
    return wait(base::recv_for(d));
  }

  template <typename P>
  received<T> recv_until(P t) const {
    return wait(base::recv_until(t));
  }

  /// `for (auto& v : ch)`: receives until it is closed and drained.
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit iterator(const channel& from) : from_(&from), value_(from.recv()) {}

    T& operator*() const { return *value_; }

    iterator& operator++() {
      value_.reset();
      if (auto next = from_->recv()) value_.emplace(*std::move(next));
      return *this;
    }

    void operator++(int) { ++*this; }

    friend bool operator==(const iterator& i, std::default_sentinel_t) { return !i.value_.has_value(); }

   private:
    const channel* from_;
    mutable std::optional<T> value_;
  };

  iterator begin() const { return iterator(*this); }

  std::default_sentinel_t end() const noexcept { return {}; }
};

/// A template, so that nothing of it is compiled where it is not used.
template <std::same_as<void> T>
class channel<T> : public weft::channel<T> {
  using base = weft::channel<T>;

 public:
  using base::base;

  channel(const base& other) noexcept : base(other) {}

  channel(base&& other) noexcept : base(std::move(other)) {}

  static channel unbounded() { return base::unbounded(); }

  send_status send() const { return wait(base::send()); }

  bool recv() const { return wait(base::recv()); }

  template <typename D>
  send_until_status send_for(D d) const {
    return wait(base::send_for(d));
  }

  template <typename P>
  send_until_status send_until(P t) const {
    return wait(base::send_until(t));
  }

  template <typename D>
  received<void> recv_for(D d) const {
    return wait(base::recv_for(d));
  }

  template <typename P>
  received<void> recv_until(P t) const {
    return wait(base::recv_until(t));
  }
};

/// Blocks until one of the cases can happen, does it and calls its handler (a coroutine is run to its end).
template <typename... Cases>

requires detail::facade_cases<Cases...> std::size_t select(Cases&&... cases) {
  return wait(weft::detail::make_select(std::forward<Cases>(cases)...));
}

template <typename Rep, typename Period>
void sleep_for(std::chrono::duration<Rep, Period> d) {
  wait(weft::sleep_for(d));
}

template <typename Duration>
void sleep_until(std::chrono::time_point<std::chrono::steady_clock, Duration> t) {
  wait(weft::sleep_until(t));
}

/// Calls `f(args...)` here; on a worker another thread takes over meanwhile.  \throws cancelled before it is
/// called, if the caller is.
template <typename F, typename... Args>
requires detail::here<F>

decltype(auto) block_on_io(F&& f, Args&&... args) {
  static_assert(!weft::detail::is_routine<std::invoke_result_t<F, Args...>>,
                "weft: block_on_io calls a plain function; what is a coroutine is run: run(f(...))");
  this_routine::check();
  const blocking_region announced;
  return weft::detail::call(std::forward<F>(f), std::forward<Args>(args)...);
}

/// Runs the routines at the same time and blocks until all have ended; as weft::all.
template <typename... Ts>

requires(detail::here<Ts>&&...) auto all(routine<Ts>... routines) {
  return wait(weft::all(std::move(routines)...));
}

/// The same for a range; needs <weft/all_range.hpp>.
template <weft::detail::routine_range Range>
requires detail::here<Range>

auto all(Range&& routines) {
  return wait(weft::detail::all_of(std::forward<Range>(routines)));
}

/// Calls `body(task_scope&)` on this thread and blocks until every routine it has started has ended; as
/// weft::scope.
template <detail::facade_body Body>
auto scope(Body&& body) -> std::invoke_result_t<std::remove_reference_t<Body>&, task_scope&> {
  using result = std::invoke_result_t<std::remove_reference_t<Body>&, task_scope&>;
  static_assert(
      !weft::detail::is_routine<result>,
      "weft: blocking::scope(body): body is a plain function; wait(weft::scope(body)) runs a coroutine");
  const weft::detail::promised_spare stands_in;
  weft::detail::thread_scope open(false, weft::detail::no_deadline);
  task_scope members(open.scope);
  std::exception_ptr ended;
  std::optional<weft::detail::stored<weft::detail::value_or_nothing<result>>> value;
  try {
    if constexpr (std::is_void_v<result>) {
      body(members);
    } else if constexpr (std::is_reference_v<result>) {
      auto&& referred = body(members);
      value.emplace(__builtin_addressof(referred));
    } else {
      value.emplace(body(members));
    }
  } catch (...) {
    const bool in_order = weft::detail::body_failed(open.scope);
    if (!std::is_void_v<result> || !in_order) ended = std::current_exception();
  }
  weft::detail::wait_on_thread_anyway(weft::detail::scope_join_op(open.scope));
  if (std::exception_ptr first = weft::detail::take_failure(open.scope)) std::rethrow_exception(first);
  if (ended) std::rethrow_exception(ended);
  weft::detail::check_members(open.scope);
  if constexpr (std::is_reference_v<result>) {
    return static_cast<result>(**value);
  } else if constexpr (!std::is_void_v<result>) {
    return *std::move(value);
  }
}

namespace detail {

template <typename A>
decltype(auto) limited(std::int64_t deadline, A&& awaited) {
  if constexpr (!std::invocable<A>) weft::detail::check_awaited_once<A>();
  if constexpr (weft::detail::composite<A> || weft::detail::forking<A> || weft::detail::is_routine<A>) {
    return wait(limited_op<A>(awaited, false, deadline));  // what runs as a routine has its limit there
  } else {
    weft::detail::thread_scope open(false, deadline);
    open.scope.block.around_one = weft::detail::awaited_alone<A>;
    try {
      if constexpr (requires { wait(std::forward<A>(awaited)); }) {
        return wait(std::forward<A>(awaited));
      } else {
        static_assert(std::invocable<A>,
                      "weft: in plain code give a function: with_timeout(1s, [&] { return ch.recv(); })");
        return std::forward<A>(awaited)();
      }
    } catch (...) {
      weft::detail::throw_if_own_timeout(open.scope);
      throw;
    }
  }
}

}  // namespace detail

/// Waits for an operation of weft, or calls a function, with a time limit for every wait inside:
/// timeout_error.  A facade call is no operation, it has waited already: `with_timeout(1s, [&] { return
/// ch.recv(); })`.
///
/// \throws std::bad_alloc  if there is no memory for the timer or a frame: nothing was awaited
template <typename Rep, typename Period, typename A>
requires detail::here<A>

decltype(auto) with_timeout(std::chrono::duration<Rep, Period> d, A&& awaited) {
  return detail::limited(weft::detail::deadline_after(d), std::forward<A>(awaited));
}

template <typename Duration, typename A>
requires detail::here<A>

decltype(auto) with_deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> t, A&& awaited) {
  return detail::limited(weft::detail::deadline_at(t), std::forward<A>(awaited));
}

}  // namespace weft::blocking
