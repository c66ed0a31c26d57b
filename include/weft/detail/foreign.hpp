#pragma once

// foreign_awaiter: a routine awaits something that is not weft's.
//
// Whoever resumes it may do so on any thread.  A routine must not run there - its worker's structures are not
// that thread's - so what the foreign awaiter is given is the handle of a hop: a tiny coroutine that makes
// the routine runnable where it belongs.  One extra frame per suspended foreign await; none if it was ready.

#include <weft/detail/promise.hpp>

#include <coroutine>
#include <type_traits>
#include <utility>

namespace weft::detail {

/// The routine waits for its hop; nothing can cancel that.
WEFT_API void park_for_foreign(waiter& root) noexcept;
WEFT_API void unpark_from_foreign(waiter& root) noexcept;
WEFT_API void end_foreign_wait(waiter& root) noexcept;

class hop {
 public:
  struct promise_type {
    static void* operator new(std::size_t bytes) {
      return promise_base::operator new(bytes < least ? least : bytes);
    }

    static void operator delete(void* frame, std::size_t bytes) noexcept {
      promise_base::operator delete(frame, bytes < least ? least : bytes);
    }

    std::uint64_t not_ours;  // where other frames of the pool have their claim word
    waiter* root;

    explicit promise_type(waiter& r) noexcept : root(&r) {}

    hop get_return_object() noexcept { return hop(std::coroutine_handle<promise_type>::from_promise(*this)); }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    void return_void() const noexcept {}

    void unhandled_exception() const noexcept {}

   private:
    static constexpr std::size_t least = 64;
  };

  explicit hop(std::coroutine_handle<promise_type> h) noexcept : handle(h) {}

  std::coroutine_handle<promise_type> handle;
};

inline hop hop_home(waiter& root) {
  unpark_from_foreign(root);
  co_return;
}

template <typename A>
decltype(auto) awaiter_of(A&& awaited) {
  if constexpr (requires { std::forward<A>(awaited).operator co_await(); }) {
    return std::forward<A>(awaited).operator co_await();
  } else if constexpr (requires { operator co_await(std::forward<A>(awaited)); }) {
    return operator co_await(std::forward<A>(awaited));
  } else {
    return std::forward<A>(awaited);
  }
}

template <typename A>
class foreign_awaiter {
  using inner = decltype(awaiter_of(std::declval<A>()));

 public:
  foreign_awaiter(A awaited, waiter& root) : inner_(awaiter_of(std::forward<A>(awaited))), root_(&root) {}

  foreign_awaiter(const foreign_awaiter&) = delete;
  foreign_awaiter& operator=(const foreign_awaiter&) = delete;

  bool await_ready() { return inner_.await_ready(); }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> self) {
    worker_face* worker = root_->worker;
    waiter& root = *root_;
    auto way_back = hop_home(root).handle;
    root.frame = self.address();
    park_for_foreign(root);
    using suspended = decltype(inner_.await_suspend(std::coroutine_handle<>(way_back)));
    try {
      if constexpr (std::is_void_v<suspended>) {
        inner_.await_suspend(way_back);
      } else if constexpr (std::is_same_v<suspended, bool>) {
        if (!inner_.await_suspend(way_back)) {
          way_back.destroy();
          end_foreign_wait(root);
          return transfer(root, self.address());
        }
      } else {
        std::coroutine_handle<> next = inner_.await_suspend(way_back);
        if (next != std::noop_coroutine()) next.resume();  // on this stack: it is not weft's to schedule
      }
    } catch (...) {
      way_back.destroy();
      end_foreign_wait(root);
      throw;
    }
    return switch_away(worker);
  }

  decltype(auto) await_resume() { return inner_.await_resume(); }

 private:
  inner inner_;
  waiter* root_;
};

}  // namespace weft::detail
