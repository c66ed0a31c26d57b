#include "sched/hosting.hpp"

#include <algorithm>
#include <atomic>

#include "os/lock.hpp"
#include "sched/current.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

namespace {

struct host_list {
  std::uint32_t lock = 0;
  scheduler* first = nullptr;
  std::atomic<std::size_t> size{0};  // so that a program without manual runtimes takes no lock
};

constinit host_list hosted;

/// The n-th runtime of this thread.  Under the lock.
scheduler* nth_here(std::size_t n) noexcept {
  const void* me = this_thread_token();
  for (scheduler* s = hosted.first; s != nullptr; s = s->hosting.next) {
    if (s->hosting.thread == me && n-- == 0) return s;
  }
  return nullptr;
}

/// Routines run under this lock.  So in a simulated run its owner may be a thread that does not run now.
void lock_to_drive(scheduler& runtime) noexcept {
  std::uint32_t& word = runtime.hosting.drive_lock;
  if (!runtime.port().simulated()) return os::lock(word);
  while (!os::try_lock(word)) os::give_way();
}

}  // namespace

void host_here(scheduler& runtime) noexcept {
  const os::guard hold(hosted.lock);
  if (runtime.hosting.thread == nullptr) {
    runtime.hosting.next = hosted.first;
    hosted.first = &runtime;
    hosted.size.fetch_add(1, std::memory_order_relaxed);  // relaxed: a thread that hosts has seen its own
  }
  runtime.hosting.thread = this_thread_token();
}

/// Nobody drives it: the stop has made the calling thread its host, and waited for one that was at it.
void unhost(scheduler& runtime) noexcept {
  const os::guard hold(hosted.lock);
  scheduler** at = &hosted.first;
  while (*at != nullptr && *at != &runtime) at = &(*at)->hosting.next;
  if (*at == nullptr) return;
  *at = runtime.hosting.next;
  hosted.size.fetch_sub(1, std::memory_order_relaxed);  // relaxed: as above
}

scheduler* hosted_here() noexcept {
  if (hosted.size.load(std::memory_order_relaxed) == 0) return nullptr;  // relaxed: as above
  const os::guard hold(hosted.lock);
  return nth_here(0);
}

bool is_host() noexcept {
  return hosted_here() != nullptr;
}

host_wait::host_wait() {
  const os::guard hold(hosted.lock);
  std::size_t n = 1;
  while (nth_here(n - 1) != nullptr) ++n;
  sources_.reserve(n);
}

std::size_t host_wait::drive() noexcept {
  std::size_t done = 0;
  for (std::size_t i = 0;; ++i) {
    scheduler* s = nullptr;
    {
      const os::guard hold(hosted.lock);
      s = nth_here(i);
      if (s == nullptr) return done;
      if (!os::try_lock(s->hosting.drive_lock)) continue;  // another thread polls it just now
    }
    done += s->drive(drive_batch);
    os::unlock(s->hosting.drive_lock);
  }
}

bool host_wait::sleep(os::nanos deadline) noexcept {
  sources_.clear();
  sources_.push_back({event_.descriptor(), POLLIN, 0});
  os::nanos due = deadline;
  {
    const os::guard hold(hosted.lock);
    while (scheduler* s = nth_here(sources_.size() - 1)) {
      sources_.push_back({s->host()->descriptor(), POLLIN, 0});         // reserved
      if (s->port().simulated()) due = std::min(due, s->next_timer());  // it has no timerfd
    }
  }
  // One of them may be destroyed on another thread meanwhile: the wait ends early then, at worst.
  return os::wait_readable(sources_.data(), sources_.size(), due) || due < deadline;
}

// --- the driven side ---

std::size_t scheduler::drive(std::size_t at_most) noexcept {
  host_->clear();
  if (driver* const d = io()) d->poll();
  const std::size_t n = own_worker().run_ready(at_most);
  os::nanos earliest = next_timer();
  for (;;) {
    poller_deadline_.store(earliest, std::memory_order_seq_cst);  // T5, pairs with T1: then look again
    const os::nanos again = next_timer();
    if (again >= earliest) break;
    earliest = again;
  }
  host_->set_timer(earliest);
  if (n >= at_most) host_->raise();  // there may be more
  return n;
}

std::size_t scheduler::poll(std::size_t at_most) noexcept {
  host_here(*this);
  lock_to_drive(*this);
  const std::size_t n = drive(at_most);
  os::unlock(hosting.drive_lock);
  return n;
}

}  // namespace weft::sched
