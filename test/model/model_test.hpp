#pragma once

// What the model checks share: the mutants of memory orders, what is expected of a search.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

#include "model/model_atomic.hpp"
#include "support/catch.hpp"

// Sanitizers do not follow fibers.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEFT_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WEFT_TEST_SANITIZED 1
#endif
#endif

namespace weft::model {

// Each mutant weakens one thing everywhere; what the real orders are for must then break.

struct seq_cst_as_acq_rel : orders_as_written {
  static constexpr auto load(std::memory_order order) {
    return order == std::memory_order::seq_cst ? std::memory_order::acquire : order;
  }

  static constexpr auto store(std::memory_order order) {
    return order == std::memory_order::seq_cst ? std::memory_order::release : order;
  }

  static constexpr auto update(std::memory_order order) {
    return order == std::memory_order::seq_cst ? std::memory_order::acq_rel : order;
  }
};

struct release_as_relaxed : orders_as_written {
  static constexpr auto store(std::memory_order order) {
    return order == std::memory_order::release ? std::memory_order::relaxed : order;
  }

  static constexpr auto update(std::memory_order order) {
    return order == std::memory_order::release   ? std::memory_order::relaxed
           : order == std::memory_order::acq_rel ? std::memory_order::acquire
                                                 : order;
  }
};

struct acquire_as_relaxed : orders_as_written {
  static constexpr auto load(std::memory_order order) {
    return order == std::memory_order::acquire ? std::memory_order::relaxed : order;
  }

  static constexpr auto update(std::memory_order order) {
    return order == std::memory_order::acquire   ? std::memory_order::relaxed
           : order == std::memory_order::acq_rel ? std::memory_order::release
                                                 : order;
  }
};

struct stores_relaxed : orders_as_written {
  static constexpr auto store(std::memory_order) { return std::memory_order::relaxed; }
};

template <typename T>
using no_seq_cst = basic_atomic<T, seq_cst_as_acq_rel>;
template <typename T>
using no_release = basic_atomic<T, release_as_relaxed>;
template <typename T>
using no_acquire = basic_atomic<T, acquire_as_relaxed>;
template <typename T>
using relaxed_stores = basic_atomic<T, stores_relaxed>;

template <typename T>
using no_seq_cst_ref = basic_atomic_ref<T, seq_cst_as_acq_rel>;
template <typename T>
using no_release_ref = basic_atomic_ref<T, release_as_relaxed>;
template <typename T>
using no_acquire_ref = basic_atomic_ref<T, acquire_as_relaxed>;

/// How long a search goes on for more than it must find; WEFT_MODEL_SECONDS for a deep one.
inline double seconds_more() {
  const char* set = std::getenv("WEFT_MODEL_SECONDS");
  return set != nullptr ? std::atof(set) : 1;
}

/// Nothing is found: in all runs with up to `at_least` preemptions, and in more as time allows.
inline void require_sound(const std::function<program()>& build, int at_least,
                          bool old_values_count = false) {
  const limits within{.preemptions = std::max(at_least, 3),
                      .seconds = seconds_more(),
                      .at_least = at_least,
                      .old_values_count = old_values_count};
  const outcome result = explore(build, within);
  CAPTURE(result.runs, result.complete);
  REQUIRE(result.failure == "");
}

/// For programs with many reads: one of an old value counts as a preemption.
inline void require_sound_big(const std::function<program()>& build, int at_least) {
  require_sound(build, at_least, true);
}

inline void require_caught(const std::function<program()>& build) {
  const outcome result =
      explore(build, {.preemptions = 4, .seconds = 0, .at_least = 4, .old_values_count = true});
  CAPTURE(result.runs, result.complete);
  REQUIRE(result.failure != "");
}

}  // namespace weft::model
