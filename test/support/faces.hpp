#pragma once

// faces: a test's body is written once, as a coroutine over a face, and runs in three ways: as routines, as
// plain callables that block in the facade (main is the test's foreign thread then), and mixed - each go()
// takes the one or the other - on the same channels; each on 1, 2 and 8 workers, and under sim.
//
//   constexpr auto sender = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f)> {
//     for (int i = 0; i < n; ++i) co_await f.send(ch, i);
//     ch.close();
//   };
//   const auto body = [](auto f, int n) -> task<decltype(f)> {
//     weft::channel<int> ch;
//     auto h = f.go(sender, ch, n);
//     int sum = 0;
//     while (auto v = co_await f.recv(ch)) sum += *v;
//     co_await f.join(std::move(h));
//     f.expect(sum == n * (n - 1) / 2, "the sum");
//   };
//   everywhere(body, 1'000, 5);  // n = 1,000 on real workers, 5 in simulations
//
// A body awaits what its face makes, and other bodies: `co_await sub(f, x)`.  What does not wait - try_send,
// close, set, done - needs no face.  What two bodies share is atomic or handed over by weft, also in the
// coroutine face.  It joins what it starts, and asserts by f.expect(): Catch2's assertions are not thread
// safe.  Because of g++ 12: no await in the condition of an `if` or behind && or ?:, no lambda with captures
// that have a destructor inside of a co_await (toolchains make it a double destruction).

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "support/sanitizers.hpp"

namespace weft::test {

enum class faces : unsigned char { coroutine, facade, mixed };

/// Simulated runs of each body in each face.
inline constexpr std::uint64_t simulated_seeds = sanitized ? 60 : 1'000;

/// One run of a body.
class trial {
 public:
  /// `mix`: bit i says whether the i-th go() of a mixed run starts a plain callable.
  trial(faces how, unsigned workers, std::uint64_t mix) noexcept;
  trial(const trial&) = delete;
  trial& operator=(const trial&) = delete;
  ~trial();

  bool expect(bool holds, const char* what, std::source_location at) noexcept {
    if (!holds) note(what, at);
    return holds;
  }

  /// For the next go().
  bool takes_plain() noexcept {
    if (how_ != faces::mixed) return how_ == faces::facade;
    return ((mix_ >> (turn_.fetch_add(1, std::memory_order_relaxed) % 64)) & 1) != 0;  // relaxed: any order
  }

  faces how() const noexcept { return how_; }

  /// 0: simulated.
  unsigned workers() const noexcept { return workers_; }

  /// Empty if all was as expected.  Only when nothing of the run is left.
  std::string failure() const;
  /// For a failed test: how it ran.
  std::string name() const;
  /// Null: go() is the global one's, which in a simulation is the run's.
  runtime* on = nullptr;

 private:
  void note(const char* what, std::source_location at) noexcept;

  const faces how_;
  const unsigned workers_;
  const std::uint64_t mix_;
  std::atomic<unsigned> turn_{0};
  std::atomic<bool> failed_{false};
  const char* what_ = nullptr;
  std::source_location where_;
};

// --- the facade's coroutine: runs in its caller, awaits nothing that is not there ---

struct in_place {};

/// The result of a call that has blocked.
template <typename T>
class [[nodiscard("co_await it")]] ready : public in_place {
 public:
  explicit ready(T value) : value_(std::move(value)) {}
  bool await_ready() const noexcept {
    return true;
  }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  T await_resume() {
    return std::move(value_);
  }

 private:
  T value_;
};

template <>
class [[nodiscard("co_await it")]] ready<void>
    : public in_place{public : ready() noexcept {} bool await_ready() const noexcept {return true;
}  // namespace weft::test

void await_suspend(std::coroutine_handle<>) const noexcept {}

void await_resume() const noexcept {}
}
;

template <typename T>
class immediate;

template <typename T>
struct immediate_value {
  std::optional<T> value;

  void return_value(T v) { value.emplace(std::move(v)); }

  T take() { return *std::move(value); }
};

template <>
struct immediate_value<void> {
  void return_void() const noexcept {}

  void take() const noexcept {}
};

template <typename T>
class [[nodiscard("co_await it")]] immediate : public in_place {
 public:
  struct promise_type : immediate_value<T> {
    immediate get_return_object() noexcept {
      return immediate(std::coroutine_handle<promise_type>::from_promise(*this));
    }

    std::suspend_never initial_suspend() const noexcept { return {}; }

    std::suspend_always final_suspend() const noexcept { return {}; }

    void unhandled_exception() noexcept { error = std::current_exception(); }

