#include "sched/deadlock.hpp"

#include <atomic>
#include <charconv>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "os/lock.hpp"
#include "sched/scheduler.hpp"

namespace weft::sched {

namespace {

constexpr std::uint64_t never_reported = ~std::uint64_t{0};

struct process_state {
  std::uint32_t lock = 0;
  scheduler* first = nullptr;
  sleeping_party* parties = nullptr;
  std::uint64_t reported_at = never_reported;  // the ticks of the last report
};

constinit process_state process;
constinit std::atomic<deadlock_reporter> reporter{nullptr};

bool still_asleep(const sleeping_party& p) noexcept {
  const std::uint64_t now = std::atomic_ref(const_cast<std::uint64_t&>(*p.word))
                                .load(std::memory_order_seq_cst);  // C2, pairs with W1
  return ((now ^ p.value) & ~p.ignored) == 0;
}

stillness look_once() noexcept {
  stillness all;
  for (scheduler* s = process.first; s != nullptr && all.still; s = s->next_runtime) s->add_stillness(all);
  for (const sleeping_party* p = process.parties; p != nullptr && all.still; p = p->next) {
    all.still = still_asleep(*p);
    ++all.threads;
  }
  return all;
}

/// Of this process, by the kernel: field 20 of proc(5)'s stat; the name in field 2 may hold anything.
unsigned count_threads() noexcept {
  const int file = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return ~0U;
  char buffer[512];
  const ssize_t size = ::read(file, buffer, sizeof buffer);
  ::close(file);
  if (size <= 0) return ~0U;
  std::string_view text(buffer, static_cast<std::size_t>(size));
  text.remove_prefix(text.rfind(')') + 1);
  for (int field = 2; field < 19; ++field) {
    const std::size_t space = text.find(' ', 1);
    if (space == std::string_view::npos) return ~0U;
    text.remove_prefix(space);
  }
  unsigned count = ~0U;
  text.remove_prefix(1);
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

}  // namespace

void enlist(sleeping_party& p) noexcept {
  const os::guard hold(process.lock);
  p.next = process.parties;
  if (p.next != nullptr) p.next->prev = &p;
  process.parties = &p;
}

void delist(sleeping_party& p) noexcept {
  const os::guard hold(process.lock);
  (p.prev != nullptr ? p.prev->next : process.parties) = p.next;
  if (p.next != nullptr) p.next->prev = p.prev;
}

void add_runtime(scheduler& s) noexcept {
  const os::guard hold(process.lock);
  s.next_runtime = process.first;
  process.first = &s;
  process.reported_at = never_reported;
}

void remove_runtime(scheduler& s) noexcept {
  const os::guard hold(process.lock);
  scheduler** at = &process.first;
  while (*at != &s) at = &(*at)->next_runtime;
  *at = s.next_runtime;
  process.reported_at = never_reported;
}

void look_for_deadlock() noexcept {
  const deadlock_reporter report = reporter.load(std::memory_order_acquire);  // A1, pairs with R1
  if (report == nullptr) return;
  const os::guard hold(process.lock);
  const stillness first = look_once();
  if (!first.still || first.ticks == process.reported_at || first.threads != count_threads()) return;
  const stillness again = look_once();
  if (!again.still || again.ticks != first.ticks || again.threads != first.threads) return;
  process.reported_at = first.ticks;
  report({process.first, process.parties});
}

deadlock_reporter set_deadlock_reporter(deadlock_reporter r) noexcept {
  return reporter.exchange(r, std::memory_order_acq_rel);  // R1, pairs with A1
}

void scheduler::add_stillness(stillness& to) const noexcept {
  const unsigned in_pool = pool_.idle_threads();
  const os::guard hold(set_lock_);
  const unsigned active = active_.load(std::memory_order_relaxed);  // relaxed: changes under the lock
  if (how_.manual || stopping() || in_pool == blocking_pool::not_still || idle_.size() != active ||
      has_injected() || next_timer() != os::never || watches() ||
      !monitor_asleep_.load(std::memory_order_seq_cst)) {  // M2, pairs with M1
    to.still = false;
    return;
  }
  for (unsigned i = 0, n = count(); i < n; ++i) {
    const worker& w = at(i);
    if (w.has_queued()) to.still = false;
    to.ticks += w.tick();
  }
  pool_.for_each_berth([&](const worker& berth) { to.ticks += berth.tick(); });
  to.threads +=
      active + static_cast<unsigned>(reserve_.size() + companions_.size()) + in_pool + 1;  // the monitor
}

}  // namespace weft::sched
