// Channels are linearizable: whatever three parties do, there is an order of their operations, each at one
// moment between its call and its return, in which a simple sequential channel gives the same results.
//
// Source: Herlihy and Wing; kotlinx.coroutines tests its channels by Lincheck in the same way.

#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

enum class what : std::uint8_t { send, try_send, send_for, recv, try_recv, recv_for, close };
enum class outcome : std::uint8_t { done, not_now, closed };

struct operation {
  what op;
  int value;  // sent, or received
  outcome end;
  int called, returned;
};

constexpr std::size_t parties = 3, each = 3, unbounded = ~std::size_t{0};

/// What one run has seen; each party writes its own operations.
struct history {
  std::atomic<int> clock{0};
  std::array<std::array<operation, each>, parties> of{};
};

struct program {
  std::array<std::array<what, each>, parties> of;
  std::array<bool, parties> plain;
};

/// A cheap generator.
struct dice {
  std::uint64_t state;

  std::uint32_t roll(std::uint32_t n) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state >> 33) % n;
  }
};

program random_program(dice d, bool waits) {
  program p{};
  for (std::size_t i = 0; i < parties; ++i) {
    p.plain[i] = d.roll(2) == 0;
    for (auto& op : p.of[i]) {
      do op = static_cast<what>(d.roll(7));
      while ((!waits && (op == what::send || op == what::recv)) || (op == what::close && d.roll(3) != 0));
    }
  }
  return p;
}

// --- running it ---

template <typename Status>
outcome outcome_of(Status s) {
  return s == Status::sent ? outcome::done : s == Status::closed ? outcome::closed : outcome::not_now;
}

void note(operation& o, weft::received<int> r) {
  o.end = r ? outcome::done : r.status == weft::recv_status::closed ? outcome::closed : outcome::not_now;
  if (r) o.value = *r;
}

/// Operations that do not wait.  False: it is another.
bool do_at_once(const weft::channel<int>& ch, operation& o) {
  if (o.op == what::try_send) {
    o.end = outcome_of(ch.try_send(int{o.value}));
  } else if (o.op == what::try_recv) {
    note(o, ch.try_recv());
  } else if (o.op == what::close) {
    o.end = ch.close() ? outcome::done : outcome::closed;
  } else {
    return false;
  }
  return true;
}

weft::routine<> party(weft::channel<int> ch, history& h, const program& p, std::size_t me) {
  for (std::size_t i = 0; i < each; ++i) {
    operation& o = h.of[me][i];
    o.op = p.of[me][i];
    o.value = static_cast<int>(10 * me + i);
    o.called = h.clock++;
    if (do_at_once(ch, o)) {
    } else if (o.op == what::send) {
      const auto s = co_await ch.send(int{o.value});
      o.end = s == weft::send_status::sent ? outcome::done : outcome::closed;
    } else if (o.op == what::send_for) {
      o.end = outcome_of(co_await ch.send_for(int{o.value}, 1us));
    } else if (o.op == what::recv) {
      const auto v = co_await ch.recv();
      o.end = v ? outcome::done : outcome::closed;
      o.value = v.value_or(-1);
    } else {
      note(o, co_await ch.recv_for(1us));
    }
    o.returned = h.clock++;
  }
}

void plain_party(const weft::channel<int>& to, history& h, const program& p, std::size_t me) {
  const weft::blocking::channel<int> ch(to);
  for (std::size_t i = 0; i < each; ++i) {
    operation& o = h.of[me][i];
    o.op = p.of[me][i];
    o.value = static_cast<int>(10 * me + i);
    o.called = h.clock++;
    if (do_at_once(ch, o)) {
    } else if (o.op == what::send) {
      o.end = ch.send(int{o.value}) == weft::send_status::sent ? outcome::done : outcome::closed;
    } else if (o.op == what::send_for) {
      o.end = outcome_of(ch.send_for(int{o.value}, 1us));
    } else if (o.op == what::recv) {
      const auto v = ch.recv();
      o.end = v ? outcome::done : outcome::closed;
      o.value = v.value_or(-1);
    } else {
      note(o, ch.recv_for(1us));
    }
    o.returned = h.clock++;
  }
}

weft::channel<int> channel_of(std::size_t capacity) {
  return capacity == unbounded ? weft::channel<int>::unbounded() : weft::channel<int>(capacity);
}

/// `start(f, args...)` is go().  Gives what was done, and the close at the end.
template <typename Start>
std::vector<operation> run(const program& p, std::size_t capacity, Start start, bool waits) {
  const auto ch = channel_of(capacity);
  history h;
  std::vector<weft::join_handle<>> all;
  for (std::size_t i = 0; i < parties; ++i) {
    all.push_back(p.plain[i] ? start(plain_party, ch, std::ref(h), std::cref(p), i)
                             : start(party, ch, std::ref(h), std::cref(p), i));
  }
  if (waits) weft::blocking::sleep_for(1s);  // virtual: who waits now waits for ever
  operation last{what::close, 0, outcome::done, h.clock++, 0};
  if (waits) last.end = ch.close() ? outcome::done : outcome::closed;
  last.returned = h.clock++;
  for (auto& each_of : all) each_of.join();
  std::vector<operation> seen;
  if (waits) seen.push_back(last);
  for (const auto& of : h.of) seen.insert(seen.end(), of.begin(), of.end());
  return seen;
}

// --- judging it ---

bool sends(const operation& o) {
  return o.op <= what::send_for;
}

