#include "os/thread_state.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <ctime>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weft::os {

namespace {

struct named {
  long number;
  const char* name;
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

/// The beginning of /proc/self/task/NUMBER/NAME in `text`; its length, 0 if it cannot be read.
std::size_t read_task_file(int number, std::string_view name, char* text, std::size_t room) noexcept {
  char path[64];
  char* end = fmt::format_to_n(path, sizeof path - 1, "/proc/self/task/{}/{}", number, name).out;
  *end = '\0';
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t size = ::read(file, text, room);
  ::close(file);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

/// The letter of its state, behind its name, which may hold anything; 0 if there is none.
char letter_of(int number) noexcept {
  char text[64];
  const std::string_view all(text, read_task_file(number, "stat", text, sizeof text));
  const std::size_t behind = all.rfind(')');
  return behind == std::string_view::npos || behind + 2 >= all.size() ? '\0' : all[behind + 2];
}

thread_does by_letter(char letter) noexcept {
  switch (letter) {
    case 'R':
      return thread_does::runs;
    case 'S':
    case 'D':
      return thread_does::sleeps;
    case 'T':
    case 't':
      return thread_does::stopped;
    default:
      return thread_does::unknown;
  }
}

}  // namespace

thread_look look_at_thread(int number) noexcept {
  char text[32];
  const std::size_t size = read_task_file(number, "syscall", text, sizeof text);
  if (size == 0) return {by_letter(letter_of(number)), no_call};
  long call = no_call;
  if (std::from_chars(text, text + size, call).ec != std::errc()) return {thread_does::runs, no_call};
  if (call >= 0) return {thread_does::sleeps, call};
  return {by_letter(letter_of(number)), no_call};
}

nanos thread_cpu_time(int number) noexcept {
  // The number of a thread's clock: clock_getcpuclockid(3) makes that of a process in the same way.
  constexpr clockid_t of_a_thread = 4, scheduled = 2;
  timespec t{};
  if (::clock_gettime(~clockid_t{number} * 8 | of_a_thread | scheduled, &t) != 0) return -1;
  return t.tv_sec * nanos{1'000'000'000} + t.tv_nsec;
}

const char* name_of_call(long call) noexcept {
  for (const named& each : names) {
    if (each.number == call) return each.name;
  }
  return nullptr;
}

std::string describe_call(long call) {
  if (call == no_call) return "no system call";
  const char* name = name_of_call(call);
  return name == nullptr ? fmt::format("system call {}", call)
                         : fmt::format("{} (system call {})", name, call);
}

std::string thread_state(int number) {
  const thread_look seen = look_at_thread(number);
  switch (seen.what) {
    case thread_does::runs:
      return "computes";
    case thread_does::sleeps:
      return "sleeps in " + describe_call(seen.call);
    case thread_does::stopped:
      return "is stopped";
    default:
      return {};
  }
}

}  // namespace weft::os
