// What waits and what does not: Go's test/chan/select3.go; in which form and at which place a case stands:
// test/chan/select5.go (its generated permutations; that the operands of a select are evaluated in order is
// Go's, the order of C++'s arguments is open - that each is evaluated once is tested).
//
// Whether something waits for ever is seen in a simulation: it ends with a deadlock.

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using weft::on_recv;
using weft::on_send;
using weft::otherwise;
using weft::test::everywhere;
using weft::test::task;

namespace {

/// The channels that Go's matrix has, in their states.
struct matrix {
  weft::channel<int> rendezvous{}, empty{10}, full{10}, closed{}, closed_buffered{10}, residue{10};

  matrix() {
    for (int i = 0; i < 10; ++i) (void)full.try_send(i);
    (void)residue.try_send(0);
    for (const auto* ch : {&closed, &closed_buffered, &residue}) ch->close();
  }
};

/// True if `body(face, matrix&)` ends, in either face.
template <typename Body>
bool ends(Body body, weft::test::faces how) {
  weft::test::trial t(how, 0, 0);
  weft::sim::result r;
  if (how == weft::test::faces::coroutine) {
    r = weft::sim::run(1, [&]() -> weft::routine<> {
      matrix m;
      co_await body(weft::test::coroutine_face(t, false), m);
    });
  } else {
    r = weft::sim::run(1, [&] {
      matrix m;
      body(weft::test::facade_face(t, true), m).get();
    });
  }
  INFO(r.report);
  REQUIRE(r.ok == (r.report.find("deadlock") == std::string::npos));
  REQUIRE(t.failure() == "");
  return r.ok;
}

template <typename Body>
bool waits(const Body& body) {
  const bool in_routine = ends(body, weft::test::faces::coroutine);
  const bool in_thread = ends(body, weft::test::faces::facade);
  REQUIRE(in_routine == in_thread);
  return !in_routine;
}

// --- the permutations ---

/// How often the operands of a case were evaluated.
struct evaluated {
  int channel = 0, value = 0, handler = 0;
};

/// A case that cannot happen, of one of several kinds.
template <std::size_t Kind>
auto dummy(const weft::channel<int>& never, const weft::channel<int>& ready) {
  if constexpr (Kind % 4 == 0) {
    return on_recv(never);
  } else if constexpr (Kind % 4 == 1) {
    return on_recv(ready).when(false);
  } else if constexpr (Kind % 4 == 2) {
    static const int value = 7;
    return on_send(never, value);
  } else {
    return weft::on_timeout(std::chrono::hours(100));
  }
}

/// The case at place `At` is the one, the others are dummies, from the kind `First` on.
template <std::size_t At, std::size_t I, std::size_t First, typename Case>
auto one_or_dummy(Case& one, const weft::channel<int>& never, const weft::channel<int>& ready) {
  if constexpr (I == At) {
    return std::move(one);
  } else {
    return dummy<I + First>(never, ready);
  }
}

/// Sends or receives by a select of `N` cases where the one stands at place `At`.
template <std::size_t N, std::size_t At, std::size_t First>
struct permutation {
  template <typename F, std::size_t... I>
  static task<F> run(F f, weft::channel<int> ch, bool biased, std::index_sequence<I...>) {
    const weft::channel<int> never;
    evaluated count;
    const auto channel = [&count, &ch]() -> const weft::channel<int>& { return ++count.channel, ch; };
    const auto value = [&count] { return ++count.value; };

    const auto sends = [&count](weft::send_status s) { count.handler += s == weft::send_status::sent; };
    const int number = value();  // a case that has a name copies, so what it copies has one too
    auto send = on_send(channel(), number, sends);
    std::size_t which = 0;
    if (biased) {
      which = co_await f.select(weft::biased, one_or_dummy<At, I, First>(send, never, ch)...);
    } else {
      which = co_await f.select(one_or_dummy<At, I, First>(send, never, ch)...);
    }
    f.expect(which == At, "the send that is ready");
    f.expect(count.channel == 1 && count.value == 1 && count.handler == 1, "all evaluated once");

    int got = 0;
    const auto receives = [&count, &got](std::optional<int> v) { ++count.handler, got = v.value_or(0); };
    auto receive = on_recv(channel(), receives);
    if (biased) {
      which = co_await f.select(weft::biased, one_or_dummy<At, I, First>(receive, never, ch)...);
    } else {
      which = co_await f.select(one_or_dummy<At, I, First>(receive, never, ch)...);
    }
    f.expect(which == At && got == 1, "the receive that is ready, and the value");
    f.expect(count.channel == 2 && count.handler == 2, "all evaluated once");
  }