    template <typename A>
    A&& await_transform(A&& awaited) const noexcept {
      static_assert(std::is_base_of_v<in_place, std::remove_cvref_t<A>>,
                    "a body awaits what its face makes: f.wait(operation)");
      return static_cast<A&&>(awaited);
    }

    std::exception_ptr error;
  };

  immediate(immediate && other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  immediate& operator=(immediate&&) = delete;
  ~immediate() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept {
    return true;
  }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  T await_resume() {
    return get();
  }

  T get() {
    if (frame_.promise().error) std::rethrow_exception(std::exchange(frame_.promise().error, nullptr));
    return frame_.promise().take();
  }

 private:
  explicit immediate(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

// --- the faces ---

/// Common to both.
class face {
 public:
  face(trial& of, bool outside) noexcept : trial_(&of), outside_(outside) {}

  /// Notes that the test has failed, the first time.
  bool expect(bool holds, const char* what,
              std::source_location at = std::source_location::current()) const noexcept {
    return trial_->expect(holds, what, at);
  }

  /// Starts `body(face, args...)`; gives its join_handle.  `body` and `args` are copied.
  template <typename Body, typename... Args>
  auto go(Body body, Args... args) const;

  /// The same in a scope.
  template <typename Body, typename... Args>
  void go_in(task_scope& scope, Body body, Args... args) const;

  /// 0 in a simulation.
  unsigned workers() const noexcept { return trial_->workers(); }

  bool simulated() const noexcept { return workers() == 0; }

  /// No go() starts a plain callable, so none costs a thread.
  bool only_routines() const noexcept { return trial_->how() == faces::coroutine; }

 protected:
  trial* trial_;
  bool outside_;  // on the test's own thread, which no runtime knows
};

/// Routines: every operation is awaited.
class coroutine_face : public face {
 public:
  template <typename T>
  using task = routine<T>;
  using face::face;

  /// Any operation.
  template <typename Op>
  Op&& wait(Op&& op) const noexcept {
    return static_cast<Op&&>(op);
  }

  template <typename T>
  join_handle<T>&& join(join_handle<T>&& h) const noexcept {
    return std::move(h);
  }

  template <typename Channel, typename... Value>
  auto send(const Channel& to, Value&&... value) const {
    return to.send(std::forward<Value>(value)...);
  }

  template <typename Channel, typename Value, typename D>
  auto send_for(const Channel& to, Value&& value, D d) const {
    return to.send_for(std::forward<Value>(value), d);
  }

  template <typename Channel>
  auto recv(const Channel& from) const {
    return from.recv();
  }

  template <typename Channel, typename T>
  auto recv_into(const Channel& from, T& out) const {
    return from.recv_into(out);
  }

  template <typename Channel, typename D>
  auto recv_for(const Channel& from, D d) const {
    return from.recv_for(d);
  }

  template <typename... Cases>
  auto select(Cases&&... cases) const {
    return weft::select(std::forward<Cases>(cases)...);
  }

  auto yield() const noexcept { return weft::yield(); }
};

/// Plain code: every operation blocks, and is over when it is awaited.
class facade_face : public face {
  template <typename F>
  static auto over(F call) {
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      return ready<void>();
    } else {
      return ready<decltype(call())>(call());
    }
  }

 public:
  template <typename T>
  using task = immediate<T>;
  using face::face;

  template <typename Op>
  auto wait(Op&& op) const {
    return over([&] { return blocking::wait(std::forward<Op>(op)); });
  }

  template <typename T>
  auto join(join_handle<T>&& h) const {
    return over([&] { return h.join(); });
  }

  // A channel is taken by the facade's own, which is one more handle to it while the call lasts; an end is
  // waited for as it is.
  template <typename T, typename... Value>
  auto send(const channel<T>& to, Value&&... value) const {
    return over([&] { return blocking::channel<T>(to).send(std::forward<Value>(value)...); });
  }

  template <typename T, typename... Value>
  auto send(const channel_sender<T>& to, Value&&... value) const {
    return over([&] { return blocking::wait(to.send(std::forward<Value>(value)...)); });
  }

  template <typename T, typename Value, typename D>
  auto send_for(const channel<T>& to, Value&& value, D d) const {
    return over([&] { return blocking::channel<T>(to).send_for(std::forward<Value>(value), d); });
  }

  template <typename T, typename Value, typename D>
  auto send_for(const channel_sender<T>& to, Value&& value, D d) const {
    return over([&] { return blocking::wait(to.send_for(std::forward<Value>(value), d)); });
  }

  template <typename T>
  auto recv(const channel<T>& from) const {
    return over([&] { return blocking::channel<T>(from).recv(); });
  }

  template <typename T>
  auto recv(const channel_receiver<T>& from) const {
    return over([&] { return blocking::wait(from.recv()); });
  }

  template <typename T, typename U>
  auto recv_into(const channel<T>& from, U& out) const {
    return over([&] { return blocking::channel<T>(from).recv_into(out); });
  }

  template <typename T, typename U>
  auto recv_into(const channel_receiver<T>& from, U& out) const {
    return over([&] { return blocking::wait(from.recv_into(out)); });
  }

  template <typename T, typename D>
  auto recv_for(const channel<T>& from, D d) const {
    return over([&] { return blocking::channel<T>(from).recv_for(d); });
  }

  template <typename T, typename D>
  auto recv_for(const channel_receiver<T>& from, D d) const {
    return over([&] { return blocking::wait(from.recv_for(d)); });
  }

  template <typename... Cases>
  auto select(Cases&&... cases) const {
    return over([&] { return blocking::select(std::forward<Cases>(cases)...); });
  }

  auto yield() const {
    return over([] { blocking::wait(weft::yield()); });
  }
};

/// What go() calls for a plain callable.
struct run_in_place {
  template <typename Body, typename... Args>
  auto operator()(Body body, facade_face f, Args... args) const {
    return body(f, std::move(args)...).get();
  }
};

/// What a body returns: `-> task<decltype(f), int>`.
template <typename Face, typename T = void>
using task = typename Face::template task<T>;

template <typename Body, typename... Args>
auto face::go(Body body, Args... args) const {
  const bool plain = trial_->takes_plain();
  if (outside_ && trial_->on != nullptr) {
    if (plain) {
      return trial_->on->go(run_in_place(), std::move(body), facade_face(*trial_, false), std::move(args)...);
    }
    return trial_->on->go(std::move(body), coroutine_face(*trial_, false), std::move(args)...);
  }
  if (plain)
    return weft::go(run_in_place(), std::move(body), facade_face(*trial_, false), std::move(args)...);
  return weft::go(std::move(body), coroutine_face(*trial_, false), std::move(args)...);
}

template <typename Body, typename... Args>
void face::go_in(task_scope& scope, Body body, Args... args) const {
  if (trial_->takes_plain()) {
    scope.go(run_in_place(), std::move(body), facade_face(*trial_, false), std::move(args)...);
  } else {
    scope.go(std::move(body), coroutine_face(*trial_, false), std::move(args)...);
  }
}

// --- running ---

/// Fails the test if `failure` says something; `name` is of the run.
void require_success(const std::string& name, const std::string& failure);

/// `body(face, n)` on `workers` real ones; what it throws leaves.
template <typename Body>
void on_workers(unsigned workers, faces how, const Body& body, int n) {
  trial t(how, workers, 0x9669699669969669);  // no period of 2, 3 or 4: each role is played by both
  {
    runtime rt({.workers = workers});
    t.on = &rt;
    if (how == faces::coroutine) {
      rt.go(body, coroutine_face(t, false), n).join();
    } else {
      body(facade_face(t, true), n).get();
    }
  }
  require_success(t.name(), t.failure());
}

/// Each face, on 1, 2 and 8 workers.
template <typename Body>
void on_real_workers(const Body& body, int n) {
  for (const faces how : {faces::coroutine, faces::facade, faces::mixed}) {
    for (const unsigned workers : {1U, 2U, 8U}) on_workers(workers, how, body, n);
  }
}

/// Each face in simulations with that many seeds, and all strategies.
template <typename Body>
void in_simulations(const Body& body, int n, std::uint64_t seeds = simulated_seeds) {
  for (const faces how : {faces::coroutine, faces::facade, faces::mixed}) {
    const auto check = [](const trial& t) {
      if (const std::string wrong = t.failure(); !wrong.empty()) throw std::runtime_error(wrong);
    };
    const auto as_routine = [&]() -> routine<> {
      trial t(how, 0, sim::random());
      coroutine_face face(t, false);
      auto whole = body(face, n);
      co_await std::move(whole);
      check(t);
    };
    const auto as_plain = [&] {
      trial t(how, 0, sim::random());
      body(facade_face(t, true), n).get();
      check(t);
    };
    const auto r =
        how == faces::coroutine ? sim::for_each_seed(seeds, as_routine) : sim::for_each_seed(seeds, as_plain);
    if (!r.ok) require_success(trial(how, 0, 0).name(), r.report);
  }
}

/// Both, with `n` for real workers and `simulated_n` for the many small runs.  Those come first: the end of a
/// runtime walks over the memory of all frames that the process ever had at once.
template <typename Body>
void everywhere(const Body& body, int n, int simulated_n) {
  in_simulations(body, simulated_n);
  on_real_workers(body, n);
}

}  // namespace weft::test
