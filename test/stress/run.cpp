#include "stress/run.hpp"

#include <weft/blocking.hpp>
#include <weft/dump.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/hang.hpp"

using namespace std::chrono_literals;

namespace weft::test::stress {

namespace {

constexpr const char* part_variable = "WEFT_STRESS_PART";
constexpr const char* seed_variable = "WEFT_STRESS_SEED";

std::array<std::atomic<weft::runtime*>, 4> watched;
std::atomic<std::uint64_t> printed_seed{0};

/// In a signal handler of a process that is lost: hang.hpp.
void report() {
  char text[64];
  std::snprintf(text, sizeof text, "seed: %s=%llu\n", seed_variable,
                static_cast<unsigned long long>(printed_seed.load()));
  std::fputs(text, stderr);
  for (auto& each : watched) {
    if (const weft::runtime* rt = each.load()) rt->dump(STDERR_FILENO);
  }
  weft::runtime::global().dump(STDERR_FILENO);
}

std::uint64_t new_seed() {
  if (const char* given = std::getenv(seed_variable)) return std::strtoull(given, nullptr, 10);
  std::uint64_t bits = 0;
  while (::getrandom(&bits, sizeof bits, 0) != sizeof bits) {
  }
  return bits % 1'000'000'000;  // short enough to be typed
}

}  // namespace

std::uint64_t seed() {
  static std::string seeded;
  static std::uint64_t of_case = 0;
  const std::string now = Catch::getResultCapture().getCurrentTestName();
  if (now != seeded) {
    seeded = now;
    of_case = new_seed();
    printed_seed.store(of_case);
    weft::test::on_hang(&report);
    if (part() == nullptr)
      std::fprintf(stderr, "%s=%llu\n", seed_variable, static_cast<unsigned long long>(of_case));
  }
  return of_case;
}

nanoseconds length_of_long_case() {
  const char* given = std::getenv("WEFT_STRESS_SECONDS");
  const unsigned seconds = given ? static_cast<unsigned>(std::atoi(given)) : 30;
  static std::string name;  // kept by pointer
  name = Catch::getResultCapture().getCurrentTestName();
  const char* limit = std::getenv("WEFT_TEST_SECONDS");
  const bool unlimited = limit != nullptr && std::atoi(limit) == 0;
  weft::test::watch(name.c_str(), unlimited ? 0 : seconds + 120);
  return std::chrono::seconds(seconds);
}

// --- progress ---

party& crowd::add(std::string name) {
  party& p = parties_.emplace_back();
  p.name = std::move(name);
  return p;
}

void crowd::watch(nanoseconds length, nanoseconds patience, const std::function<void()>& each_look) {
  weft::blocking::channel<int> nobody;
  const auto begin = std::chrono::steady_clock::now();
  for (party& p : parties_) p.since = begin;
  for (;;) {
    (void)nobody.recv_for(20ms);
    if (each_look) each_look();
    const auto now = std::chrono::steady_clock::now();
    bool all = true;
    for (party& p : parties_) {
      const std::uint64_t steps = p.steps.load();
      if (steps != p.seen) {
        p.seen = steps;
        p.since = now;
      } else if (now - p.since > patience) {
        std::fprintf(stderr, "no progress: %s after %llu steps\n", p.name.c_str(),
                     static_cast<unsigned long long>(steps));
        report();          // here, where it has all the time it needs
        ::raise(SIGALRM);  // the stacks, the end
      }
      all = all && steps != 0;
    }
    if (all && now - begin >= length) return;
  }
}

watched_runtime::watched_runtime(weft::runtime& rt) noexcept : slot_(-1) {
  for (std::size_t i = 0; i < watched.size() && slot_ < 0; ++i) {
    weft::runtime* none = nullptr;
    if (watched[i].compare_exchange_strong(none, &rt)) slot_ = static_cast<int>(i);
  }
}

watched_runtime::~watched_runtime() {
  if (slot_ >= 0) watched[static_cast<std::size_t>(slot_)].store(nullptr);
}

// --- children ---

bool ended::exited(int code) const noexcept {
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

bool ended::killed_by(int signal) const noexcept {
  return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

std::string ended::how() const {
  const std::string way = WIFEXITED(status) ? "exit " + std::to_string(WEXITSTATUS(status))
                                            : "signal " + std::to_string(WTERMSIG(status));
  return way + ", said: " + said;
}

const char* part() noexcept {
  return std::getenv(part_variable);
}

int start_part(const std::string& part, std::uint64_t part_seed, int error_fd) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (error_fd >= 0) ::posix_spawn_file_actions_adddup2(&actions, error_fd, STDERR_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string name = Catch::getResultCapture().getCurrentTestName(), program = "/proc/self/exe";
  char* arguments[] = {program.data(), name.data(), nullptr};
  std::vector<std::string> kept;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string variable = *each;
    if (variable.rfind("WEFT_STRESS_SEED", 0) != 0 && variable.rfind("WEFT_STRESS_PART", 0) != 0 &&
        variable.rfind("WEFT_TEST_SECONDS", 0) != 0) {
      kept.push_back(variable);
    }
  }
  kept.push_back(
      "WEFT_TEST_SECONDS=25");  // before the parent's, which gives up without a word of the child's
  kept.push_back(part_variable);
  kept.back().append("=").append(part);
  kept.push_back(seed_variable);
  kept.back().append("=").append(std::to_string(part_seed));
  std::vector<char*> environment;
  for (std::string& each : kept) environment.push_back(each.data());
  environment.push_back(nullptr);
  pid_t child = -1;
  if (::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environment.data()) != 0)
    child = -1;
  ::posix_spawn_file_actions_destroy(&actions);
  return child;
}

int wait_for(int process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return status;
}

ended run_part(const std::string& part, std::uint64_t part_seed) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {-1, "no pipe"};
  const int child = start_part(part, part_seed, ends[1]);
  ::close(ends[1]);
  ended e{-1, "no process"};
  if (child > 0) {
    e.said = read_all(ends[0]);
    e.status = wait_for(child);
  }
  ::close(ends[0]);
  return e;
}

}  // namespace weft::test::stress
