#pragma once

// Two barriers of unlike cost for a Dekker pair of which one side runs all the time and the other hardly
// ever.
//
//   often   store mine; light_barrier(); load the other's          some instructions
//   seldom  store mine; heavy_barrier(); load the other's          a system call: 0.3 us, 0.7 us while others
//   run
// Guarantee: one of the two sees the other's store.
//
// heavy_barrier() is membarrier(2), PRIVATE_EXPEDITED: when it returns, every thread of the process has
// passed a full barrier since the call.  So the light one need only stop the compiler.  Where the kernel has
// no membarrier, or a filter forbids it, both are full barriers; that is found out once, before the first
// worker starts, and whoever sees what a worker wrote sees that, too.
//
// Source: P. McKenney, "Sys_membarrier" in liburcu; Folly's asymmetricThreadFence.
// Rejected: std::atomic_thread_fence (ThreadSanitizer does not know it, and mfence costs 20 ns).

namespace weft::os {

/// Before the first worker starts.  Any number of times.
void find_out_about_barriers() noexcept;

/// The kernel has membarrier: light_barrier() costs nothing.
extern bool barriers_are_asymmetric;

inline void full_barrier() noexcept {
#if defined(__x86_64__)
  asm volatile("lock; orq $0, (%%rsp)" : : : "memory", "cc");  // a fourth of what mfence costs
#elif defined(__aarch64__)
  asm volatile("dmb ish" : : : "memory");
#else
  __sync_synchronize();
#endif
}

inline void light_barrier() noexcept {
  asm volatile("" : : : "memory");
  if (!barriers_are_asymmetric) [[unlikely]]
    full_barrier();
}

void heavy_barrier() noexcept;

}  // namespace weft::os
