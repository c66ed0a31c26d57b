// Conservation: every value that was offered is received once, or handed back, or still inside - under close,
// cancel, timeout, select, dropped ends and stop at once, by routines, plain callables and threads.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "api/conserve_parties.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using namespace weft::test::conserve;

struct game {
  std::uint32_t seed;
  std::uint32_t values;
  unsigned workers;
  unsigned each;       ///< parties of each kind
  bool threads;        ///< some of them foreign threads
  bool closes;         ///< channels, while values are sent
  bool abandons;       ///< one channel loses its last receiver
  bool stops = false;  ///< the runtime, half-way
};

void end(weft::join_handle<>& h) {
  try {
    h.join();
  } catch (const weft::routine_cancelled&) {
  }
}

void play(ledger& in, const game& g) {
  weft::runtime rt({.workers = g.workers});
  dice d{g.seed};
  senders to;
  receivers from;
  const weft::channel<parcel> all[]{weft::channel<parcel>(0), weft::channel<parcel>(1),
                                    weft::channel<parcel>(5), weft::channel<parcel>::unbounded()};
  for (std::size_t i = 0; i < dropped; ++i) {
    to[i].emplace(all[i]);
    from[i].emplace(all[i]);
  }
  {
    auto ends = weft::make_channel<parcel>(slots_of_dropped);
    to[dropped].emplace(ends.sender);
    from[dropped].emplace(ends.receiver);
  }

  std::optional<sender> closer;  // elsewhere the last sender's end closes it
  if (g.abandons || g.stops) closer = to[dropped];
  senders party_to = to;
  receivers party_from = from;
  if (g.abandons) {  // who keeps an end without using it could make another wait for ever
    to[dropped].reset();
    party_from[dropped].reset();
  }
  const auto start = [&](std::uint32_t kind) {
    const dice its{d.roll(1U << 24U)};
    const bool keeps_all = d.roll(2) == 0;
    const receivers& its_from = keeps_all ? from : party_from;
    return kind == 0   ? rt.go(sends, party_to, party_from, std::ref(in), its)
           : kind == 1 ? rt.go(sends_plainly, party_to, party_from, std::ref(in), its)
           : kind == 2 ? rt.go(receives, its_from, std::ref(in), its)
                       : rt.go(receives_plainly, its_from, std::ref(in), its);
  };
  std::vector<weft::join_handle<>> residents;
  for (std::size_t i = 0; i < channels; ++i) {
    const bool leaves = i == dropped && g.abandons;
    residents.push_back(rt.go(stays, *from[i], std::ref(in), leaves ? d.roll(g.values / 20 + 1) : ~0U));
  }
  std::vector<weft::join_handle<>> parties;
  for (std::uint32_t i = 0; i < 4 * g.each; ++i) parties.push_back(start(i % 4));
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < g.each && g.threads; ++i) {
    threads.emplace_back(sends_plainly, party_to, party_from, std::ref(in), dice{d.roll(1U << 24U)});
    threads.emplace_back(receives_plainly, party_from, std::ref(in), dice{d.roll(1U << 24U)});
  }

  while (const auto number = in.next()) {
    send_next_plainly(*number, to, from, in, d);
    if (d.roll(8) == 0) {
      const std::uint32_t which = d.roll(4 * g.each);
      parties[which].cancel();
      end(parties[which]);
      parties[which] = start(which % 4);
    }
    if (g.closes && d.roll(g.values / 16) == 0) (void)to[d.roll(4)]->close();
    if (g.abandons && d.roll(20) == 0) from[dropped].reset();
    if (g.stops && *number > g.values / 2) {
      rt.stop();
      break;
    }
  }
  to[dropped].reset();
  party_to[dropped].reset();
  if (g.abandons) from[dropped].reset();
  if (closer) (void)closer->close();
  if (!g.stops) {
    for (std::size_t i = 0; i < parties.size(); ++i) {
      if (i % 4 < 2) end(parties[i]);
    }
    for (std::size_t i = 0; i < threads.size(); i += 2) threads[i].join();
  }
  for (std::size_t i = 0; i < dropped; ++i) (void)all[i].close();
  for (auto& t : threads) {
    if (t.joinable()) t.join();
  }
  for (auto& h : parties) {
    if (h) end(h);
  }
  for (auto& h : residents) end(h);
  for (auto& each : from) {
    while (auto v = each ? each->try_recv() : weft::received<parcel>{weft::recv_status::empty, {}}) v->take();
  }
}

