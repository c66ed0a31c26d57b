#include "os/lock.hpp"

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <sched.h>

#include "os/port.hpp"
#include "support/catch.hpp"

using namespace weft::os;

namespace {

/// The next owner in the worst case: the object is gone as soon as unlock() has let go.
class freeing_port final : public port {
 public:
  explicit freeing_port(std::uint32_t* word) : word_(word) {}

  nanos now() noexcept override { return 0; }

  std::uint64_t random() noexcept override { return 0; }

  bool simulated() const noexcept override { return false; }

  bool wait(const std::uint32_t&, std::uint32_t, nanos) noexcept override { return true; }

  void wake(const std::uint32_t& word, int count) noexcept override {
    right = &word == word_ && *word_ == lock_free && count == 1;
    ++wakes;
    delete word_;
  }

  thread_id start(thread_entry, void*, const char*) override { return {}; }

  void join(thread_id) noexcept override {}

  int wakes = 0;
  bool right = false;

 private:
  std::uint32_t* word_;
};

/// By stores where there is membarrier, or by read-modify-writes.
void leave_by_stores(bool stores) {
  find_out_about_barriers();
  if (stores && barriers_are_asymmetric()) return leave_locks_by_stores();
  for (auto& each : lock_sleepers) each = sleepers_watched;
}

/// Of this lock, or of another that shares the count.
std::uint32_t sleepers_of(const std::uint32_t& word) {
  return std::atomic_ref(lock_world::sleepers(word)).load(std::memory_order_relaxed);
}

}  // namespace

TEST_CASE("four threads that add under the lock lose no addition", "[os][lock]") {
  constexpr int threads = 4;
  constexpr int rounds = 5'000;
  leave_by_stores(GENERATE(true, false));
  std::uint32_t word = 0;
  long sum = 0;  // plain: TSan and the sum would both show a second owner
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        guard held(word);
        ++sum;
      }
    });
  for (auto& thread : pool) thread.join();
  CHECK(sum == threads * rounds);
  CHECK(word == lock_free);
}

TEST_CASE("an owner that sleeps while others queue up loses none of them", "[os][lock]") {
  constexpr int threads = 4;
  constexpr int rounds = 30;
  leave_by_stores(GENERATE(true, false));
  std::uint32_t word = 0;
  std::uint32_t nobody_writes = 0;
  int sum = 0;
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        guard held(word);  // longer than the spin of the others: they sleep on the word
        real_port().wait(nobody_writes, 0, real_port().now() + 20'000);
        ++sum;
      }
    });
  for (auto& thread : pool) thread.join();
  CHECK(sum == threads * rounds);
  CHECK(word == lock_free);
  CHECK((sleepers_of(word) & ~sleepers_watched) == 0);
}

TEST_CASE("a lock for which nobody has slept for a while is left by a store again", "[os][lock]") {
  leave_by_stores(true);
  if (!barriers_are_asymmetric()) return;
  lock_world::watched_leavings() = 0;  // the unlock() below is not the one that calms
  std::uint32_t word = 0;
  REQUIRE(sleepers_of(word) == 0);
  lock(word);
  std::thread other([&] { const guard held(word); });
  while (sleepers_of(word) != sleepers_watched + 1) ::sched_yield();
  unlock(word);
  other.join();
  REQUIRE(sleepers_of(word) == sleepers_watched);
  for (std::uint32_t i = 0; i < lock_world::calm_after; ++i) {
    lock(word);
    unlock(word);
  }
  CHECK(sleepers_of(word) == 0);
}

TEST_CASE("who leaves two locks in turns calms the one, though somebody sleeps for the other", "[os][lock]") {
  leave_by_stores(true);
  if (!barriers_are_asymmetric()) return;

  struct alignas(64) line {
    std::uint32_t word = 0;
  };

  std::array<line, 2> locks;
  for (auto& each : locks) std::atomic_ref(lock_world::sleepers(each.word)).store(sleepers_watched);
  const std::size_t slept_for = GENERATE(0U, 1U);
  std::atomic_ref(lock_world::sleepers(locks.at(slept_for).word)).store(sleepers_watched + 1);
  for (std::uint32_t i = 0; i < 2 * lock_world::calm_after; ++i) {
    lock(locks.at(i % 2).word);
    unlock(locks.at(i % 2).word);
  }
  CHECK(sleepers_of(locks.at(slept_for).word) == sleepers_watched + 1);
  CHECK(sleepers_of(locks.at(1 - slept_for).word) == 0);
  std::atomic_ref(lock_world::sleepers(locks.at(slept_for).word)).store(sleepers_watched);
}

TEST_CASE("where there is no membarrier locks are never left by a store", "[os][lock]") {
  leave_by_stores(false);
  const bool has = std::exchange(detail::has_membarrier, false);
  std::uint32_t word = 0;
  for (std::uint32_t i = 0; i < 2 * lock_world::calm_after; ++i) {
    lock(word);
    unlock(word);
  }
  detail::has_membarrier = has;
  CHECK(sleepers_of(word) == sleepers_watched);
}

TEST_CASE("unlock touches nothing of the object once the next owner may free it", "[os][lock]") {
  struct object {
    std::uint32_t word = 0;
    int users = 2;
  };

  leave_by_stores(GENERATE(true, false));
  std::vector<object*> objects(5'000);
  for (auto& each : objects) each = new object;
  std::atomic<int> freed{0};
  const auto leave_all = [&] {  // the last to leave frees, while the other may still be inside unlock()
    for (auto* const each : objects) {
      lock(each->word);
      const bool last = --each->users == 0;
      unlock(each->word);
      if (!last) continue;
      delete each;
      ++freed;
    }
  };
  std::thread other(leave_all);
  leave_all();
  other.join();
  CHECK(freed == 5'000);  // and ASan or TSan would have spoken
}

TEST_CASE("unlock wakes one sleeper as its last act, and only if somebody sleeps", "[os][lock]") {
  auto* const word = new std::uint32_t(lock_held);
  std::uint32_t& sleepers = lock_world::sleepers(*word);
  freeing_port port(word);
  set_current_port(&port);
  const std::uint32_t before = std::exchange(sleepers, 0);
  unlock(*word);
  int wakes_without_sleeper = port.wakes;
  sleepers = sleepers_watched + 1;  // of another lock, say
  *word = lock_held;
  unlock(*word);
  wakes_without_sleeper += port.wakes;
  *word = lock_contended;
  unlock(*word);
  sleepers = before;
  set_current_port(nullptr);
  CHECK(wakes_without_sleeper == 0);
  CHECK(port.wakes == 1);
  CHECK(port.right);
}

TEST_CASE("try_lock fails while the lock is held and leaves it as it is", "[os][lock]") {
  std::uint32_t word = 0;
  REQUIRE(try_lock(word));
  CHECK(word == lock_held);
  CHECK(!try_lock(word));
  CHECK(word == lock_held);
  unlock(word);
  CHECK(try_lock(word));
  unlock(word);
  CHECK(word == lock_free);
}

TEST_CASE("a guard unlocks early, once", "[os][lock]") {
  std::uint32_t word = 0;
  {
    guard held(word);
    CHECK(word == lock_held);
    held.unlock();
    CHECK(word == lock_free);
    REQUIRE(try_lock(word));
  }
  CHECK(word == lock_held);
  unlock(word);
}
