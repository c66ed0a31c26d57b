#include "os/thread_state.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <string_view>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weft::os {

namespace {

struct named {
  long number;
  std::string_view name;
};

/// Those that threads are found asleep in; the others go by their number.
constexpr std::array names{
    named{SYS_read, "read"},
    named{SYS_write, "write"},
    named{SYS_pread64, "pread64"},
    named{SYS_pwrite64, "pwrite64"},
    named{SYS_readv, "readv"},
    named{SYS_writev, "writev"},
    named{SYS_openat, "openat"},
    named{SYS_fsync, "fsync"},
    named{SYS_fdatasync, "fdatasync"},
    named{SYS_flock, "flock"},
    named{SYS_fcntl, "fcntl"},
    named{SYS_ioctl, "ioctl"},
    named{SYS_getdents64, "getdents64"},
    named{SYS_futex, "futex"},
    named{SYS_nanosleep, "nanosleep"},
    named{SYS_clock_nanosleep, "clock_nanosleep"},
    named{SYS_ppoll, "ppoll"},
    named{SYS_pselect6, "pselect6"},
    named{SYS_epoll_pwait, "epoll_pwait"},
    named{SYS_accept, "accept"},
    named{SYS_accept4, "accept4"},
    named{SYS_connect, "connect"},
    named{SYS_recvfrom, "recvfrom"},
    named{SYS_recvmsg, "recvmsg"},
    named{SYS_sendto, "sendto"},
    named{SYS_sendmsg, "sendmsg"},
    named{SYS_wait4, "wait4"},
    named{SYS_waitid, "waitid"},
    named{SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    named{SYS_splice, "splice"},
#ifdef SYS_poll  // not on newer architectures
    named{SYS_open, "open"},
    named{SYS_poll, "poll"},
    named{SYS_select, "select"},
    named{SYS_epoll_wait, "epoll_wait"},
    named{SYS_pause, "pause"},
#endif
};

}  // namespace

std::string thread_state(int number) {
  const int file = ::open(fmt::format("/proc/self/task/{}/syscall", number).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char text[32];
  const ssize_t size = ::read(file, text, sizeof text);
  ::close(file);
  if (size <= 0) return {};
  long call = -1;
  if (std::from_chars(text, text + size, call).ec != std::errc() || call < 0) return "computes";
  for (const named& each : names) {
    if (each.number == call) return fmt::format("sleeps in {} (system call {})", each.name, call);
  }
  return fmt::format("sleeps in system call {}", call);
}

}  // namespace weft::os
