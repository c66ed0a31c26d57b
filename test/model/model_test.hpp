#pragma once

// What the model checks share: the mutants of memory orders, what is expected of a search.

#include <cstdint>
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

/// Nothing is found, and all runs with up to `at_least` preemptions were seen.
inline void require_sound(const std::function<program()>& build, int at_least,
                          limits within = {.preemptions = 3, .seconds = 2}) {
  const outcome result = explore(build, within);
  CAPTURE(result.runs, result.complete);
  REQUIRE(result.failure == "");
  REQUIRE(result.complete >= at_least);
}

inline void require_caught(const std::function<program()>& build,
                           limits within = {.preemptions = 3, .seconds = 4}) {
  const outcome result = explore(build, within);
  CAPTURE(result.runs, result.complete);
  REQUIRE(result.failure != "");
}

}  // namespace weft::model
