#pragma once

// Calls that block: on threads of their own, or in place and announced.

#include <weft/detail/blocking_job.hpp>
#include <weft/detail/channel_core.hpp>
#include <weft/detail/spawn.hpp>
#include <weft/resume_on.hpp>

#include <exception>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

/// What block_on_io(f, args...) returns.
template <typename F, typename... Args>
class [[nodiscard("co_await it")]] block_on_io_op : public detail::op_base {
  using function = std::remove_reference_t<F>;
  using result = std::invoke_result_t<std::conditional_t<std::is_reference_v<F>, F, function>, Args...>;
  static_assert(!std::is_reference_v<result>, "weft: block_on_io gives values: return a pointer instead");
  static_assert(!detail::is_routine<result>,
                "weft: block_on_io calls a plain function; what is a coroutine is awaited: co_await f(...)");

 public:
  static constexpr bool owns_callable =
      !std::is_reference_v<F> && !std::is_trivially_destructible_v<function>;

  template <typename... As>
  explicit block_on_io_op(F && f, As && ... args)
      : f_(std::forward<F>(f)), args_(std::forward<As>(args)...) {}
  block_on_io_op(const block_on_io_op&) = delete;
  block_on_io_op& operator=(const block_on_io_op&) = delete;

  ~block_on_io_op() {
    drop_value();
  }

  bool ready(detail::waiter & w) noexcept {
    call_.owner = this;
    call_.call = [](detail::pool_call& c) noexcept { static_cast<own_call&>(c).owner->run_it(); };
    return detail::pool_call_ready(call_, w);
  }

  bool park(detail::waiter & w) noexcept {
    return detail::pool_call_park(call_, w);
  }

  result finish(detail::waiter & w) {
    detail::pool_call_finish(call_, w);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if constexpr (!std::is_void_v<result>) return std::move(room_.value());
  }

 private:
  struct own_call : detail::pool_call {
    block_on_io_op* owner = nullptr;
  };

  void drop_value() noexcept {
    if constexpr (!std::is_void_v<result>) {
      if (std::exchange(has_value_, false)) detail::destroy_element<result>(&room_);
    }
  }

  void run_it() noexcept {
    drop_value();  // of the wait before
    try {
      const auto invoke = [this](auto&... a) -> result {
        return detail::call(std::forward<F>(f_), std::move(a)...);
      };
      if constexpr (std::is_void_v<result>) {
        std::apply(invoke, args_);
      } else {
        ::new (static_cast<void*>(&room_)) result(std::apply(invoke, args_));
        has_value_ = true;
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  F f_;
  std::tuple<Args...> args_;
  own_call call_;
  detail::room<result> room_;
  bool has_value_ = false;
  std::exception_ptr error_;
};

/// Runs `f(args...)` on a thread of the blocking pool; the routine is suspended meanwhile and goes on on a
/// worker.  In a routine that lives on the pool (<weft/resume_on.hpp>) f is called in place.
///
/// Gives f's result or rethrows its exception.  `f` is borrowed if it is an lvalue, owned if it is an rvalue;
/// `args` are copied.  Cancellation reaches it only before it begins: then `cancelled` is thrown and f was
/// not called.
///
/// \throws std::system_error  if the pool has no thread and none can be had
///
/// \throws stopped            outside of the runtime's own routines, if it was stopped
///
/// \par Order  What happened before block_on_io happens before f; what f did, before it returns.
///
/// \par Cost   Two thread switches (some 40 us); in exchange the worker is free.
template <typename F, typename... Args>
block_on_io_op<F, std::decay_t<Args>...> block_on_io(F&& f, Args&&... args) {
  return block_on_io_op<F, std::decay_t<Args>...>(std::forward<F>(f), std::forward<Args>(args)...);
}

/// Announces that this thread blocks while the object lives: another one takes over the worker's duties.
/// \throws std::system_error  past runtime_options::max_threads
class [[nodiscard]] blocking_region {
 public:
  blocking_region() : token_(detail::begin_blocking()) {}

  blocking_region(const blocking_region&) = delete;
  blocking_region& operator=(const blocking_region&) = delete;

  ~blocking_region() { detail::end_blocking(token_); }

 private:
  void* token_;
};

}  // namespace weft