struct balance {
  long offered = 0, sent = 0, received = 0, handed_back = 0, inside = 0, wrong = 0, operations = 0;
};

void settle(balance& of, const ledger& in, const game& g) {
  long inside = 0;
  const std::size_t offered = std::min<std::size_t>(in.offered, in.fates.size());
  for (std::size_t i = 0; i < offered; ++i) {
    const fate& f = in.fates[i];
    of.sent += f.sent;
    of.received += f.received;
    of.handed_back += 1 - f.sent;
    inside += f.sent - f.received;
    const bool once = f.sent <= 1 && f.received <= f.sent && f.copied <= 1 && f.back <= 1;
    // What is neither received nor handed back was destroyed in the channel, or with the send that had
    // copied.
    const bool all_there = f.received + f.back + f.gone == 1 + f.copied;
    const bool back = f.back == (f.copied != 0 || f.sent == 0);
    if (!once || !all_there || !back) ++of.wrong;
  }
  if (inside > (g.abandons ? static_cast<long>(slots_of_dropped) : 0)) ++of.wrong;
  if (in.made != in.destroyed) ++of.wrong;
  of.wrong += in.broken;
  of.inside += inside;
  of.offered += static_cast<long>(offered);
  of.operations += in.operations;
}

/// Games of all sorts until `operations` have been done or `until` has come.
balance play_many(long operations, std::uint32_t values, std::chrono::steady_clock::time_point until) {
  balance all;
  for (std::uint32_t seed = 1; all.operations < operations && weft::now() < until; ++seed) {
    constexpr unsigned workers[]{1, 2, 4, 16};
    const game g{.seed = seed * 7919,
                 .values = values,
                 .workers = workers[seed % 4],
                 .each = 1 + seed % 3,
                 .threads = seed % 3 != 0,
                 .closes = seed % 2 == 0,
                 .abandons = seed % 5 < 2,
                 .stops = seed % 7 == 0};
    ledger in(g.values);
    play(in, g);
    settle(all, in, g);
    if (all.wrong != 0) {
      UNSCOPED_INFO("in game " << seed);
      break;
    }
  }
  return all;
}

void require_balanced(const balance& b) {
  INFO(b.operations << " operations, " << b.offered << " values: " << b.sent << " sent, " << b.received
                    << " received, " << b.handed_back << " handed back, " << b.inside << " inside");
  REQUIRE(b.wrong == 0);
  REQUIRE(b.offered == b.received + b.handed_back + b.inside);
  REQUIRE(b.received > b.offered / 10);
  REQUIRE(b.handed_back > b.offered / 100);
}

}  // namespace

TEST_CASE(
    "what is sent is received once or handed back or still inside, on all faces, whatever happens at once",
    "[api][conserve]") {
  const balance b = play_many(100'000, 3'000, weft::now() + 20s);
  require_balanced(b);
}

TEST_CASE("of ten million operations on channels none loses or doubles a value", "[.stress][api][conserve]") {
  const balance b = play_many(10'000'000, 100'000, weft::now() + 45s);
  WARN(b.operations << " operations");
  require_balanced(b);
}

TEST_CASE("no schedule of a simulation loses or doubles a value", "[api][conserve][sim]") {
  balance all;
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    const game g{.seed = seed * 31,
                 .values = 60,
                 .workers = 1 + seed % 3,
                 .each = 1,
                 .threads = false,
                 .closes = seed % 2 == 0,
                 .abandons = seed % 5 < 2,
                 .stops = seed % 7 == 0};
    ledger in(g.values);
    const auto r = weft::sim::run(seed, [&] { play(in, g); });
    settle(all, in, g);
    INFO("seed " << seed << ": " << r.report);
    REQUIRE(r.ok);
    REQUIRE(all.wrong == 0);
  }
  require_balanced(all);
}
