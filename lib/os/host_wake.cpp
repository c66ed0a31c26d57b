#include "os/host_wake.hpp"

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <system_error>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace weft::os {

namespace {

constexpr nanos second = 1'000'000'000;

timespec timespec_of(nanos t) noexcept {
  timespec ts{};
  ts.tv_sec = static_cast<time_t>(t / second);
  ts.tv_nsec = static_cast<long>(t % second);
  return ts;
}

int watched(int epoll, int fd) {
  epoll_event e{};
  e.events = EPOLLIN;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

}  // namespace

host_wake::host_wake() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (epoll_ < 0 || event_ < 0 || timer_ < 0 || watched(epoll_, event_) != 0 ||
      watched(epoll_, timer_) != 0) {
    const int error = errno;
    this->~host_wake();
    throw std::system_error(error, std::system_category(), "weft: no descriptors for the host's event loop");
  }
}

host_wake::~host_wake() {
  for (int* fd : {&timer_, &event_, &epoll_}) {
    if (*fd >= 0) ::close(*fd);
    *fd = -1;
  }
}

void host_wake::raise() noexcept {
  const std::uint64_t one = 1;
  while (::write(event_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void host_wake::clear() noexcept {
  std::uint64_t count = 0;
  while (::read(event_, &count, sizeof count) < 0 && errno == EINTR) {
  }
  while (::read(timer_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

void host_wake::set_timer(nanos when) noexcept {
  itimerspec at{};
  if (when != never) at.it_value = timespec_of(when > 0 ? when : 1);
  ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr);
}

void host_wake::wait(nanos deadline) noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const nanos left = deadline - (static_cast<nanos>(now.tv_sec) * second + now.tv_nsec);
  const timespec limit = timespec_of(left > 0 ? left : 0);
  epoll_event e{};
  ::epoll_pwait2(epoll_, &e, 1, deadline == never ? nullptr : &limit, nullptr);
}

}  // namespace weft::os
