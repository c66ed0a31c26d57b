#include "os/asymmetric.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fatal.hpp"

namespace weft::os {

constinit bool barriers_are_asymmetric = false;

void find_out_about_barriers() noexcept {
  if (__atomic_load_n(&barriers_are_asymmetric, __ATOMIC_RELAXED)) return;  // relaxed: it only becomes true
  const bool has = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
                   ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
  if (has) __atomic_store_n(&barriers_are_asymmetric, true, __ATOMIC_RELAXED);  // relaxed: before any worker
}

void heavy_barrier() noexcept {
  full_barrier();
  if (!barriers_are_asymmetric) return;
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
    base::broken("membarrier has worked before and fails now");
}

}  // namespace weft::os
