// Power series over rendezvous channels: Go's test/chan/powser1.go and powser2.go, after M. D. McIlroy's
// "Squinting at Power Series".
//
// A series is a routine that computes the next coefficient when it is asked.  Each operation is a routine
// that asks others, a product is a tree of them; a series that two want is split, and each of the two may be
// behind.  Closing the line of requests ends a series and all that it is made of: where Go leaves its
// goroutines waiting, the simulation would find them.

#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using weft::test::everywhere;
using weft::test::task;

namespace {

struct ratio {
  std::int64_t num, den;
  bool operator==(const ratio&) const = default;
};

ratio reduced(std::int64_t num, std::int64_t den) {
  const std::int64_t g = std::gcd(num, den);
  return den < 0 ? ratio{-num / g, -den / g} : ratio{num / g, den / g};
}

ratio operator+(ratio a, ratio b) {
  return reduced(a.num * b.den + b.num * a.den, a.den * b.den);
}

ratio operator*(ratio a, ratio b) {
  return reduced(a.num * b.num, a.den * b.den);
}

constexpr ratio zero{0, 1}, one{1, 1};

/// The line of requests and the line of coefficients.
struct series {
  weft::channel<void> asked;
  weft::channel<ratio> given;

  series() {}  // no aggregate: g++ 12 would destroy one that is an argument of an awaited call twice

  /// Nobody asks any more.
  void end() const {
    asked.close();
    given.close();
  }
};

/// Waits until `to` is asked, gives `value`.  False: nobody asks any more.
constexpr auto put = [](auto f, series to, ratio value) -> task<decltype(f), bool> {
  const bool more = co_await f.recv(to.asked);
  if (!more) co_return false;
  const weft::send_status s = co_await f.send(to.given, value);
  co_return s == weft::send_status::sent;
};

constexpr auto next_of = [](auto f, series from) -> task<decltype(f), ratio> {
  co_await f.send(from.asked);
  const auto v = co_await f.recv(from.given);
  co_return v.value_or(zero);
};

struct two {
  ratio a, b;
};

/// Asks both at once, and takes what comes first.
constexpr auto next_of_two = [](auto f, series a, series b) -> task<decltype(f), two> {
  two got{zero, zero};
  bool ask_a = true, ask_b = true, want_a = false, want_b = false;
  const auto take_a = [&got](std::optional<ratio> v) { got.a = v.value_or(zero); };
  const auto take_b = [&got](std::optional<ratio> v) { got.b = v.value_or(zero); };
  for (int i = 0; i < 4; ++i) {
    const std::size_t which = co_await f.select(
        weft::on_send(a.asked).when(ask_a), weft::on_send(b.asked).when(ask_b),
        weft::on_recv(a.given, take_a).when(want_a), weft::on_recv(b.given, take_b).when(want_b));
    if (which == 0) ask_a = false, want_a = true;
    if (which == 1) ask_b = false, want_b = true;
    if (which == 2) want_a = false;
    if (which == 3) want_b = false;
  }
  co_return got;
};

// --- splitting ---

/// Gives `from` to two.  While it waits for the next coefficient it answers whoever is behind: that one may
/// be needed to make it.
struct tee {
  template <typename F>
  task<F> operator()(F f, series from, series a, series b) const {
    const std::array to{&a, &b};
    std::array open{true, true}, waits{false, false};
    std::array<std::size_t, 2> place{0, 0};
    std::vector<ratio> all;
    bool asked = false;
    while (open[0] || open[1]) {
      bool more = true;
      const auto by_a = [&](bool still) { waits[0] = open[0] = still; };
      const auto by_b = [&](bool still) { waits[1] = open[1] = still; };
      const auto next = [&](std::optional<ratio> v) {
        more = v.has_value(), all.push_back(v.value_or(zero));
      };
      const std::size_t which = co_await f.select(weft::on_recv(a.asked, by_a).when(open[0] && !waits[0]),
                                                  weft::on_recv(b.asked, by_b).when(open[1] && !waits[1]),
                                                  weft::on_recv(from.given, next).when(asked));
      if (which == 2) asked = false;
      f.expect(more, "a series does not end by itself");
      for (std::size_t i = 0; i < 2; ++i) {
        if (!waits[i]) continue;
        if (place[i] < all.size()) {
          waits[i] = false;
          co_await f.send(to[i]->given, all[place[i]++]);
        } else if (!asked) {
          asked = true;
          co_await f.send(from.asked);
        }
      }
    }
    from.end();
  }
};

template <typename F>
struct split {
  split(F f, series of) { f.go(tee(), of, a, b); }

