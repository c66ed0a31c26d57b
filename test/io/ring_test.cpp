// The queues of one io_uring.  Nothing is checked where the system has none.

#include "io/ring.hpp"

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>

#include "support/catch.hpp"

namespace {

using weft::io::completes;
using weft::io::completion;
using weft::io::ring;

/// Empty if there is no io_uring here.
void make(std::optional<ring>& to, unsigned requests) {
  try {
    to.emplace(requests, completes::at_once, std::initializer_list<std::uint8_t>{IORING_OP_NOP});
  } catch (const std::system_error&) {
    WARN("the system refuses io_uring");
  }
}

/// Does nothing, and completes with `number`.
bool push(ring& to, std::uint64_t number) {
  io_uring_sqe r{};
  r.opcode = IORING_OP_NOP;
  r.user_data = number;
  return to.push(r);
}

}  // namespace

TEST_CASE("a ring whose kernel lacks an operation is refused", "[io][ring]") {
  std::optional<ring> any;
  make(any, 4);
  if (!any) return;
  int error = 0;
  try {
    const ring none(4, completes::at_once, {IORING_OP_NOP, std::uint8_t{250}});
  } catch (const std::system_error& e) {
    error = e.code().value();
  }
  REQUIRE(error == EOPNOTSUPP);
}

TEST_CASE("a full queue of requests takes no more until it has been submitted, in order", "[io][ring]") {
  std::optional<ring> r;
  make(r, 4);
  if (!r) return;
  std::array<bool, 5> taken{};
  for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = push(*r, i);
  REQUIRE(taken == std::array{true, true, true, true, false});
  REQUIRE(r->pending() == 4);
  REQUIRE(r->submit(1) == 0);  // short of what there is
  REQUIRE(r->pending() == 3);
  REQUIRE(push(*r, 4));
  REQUIRE(r->submit(r->pending()) == 0);
  REQUIRE(r->pending() == 0);
  std::array<completion, 8> got;
  REQUIRE(r->take(got.data(), 8) == 5);
  for (std::size_t i = 0; i < 5; ++i) REQUIRE(got[i].about == i);
  REQUIRE_FALSE(r->has_completions());
}

TEST_CASE("completions that the ring has no room for come later, and none is lost", "[io][ring]") {
  std::optional<ring> r;
  make(r, 4);
  if (!r) return;
  constexpr std::uint64_t count = 70'000;
  for (std::uint64_t i = 0; i < count; ++i) {
    REQUIRE(push(*r, i));
    REQUIRE(r->submit(1) == 0);
  }
  REQUIRE(r->hides_completions());
  std::uint64_t taken = 0;
  bool in_order = true;
  while (r->has_completions() || r->hides_completions()) {
    if (!r->has_completions()) r->show_completions();
    std::array<completion, 3> some;
    const unsigned n = r->take(some.data(), some.size());
    for (unsigned i = 0; i < n; ++i) in_order = in_order && some[i].about == taken++;
  }
  REQUIRE(taken == count);
  REQUIRE(in_order);
}

TEST_CASE("a wait in the ring ends by a completion or when its time has passed", "[io][ring]") {
  std::optional<ring> r;
  make(r, 4);
  if (!r) return;
  REQUIRE(r->submit_and_wait(0, 1, 1'000'000) == ETIME);
  REQUIRE(push(*r, 7));
  REQUIRE(r->submit_and_wait(1, 1, weft::os::never) == 0);
  unsigned seen = 0;
  REQUIRE(r->has([](const completion& c) { return c.about == 7; }, seen));
  REQUIRE(seen == 1);
  REQUIRE_FALSE(r->has([](const completion& c) { return c.about == 8; }, seen));
  REQUIRE(r->has_completions());  // looking takes nothing
}
