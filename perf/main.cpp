// weft-perf BENCH [-w WORKERS] [-n N] [-c CAPACITY] [-face blocking] [-announced 0|1]: runs one bench, prints
// one line of JSON.
//
// {"bench":"yield","impl":"weft","workers":1,"n":5000000,"ns_per_op":16.0,"rss_mb":8.1}
// README.md says what each bench does and what its n counts.  weft-perf --list: lines `BENCH weft`, for
// perf/compare.

#include <weft/runtime.hpp>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "harness.hpp"

namespace {

using namespace std::string_view_literals;
using perf::bench;

struct request {
  const bench* what = nullptr;
  std::optional<unsigned> workers;
  std::optional<std::uint64_t> n;
  std::optional<std::size_t> capacity;
  bool is_blocking = false;
  bool is_announced = false;
};

std::array<std::span<const bench>, 11> all_benches() {
  return {perf::spawn_benches(),   perf::tree_benches(),     perf::channel_benches(), perf::select_benches(),
          perf::time_benches(),    perf::network_benches(),  perf::mutex_benches(),   perf::cancel_benches(),
          perf::foreign_benches(), perf::blocking_benches(), perf::io_benches()};
}

const bench* find(std::string_view name) {
  for (const auto& list : all_benches()) {
    for (const bench& b : list) {
      if (b.name == name) return &b;
    }
  }
  return nullptr;
}

int print_usage() {
  std::fputs(
      "usage: weft-perf BENCH [-w WORKERS] [-n N] [-c CAPACITY] [-face blocking] [-announced 0|1]\n"
      "BENCH is one of:",
      stderr);
  for (const auto& list : all_benches()) {
    for (const bench& b : list) std::fprintf(stderr, " %.*s", static_cast<int>(b.name.size()), b.name.data());
  }
  std::fputs("\n", stderr);
  return 2;
}

int print_list() {
  for (const auto& list : all_benches()) {
    for (const bench& b : list) std::printf("%.*s weft\n", static_cast<int>(b.name.size()), b.name.data());
  }
  return 0;
}

template <typename T>
bool parse_number(const char* text, std::optional<T>& out) {
  const char* end = text + std::strlen(text);
  T value{};
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) return false;
  out = value;
  return true;
}

template <typename T>
bool parse_positive(const char* text, std::optional<T>& out) {
  return parse_number(text, out) && *out > 0;
}

bool parse(int argc, char** argv, request& r) {
  if (argc < 2 || argc % 2 != 0) return false;  // a bench, and options in pairs
  r.what = find(argv[1]);
  for (int i = 2; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "-w") {
      if (!parse_positive(argv[i + 1], r.workers)) return false;
    } else if (option == "-n") {
      if (!parse_positive(argv[i + 1], r.n)) return false;
    } else if (option == "-c") {
      if (!parse_number(argv[i + 1], r.capacity)) return false;
    } else if (option == "-face" && std::string_view(argv[i + 1]) == "blocking") {
      r.is_blocking = true;
    } else if (option == "-announced" && (argv[i + 1] == "0"sv || argv[i + 1] == "1"sv)) {
      if (r.what == nullptr || r.what->run_announced == nullptr) return false;
      r.is_announced = argv[i + 1] == "1"sv;
    } else {
      return false;
    }
  }
  if (r.what == nullptr) return false;
  if (r.is_blocking) return r.what->run_blocking != nullptr && !r.capacity;
  return !r.capacity || r.what->run_through != nullptr;
}

perf::result measure(const request& r, weft::runtime& rt) {
  const bench& b = *r.what;
  const std::uint64_t n = r.n.value_or(b.default_n);
  if (r.is_blocking) return b.run_blocking(rt, n);
  if (r.is_announced) return b.run_announced(rt, n);
  return r.capacity ? b.run_through(rt, n, *r.capacity) : b.run(rt, n);
}

int run(const request& r) {
  const bench& b = *r.what;
  weft::runtime rt({.workers = r.workers.value_or(b.default_workers)});
  const perf::result got = measure(r, rt);
  if (!got.is_right) {
    std::fprintf(stderr, "weft-perf %.*s: wrong result\n", static_cast<int>(b.name.size()), b.name.data());
    return 1;
  }
  std::printf(
      "{\"bench\":\"%.*s\",\"impl\":\"weft\"%s,\"workers\":%u,\"n\":%llu,\"ns_per_op\":%.6g%s,\"rss_mb\":%."
      "1f}\n",
      static_cast<int>(b.name.size()), b.name.data(),
      r.is_blocking    ? ",\"face\":\"blocking\""
      : r.is_announced ? ",\"announced\":1"
                       : "",
      rt.workers(), static_cast<unsigned long long>(got.n), got.seconds * 1e9 / static_cast<double>(got.n),
      got.more.c_str(), static_cast<double>(perf::peak_resident_bytes()) / 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return print_list();
  request r;
  if (!parse(argc, argv, r)) return print_usage();
  try {
    return run(r);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "weft-perf: %s\n", e.what());
    return 1;
  }
}
