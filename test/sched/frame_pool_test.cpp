#include "sched/frame_pool.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <new>
#include <set>
#include <thread>
#include <vector>

#include <unistd.h>

#include "base/random.hpp"
#include "support/catch.hpp"

namespace {

using weft::sched::allocate_frame;
using weft::sched::claim_word_offset;
using weft::sched::fail_frame_after;
using weft::sched::for_each_block;
using weft::sched::free_frame;
using weft::sched::read_frame_stats;

std::atomic_ref<std::uint64_t> claim_word(void* frame) {
  return std::atomic_ref(
      *reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(frame) + claim_word_offset));
}

std::vector<void*> allocate(std::size_t count, std::size_t bytes) {
  std::vector<void*> frames(count);
  for (auto& each : frames) each = allocate_frame(bytes);
  return frames;
}

void free_all(const std::vector<void*>& frames, std::size_t bytes) {
  for (void* each : frames) free_frame(each, bytes);
}

/// All blocks whose claim word is `mark`.
std::set<void*> blocks_with(std::uint64_t mark) {
  struct search {
    std::uint64_t mark;
    std::set<void*> found;
  } context{mark, {}};

  for_each_block(
      [](void* raw, void* frame) {
        auto& of = *static_cast<search*>(raw);
        if (claim_word(frame).load() == of.mark) of.found.insert(frame);
        return true;
      },
      &context);
  return context.found;
}

std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

bool pooled() {
  return read_frame_stats().pooled;
}

}  // namespace

TEST_CASE("frames of every size are aligned, apart from one another, and wholly usable",
          "[sched][frame_pool]") {
  std::vector<void*> frames;
  for (std::size_t bytes = 1; bytes <= 5000; bytes += 13) {
    frames.push_back(allocate_frame(bytes));
    std::memset(frames.back(), static_cast<int>(bytes % 251), bytes);
  }
  bool aligned = true;
  bool intact = true;
  std::size_t bytes = 1;
  for (void* each : frames) {
    aligned = aligned && reinterpret_cast<std::uintptr_t>(each) % 16 == 0;
    const auto* first = static_cast<const unsigned char*>(each);
    intact = intact && std::all_of(first, first + bytes, [&](unsigned char c) { return c == bytes % 251; });
    if (bytes >= 24) claim_word(each).store(0);
    free_frame(each, bytes);
    bytes += 13;
  }
  REQUIRE(aligned);
  REQUIRE(intact);
}

TEST_CASE("a freed frame is the next one of its size", "[sched][frame_pool]") {
  if (!pooled()) return;
  void* frame = allocate_frame(200);
  free_frame(frame, 200);
  void* again = allocate_frame(208);  // the same class
  REQUIRE(again == frame);
  free_frame(again, 208);
}

TEST_CASE("frames that are freed and allocated again need no new memory", "[sched][frame_pool]") {
  if (!pooled()) return;
  free_all(allocate(1000, 304), 304);
  const auto before = read_frame_stats();
  for (int round = 0; round < 50; ++round) free_all(allocate(1000, 304), 304);
  REQUIRE(read_frame_stats().blocks == before.blocks);
}

TEST_CASE("frames born on one thread and freed on another come back through the depot",
          "[sched][frame_pool]") {
  std::uint64_t settled = 0;
  for (int round = 0; round < 20; ++round) {
    const auto frames = allocate(1000, 320);
    std::thread([&] { free_all(frames, 320); }).join();
    if (round == 0) settled = read_frame_stats().blocks;
  }
  REQUIRE(read_frame_stats().blocks == settled);
}

TEST_CASE("a thread that exits leaves its cached frames to the others", "[sched][frame_pool]") {
  std::uint64_t settled = 0;
  for (int round = 0; round < 50; ++round) {
    std::thread([] { free_all(allocate(100, 336), 336); }).join();
    if (round == 0) settled = read_frame_stats().blocks;
  }
  free_all(allocate(100, 336), 336);
  REQUIRE(read_frame_stats().blocks == settled);
}