  series a, b;
};

// --- the series ---

struct repeats {
  template <typename F>
  task<F> operator()(F f, ratio value, series out) const {
    for (;;) {
      const bool more = co_await put(f, out, value);
      if (!more) co_return;
    }
  }
};

struct sum {
  template <typename F>
  task<F> operator()(F f, series u, series v, series out) const {
    for (;;) {
      const bool more = co_await f.recv(out.asked);
      if (!more) break;
      const two got = co_await next_of_two(f, u, v);
      co_await f.send(out.given, got.a + got.b);
    }
    u.end();
    v.end();
  }
};

/// c times x to the power of n times u; n may be -1: drops the first term.
struct shifted {
  template <typename F>
  task<F> operator()(F f, ratio c, int n, series u, series out) const {
    bool more = true;
    for (int i = 0; i < n && more; ++i) more = co_await put(f, out, zero);
    if (n < 0) co_await next_of(f, u);
    while (more) {
      more = co_await f.recv(out.asked);
      if (!more) break;
      const ratio v = co_await next_of(f, u);
      co_await f.send(out.given, c * v);
    }
    u.end();
  }
};

struct derivative {
  template <typename F>
  task<F> operator()(F f, series u, series out) const {
    co_await next_of(f, u);
    for (std::int64_t i = 1;; ++i) {
      const bool more = co_await f.recv(out.asked);
      if (!more) break;
      const ratio v = co_await next_of(f, u);
      co_await f.send(out.given, ratio{i, 1} * v);
    }
    u.end();
  }
};

struct integral {
  template <typename F>
  task<F> operator()(F f, ratio constant, series u, series out) const {
    bool more = co_await put(f, out, constant);
    for (std::int64_t i = 1; more; ++i) {
      more = co_await f.recv(out.asked);
      if (!more) break;
      const ratio v = co_await next_of(f, u);
      co_await f.send(out.given, reduced(v.num, v.den * i));
    }
    u.end();
  }
};

/// Passes on, once somebody asks.
struct copies {
  template <typename F>
  task<F> operator()(F f, series u, series out) const {
    for (;;) {
      const bool more = co_await f.recv(out.asked);
      if (!more) break;
      const ratio v = co_await next_of(f, u);
      co_await f.send(out.given, v);
    }
    u.end();
  }
};

// --- as functions ---

template <typename F>
series repeat(F f, ratio value) {
  series out;
  f.go(repeats(), value, out);
  return out;
}

template <typename F>
series add(F f, series u, series v) {
  series out;
  f.go(sum(), u, v, out);
  return out;
}

template <typename F>
series shift(F f, ratio c, int n, series u) {
  series out;
  f.go(shifted(), c, n, u, out);
  return out;
}

template <typename F>
series differentiate(F f, series u) {
  series out;
  f.go(derivative(), u, out);
  return out;
}

template <typename F>
series integrate(F f, ratio constant, series u) {
  series out;
  f.go(integral(), constant, u, out);
  return out;
}

/// (u + xU)(v + xV) = uv + x(uV + vU) + x x UV
struct product {
  template <typename F>
  task<F> operator()(F f, series u, series v, series out) const {
    const bool more = co_await f.recv(out.asked);
    if (!more) {
      u.end();
      v.end();
      co_return;
    }
    const two first = co_await next_of_two(f, u, v);
    const split us(f, u), vs(f, v);
    series deeper;
    f.go(product(), us.b, vs.b, deeper);
    const series cross = add(f, shift(f, first.b, 0, us.a), shift(f, first.a, 0, vs.a));
    const series rest = add(f, cross, shift(f, one, 1, deeper));
    co_await f.send(out.given, first.a * first.b);
    co_await copies()(f, rest, out);
  }
};

template <typename F>
series multiply(F f, series u, series v) {
  series out;
  f.go(product(), u, v, out);
  return out;
}

/// exp(u) = 1 + integral of exp(u) u': it is asked for its own earlier terms.  Ends when `loop` has ended,
/// too.
template <typename F>
series exponential(F f, series u, series& loop) {
  series behind;
  const series whole = integrate(f, one, multiply(f, behind, differentiate(f, u)));
  const split both(f, whole);
  f.go(copies(), both.b, behind);
  loop = both.b;
  return both.a;
}

/// The first n coefficients; ends the series.
constexpr auto first_of = [](auto f, series s, int n) -> task<decltype(f), std::vector<ratio>> {
  std::vector<ratio> all;
  for (int i = 0; i < n; ++i) {
    const ratio v = co_await next_of(f, s);
    all.push_back(v);
  }
  s.end();
  co_return all;
};

std::vector<ratio> first(std::vector<ratio> of, int n) {
  of.resize(static_cast<std::size_t>(n), zero);
  return of;
}

}  // namespace

