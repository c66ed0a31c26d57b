#pragma once

// What the bodies of crossbeam's cases share: kinds of channel, ends of any kind, values that are counted.

#include <weft/weft.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <utility>

#include "support/faces.hpp"

namespace weft::test {

/// crossbeam's three flavours: zero, array, list.
inline constexpr int rendezvous = 0;
inline constexpr int unlimited = -1;
inline constexpr int kinds[] = {rendezvous, 1, 3, unlimited};
inline constexpr int buffered_kinds[] = {1, 3, unlimited};

template <typename T>
channel<T> channel_of(int kind) {
  return kind == unlimited ? channel<T>::unbounded() : channel<T>(static_cast<std::size_t>(kind));
}

template <typename T>
channel_ends<T> ends_of(int kind) {
  const channel<T> both = channel_of<T>(kind);
  return {channel_sender<T>(both), channel_receiver<T>(both)};
}

/// Drops a handle here and now.
template <typename Handle>
void drop(Handle& h) noexcept {
  const Handle gone = std::move(h);
}

/// How many values live; one that is destroyed twice counts below zero.
class counted {
 public:
  counted(std::atomic<int>& alive, int number) noexcept : alive_(&alive), number_(number) { ++*alive_; }

  counted(counted&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)), number_(other.number_) {}

  counted& operator=(counted&& other) noexcept {
    std::swap(alive_, other.alive_);
    std::swap(number_, other.number_);
    return *this;
  }

  ~counted() {
    if (alive_ != nullptr) --*alive_;
  }

  /// Not moved from.
  bool whole() const noexcept { return alive_ != nullptr; }

  int number() const noexcept { return number_; }

 private:
  std::atomic<int>* alive_;
  int number_;
};

/// In a simulation time is exact; on a real machine a wait may take longer.
template <typename Face>
bool took(const Face& f, std::chrono::steady_clock::time_point since, std::chrono::nanoseconds d) {
  const auto passed = now() - since;
  return f.simulated() ? passed == d : passed >= d;
}

/// A cheap generator of each party's own.
struct dice {
  std::uint32_t state;

  int roll(int n) noexcept {
    state = state * 1664525U + 1013904223U;
    return static_cast<int>((state >> 8) % static_cast<std::uint32_t>(n));
  }
};

}  // namespace weft::test
