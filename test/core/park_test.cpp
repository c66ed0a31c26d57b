// What a winner does with whom it has claimed, and how waits end that nobody else ends; what a worker leaves
// behind that blocks.

#include "core/park.hpp"

#include <weft/all.hpp>
#include <weft/runtime.hpp>

#include <coroutine>
#include <thread>

#include "os/asymmetric.hpp"
#include "sched/blocked_here.hpp"
#include "sched/worker.hpp"
#include "support/catch.hpp"

namespace {

using namespace weft::core;

/// Its coroutine does not suspend after all; meanwhile somebody has pinned the routine, as a dump does, and
/// lets it go after many looks.
struct changes_its_mind {
  waiter& root;
  std::thread& dumper;
  bool& moved;

  bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<>) {
    if (!word_of(root).pin()) return false;
    dumper = std::thread([this_root = &root, &m = moved] {
      for (int looks = 0; looks < 1'000'000 && !m; ++looks) {
        m = word_of(*this_root).wait_state() != state::waiting;
      }
      word_of(*this_root).unpin();
    });
    return false;
  }

  void await_resume() const noexcept {}
};

weft::routine<bool> awaits_in_vain() {
  bool moved = false;
  std::thread dumper;
  co_await changes_its_mind{*weft::sched::current_routine(), dumper, moved};
  if (!dumper.joinable()) co_return false;
  dumper.join();
  co_return !moved;
}

weft::routine<> nothing() {
  co_return;
}

struct openness {
  bool after_forks, blocked;
};

weft::routine<openness> forks_and_blocks() {
  co_await weft::all(nothing(), nothing());
  const weft::sched::worker& here = *weft::sched::current_worker();
  const bool open = here.forks_need_barrier();
  const weft::sched::blocked_here blocks;
  co_return openness{open, here.forks_need_barrier()};
}

}  // namespace

TEST_CASE("a routine whose foreign await does not suspend stays where it is while a dump reads it",
          "[core][park]") {
  weft::runtime rt({.workers = 1});
  REQUIRE(rt.go(awaits_in_vain).join());
}

TEST_CASE("a worker that blocks leaves no open fork deque, which would cost each sleeper a barrier",
          "[core][park]") {
  weft::runtime rt({.workers = 1});
  const openness found = rt.go(forks_and_blocks).join();
  REQUIRE(found.after_forks == weft::os::barriers_are_asymmetric());
  REQUIRE_FALSE(found.blocked);
}

TEST_CASE("the winner touches nothing of a waiter that it has claimed early, or not at all", "[core][park]") {
  using weft::core::claimed;
  weft::detail::waiter w;
  w.park = 0;
  w.become(weft::detail::waiter_kind::thread);
  weft::core::word_of(w).begin(weft::core::state::preparing, weft::core::no_flags);
  REQUIRE(weft::core::word_of(w).claim(0) == claimed::early);
  const std::uint64_t won = w.park;
  weft::core::deliver(w, claimed::early);  // it sees the claim by itself, and may be gone
  weft::core::deliver(w, claimed::lost);
  REQUIRE(w.park == won);
  weft::core::deliver(w, claimed::parked);
  REQUIRE(weft::core::word_of(w).wait_state() == weft::core::state::delivered);
}
