#include <weft/io/signal.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include <sys/signalfd.h>

#include "io/owned_fd.hpp"
#include "os/port.hpp"

namespace weft {

namespace {

static_assert(sizeof(detail::signal_room) == sizeof(signalfd_siginfo));

constexpr int most = 64;

std::uint64_t bit_of(int signal) noexcept {
  return std::uint64_t{1} << (signal - 1);
}

bool can_be_waited_for(int signal) noexcept {
  for (const int each : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    if (signal == each) return false;
  return signal > 0 && signal <= most;
}

sigset_t set_of(const int* signals, std::size_t count) {
  sigset_t set;
  sigemptyset(&set);
  bool is_good = count != 0;
  for (std::size_t i = 0; i < count; ++i)
    is_good = is_good && can_be_waited_for(signals[i]) && sigaddset(&set, signals[i]) == 0;
  if (!is_good) throw std::system_error(EINVAL, std::system_category(), "weft: signal_set");
  return set;
}

}  // namespace

signal_set::signal_set(const int* signals, std::size_t count) {
  const sigset_t set = set_of(signals, count);
  is_ = detail::descriptor_handle(
      io::owned_fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), "weft: signal_set").release());
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &set, &before);
  for (std::size_t i = 0; i < count; ++i)
    if (sigismember(&before, signals[i]) == 0) blocked_ |= bit_of(signals[i]);
  thread_ = os::thread_number();
}

signal_set::~signal_set() {
  if (blocked_ == 0 || thread_ != os::thread_number()) return;
  is_.close();
  sigset_t set;
  sigemptyset(&set);
  for (int i = 1; i <= most; ++i)
    if ((blocked_ & bit_of(i)) != 0) sigaddset(&set, i);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

namespace detail {

signal_info signal_in(const signal_room& room) noexcept {
  signalfd_siginfo s;
  std::memcpy(&s, &room, sizeof s);
  return {.number = static_cast<int>(s.ssi_signo),
          .code = s.ssi_code,
          .sender = static_cast<int>(s.ssi_pid),
          .user = s.ssi_uid,
          .value = s.ssi_int,
          .child_status = s.ssi_status};
}

}  // namespace detail

}  // namespace weft
