#include "os/port.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <new>
#include <system_error>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fatal.hpp"
#include "base/random.hpp"
#include "os/cpu_count.hpp"

namespace weft::os {

namespace {

constexpr nanos nanos_per_second = 1'000'000'000;

thread_local port* thread_port = nullptr;

// >= 0: so many starts succeed before one fails.  Any thread.
std::atomic<int> starts_until_failure{-1};

bool start_must_fail() noexcept {
  auto& limit = starts_until_failure;
  int left = limit.load(std::memory_order_relaxed);  // relaxed: a counter, it orders nothing
  while (left >= 0 &&
         !limit.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {  // relaxed: same
  }
  return left == 0;
}

// Crosses from the starter to the new thread, which frees it.
struct thread_start {
  thread_entry entry;
  void* argument;
  port* inherited;
  char name[16];  // the kernel's limit, with the final zero
};

void* run_thread(void* raw) {
  const auto start = *std::unique_ptr<thread_start>(static_cast<thread_start*>(raw));
  set_current_port(start.inherited);
  ::prctl(PR_SET_NAME, start.name);
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // 1 ns: p50 overshoot 39-50 us, not 80-98 us (algorithms.md 5)
  start.entry(start.argument);
  return nullptr;
}

// Signals belong to the program's own threads; only those that the thread itself causes may reach ours.
sigset_t signals_to_block() noexcept {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&set, own);
  return set;
}

int create_thread(pthread_t& thread, thread_start* start) noexcept {
  if (start_must_fail()) return EAGAIN;
  const sigset_t blocked = signals_to_block();
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, &blocked, &before);  // inherited by the new thread from its first instruction
  const int error = pthread_create(&thread, nullptr, run_thread, start);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

class linux_port final : public port {
 public:
  nanos now() noexcept override {
    timespec time;
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return nanos{time.tv_sec} * nanos_per_second + time.tv_nsec;
  }

  std::uint64_t random() noexcept override {
    std::uint64_t bits;
    if (::getrandom(&bits, sizeof bits, GRND_NONBLOCK) == sizeof bits) return bits;
    static std::atomic<std::uint64_t> calls{0};
    const auto call = calls.fetch_add(1, std::memory_order_relaxed);  // relaxed: only has to differ
    const auto stack = reinterpret_cast<std::uintptr_t>(&bits);
    return base::random(static_cast<std::uint64_t>(now()) ^ stack ^ call << 48).next();
  }

  bool simulated() const noexcept override { return false; }

  bool wait(const std::uint32_t& word, std::uint32_t expected, nanos deadline) noexcept override {
    timespec until{};  // a negative time is refused by the kernel; zero has passed as well
    if (deadline > 0) until = {.tv_sec = deadline / nanos_per_second, .tv_nsec = deadline % nanos_per_second};
    // WAIT_BITSET and not WAIT: its timeout is absolute and on CLOCK_MONOTONIC.
    const auto result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                                  deadline == never ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (result == 0 || errno == EAGAIN || errno == EINTR) return true;
    if (errno == ETIMEDOUT) return false;
    base::broken("the futex to wait on is not a readable, aligned word");
  }

  void wake(const std::uint32_t& word, int count) noexcept override {
    // EFAULT means that the object is gone and its page too: nobody waits there.
    ::syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
  }

  thread_id start(thread_entry entry, void* argument, const char* name) override {
    auto start = std::make_unique<thread_start>(thread_start{entry, argument, &current_port(), {}});
    std::snprintf(start->name, sizeof start->name, "%s", name);
    pthread_t thread;
    if (const int error = create_thread(thread, start.get())) refuse_thread(error);
    static_cast<void>(start.release());
    return {static_cast<std::uintptr_t>(thread)};
  }

  void join(thread_id thread) noexcept override {
    if (pthread_join(static_cast<pthread_t>(thread.value), nullptr) != 0)
      base::broken("a thread was joined twice, or by itself");
  }
};

}  // namespace

port::~port() = default;

void port::give_way() noexcept {
  ::sched_yield();
}

void refuse_thread(int error) {
  throw std::system_error(
      error, std::generic_category(),
      "weft cannot start a thread: raise the limit (ulimit -u, cgroup pids.max) or use fewer");
}

unsigned port::cpus() {
  return usable_cpus();
}

std::size_t port::pick(std::size_t, const std::uint64_t*) noexcept {
  return 0;
}

std::size_t port::draw(std::size_t) noexcept {
  return 0;
}

bool port::allocation_fails() noexcept {
  return false;
}

bool port::spare_allocations(bool) noexcept {
  return false;
}

void port::step(bool) noexcept {}

void port::note(std::uint64_t) noexcept {}

bool port::wait_as(const void*, const std::uint32_t& word, std::uint32_t expected, nanos deadline) noexcept {
  return wait(word, expected, deadline);
}

bool port::over() const noexcept {
  return false;
}

void* port::above() noexcept {
  return nullptr;
}

port& real_port() noexcept {
  alignas(linux_port) static std::byte storage[sizeof(linux_port)];
  static port& instance = *::new (storage) linux_port;  // and no destructor
  return instance;
}

// Out of line, and opaque: clang keeps the address of a thread_local over a suspension, after which it is
// another thread's (DESIGN, "Facts measured").
[[gnu::noinline]] port& current_port() noexcept {
  port* current = thread_port;
  asm volatile("" : "+r"(current) : : "memory");
  return current ? *current : real_port();
}

[[gnu::noinline]] void set_current_port(port* next) noexcept {
  asm volatile("" : "+r"(next) : : "memory");
  thread_port = next;
}

int thread_number() noexcept {
  return ::gettid();
}

void stay_on_this_cpu() noexcept {
  unsigned cpu = 0;
  if (::getcpu(&cpu, nullptr) != 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t alone;
  CPU_ZERO(&alone);
  CPU_SET(cpu, &alone);
  static_cast<void>(::sched_setaffinity(0, sizeof alone, &alone));
}

bool is_main_thread() noexcept {
  return ::gettid() == ::getpid();
}

void fail_thread_start_after(int successes) noexcept {
  starts_until_failure.store(successes, std::memory_order_relaxed);  // relaxed: a counter, it orders nothing
}

void give_way() noexcept {
  current_port().give_way();
}

}  // namespace weft::os