  template <typename F>
  static task<F> run_all(F f, weft::channel<int> ch) {
    co_await run(f, ch, false, std::make_index_sequence<N>());
    co_await run(f, ch, true, std::make_index_sequence<N>());
  }
};

/// Answers what the permutations do to a rendezvous.
constexpr auto echo = [](auto f, weft::channel<int> ch) -> task<decltype(f)> {
  while (auto v = co_await f.recv(ch)) co_await f.send(ch, *v);
};

/// Every place in selects of up to four cases, and every kind of dummy beside it.
template <typename F>
task<F> permute(F f, weft::channel<int> ch) {
  co_await permutation<1, 0, 0>::run_all(f, ch);
  co_await permutation<2, 0, 0>::run_all(f, ch);
  co_await permutation<2, 1, 1>::run_all(f, ch);
  co_await permutation<2, 0, 2>::run_all(f, ch);
  co_await permutation<2, 1, 3>::run_all(f, ch);
  co_await permutation<3, 0, 0>::run_all(f, ch);
  co_await permutation<3, 1, 0>::run_all(f, ch);
  co_await permutation<3, 2, 0>::run_all(f, ch);
  co_await permutation<4, 0, 0>::run_all(f, ch);
  co_await permutation<4, 1, 1>::run_all(f, ch);
  co_await permutation<4, 2, 2>::run_all(f, ch);
  co_await permutation<4, 3, 3>::run_all(f, ch);
}

}  // namespace

TEST_CASE("a send waits for a receiver or a slot and a receive for a value, and neither on a closed channel",
          "[golang][select]") {
  // Each alone and as the only case of a select; Go's nil channel is a case that is off.
  const auto send = [](auto which) {
    REQUIRE(
        waits([which](auto f, matrix& m) -> task<decltype(f)> { co_await f.send(which(m), 1); }) ==
        waits([which](auto f, matrix& m) -> task<decltype(f)> { co_await f.select(on_send(which(m), 1)); }));
    return waits([which](auto f, matrix& m) -> task<decltype(f)> { co_await f.send(which(m), 1); });
  };
  const auto recv = [](auto which) {
    REQUIRE(waits([which](auto f, matrix& m) -> task<decltype(f)> { co_await f.recv(which(m)); }) ==
            waits([which](auto f, matrix& m) -> task<decltype(f)> { co_await f.select(on_recv(which(m))); }));
    return waits([which](auto f, matrix& m) -> task<decltype(f)> { co_await f.recv(which(m)); });
  };
  const auto rendezvous = [](matrix & m) -> auto& {
    return m.rendezvous;
  };
  const auto empty = [](matrix & m) -> auto& {
    return m.empty;
  };
  const auto full = [](matrix & m) -> auto& {
    return m.full;
  };
  const auto closed = [](matrix & m) -> auto& {
    return m.closed;
  };
  const auto closed_buffered = [](matrix & m) -> auto& {
    return m.closed_buffered;
  };
  const auto residue = [](matrix & m) -> auto& {
    return m.residue;
  };
  REQUIRE(send(rendezvous));
  REQUIRE(recv(rendezvous));
  REQUIRE_FALSE(send(empty));
  REQUIRE(recv(empty));
  REQUIRE(send(full));
  REQUIRE_FALSE(recv(full));
  REQUIRE_FALSE(send(closed));
  REQUIRE_FALSE(recv(closed));
  REQUIRE_FALSE(send(closed_buffered));
  REQUIRE_FALSE(recv(closed_buffered));
  REQUIRE_FALSE(send(residue));
  REQUIRE_FALSE(recv(residue));
}

TEST_CASE("a select waits if no case is on and ready, and never with otherwise", "[golang][select]") {
  REQUIRE(waits([](auto f, matrix&) -> task<decltype(f)> { co_await f.select(); }));
  REQUIRE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    co_await f.select(on_recv(m.full).when(false), on_send(m.empty, 1).when(false));
  }));
  REQUIRE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    co_await f.select(on_recv(m.rendezvous), on_send(m.rendezvous, 1), on_recv(m.empty), on_send(m.full, 1));
  }));
  REQUIRE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    co_await f.select(on_recv(m.empty), otherwise().when(false));
  }));
  REQUIRE_FALSE(waits([](auto f, matrix&) -> task<decltype(f)> { co_await f.select(otherwise()); }));
  REQUIRE_FALSE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    const auto which = co_await f.select(on_recv(m.full).when(false), otherwise());
    f.expect(which == 1, "a case that is off is not there");
  }));
  REQUIRE_FALSE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    const auto which = co_await f.select(on_recv(m.rendezvous), on_send(m.full, 1), otherwise());
    f.expect(which == 2, "nothing is ready");
  }));
  REQUIRE_FALSE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    const auto which = co_await f.select(on_recv(m.rendezvous), on_recv(m.closed), on_send(m.full, 1));
    f.expect(which == 1, "a closed channel is ready");
  }));
  REQUIRE_FALSE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    const auto which = co_await f.select(on_recv(m.rendezvous), on_send(m.closed, 1), on_send(m.full, 1));
    f.expect(which == 1, "to be sent to as well");
  }));
  REQUIRE_FALSE(waits([](auto f, matrix& m) -> task<decltype(f)> {
    const auto which = co_await f.select(on_recv(m.empty), on_recv(m.full), otherwise());
    f.expect(which == 1, "what is ready beats otherwise");
  }));
}

TEST_CASE("a case works at every place of a select, beside cases of every kind", "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::channel<int> buffered(1);
      co_await permute(f, buffered);
      weft::channel<int> rendezvous;
      auto other = f.go(echo, rendezvous);
      co_await permute(f, rendezvous);
      rendezvous.close();
      co_await f.join(std::move(other));
    }
  };
  everywhere(body, 20, 1);
}
