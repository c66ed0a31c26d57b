#include "os/reserved_lock.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using weft::os::reserved_lock;
using weft::os::seat;
using weft::os::seat_place;

namespace {

constexpr int turns = weft::os::real_world::first_turns;
constexpr int rounds = weft::test::unless_sanitized(200'000, 20'000);

/// Takes it and lets it go; true: by the seat.
bool visit(reserved_lock& l, seat* me) {
  const bool by_seat = l.lock(me);
  l.unlock(me, by_seat);
  return by_seat;
}

bool has_membarrier() {
  weft::os::find_out_about_barriers();
  return weft::os::barriers_are_asymmetric();
}

}  // namespace

TEST_CASE("who takes a reserved lock often enough in a row enters it by the seat from then on",
          "[os][reserved_lock]") {
  const bool reserves = has_membarrier();
  reserved_lock l;
  const seat_place mine;
  for (int i = 0; i < turns; ++i) REQUIRE_FALSE(visit(l, &mine.here()));
  REQUIRE(visit(l, &mine.here()) == reserves);
  REQUIRE(visit(l, &mine.here()) == reserves);
}

TEST_CASE("where there is no membarrier nothing is ever reserved", "[os][reserved_lock]") {
  const bool has = has_membarrier();
  weft::os::detail::has_membarrier = false;
  reserved_lock l;
  const seat_place mine;
  bool by_seat = false;
  for (int i = 0; i < 10 * turns; ++i) by_seat = visit(l, &mine.here()) || by_seat;
  weft::os::detail::has_membarrier = has;
  REQUIRE_FALSE(by_seat);
}

TEST_CASE("a thread without a seat takes a reserved lock by its word and ends the reservation",
          "[os][reserved_lock]") {
  has_membarrier();
  reserved_lock l;
  const seat_place mine;
  for (int i = 0; i <= turns; ++i) visit(l, &mine.here());
  std::thread([&l] { visit(l, nullptr); }).join();
  REQUIRE_FALSE(visit(l, &mine.here()));
}

TEST_CASE("each reservation that another ends takes twice as many turns to come back",
          "[os][reserved_lock]") {
  if (!has_membarrier()) {
    WARN("no membarrier here: nothing is ever reserved");
    return;
  }
  reserved_lock l;
  const seat_place mine;
  const auto until_reserved = [&] {
    int taken = 0;
    while (!visit(l, &mine.here())) ++taken;
    return taken;
  };
  for (const int times : {1, 2, 4, 8, 16}) {
    REQUIRE(until_reserved() == times * turns);
    std::thread([&l] { visit(l, nullptr); }).join();
  }
}

TEST_CASE("a thread whose reservations others end takes more turns to reserve another lock, until some last",
          "[os][reserved_lock]") {
  if (!has_membarrier()) {
    WARN("no membarrier here: nothing is ever reserved");
    return;
  }
  auto mine = std::make_unique<seat_place>();
  std::vector<std::unique_ptr<reserved_lock>> used;
  const auto until_reserved = [&] {
    auto& l = *used.emplace_back(std::make_unique<reserved_lock>());
    int taken = 0;
    while (!visit(l, &mine->here())) ++taken;
    return taken;
  };
  const auto lose_it = [&] { std::thread([&] { visit(*used.back(), nullptr); }).join(); };
  REQUIRE(until_reserved() == turns);
  lose_it();
  REQUIRE(until_reserved() == 2 * turns);
  for (int i = 0; i < 20; ++i) until_reserved();
  REQUIRE(until_reserved() == turns);
  for (int i = 0; i < 100; ++i) {
    until_reserved();
    lose_it();
  }
  REQUIRE(until_reserved() <= 32 * turns);
  mine = nullptr;
  mine = std::make_unique<seat_place>();
  REQUIRE(until_reserved() == turns);
}

TEST_CASE("a thread that is inside of more reserved locks than its seat has room for takes the words",
          "[os][reserved_lock]") {
  has_membarrier();
  const seat_place mine;
  std::array<reserved_lock, seat::depth + 2> locks;
  std::array<bool, seat::depth + 2> by_seat{};
  for (auto& l : locks) {
    for (int i = 0; i <= turns; ++i) visit(l, &mine.here());
  }
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < locks.size(); ++i) by_seat[i] = locks[i].lock(&mine.here());
    REQUIRE_FALSE(by_seat.back());
    for (std::size_t i = locks.size(); i-- > 0;) locks[i].unlock(&mine.here(), by_seat[i]);
  }
}

TEST_CASE("one thread at a time is inside a reserved lock, with a seat or without",
          "[os][reserved_lock][race]") {
  has_membarrier();
  reserved_lock l;
  long inside = 0;  // plain: it must not be raced for
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, seated = t != 0] {
      const auto mine = seated ? std::make_unique<seat_place>() : nullptr;
      seat* const me = seated ? &mine->here() : nullptr;
      for (int i = 0; i < rounds; ++i) {
        const bool by_seat = l.lock(me);
        ++inside;
        l.unlock(me, by_seat);
        // The one without a seat comes now and then, so that there are reservations to end.
        if (!seated) {
          for (int pause = i % 2'000; pause > 0; --pause) weft::os::relax_cpu();
          i += 99;
        }
      }
    });
  }
  for (auto& each : threads) each.join();
  REQUIRE(inside == 2L * rounds + rounds / 100);
}

TEST_CASE("a reservation goes to the next thread on the same seat", "[os][reserved_lock]") {
  reserved_lock l;
  long inside = 0;
  for (int generation = 0; generation < 50; ++generation) {
    std::thread([&] {
      const seat_place mine;  // given back, and taken by the next
      for (int i = 0; i < 10 * turns; ++i) {
        const bool by_seat = l.lock(&mine.here());
        ++inside;
        l.unlock(&mine.here(), by_seat);
      }
    }).join();
  }
  REQUIRE(inside == 500L * turns);
}

TEST_CASE("of a light and a heavy barrier one thread sees the other's store", "[os][reserved_lock][race]") {
  if (!has_membarrier()) {
    WARN("no membarrier here: there are no such barriers");
    return;
  }
  std::atomic<int> often{0}, seldom{0}, round{0}, done{0};
  std::atomic<int> seen_often{0};
  constexpr int times = weft::test::unless_sanitized(20'000, 2'000);
  std::thread other([&] {
    for (int i = 1; i <= times; ++i) {
      while (round.load() != i) {
      }
      often.store(i, std::memory_order_relaxed);
      weft::os::light_barrier();
      seen_often.store(seldom.load(std::memory_order_relaxed), std::memory_order_relaxed);
      done.store(i);
    }
  });
  int neither = 0;
  for (int i = 1; i <= times; ++i) {
    round.store(i);
    for (int wait = i % 64; wait > 0; --wait) (void)done.load();
    seldom.store(i, std::memory_order_relaxed);
    weft::os::heavy_barrier();
    const int seen = often.load(std::memory_order_relaxed);
    while (done.load() != i) {
    }
    if (seen != i && seen_often.load() != i) ++neither;
  }
  other.join();
  REQUIRE(neither == 0);
}
