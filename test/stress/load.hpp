#pragma once

// A load: parties of every kind that weft has, each with dice of its own, on one runtime, until told to end.
//
// What they do is counted, and at the end it must be right: each value sent was received once, no routine
// that was started is missing, nothing woke early, nobody was inside a critical section with another.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "stress/run.hpp"

namespace weft::test::stress {

/// A value that is counted, and that shows whether it was moved from.
class token {
 public:
  token(std::atomic<long>& alive, std::uint32_t number) : alive_(&alive), number_(number) { ++*alive_; }

  token(token&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)), number_(other.number_) {}

  token& operator=(token&& other) noexcept {
    std::swap(alive_, other.alive_);
    std::swap(number_, other.number_);
    return *this;
  }

  ~token() {
    if (alive_ != nullptr) --*alive_;
  }

  bool whole() const noexcept { return alive_ != nullptr; }

  std::uint32_t number() const noexcept { return number_; }

 private:
  std::atomic<long>* alive_;
  std::uint32_t number_;
};

/// What has happened; every party writes it.
struct ledger {
  std::atomic<long> alive{0}, sent{0}, received{0};
  std::atomic<std::uint64_t> sent_sum{0}, received_sum{0};
  std::atomic<long> broken{0};                      // a token that is where it must not be
  std::atomic<long> begun{0}, done{0};              // routines that must end
  std::atomic<long> early{0}, shared{0}, wrong{0};  // wakes, critical sections, results

  void gave(const token& t, std::uint32_t number, bool gone) {
    if (gone) {
      ++sent;
      sent_sum += number;
      if (t.whole()) ++broken;
    } else if (!t.whole() || t.number() != number) {
      ++broken;  // not sent, so it must still be the caller's
    }
  }

  void got(const token& t) {
    ++received;
    received_sum += t.number();
    if (!t.whole()) ++broken;
  }

  /// Empty if all is right; to be asked when all have ended.
  std::string what_is_wrong() const;
};

/// What the parties of one load share.
struct world {
  world(weft::runtime& on, std::uint64_t first_seed);

  weft::runtime& rt;
  ledger book;
  std::atomic<bool> over{false};
  std::array<weft::channel<token>, 5> channels;
  weft::mutex lock;
  long under_lock = 0;  // plain: the lock's
  std::atomic<long> locked{0};
  weft::semaphore permits{2};
  std::atomic<int> inside{0};
  dice seeds;

  bool goes_on() const noexcept { return !over.load(std::memory_order_relaxed); }
};

/// Starts all of them; join() after over = true.
class load {
 public:
  explicit load(weft::runtime& rt, std::uint64_t seed);
  load(const load&) = delete;
  load& operator=(const load&) = delete;
  ~load();

  void watch(nanoseconds length, nanoseconds patience, const std::function<void()>& each_look = {}) {
    parties_.watch(length, patience, each_look);
  }

  /// Ends it; what is wrong, or nothing.
  std::string finish();

 private:
  using routine_party = weft::routine<> (*)(world&, party&, dice);
  using plain_party = void (*)(world&, party&, dice);

  void add(const char* name, routine_party f);
  void add_plain(const char* name, plain_party f);
  void add_thread(const char* name, plain_party f);

  crowd parties_;
  world world_;
  std::vector<weft::join_handle<void>> routines_;
  std::vector<std::thread> threads_;
};

// --- the parties ---

// load_channels.cpp
weft::routine<> sends_in_all_ways(world&, party&, dice);
weft::routine<> receives_in_all_ways(world&, party&, dice);
weft::routine<> plays_ping_pong(world&, party&, dice);
weft::routine<> makes_short_channels(world&, party&, dice);
void sends_and_receives_here(world&, party&, dice);
void plays_ping_pong_here(world&, party&, dice);

// load_routines.cpp
weft::routine<> starts_and_joins(world&, party&, dice);
weft::routine<> forks_trees(world&, party&, dice);
weft::routine<> races_with_any(world&, party&, dice);
weft::routine<> opens_scopes(world&, party&, dice);
weft::routine<> locks(world&, party&, dice);
weft::routine<> sleeps(world&, party&, dice);
weft::routine<> calls_the_pool(world&, party&, dice);
weft::routine<> computes(world&, party&, dice);
weft::routine<> yields(world&, party&, dice);

// load_threads.cpp
void uses_the_facade(world&, party&, dice);
void makes_runtimes(world&, party&, dice);
void looks_on(world&, party&, dice);
void starts_foreign_coroutines(world&, party&, dice);

}  // namespace weft::test::stress
