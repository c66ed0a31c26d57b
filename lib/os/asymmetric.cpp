#include "os/asymmetric.hpp"

#include <cerrno>

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fatal.hpp"
#include "os/lock.hpp"

namespace weft::os {

namespace detail {
constinit bool has_membarrier = false;
}

void find_out_about_barriers() noexcept {
  if (barriers_are_asymmetric()) return;
  const bool works = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
                     ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
  if (!works) return;
  __atomic_store_n(&detail::has_membarrier, true, __ATOMIC_SEQ_CST);  // M1, pairs with M2
  leave_locks_by_stores();
}

void heavy_barrier() noexcept {
  while (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
    if (errno != ENOMEM)
      base::misuse(
          "membarrier(2) has worked before and is forbidden now; let the seccomp filter allow it, or be "
          "there "
          "before the first runtime starts");
    ::sched_yield();  // the kernel asks for some bytes
  }
}

}  // namespace weft::os
