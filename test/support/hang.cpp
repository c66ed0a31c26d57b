#include "support/hang.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <execinfo.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// A test that hangs ends here, before ctest's limit kills the process without a word.
//
// Protocol
//   alarm(2) -> on_alarm, on any thread: prints the name, asks one thread after the other for its stack
//   (SIGUSR2), then runs the report, then aborts.  A second alarm ends a report that hangs itself.
//
// backtrace() is loaded once at start-up, since its first call allocates.

namespace weft::test {
namespace {

std::atomic<const char*> current_test{"?"};
std::atomic<void (*)()> report{nullptr};
std::atomic<int> stacks_printed{0};

void print(const char* text) noexcept {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, std::strlen(text));
}

void print_stack() noexcept {
  void* frames[64];
  const int depth = ::backtrace(frames, 64);
  ::backtrace_symbols_fd(frames, depth, STDERR_FILENO);
}

void on_stack_wanted(int) {
  print_stack();
  stacks_printed.fetch_add(1);
}

/// Waits, at most 0.5 s, until `count` stacks are out: a thread that blocks SIGUSR2 never answers.
void await_stacks(int count) noexcept {
  for (int i = 0; i < 50 && stacks_printed.load() < count; ++i) {
    const timespec pause{0, 10'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

/// opendir() would allocate, and the test may hang in malloc.
template <typename F>
void each_other_thread(F f) noexcept {
  struct entry {
    std::uint64_t inode;
    std::int64_t next;
    std::uint16_t length;
    unsigned char type;
    char name[1];
  };

  alignas(entry) char entries[16384];
  const auto self = ::syscall(SYS_gettid);
  const int directory = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY);
  if (directory < 0) return;
  for (;;) {
    const auto size = ::syscall(SYS_getdents64, directory, entries, sizeof entries);
    if (size <= 0) break;
    for (long at = 0; at < size;) {
      const auto* each = reinterpret_cast<const entry*>(entries + at);
      const long id = std::atol(each->name);
      if (id != 0 && id != self) f(each->name, id);
      at += each->length;
    }
  }
  ::close(directory);
}

void on_alarm(int) {
  std::signal(SIGALRM, SIG_DFL);
  ::alarm(5);
  print("\nhang: the time limit has passed in the test \"");
  print(current_test.load());
  print("\"\n\nthe thread that noticed\n");
  print_stack();

  each_other_thread([](const char* name, long id) {
    const int before = stacks_printed.load();
    print("\nthread ");
    print(name);
    print("\n");
    ::syscall(SYS_tgkill, ::getpid(), id, SIGUSR2);
    await_stacks(before + 1);
  });
  if (auto* more = report.load()) {
    print("\n");
    more();
  }
  std::abort();
}

}  // namespace

void watch(const char* name, unsigned seconds) noexcept {
  static const bool ready = [] {
    void* frame[1];
    ::backtrace(frame, 1);
    struct sigaction action {};
    action.sa_flags = SA_RESTART;
    action.sa_handler = on_alarm;
    ::sigaction(SIGALRM, &action, nullptr);
    action.sa_handler = on_stack_wanted;
    ::sigaction(SIGUSR2, &action, nullptr);
    return true;
  }();
  static_cast<void>(ready);
  current_test.store(name);
  ::alarm(seconds);
}

void on_hang(void (*more)()) noexcept {
  report.store(more);
}

}  // namespace weft::test
