#include "sched/current.hpp"

#include "os/port.hpp"
#include "sched/worker.hpp"

namespace weft::sched {

namespace {
constinit thread_local worker* this_thread = nullptr;
constinit thread_local blocking_pool* this_pool = nullptr;
constinit thread_local unsigned this_pool_waits = 0;
constinit thread_local detail::context_base* this_scope = nullptr;
constinit thread_local worker* this_berth = nullptr;
constinit thread_local bool this_thread_looked = false;

/// What is thread-local to the main thread is destroyed before all statics ([basic.start.term]).
struct end_of_main {
  void (*call)();

  ~end_of_main() { call(); }
};
}  // namespace

// noinline alone is not enough: clang infers that the call has no effects and merges two of them.
[[gnu::noinline]] worker* current_worker() noexcept {
  worker* w = this_thread;
  asm volatile("" : "+r"(w) : : "memory");
  return w;
}

[[gnu::noinline]] os::seat* current_seat() noexcept {
  worker* w = this_thread;
  if (w == nullptr) w = this_berth;
  asm volatile("" : "+r"(w) : : "memory");
  return w != nullptr ? &w->seat : nullptr;
}

[[gnu::noinline]] void set_current_worker(worker* w) noexcept {
  this_thread = w;
  asm volatile("" : : : "memory");
}

[[gnu::noinline]] blocking_pool* current_pool() noexcept {
  blocking_pool* p = this_pool;
  asm volatile("" : "+r"(p) : : "memory");
  return p;
}

[[gnu::noinline]] void set_current_pool(blocking_pool* p) noexcept {
  this_pool = p;
}

[[gnu::noinline]] unsigned& pool_waits() noexcept {
  return this_pool_waits;
}

[[gnu::noinline]] worker* current_berth() noexcept {
  worker* w = this_berth;
  asm volatile("" : "+r"(w) : : "memory");
  return w;
}

[[gnu::noinline]] void set_current_berth(worker* w) noexcept {
  this_berth = w;
}

[[gnu::noinline]] detail::waiter* current_routine() noexcept {
  const worker* w = this_thread != nullptr ? this_thread : this_berth;
  detail::waiter* r = w != nullptr ? w->current() : nullptr;
  asm volatile("" : "+r"(r) : : "memory");
  return r;
}

[[gnu::noinline]] void call_at_end_of_main(void (*f)()) {
  if (this_thread_looked) return;
  this_thread_looked = true;
  if (!os::is_main_thread()) return;
  static const thread_local end_of_main at_end{f};
}

[[gnu::noinline]] const void* this_thread_token() noexcept {
  const void* token = &this_thread;
  asm volatile("" : "+r"(token) : : "memory");
  return token;
}

[[gnu::noinline]] detail::context_base* current_scope() noexcept {
  detail::context_base* c = this_scope;
  asm volatile("" : "+r"(c) : : "memory");
  return c;
}

[[gnu::noinline]] void set_current_scope(detail::context_base* c) noexcept {
  this_scope = c;
}

}  // namespace weft::sched
