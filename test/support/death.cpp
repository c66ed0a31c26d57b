#include "support/death.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace weft::test {
namespace {

constexpr const char* marker = "WEFT_TEST_DIES";  // which call of last_words() in the test
constexpr std::string_view begins = "death begins\n";

/// As Catch2 wants it, which reads a list of patterns.
std::string as_argument(const std::string& name) {
  std::string escaped;
  for (const char c : name) {
    if (c == ',' || c == '[' || c == '\\' || c == '*') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

/// A test whose values are generated has several.
int number_of_call(const std::string& test) {
  static std::string last;
  static int calls = 0;
  calls = test == last ? calls + 1 : 1;
  last = test;
  return calls;
}

[[noreturn]] void die(void (*act)()) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGABRT, SIG_DFL);  // not Catch2's report
  ::alarm(20);                    // a hang is told by this process, while the parent still has time
  [[maybe_unused]] const auto told = ::write(STDERR_FILENO, begins.data(), begins.size());
  act();
  std::_Exit(0);
}

}  // namespace

std::string read_all(int fd) {
  std::string text;
  char piece[4096];
  for (;;) {
    const auto n = ::read(fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(piece, static_cast<std::size_t>(n));
  }
}

death last_words(void (*act)()) {
  const std::string test = Catch::getResultCapture().getCurrentTestName();
  const int call = number_of_call(test);
  if (const char* number = std::getenv(marker)) {
    if (call == std::atoi(number)) die(act);
    return {false, "this process dies by a later call"};
  }

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {false, "no pipe"};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string name = as_argument(test), program = "/proc/self/exe";
  char* arguments[] = {program.data(), name.data(), nullptr};
  ::setenv(marker, std::to_string(call).c_str(), 1);
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ);
  ::unsetenv(marker);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (failed != 0) {
    ::close(ends[0]);
    return {false, "no process"};
  }
  death d{false, read_all(ends[0])};
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  d.aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  const auto at = d.said.find(begins);
  if (at == std::string::npos) FAIL("the test has not begun in a process of its own: " << d.said);
  d.said.erase(at, begins.size());
  return d;
}

}  // namespace weft::test