namespace {

/// Ends after the thread's frame cache, if it was made before it.
struct late_user {
  void* frame = nullptr;
  bool* worked = nullptr;

  ~late_user() {
    if (worked == nullptr) return;
    free_frame(frame, 352);
    void* another = allocate_frame(352);
    *worked = another != nullptr;
    free_frame(another, 352);
  }
};

}  // namespace

TEST_CASE("frames may be freed and allocated after the thread's cache has ended", "[sched][frame_pool]") {
  bool worked = false;
  const auto use_late = [&] {
    thread_local late_user late;
    late.worked = &worked;
    late.frame = allocate_frame(352);
  };
  std::thread(use_late).join();
  REQUIRE(worked);
  const auto blocks = read_frame_stats().blocks;
  std::thread(use_late).join();
  REQUIRE(read_frame_stats().blocks == blocks);
}

TEST_CASE("the pool leaves the claim word of a block alone, and a new block has none",
          "[sched][frame_pool]") {
  constexpr std::size_t bytes = 368;
  const auto frames = allocate(500, bytes);
  std::uint64_t mark = 0xC1A1'0000;
  REQUIRE(std::all_of(frames.begin(), frames.end(), [](void* each) { return claim_word(each).load() == 0; }));
  for (void* each : frames) claim_word(each).store(++mark);
  if (!pooled()) return free_all(frames, bytes);

  free_all(frames, bytes);  // through cache and depot
  std::thread([] { free_all(allocate(500, bytes), bytes); }).join();
  mark = 0xC1A1'0000;
  bool kept = true;
  for (void* each : frames) kept = kept && claim_word(each).load() == ++mark;
  REQUIRE(kept);
  for (void* each : frames) claim_word(each).store(0);
}

