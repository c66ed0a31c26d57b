// A thread per runtime that sleeps until the signal's handler wakes it: a handler may not allocate, and a
// worker may be what hangs.
//
// The handler counts the signal and wakes by futex, both safe in a handler.  All watches sleep on one word,
// so the handler needs no list; each looks at the count of its own signal.

#include <weft/runtime.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>

#include "os/lock.hpp"
#include "os/port.hpp"
#include "sched/scheduler.hpp"

namespace weft {

namespace {

constexpr int signal_limit = 65;

std::array<std::atomic<std::uint32_t>, signal_limit> arrived;
std::atomic<std::uint32_t> news{0};  // what the watches sleep on

/// Signal-safe.
void tell() noexcept {
  news.fetch_add(1, std::memory_order_seq_cst);  // N1, pairs with N2: the count or the end is seen
  os::real_port().wake(sched::word_of(news), 1 << 20);
}

void on_signal(int signal) {
  const int before = errno;
  arrived[static_cast<std::size_t>(signal)].fetch_add(1,
                                                      std::memory_order_relaxed);  // relaxed: N1 publishes it
  tell();
  errno = before;
}

// --- who has asked for which signal ---

class watch;

struct registry {
  std::uint32_t lock = 0;
  watch* first = nullptr;
  std::array<struct sigaction, signal_limit> before;
};

constinit registry watches{};

class watch final : public sched::companion {
 public:
  watch(runtime& of, int signal) : of_(of), signal_(signal), seen_(count()) {
    thread_ = os::real_port().start([](void* self) { static_cast<watch*>(self)->run(); }, this, "weft-dump");
  }

  ~watch() override {
    if (listed_) unlist();
    ending_.store(true, std::memory_order_relaxed);  // relaxed: N1 publishes it
    tell();
    os::real_port().join(thread_);
  }

  /// Of this runtime (null: any) and signal.  Under the registry's lock.
  static bool exists(const runtime* of, int signal) noexcept {
    for (const watch* w = watches.first; w != nullptr; w = w->next_) {
      if ((of == nullptr || &w->of_ == of) && w->signal_ == signal) return true;
    }
    return false;
  }

  /// Under the registry's lock; the first one for a signal takes it over.
  void list() {
    if (!exists(nullptr, signal_)) {
      struct sigaction action {};

      action.sa_handler = &on_signal;
      action.sa_flags = SA_RESTART;
      sigfillset(&action.sa_mask);
      if (::sigaction(signal_, &action, &watches.before[static_cast<std::size_t>(signal_)]) != 0) {
        throw std::system_error(errno, std::generic_category(), "weft: dump_on_signal()");
      }
    }
    next_ = watches.first;
    watches.first = this;
    listed_ = true;
  }

 private:
  void unlist() noexcept {
    const os::guard hold(watches.lock);
    watch** at = &watches.first;
    while (*at != this) at = &(*at)->next_;
    *at = next_;
    if (!exists(nullptr, signal_)) {
      ::sigaction(signal_, &watches.before[static_cast<std::size_t>(signal_)], nullptr);
    }
  }

  std::uint32_t count() const noexcept {
    return arrived[static_cast<std::size_t>(signal_)].load(std::memory_order_relaxed);  // relaxed: after N2
  }

  void run() noexcept {
    for (;;) {
      const std::uint32_t old = news.load(std::memory_order_seq_cst);  // N2, pairs with N1
      if (ending_.load(std::memory_order_relaxed)) return;             // relaxed: N2 has published it
      if (count() != seen_) {
        seen_ = count();
        try {
          of_.dump();
        } catch (...) {
          // No memory for the text: the program matters more than its dump.
        }
        continue;
      }
      os::real_port().wait(sched::word_of(news), old, os::never);
    }
  }

  runtime& of_;
  const int signal_;
  std::uint32_t seen_;
  std::atomic<bool> ending_{false};
  watch* next_ = nullptr;  // under the registry's lock
  bool listed_ = false;
  os::thread_id thread_;
};

}  // namespace

void runtime::dump_on_signal(int signal) {
  if (signal <= 0 || signal >= signal_limit) {
    throw std::system_error(EINVAL, std::generic_category(),
                            "weft: dump_on_signal() of a number that is no signal");
  }
  auto made = std::make_unique<watch>(*this, signal);
  {
    const os::guard hold(watches.lock);
    if (watch::exists(this, signal)) return;
    made->list();
  }
  core_->keep(std::move(made));
}

}  // namespace weft
