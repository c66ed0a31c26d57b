// The driver over epoll: each descriptor is registered once, edge-triggered, for both directions.
//
// Several threads may ask at a time: the poller, which sleeps, and workers that are too busy to.  Each takes
// what the others have not.  What ends the poller's sleep is level-triggered, so that nobody takes it away.
//
// Source: Go's netpoll_epoll.go.  Rejected: one-shot registrations (a system call more for each wait).

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <memory>
#include <system_error>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/context.hpp"
#include "io/reactor.hpp"
#include "os/forked.hpp"
#include "os/host_wake.hpp"

namespace weft::io {

namespace {

/// Taken from the system at a time.
constexpr int batch = 256;

constexpr os::nanos second = 1'000'000'000;

/// No ticket.
constexpr std::uint64_t wake_up = 0;

class owned_epoll {
 public:
  owned_epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::system_category(), "weft: no descriptor for epoll");
  }

  owned_epoll(const owned_epoll&) = delete;
  owned_epoll& operator=(const owned_epoll&) = delete;

  ~owned_epoll() { ::close(fd_); }

  int number() const noexcept { return fd_; }

 private:
  int fd_;
};

class epoll_driver final : public reactor {
 public:
  epoll_driver(sched::scheduler& home, int refused) : reactor(home), refused_(refused) {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u64 = wake_up;
    if (::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, wake_.descriptor(), &e) != 0)
      throw std::system_error(errno, std::system_category(), "weft: epoll refuses an eventfd");
  }

  bool wait(os::nanos deadline) noexcept override {
    found_ = sleep(deadline);
    if (found_ < 0) {  // a signal, or sleep() is to do without a call
      found_ = 0;
      return true;
    }
    const epoll_event* const all = events_.data();
    const bool interrupted =
        std::any_of(all, all + found_, [](const epoll_event& e) { return e.data.u64 == wake_up; });
    if (interrupted) wake_.clear();
    return interrupted && found_ == 1;
  }

  void deliver() noexcept override {
    hand_out(events_.data(), found_);
    found_ = 0;
  }

  void interrupt() noexcept override { wake_.raise(); }

  void poll() noexcept override {
    std::array<epoll_event, batch> events;
    hand_out(events.data(), ::epoll_wait(epoll_.number(), events.data(), batch, 0));
  }

  int handle() const noexcept override { return epoll_.number(); }

  identity tell() const noexcept override { return {reactor_in_use::epoll, refused_}; }

 private:
  int begin_watch(detail::descriptor& d, int fd) noexcept override {
    epoll_event e{};
    e.events = wanted_of_poll;
    e.data.u64 = ticket_of(d);
    return ::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : errno;
  }

  /// Before it is closed: a copy of it elsewhere, in a child perhaps, would keep the registration.  In a
  /// forked child that one is the parent's.
  void end_watch(detail::descriptor&, int fd) noexcept override {
    if (!os::forked()) ::epoll_ctl(epoll_.number(), EPOLL_CTL_DEL, fd, nullptr);
  }

  int sleep(os::nanos deadline) noexcept {
    if (deadline == os::never) return ::epoll_wait(epoll_.number(), events_.data(), batch, -1);
    const os::nanos left = std::max<os::nanos>(deadline - home().port().now(), 0);
    const timespec limit{static_cast<time_t>(left / second), static_cast<long>(left % second)};
    if (has_fine_limit_) {
      const auto n = ::syscall(SYS_epoll_pwait2, epoll_.number(), events_.data(), batch, &limit, nullptr,
                               std::size_t{0});
      if (n >= 0) return static_cast<int>(n);
      has_fine_limit_ = errno == EINTR;
      return -1;
    }
    // Before Linux 5.11, or forbidden by a filter: epoll's own limit is in milliseconds.
    pollfd all{epoll_.number(), POLLIN, 0};
    os::wait_readable(&all, 1, deadline);
    return ::epoll_wait(epoll_.number(), events_.data(), batch, 0);
  }

  void hand_out(const epoll_event* events, int n) const noexcept {
    // The first event of a record may be the first that this thread hears of it.  None is watched: all events
    // are of what was given up.
    if (!watches()) return;  // D3, pairs with D1
    core::winners won;
    for (int i = 0; i < n; ++i) {
      if (events[i].data.u64 == wake_up) continue;
      note_event(events[i].data.u64, what_polled(events[i].events), won);
    }
    won.deliver_all();
  }

  int refused_;
  owned_epoll epoll_;
  os::wake_event wake_;
  std::array<epoll_event, batch> events_;  // the poller's, from wait() to deliver()
  int found_ = 0;
  bool has_fine_limit_ = true;  // same
};

}  // namespace

std::unique_ptr<reactor> make_epoll_driver(sched::scheduler& home, int refused) {
  os::may_fail();
  return std::make_unique<epoll_driver>(home, refused);
}

}  // namespace weft::io