bool receives(const operation& o) {
  return o.op >= what::recv && o.op <= what::recv_for;
}

class judge {
 public:
  judge(std::vector<operation> seen, std::size_t capacity) : seen_(std::move(seen)), capacity_(capacity) {}

  /// Is there an order?
  bool agrees() { return place(0); }

 private:
  /// `done`: those that have their place.
  bool place(std::uint32_t done) {
    if (done + 1 == 1U << seen_.size()) return true;
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      if (!may_be_next(i, done)) continue;
      const auto buffer = buffer_;
      const bool closed = closed_;
      if (happens(seen_[i]) && place(done | 1U << i)) return true;
      buffer_ = buffer;
      closed_ = closed;
      // Handed over, from one that sends to one that receives at the same moment.
      if (!sends(seen_[i]) || seen_[i].end != outcome::done || closed_ || !buffer_.empty()) continue;
      for (std::size_t k = 0; k < seen_.size(); ++k) {
        const bool meet = k != i && may_be_next(k, done) && receives(seen_[k]) &&
                          seen_[k].end == outcome::done && seen_[k].value == seen_[i].value;
        if (meet && place(done | 1U << i | 1U << k)) return true;
      }
    }
    return false;
  }

  bool may_be_next(std::size_t i, std::uint32_t done) const {
    if ((done >> i & 1U) != 0) return false;
    for (std::size_t k = 0; k < seen_.size(); ++k) {
      if ((done >> k & 1U) == 0 && seen_[k].returned < seen_[i].called) return false;
    }
    return true;
  }

  /// The sequential channel.
  bool happens(const operation& o) {
    if (o.op == what::close) {
      if (closed_ != (o.end == outcome::closed)) return false;
      closed_ = true;
      return true;
    }
    if (sends(o)) {
      if (o.end == outcome::closed) return closed_;
      if (o.end == outcome::not_now) return !closed_ && buffer_.size() >= capacity_;
      if (closed_ || buffer_.size() >= capacity_) return false;
      buffer_.push_back(o.value);
      return true;
    }
    if (o.end == outcome::closed) return closed_ && buffer_.empty();
    if (o.end == outcome::not_now) return !closed_ && buffer_.empty();
    if (buffer_.empty() || buffer_.front() != o.value) return false;
    buffer_.pop_front();
    return true;
  }

  std::vector<operation> seen_;
  std::size_t capacity_;
  std::deque<int> buffer_;
  bool closed_ = false;
};

std::string text_of(const std::vector<operation>& seen) {
  static const char* const names[]{"send", "try_send", "send_for", "recv", "try_recv", "recv_for", "close"};
  static const char* const ends[]{"done", "not now", "closed"};
  std::string text;
  for (const auto& o : seen) {
    text += std::to_string(o.called) + ".." + std::to_string(o.returned) + " " +
            names[static_cast<int>(o.op)] + " " + std::to_string(o.value) + ": " +
            ends[static_cast<int>(o.end)] + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("in every schedule channels behave as if each operation happened at one moment",
          "[api][linear][sim]") {
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, unbounded);
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const program p = random_program({seed}, true);
    std::vector<operation> seen;
    const auto r = weft::sim::run(seed, [&] {
      seen = run(
          p, capacity, [](auto... with) { return weft::go(with...); }, true);
    });
    INFO("seed " << seed << ", capacity " << capacity << "\n" << text_of(seen) << r.report);
    REQUIRE(r.ok);
    REQUIRE(judge(seen, capacity).agrees());
  }
}

TEST_CASE("on threads channels behave as if each operation happened at one moment", "[api][linear]") {
  const std::size_t capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, unbounded);
  weft::runtime rt({.workers = 3});
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    const program p = random_program({seed * 31 + 7}, false);
    const auto seen = run(
        p, capacity, [&](auto... with) { return rt.go(with...); }, false);
    INFO("seed " << seed << ", capacity " << capacity << "\n" << text_of(seen));
    REQUIRE(judge(seen, capacity).agrees());
  }
}

TEST_CASE("the judge of the channels' order refuses what no channel does", "[api][linear]") {
  using enum what;
  using enum outcome;
  const auto agrees = [](std::vector<operation> seen, std::size_t capacity) {
    return judge(std::move(seen), capacity).agrees();
  };
  REQUIRE(agrees({{send, 1, done, 0, 3}, {recv, 1, done, 1, 2}}, 0));
  REQUIRE_FALSE(agrees({{send, 1, done, 0, 1}, {recv, 1, done, 2, 3}}, 0));  // sent before anybody received
  REQUIRE(agrees({{send, 1, done, 0, 1}, {recv, 1, done, 2, 3}}, 1));
  REQUIRE_FALSE(
      agrees({{send, 1, done, 0, 1}, {send, 2, done, 2, 3}, {recv, 2, done, 4, 5}}, 2));  // overtaken
  REQUIRE_FALSE(agrees({{send, 1, done, 0, 1}, {recv, 1, done, 2, 3}, {recv, 1, done, 4, 5}}, 2));  // twice
  REQUIRE_FALSE(agrees({{send, 1, done, 0, 1}, {try_recv, 0, not_now, 2, 3}}, 1));                  // unseen
  REQUIRE_FALSE(agrees({{close, 0, done, 0, 1}, {try_send, 1, done, 2, 3}}, 1));
  REQUIRE_FALSE(
      agrees({{send, 1, done, 0, 1}, {close, 0, done, 2, 3}, {recv, 0, closed, 4, 5}}, 1));  // dropped
}
