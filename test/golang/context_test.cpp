// Trees of cancellation: Go's context/context_test.go and x_test.go.
//
// WithCancel is a handle's cancel() or a scope's, WithDeadline and WithTimeout are with_deadline and
// with_timeout, WithoutCancel is shield.  weft has no values (WithValue), no causes and no AfterFunc; a
// context of nothing cannot be written.  What each operation does when it is cancelled, one by one:
// test/api/cancel_test.cpp, deadline_test.cpp, own_cancel_test.cpp.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <vector>

#include "support/cancel.hpp"
#include "support/catch.hpp"
#include "support/faces.hpp"

using namespace std::chrono_literals;
using weft::test::ending;
using weft::test::everywhere;
using weft::test::task;

namespace {

using weft::test::coroutine_face;
using weft::test::facade_face;

/// weft::scope of `body(face, task_scope&, args...)`, in either face.
template <typename Body, typename... Args>
weft::routine<> in_scope(coroutine_face f, Body body, Args... args) {
  const auto run = [&](weft::task_scope& s) { return body(f, s, args...); };
  co_await weft::scope(run);
}

template <typename Body, typename... Args>
weft::test::immediate<void> in_scope(facade_face f, Body body, Args... args) {
  weft::blocking::scope([&](weft::task_scope& s) { body(f, s, args...).get(); });
  co_return;
}

/// weft::with_deadline of `body(face, args...)`.
template <typename Body, typename... Args>
weft::routine<> until(coroutine_face f, std::chrono::steady_clock::time_point t, Body body, Args... args) {
  co_await weft::with_deadline(t, body(f, args...));
}

template <typename Body, typename... Args>
weft::test::immediate<void> until(facade_face f, std::chrono::steady_clock::time_point t, Body body,
                                  Args... args) {
  const auto run = [&] { body(f, args...).get(); };
  weft::blocking::with_deadline(t, run);
  co_return;
}

struct witness {
  explicit witness(int leaves) : begun(static_cast<std::uint64_t>(leaves)) {}

  weft::wait_group begun;
  weft::channel<int> never{};
  std::atomic<int> cancelled{0};
};

/// Waits for ever; notes that it was cancelled, and goes.
constexpr auto leaf = [](auto f, witness* w) -> task<decltype(f)> {
  w->begun.done();
  bool ended = false;
  try {
    co_await f.recv(w->never);
  } catch (const weft::cancelled&) {
    ended = true;
  }
  if (ended) w->cancelled.fetch_add(1);
};

/// A scope with two of itself inside, down to the leaves.
struct tree {
  template <typename F>
  task<F> operator()(F f, witness* w, int depth) const {
    if (depth == 0) {
      co_await leaf(f, w);
      co_return;
    }
    const auto children = [w, depth](auto g, weft::task_scope& s) -> task<decltype(g)> {
      g.go_in(s, tree(), w, depth - 1);
      g.go_in(s, tree(), w, depth - 1);
      co_return;
    };
    co_await in_scope(f, children);
    co_await f.yield();  // its scope has ended; itself it is cancelled still
  }
};

/// Joins; true if it ended by cancellation.
constexpr auto ends_cancelled = [](auto f, weft::join_handle<> h) -> task<decltype(f), bool> {
  bool cancelled = false;
  try {
    co_await f.join(std::move(h));
  } catch (const weft::routine_cancelled&) {
    cancelled = true;
  }
  co_return cancelled;
};

/// Deadlines within one another; the number of the one that expired, outermost first.
struct layers {
  template <typename F>
  task<F> operator()(F f, std::vector<std::chrono::steady_clock::time_point> deadlines, std::size_t at,
                     std::vector<ending>* seen) const {
    if (at == deadlines.size()) {
      weft::channel<int> never;
      co_await f.recv(never);
      co_return;
    }
    const auto t = deadlines[at];
    ending& mine = (*seen)[at];
    try {
      co_await until(f, t, layers(), deadlines, at + 1, seen);
      mine = ending::value;
    } catch (const weft::deadline_exceeded&) {
      mine = ending::deadline;
      throw;
    } catch (const weft::cancelled&) {
      mine = ending::cancelled;
      throw;
    } catch (const weft::timeout_error&) {
      mine = ending::timeout;
    }
  }
};

/// Cancels the scope that it is in and the one around that, as all the others do.
constexpr auto cancel_both = [](auto f, weft::task_scope* own, weft::task_scope* outer,
                                bool outer_first) -> task<decltype(f)> {
  (outer_first ? outer : own)->cancel();
  (outer_first ? own : outer)->cancel();
  co_await f.yield();
};

}  // namespace

