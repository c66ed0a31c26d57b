#include "os/host_wake.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <system_error>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace weft::os {

namespace {

constexpr nanos second = 1'000'000'000;

// A simulated run sleeps on this word instead of on its descriptors, and looks at them when it is woken.
constexpr std::uint32_t simulated_descriptors = 0;
constexpr int all_sleepers = 1 << 20;

timespec timespec_of(nanos t) noexcept {
  timespec ts{};
  ts.tv_sec = static_cast<time_t>(t / second);
  ts.tv_nsec = static_cast<long>(t % second);
  return ts;
}

int add(int epoll, int fd) noexcept {
  epoll_event e{};
  e.events = EPOLLIN;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

void read_counter(int fd) noexcept {
  std::uint64_t count = 0;
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void throw_no_descriptors(int error) {
  throw std::system_error(error, std::system_category(), "weft: no descriptors for a runtime in manual mode");
}

}  // namespace

wake_event::wake_event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw_no_descriptors(errno);
}

wake_event::~wake_event() {
  ::close(fd_);
}

void wake_event::raise() noexcept {
  if (raised_.exchange(true, std::memory_order_seq_cst)) return;  // R2, pairs with C2
  const std::uint64_t one = 1;
  while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  if (port& own = current_port(); own.simulated()) own.wake(simulated_descriptors, all_sleepers);
}

void wake_event::clear() noexcept {
  read_counter(fd_);
  raised_.exchange(false, std::memory_order_seq_cst);  // C2, pairs with R2
}

host_wake::host_wake() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (epoll_ < 0 || timer_ < 0 || add(epoll_, work_.descriptor()) != 0 || add(epoll_, timer_) != 0) {
    const int error = errno;
    close_all();
    throw_no_descriptors(error);
  }
}

host_wake::~host_wake() {
  close_all();
}

void host_wake::watch(int fd) {
  if (add(epoll_, fd) != 0) throw_no_descriptors(errno);
}

void host_wake::close_all() noexcept {
  for (const int fd : {timer_, epoll_}) {
    if (fd >= 0) ::close(fd);
  }
}

void host_wake::clear() noexcept {
  read_counter(timer_);
  work_.clear();
}

void host_wake::set_timer(nanos when) noexcept {
  if (current_port().simulated()) {
    due_ = when;
    return;
  }
  itimerspec at{};
  if (when != never) at.it_value = timespec_of(when > 0 ? when : 1);
  ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr);
}

void host_wake::wait(nanos deadline) noexcept {
  pollfd source{epoll_, POLLIN, 0};
  wait_readable(&source, 1, current_port().simulated() ? std::min(deadline, due_) : deadline);
}

bool wait_readable(pollfd* sources, std::size_t count, nanos deadline) noexcept {
  timespec limit{};
  port& own = current_port();
  if (own.simulated()) {  // nothing is raised between the look and the wait
    if (::ppoll(sources, count, &limit, nullptr) > 0) return true;
    return own.wait_as(nullptr, simulated_descriptors, 0, deadline);
  }
  if (deadline != never) {
    const nanos left = deadline - own.now();
    limit = timespec_of(left > 0 ? left : 0);
  }
  const int n = ::ppoll(sources, count, deadline == never ? nullptr : &limit, nullptr);
  return n != 0;
}

}  // namespace weft::os