TEST_CASE("power series are added, shifted, differentiated and integrated on demand", "[golang][series]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const auto sums = co_await first_of(f, add(f, repeat(f, one), repeat(f, {2, 1})), n);
    f.expect(sums == std::vector(sums.size(), ratio{3, 1}), "1 + 2");
    const auto shifts = co_await first_of(f, shift(f, {3, 1}, 2, repeat(f, one)), n);
    f.expect(shifts == first({zero, zero, {3, 1}, {3, 1}, {3, 1}, {3, 1}}, n), "3 x x");
    const auto slopes = co_await first_of(f, differentiate(f, repeat(f, one)), n);
    f.expect(slopes == first({{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}, n), "the derivative");
    const auto areas = co_await first_of(f, integrate(f, zero, repeat(f, one)), n);
    f.expect(areas == first({zero, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}}, n), "the integral");
  };
  everywhere(body, 6, 3);
}

TEST_CASE("both halves of a split series get all of it, in whatever order they ask", "[golang][series]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const split both(f, differentiate(f, repeat(f, one)));
    std::vector<ratio> a, b;
    const auto expected = first({{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}, n);
    for (int i = 0; i < 2 * n; ++i) {
      const bool by_a = i < n / 2 || (i >= n && b.size() == static_cast<std::size_t>(n));
      const ratio v = co_await next_of(f, by_a ? both.a : both.b);
      (by_a ? a : b).push_back(v);
    }
    both.a.end();
    both.b.end();
    f.expect(a == expected && b == expected, "the same coefficients");
  };
  everywhere(body, 6, 4);
}

TEST_CASE("a product of power series is a tree of routines that grows with each term", "[golang][series]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const auto squares = co_await first_of(f, multiply(f, repeat(f, one), repeat(f, one)), n);
    f.expect(squares == first({{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}, n), "1/(1-x) squared");
  };
  everywhere(body, 6, 2);
}

TEST_CASE("a power series that is defined by itself gives the terms of exp", "[golang][series]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    // exp(x/(1-x)): u = 0 + x + x x + ..
    series loop;
    const series exp = exponential(f, shift(f, one, 1, repeat(f, one)), loop);
    const auto terms = co_await first_of(f, exp, n);
    loop.end();
    f.expect(terms == first({one, one, {3, 2}, {13, 6}, {73, 24}, {167, 40}}, n), "known from a table");
  };
  everywhere(body, 6, 3);
}
