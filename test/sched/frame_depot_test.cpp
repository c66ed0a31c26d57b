#include "sched/frame_depot.hpp"

#include <array>
#include <cstdint>

#include "support/catch.hpp"

namespace {

/// As the one of frame_pool.cpp: both links are one word.
struct block {
  block* next;

  union {
    block* next_magazine;
    block* later;
  };

  static block* make(void* at) { return static_cast<block*>(at); }
};

struct slab {
  weft::sched::slab_uses<> uses{0};

  static struct block* block(std::uint32_t) { return nullptr; }

  static std::uint32_t run_length() { return 1; }
};

constexpr std::uint32_t size = 6;
using magazine = weft::sched::magazine<block, size>;

magazine filled(std::array<block, size>& with, std::uint32_t count) {
  magazine m;
  for (std::uint32_t i = 0; i < count; ++i) m.push(&with.at(i));
  return m;
}

}  // namespace

TEST_CASE("a linked magazine names the block that comes four places later, where there is one",
          "[sched][frame_depot]") {
  for (std::uint32_t count = 0; count <= size; ++count) {
    std::array<block, size> blocks{};
    auto m = filled(blocks, count);
    m.link_to_later();
    for (std::uint32_t i = count; i-- > 0;) {  // the newest first
      INFO(i << " of " << count);
      CHECK(blocks.at(i).later == (i >= 4 ? &blocks.at(i - 4) : nullptr));
      CHECK(m.pop() == &blocks.at(i));
    }
    CHECK(m.empty());
  }
}

TEST_CASE("magazines come out of the depot newest first, whole, and none names a block of another",
          "[sched][frame_depot]") {
  std::array<std::array<block, size>, 3> blocks{};
  weft::sched::frame_depot<block, slab, size> depot;
  for (auto& each : blocks) depot.give_full(filled(each, size));
  for (std::size_t k = blocks.size(); k-- > 0;) {
    auto m = depot.take();
    REQUIRE(m.full());
    for (std::uint32_t i = size; i-- > 0;) {
      INFO(i << " of the " << k << "th");
      auto* const later = blocks.at(k).at(i).later;
      CHECK((later == nullptr || later == &blocks.at(k).at(i - 4)));
      CHECK(m.pop() == &blocks.at(k).at(i));
    }
  }
  CHECK(depot.take().empty());
}

TEST_CASE("a block that is freed into a magazine out of the depot names no other", "[sched][frame_depot]") {
  std::array<block, size> blocks{};
  weft::sched::frame_depot<block, slab, size> depot;
  depot.give_full(filled(blocks, size));
  auto m = depot.take();
  auto* const taken = m.pop();
  REQUIRE(taken == &blocks.back());
  m.push(taken);
  CHECK(blocks.back().later == nullptr);
  CHECK(m.pop() == taken);
}
