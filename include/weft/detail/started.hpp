#pragma once

// started: a routine that go() has started, and the right to its result - all of a join_handle that needs no
// clock, whose header is dear - and how it is awaited.

#include <weft/detail/join.hpp>
#include <weft/detail/launch.hpp>
#include <weft/detail/operation.hpp>
#include <weft/routine.hpp>

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

namespace weft::detail {

template <typename T>
class join_op;

/// Waits for the end without taking the result: join_for, join_until.
class join_until_op : public op_base {
 public:
  join_until_op(promise_base& child, std::int64_t deadline) noexcept : wait_{&child}, deadline_(deadline) {}

  bool ready(waiter& w) noexcept { return join_ready(wait_, w); }

  bool park(waiter& w) noexcept { return join_park(wait_, w); }

  std::int64_t deadline() const noexcept { return deadline_; }

  bool finish(waiter& w) {
    join_settle(wait_, w);
    if (wait_.how != wait_end::done && wait_.how != wait_end::timed_out) throw_wait_end(wait_.how, w);
    return wait_.how == wait_end::done;
  }

 private:
  join_wait wait_;
  std::int64_t deadline_;
};

template <typename T>
class started {
 public:
  started() noexcept = default;

  explicit started(std::coroutine_handle<weft::detail::promise<T>> frame) noexcept : frame_(frame) {}

  started(started&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}

  started& operator=(started&& other) noexcept {
    if (this != &other) {
      if (frame_) detach(frame_.promise());
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }

  ~started() {
    if (frame_) detach(frame_.promise());
  }

  T join() { return wait_on_thread(join_op<T>(*this)); }

  [[nodiscard]] bool done() const noexcept { return join_done(promise()); }

  void cancel() noexcept { cancel_routine(promise()); }

  explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

  weft::detail::promise<T>& promise() const noexcept {
    if (!frame_) misuse_empty_handle();
    return frame_.promise();
  }

  T consume() {
    weft::detail::promise<T>& p = promise();  // it may have been moved from meanwhile
    const frame_owner owner{std::exchange(frame_, nullptr)};
    if (!p.has_result()) throw_routine_cancelled();
    return p.take();
  }

 private:
  struct frame_owner {
    std::coroutine_handle<weft::detail::promise<T>> frame;

    ~frame_owner() { destroy_root(frame.promise()); }
  };

  std::coroutine_handle<weft::detail::promise<T>> frame_;
};

/// co_await std::move(handle).
template <typename T>
class join_op : public op_base {
 public:
  explicit join_op(started<T>& handle) noexcept : wait_{&handle.promise()}, handle_(&handle) {}

  bool ready(waiter& w) noexcept { return join_ready(wait_, w); }

  bool park(waiter& w) noexcept { return join_park(wait_, w); }

  T finish(waiter& w) {
    join_settle(wait_, w);
    if (wait_.how != wait_end::done) throw_wait_end(wait_.how, w);
    return handle_->consume();
  }

 private:
  join_wait wait_;
  started<T>* handle_;
};

/// A coroutine of a foreign type awaits a handle.
template <typename T>
class foreign_join_awaiter {
 public:
  explicit foreign_join_awaiter(started<T>& handle) : op_(handle), awaiter_(op_) {}

  foreign_join_awaiter(const foreign_join_awaiter&) = delete;
  foreign_join_awaiter& operator=(const foreign_join_awaiter&) = delete;

  bool await_ready() { return awaiter_.await_ready(); }

  bool await_suspend(std::coroutine_handle<> h) noexcept { return awaiter_.await_suspend(h); }

  T await_resume() { return awaiter_.await_resume(); }

 private:
  join_op<T> op_;
  fat_awaiter<join_op<T>> awaiter_;
};

/// Starts what a coroutine of a foreign type then waits for.
template <typename T>
started<T> start(std::source_location at, routine<T> r, bool as_call = false) {
  launch_info how{nullptr, birth::joined, nullptr, site_word(at), nullptr};
  how.certain = as_call;
  how.called = as_call;
  promise_base& p = unstarted(r);
  how.here = check_open(nullptr);
  launch(p, how);
  return started<T>(r.release());
}

/// A coroutine of a foreign type awaits a routine: it is started, and joined.  The routine may refer to what
/// the coroutine owns, so a stop does not end this wait: it ends the routine.
template <typename T>
class foreign_routine_awaiter {
 public:
  foreign_routine_awaiter(std::source_location at, routine<T> r)
      : wait_(true), handle_(start(at, std::move(r))), op_(handle_) {}

  foreign_routine_awaiter(const foreign_routine_awaiter&) = delete;
  foreign_routine_awaiter& operator=(const foreign_routine_awaiter&) = delete;

  bool await_ready() { return op_.ready(wait_.self()); }

  bool await_suspend(std::coroutine_handle<> h) noexcept { return wait_.park(h, &op_, &park_op); }

  T await_resume() {
    const foreign_end end(wait_);
    return op_.finish(wait_.self());
  }

 private:
  static bool park_op(void* op, waiter& w) noexcept { return static_cast<join_op<T>*>(op)->park(w); }

  foreign_wait wait_;  // first: once the routine is started nothing may fail
  started<T> handle_;
  join_op<T> op_;
};

}  // namespace weft::detail
