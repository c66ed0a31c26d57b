#pragma once

// What every stress test has: a seed, a length, parties that must get on, children of this program.
//
//   WEFT_STRESS_SEED     decides what the parties do; printed at the start of each case.  Threads are real,
//   so the
//                        same seed is the same work, not the same schedule.
//   WEFT_STRESS_SECONDS  how long each [.stress] case goes on: 30 if not given.

#include <weft/runtime.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

namespace weft::test::stress {

using std::chrono::nanoseconds;

/// A cheap generator of its own for each party.
class dice {
 public:
  explicit dice(std::uint64_t seed) noexcept : state_(seed) {}

  /// 0 .. n - 1
  std::uint32_t roll(std::uint32_t n) noexcept {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(next()) * n) >> 32);
  }

  bool one_in(std::uint32_t n) noexcept { return roll(n) == 0; }

  nanoseconds below(nanoseconds d) noexcept {
    return nanoseconds(static_cast<std::int64_t>(static_cast<double>(next()) / 4294967296.0 *
                                                 static_cast<double>(d.count())));
  }

  /// The seed of another one.
  std::uint64_t seed() noexcept { return std::uint64_t{next()} << 32 | next(); }

 private:
  std::uint32_t next() noexcept {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<std::uint32_t>(z >> 32);
  }

  std::uint64_t state_;
};

/// Of this run; the first call in a test case prints it.
std::uint64_t seed();

/// Of a [.stress] case; makes the limit of the test itself later.
nanoseconds length_of_long_case();

// --- progress ---

/// Somebody who must get on.
struct party {
  std::string name;
  std::atomic<std::uint64_t> steps{0};
  std::uint64_t seen = 0;
  std::chrono::steady_clock::time_point since{};

  void step() noexcept { steps.fetch_add(1, std::memory_order_relaxed); }
};

class crowd {
 public:
  party& add(std::string name);

  /// Looks every 20 ms for `length`, then until each has made a step.  Ends the process with a dump when one
  /// has made none for `patience`.
  void watch(nanoseconds length, nanoseconds patience, const std::function<void()>& each_look = {});

 private:
  std::deque<party> parties_;
};

/// A hang prints what this runtime does, while the object lives.
class watched_runtime {
 public:
  explicit watched_runtime(weft::runtime& rt) noexcept;
  watched_runtime(const watched_runtime&) = delete;
  watched_runtime& operator=(const watched_runtime&) = delete;
  ~watched_runtime();

 private:
  int slot_;
};

// --- children ---

/// How a process has ended, and all it wrote on standard error.
struct ended {
  int status;
  std::string said;

  bool exited(int code) const noexcept;
  bool killed_by(int signal) const noexcept;

  bool mentions(const char* words) const { return said.find(words) != std::string::npos; }

  std::string how() const;
};

/// Which part of the running test case this process is there for; null in the parent.
const char* part() noexcept;

/// Starts this program anew, for `part` of the running test case; its standard error goes to `error_fd`, if
/// any.
int start_part(const std::string& part, std::uint64_t part_seed, int error_fd = -1);
int wait_for(int process);

/// The same, to its end; a child that hangs dumps and aborts after 25 s.
ended run_part(const std::string& part, std::uint64_t part_seed = 0);

}  // namespace weft::test::stress
