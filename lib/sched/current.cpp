#include "sched/current.hpp"

namespace weft::sched {

namespace {
constinit thread_local worker* this_thread = nullptr;
constinit thread_local blocking_pool* this_pool = nullptr;
constinit thread_local detail::context_base* this_scope = nullptr;
}  // namespace

// noinline alone is not enough: clang infers that the call has no effects and merges two of them.
[[gnu::noinline]] worker* current_worker() noexcept {
  worker* w = this_thread;
  asm volatile("" : "+r"(w) : : "memory");
  return w;
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

[[gnu::noinline]] detail::context_base* current_scope() noexcept {
  detail::context_base* c = this_scope;
  asm volatile("" : "+r"(c) : : "memory");
  return c;
}

[[gnu::noinline]] void set_current_scope(detail::context_base* c) noexcept {
  this_scope = c;
}

}  // namespace weft::sched
