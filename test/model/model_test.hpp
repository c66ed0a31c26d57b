#pragma once

// What the model checks share: the mutants of memory orders, what is expected of a search.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/model_atomic.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

// Sanitizers do not follow fibers: their builds have no model checks.

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

using programs = std::vector<std::function<program()>>;

/// Where `file` gives orders.
inline std::set<place> places_in(const std::string& file, const programs& cases) {
  std::set<place> all;
  watch().seen = &all;
  for (const auto& build : cases)
    explore(build, {.preemptions = 2, .seconds = 0.2, .old_values_count = true});
  watch().seen = nullptr;
  std::erase_if(all, [&](const place& each) { return !each.file.ends_with("/" + file); });
  return all;
}

/// Called by function, label and number, if there are several: "take R1.2 acquire" is the second made
/// acquire.
inline std::vector<order_mutant> mutants_of(const std::set<place>& places, const labelled_source& text) {
  std::vector<order_mutant> all;
  std::map<std::string, int> named;
  for (const place& each : places) {
    std::string name = each.function + " " + text.label(each);
    if (each.kind == access::failure) name += " on failure";
    if (const int number = ++named[name]; number > 1) name += "." + std::to_string(number);
    for (const std::memory_order to : one_weaker(each.kind, each.order)) {
      all.push_back({each, to, name + " " + name_of(to)});
    }
  }
  return all;
}

/// With few preemptions first, in all cases: that is where most mutants fail, soon.  One that does not within
/// seconds is not caught.
inline bool catches(const programs& cases, const std::vector<order_mutant>& mutants, int preemptions) {
  watch().mutants = mutants;
  bool found = false;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (int bound = 0; bound <= preemptions && !found && std::chrono::steady_clock::now() < end; ++bound) {
    found = std::any_of(cases.begin(), cases.end(), [&](const auto& build) {
      const std::chrono::duration<double> left = end - std::chrono::steady_clock::now();
      const limits within{
          .preemptions = bound, .seconds = left.count(), .old_values_count = true, .first = bound};
      return !explore(build, within).failure.empty();
    });
  }
  watch().mutants.clear();
  if (found) ++tally::all().mutants;
  if (const char* report = std::getenv("WEFT_MODEL_REPORT"); report != nullptr && *report == '2')
    std::fprintf(stderr, "%s: %s\n", mutants.front().name.c_str(), found ? "caught" : "NOT CAUGHT");
  return found;
}

/// How long a search goes on for more than it must find; WEFT_MODEL_SECONDS for a deep one.
inline double seconds_more() {
  const char* set = std::getenv("WEFT_MODEL_SECONDS");
  return set != nullptr ? std::atof(set) : 0.5;
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

/// `file` is part of lib/.  Each order that it gives, weakened by one step and by itself, makes one of the
/// programs fail; and all of its orders were given in them.  Not so those whose names begin with one of
/// `kept`: test/README.md says why they stay.
inline void require_each_order_matters(const std::string& file, const programs& cases,
                                       const std::vector<std::string>& kept = {}, int preemptions = 4) {
  const std::set<place> places = places_in(file, cases);
  const labelled_source text(file);
  REQUIRE_FALSE(text.empty());
  REQUIRE(text.unseen(places) == "");
  std::string survivors;
  std::set<std::string> unused(kept.begin(), kept.end());
  for (const order_mutant& each : mutants_of(places, text)) {
    const auto is_this = [&](const std::string& k) { return each.name.rfind(k, 0) == 0; };
    if (std::erase_if(unused, is_this) != 0 || std::any_of(kept.begin(), kept.end(), is_this)) continue;
    if (!catches(cases, {each}, preemptions)) survivors += each.name + "\n";
  }
  REQUIRE(survivors == "");
  REQUIRE(unused.empty());
}

/// Each of two orders does what the other does: weakened together they are caught.
inline void require_pair_matters(const std::string& file, const programs& cases, const std::string& one,
                                 const std::string& other, int preemptions = 4) {
  const labelled_source text(file);
  std::vector<order_mutant> both = mutants_of(places_in(file, cases), text);
  std::erase_if(both, [&](const order_mutant& each) { return each.name != one && each.name != other; });
  REQUIRE(both.size() == 2);
  REQUIRE(catches(cases, both, preemptions));
}

inline void require_caught(const std::function<program()>& build) {
  const outcome result =
      explore(build, {.preemptions = 4, .seconds = 0, .at_least = 4, .old_values_count = true});
  CAPTURE(result.runs, result.complete);
  REQUIRE(result.failure != "");
  ++tally::all().mutants;
}

}  // namespace weft::model
