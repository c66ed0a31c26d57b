#pragma once

// Two barriers of unlike cost for a Dekker pair of which one side runs all the time and the other hardly
// ever.
//
//   often   store mine; light_barrier(); load the other's    no instruction
//   seldom  store mine; heavy_barrier(); load the other's  a system call: 0.3 us, 10 us while others run
// Guarantee: one of the two sees the other's store.
//
// heavy_barrier() is membarrier(2), PRIVATE_EXPEDITED: when it returns, every thread of the process has
// passed a full barrier since the call, so the light one need only stop the compiler.  A kernel may have no
// membarrier, or a filter forbid it: then barriers_are_asymmetric() is false and neither is to be used.  That
// is found out once, before the first worker starts; whoever sees what a user of the pair wrote sees that,
// too.  A filter that forbids it later is the end of the process: others rely on it already.
//
// Source: P. McKenney, "Sys_membarrier" in liburcu; Folly's asymmetricThreadFence.
// Rejected: full barriers on both sides where there is no membarrier (as dear as the read-modify-write that
//           the pair is there to save).

namespace weft::os {

namespace detail {
extern bool has_membarrier;
}

/// Before the first worker starts.  Any number of times.
void find_out_about_barriers() noexcept;

inline bool barriers_are_asymmetric() noexcept {
  return __atomic_load_n(&detail::has_membarrier, __ATOMIC_SEQ_CST);  // M2, pairs with M1
}

inline void light_barrier() noexcept {
  asm volatile("" : : : "memory");
}

void heavy_barrier() noexcept;

}  // namespace weft::os