TEST_CASE("cancelling a routine ends all below it and nothing beside it", "[golang][context]") {
  const auto body = [](auto f, int depth) -> task<decltype(f)> {
    witness a(1 << depth), b(1 << depth);
    auto tree_a = f.go(tree(), &a, depth), tree_b = f.go(tree(), &b, depth);
    co_await f.wait(a.begun.wait());
    co_await f.wait(b.begun.wait());
    tree_a.cancel();
    tree_a.cancel();
    const bool a_ended = co_await ends_cancelled(f, std::move(tree_a));
    f.expect(a_ended && a.cancelled == 1 << depth, "every leaf is reached");
    f.expect(!tree_b.done() && b.cancelled == 0, "not the tree beside it");
    for (int i = 0; i < 1 << depth; ++i) co_await f.send(b.never, i);
    co_await f.join(std::move(tree_b));
    f.expect(b.cancelled == 0, "which ends as it would have");
  };
  everywhere(body, 5, 2);
}

TEST_CASE("what is started where all is cancelled already ends at its first wait, or never begins",
          "[golang][context]") {
  const auto waits = [](auto f, std::atomic<int>* beyond) -> task<decltype(f)> {
    co_await f.yield();
    beyond->fetch_add(1);
  };
  const auto inside = [waits](auto f, weft::task_scope& s, std::atomic<int>* beyond) -> task<decltype(f)> {
    s.cancel();
    for (int i = 0; i < 10; ++i) f.go_in(s, waits, beyond);
    co_return;
  };
  const auto body = [inside](auto f, int) -> task<decltype(f)> {
    std::atomic<int> beyond{0};
    co_await in_scope(f, inside, &beyond);
    f.expect(beyond == 0, "none comes past a wait");
    co_await f.yield();  // and whoever opened the scope is not cancelled
  };
  everywhere(body, 0, 0);
}

TEST_CASE("of deadlines within one another the earliest ends what is inside it and nothing outside",
          "[golang][context]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const auto count = static_cast<std::size_t>(n);
    for (std::size_t first = 0; first < count; ++first) {
      const auto begin = weft::now();
      std::vector<std::chrono::steady_clock::time_point> deadlines;
      for (std::size_t i = 0; i < count; ++i) {
        deadlines.push_back(begin + (i == first ? 2ms : (1 + (i * 7) % count) * 1h));
      }
      std::vector<ending> seen(count, ending::error);
      co_await layers()(f, deadlines, std::size_t{0}, &seen);
      for (std::size_t i = 0; i < count; ++i) {
        const ending expected = i < first ? ending::value : i == first ? ending::timeout : ending::deadline;
        f.expect(seen[i] == expected, "outside: a value; itself: a timeout; inside: a deadline");
      }
      const auto passed = weft::now() - begin;
      f.expect(passed >= 2ms && passed < 1h, "when it is due");
    }
  };
  everywhere(body, 6, 3);
}

TEST_CASE("scopes that many cancel at once from inside and outside come to their end", "[golang][context]") {
  const auto inner = [](auto f, weft::task_scope& own, weft::task_scope* outer, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) f.go_in(own, cancel_both, &own, outer, i % 2 == 0);
    weft::channel<int> never;
    co_await f.recv(never);
  };
  const auto opens = [inner](auto f, weft::task_scope* outer, int n) -> task<decltype(f)> {
    co_await in_scope(f, inner, outer, n);
  };
  const auto outer = [opens](auto f, weft::task_scope& s, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) f.go_in(s, opens, &s, n);
    weft::channel<int> never;
    co_await f.recv(never);
  };
  const auto body = [outer](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < (f.simulated() ? 1 : 20); ++i) co_await in_scope(f, outer, n);
    co_await f.yield();
  };
  everywhere(body, 6, 2);
}

TEST_CASE("a shielded wait ends as if nothing had been cancelled, and the next one throws",
          "[golang][context]") {
  const auto cleans_up = [](auto f, weft::event* begun, weft::channel<int> work,
                            weft::channel<int> rest) -> task<decltype(f), int> {
    bool cancelled = false;
    begun->set();
    try {
      co_await f.recv(work);
    } catch (const weft::cancelled&) {
      cancelled = true;
    }
    const auto v = co_await f.wait(weft::shield(rest.recv()));
    bool again = false;
    try {
      co_await f.recv(rest);
    } catch (const weft::cancelled&) {
      again = true;
    }
    co_return cancelled&& again ? v.value_or(-1) : -2;
  };
  const auto body = [cleans_up](auto f, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      weft::channel<int> work, rest;
      weft::event begun;
      auto h = f.go(cleans_up, &begun, work, rest);
      co_await f.wait(begun.wait());
      h.cancel();
      co_await f.send(rest, i);
      const int cleaned = co_await f.join(std::move(h));
      f.expect(cleaned == i, "it got what it waited for, and is cancelled still");
    }
  };
  everywhere(body, 100, 2);
}
