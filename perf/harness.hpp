#pragma once

// harness: what all benches share - the request, the clock, the result, memory.
//
// A bench is a function that gets a runtime which is up, does its work n times and says how long that took.
// It checks its own result: a figure for work that was not done is worth nothing.

#include <weft/runtime.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace perf {

/// What the work gave; `n` may be less than what was asked for (whole rounds, whole trees).
struct result {
  std::uint64_t n;
  double seconds;
  bool is_right = true;
  std::string more = {};  // further JSON fields: `, "name": value`
};

struct bench {
  std::string_view name;
  std::uint64_t default_n;
  unsigned default_workers;  // 0: one per CPU
  result (*run)(weft::runtime& rt, std::uint64_t n);
  result (*run_blocking)(weft::runtime& rt, std::uint64_t n) = nullptr;  // through the facade
  result (*run_through)(weft::runtime& rt, std::uint64_t n,
                        std::size_t capacity) = nullptr;                  // of its channel
  result (*run_announced)(weft::runtime& rt, std::uint64_t n) = nullptr;  // what blocks says so
};

// One list a file.
std::span<const bench> spawn_benches();
std::span<const bench> tree_benches();
std::span<const bench> channel_benches();
std::span<const bench> select_benches();
std::span<const bench> time_benches();
std::span<const bench> cancel_benches();
std::span<const bench> foreign_benches();
std::span<const bench> network_benches();
std::span<const bench> mutex_benches();
std::span<const bench> blocking_benches();
std::span<const bench> io_benches();

class stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The value that p percent of `sorted` do not exceed.
template <typename T>
T percentile(const std::vector<T>& sorted, unsigned p) {
  return sorted[(sorted.size() - 1) * p / 100];
}

/// Physical memory of this process: now, and at its largest, in bytes.
std::size_t resident_bytes();
std::size_t peak_resident_bytes();

/// Processor time of this process so far, user and system.
double cpu_seconds();

/// `, "name": value`
std::string field(std::string_view name, double value);

}  // namespace perf