TEST_CASE("the registry sees every living frame, pooled or listed", "[sched][frame_pool]") {
  constexpr std::uint64_t mark = 0x11FE'11FE'11FE'11FE;
  std::set<void*> living;
  std::vector<std::pair<void*, std::size_t>> frames;
  for (const std::size_t bytes : {24U, 100U, 240U, 512U, 520U, 1025U, 4096U, 4097U, 100'000U}) {
    for (int i = 0; i < 70; ++i) {
      void* frame = allocate_frame(bytes);
      claim_word(frame).store(mark);
      frames.emplace_back(frame, bytes);
      living.insert(frame);
    }
  }
  REQUIRE(blocks_with(mark) == living);
  REQUIRE(read_frame_stats().listed >= (pooled() ? 140 : 630));
  for (const auto& [frame, bytes] : frames) {
    claim_word(frame).store(0);
    free_frame(frame, bytes);
  }
  REQUIRE(blocks_with(mark).empty());
}

TEST_CASE("the registry forgets frames of any size in whatever order they go", "[sched][frame_pool]") {
  constexpr std::uint64_t mark = 0x0BDE'0BDE'0BDE'0BDE;
  const std::size_t bytes = GENERATE(std::size_t{240}, std::size_t{100'000});
  const auto visited = [] {
    std::set<void*> all;
    for_each_block(
        [](void* raw, void* each) { return static_cast<std::set<void*>*>(raw)->insert(each), true; }, &all);
    return all;
  };
  const bool listed = !pooled() || bytes > 4096;  // the pool's blocks stay where they are
  weft::base::random chance(1);
  for (int round = 0; round < 20; ++round) {
    auto frames = allocate(50, bytes);
    std::set<void*> living(frames.begin(), frames.end());
    for (void* frame : frames) claim_word(frame).store(mark);
    while (!frames.empty()) {
      std::swap(frames[chance.next() % frames.size()], frames.back());
      void* const frame = frames.back();
      frames.pop_back();
      claim_word(frame).store(0);
      free_frame(frame, bytes);
      living.erase(frame);
      REQUIRE(blocks_with(mark) == living);
      if (listed) REQUIRE(visited().count(frame) == 0);
    }
  }
}

TEST_CASE("a visit of the registry ends when the visitor says so", "[sched][frame_pool]") {
  const auto frames = allocate(10, 240);
  int visits = 0;
  for_each_block([](void* raw, void*) { return ++*static_cast<int*>(raw) < 3; }, &visits);
  REQUIRE(visits == 3);
  free_all(frames, 240);
}

TEST_CASE("the registry may be read while frames come and go", "[sched][frame_pool]") {
  constexpr std::uint64_t mark = 0x5EE4'5EE4'5EE4'5EE4;
  const auto pinned = allocate(100, 256);
  for (void* each : pinned) claim_word(each).store(mark);
  std::atomic<bool> ended{false};
  std::thread churn([&] {
    while (!ended.load()) {
      for (const std::size_t bytes : {256U, 5000U}) free_all(allocate(300, bytes), bytes);
    }
  });
  bool all_seen = true;
  for (int i = 0; i < 30; ++i) {
    const auto found = blocks_with(mark);
    all_seen = all_seen && found == std::set<void*>(pinned.begin(), pinned.end());
  }
  ended.store(true);
  churn.join();
  REQUIRE(all_seen);
  for (void* each : pinned) claim_word(each).store(0);
  free_all(pinned, 256);
}

TEST_CASE("a frame that shall fail throws bad_alloc, once, on whatever thread", "[sched][frame_pool]") {
  const auto fails = [] {
    try {
      free_frame(allocate_frame(240), 240);
      return false;
    } catch (const std::bad_alloc&) {
      return true;
    }
  };
  fail_frame_after(2);
  REQUIRE(std::vector<bool>{fails(), fails(), fails(), fails()} ==
          std::vector<bool>{false, false, true, false});

  fail_frame_after(0);
  bool there = false;
  std::thread([&] { there = fails(); }).join();
  REQUIRE(there);
  REQUIRE_FALSE(fails());

  fail_frame_after(0);
  fail_frame_after(-1);
  REQUIRE_FALSE(fails());
}

TEST_CASE("threads that pass frames around get none twice", "[sched][frame_pool]") {
  constexpr std::size_t bytes = 384;
  constexpr std::uint64_t rounds = 200;
  std::atomic<std::vector<void*>*> handed{nullptr};
  bool doubled[2] = {false, false};
  const auto work = [&](std::uint64_t who) {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      auto* frames = new std::vector<void*>(allocate(150, bytes));
      const std::uint64_t mine = who << 32 | (round + 1);
      for (void* each : *frames) claim_word(each).store(mine);
      for (void* each : *frames) doubled[who] = doubled[who] || claim_word(each).load() != mine;
      if (auto* theirs = handed.exchange(frames)) {
        free_all(*theirs, bytes);
        delete theirs;
      }
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  if (auto* last = handed.exchange(nullptr)) {
    free_all(*last, bytes);
    delete last;
  }
  REQUIRE_FALSE(doubled[0]);
  REQUIRE_FALSE(doubled[1]);
}

TEST_CASE("a program with few frames of five sizes touches little memory", "[sched][frame_pool]") {
  if (!pooled()) return;
  const auto before = resident_bytes();
  for (const std::size_t bytes : {400U, 416U, 432U, 448U, 464U}) free_all(allocate(20, bytes), bytes);
  REQUIRE(resident_bytes() - before <= 256 * 1024);
}

TEST_CASE("a million frames of 240 bytes cost at most 250 bytes each", "[sched][frame_pool]") {
  if (!pooled()) return;
  constexpr std::size_t count = 1'000'000;
  std::vector<void*> frames(count);
  for (auto& each : frames) each = &frames;  // touched before the measurement
  const auto before = resident_bytes();
  for (auto& each : frames) each = std::memset(allocate_frame(240), 1, 240);
  const auto after = resident_bytes();
  for (void* each : frames) claim_word(each).store(0);
  free_all(frames, 240);
  REQUIRE(after - before <= 250 * count);
}
