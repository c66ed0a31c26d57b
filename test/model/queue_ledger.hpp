#pragma once

// What the model checks of queues push and take, and the count of it.

#include <array>
#include <cstddef>

#include "model/model_slots.hpp"
#include "model/model_test.hpp"

namespace weft::model {

struct item {
  int number = 0;
  item* next = nullptr;
};

inline constexpr std::size_t item_count = 4;

template <>
inline constexpr bool is_slot<item*> = true;

template <typename T>
using checked = checked_slots<T>;

/// Counts who got what: a lost item is one taken by nobody, a doubled one by two.
struct ledger {
  std::array<item, item_count> items{{{0}, {1}, {2}, {3}}};
  std::array<int, item_count> taken{};
  std::size_t pushed = 0;

  item* next() { return &items[pushed++]; }

  void take(const item* which) {
    check(which != nullptr, "a slot was read before it was written");
    if (which != nullptr) {
      check(++taken[static_cast<std::size_t>(which->number)] == 1, "an item was taken twice");
    }
  }

  void balance() const {
    for (std::size_t i = 0; i < pushed; ++i) check(taken[i] == 1, "an item was lost");
  }
};

}  // namespace weft::model
