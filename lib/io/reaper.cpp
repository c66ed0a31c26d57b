// Takes the status of children whose process objects are gone, so that no zombie stays.
//
// One thread sleeps for all of them, and ends with the last; the next child starts another.  Where no
// descriptor is to be had for that, each has a thread of its own; if there is no thread either, the child is
// looked at when the next one comes or ends.
//
// Rejected: a routine for each (a runtime's stop would end it, and a program that has none would get one);
//           a handler of SIGCHLD (the program's to install); the end of the child (not this process's).

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.hpp"
#include "os/lock.hpp"
#include "os/port.hpp"

namespace weft::io {

namespace {

using detail::child;

struct reaper {
  std::uint32_t lock = 0;
  int epoll = -1;            // while the thread runs
  child* watched = nullptr;  // there; else they were known to the kernel alone, as a leak is
  child* left = nullptr;     // could not be watched
};

constinit reaper all;

bool has_ended(child& c) noexcept {
  const os::guard hold(c.lock);
  return take_status(c, c.handle.number());
}

void reap_left() noexcept {
  for (child** at = &all.left; *at != nullptr;) {
    child* const c = *at;
    if (!has_ended(*c)) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    delete c;
  }
}

/// True: that was the last.
bool reap(child* c, int epoll) noexcept {
  if (!has_ended(*c)) return false;
  ::epoll_ctl(epoll, EPOLL_CTL_DEL, c->handle.number(), nullptr);  // a forked child may have a copy
  const os::guard hold(all.lock);
  (c->before != nullptr ? c->before->next : all.watched) = c->next;
  if (c->next != nullptr) c->next->before = c->before;
  delete c;
  if (all.watched != nullptr) return false;
  all.epoll = -1;
  return true;
}

void run(void*) {
  int epoll;
  {
    const os::guard hold(all.lock);
    epoll = all.epoll;
  }
  std::array<epoll_event, 16> events;
  for (bool was_last = false; !was_last;) {
    const int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i)
      was_last = reap(static_cast<child*>(events[static_cast<std::size_t>(i)].data.ptr), epoll);
    const os::guard hold(all.lock);
    reap_left();
  }
  ::close(epoll);
}

void wait_for_one(void* which) {
  auto* const c = static_cast<child*>(which);
  siginfo_t info;
  while (!has_ended(*c)) ::waitid(P_PIDFD, static_cast<id_t>(c->handle.number()), &info, WEXITED | WNOWAIT);
  delete c;
}

/// False: there is none.
bool start_thread(void (*f)(void*), child* c) noexcept {
  try {
    const os::thread_id thread = os::current_port().start(f, c, "weft-reaper");
    ::pthread_detach(static_cast<pthread_t>(thread.value));
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// Under the lock.  False: it cannot be had.
bool watch(child& c) noexcept {
  const bool is_first = all.epoll < 0;
  if (is_first) all.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (all.epoll < 0) return false;
  epoll_event e{};
  // By edges: one that is traced is readable when it has ended, and tells it anew when it has a status.
  e.events = EPOLLIN | EPOLLET;
  e.data.ptr = &c;
  const bool done = ::epoll_ctl(all.epoll, EPOLL_CTL_ADD, c.handle.number(), &e) == 0 &&
                    (!is_first || start_thread(run, nullptr));
  if (done) {
    c.next = std::exchange(all.watched, &c);
    if (c.next != nullptr) c.next->before = &c;
  } else if (is_first) {
    ::close(std::exchange(all.epoll, -1));
  }
  return done;
}

}  // namespace

void reap_later(child* c) noexcept {
  const os::guard hold(all.lock);
  reap_left();
  if (watch(*c) || start_thread(wait_for_one, c)) return;
  c->next = std::exchange(all.left, c);
}

}  // namespace weft::io
