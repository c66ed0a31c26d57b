// What happens before what: Go's runtime/race/testdata/chan_test.go and its kin (mutex, waitgroup, select),
// and what weft documents under "Order".
//
// Plain variables are handed over each documented edge; ThreadSanitizer is what fails these tests.  (Go's
// list of what must be reported as a race is a test of its detector, and has no like here.)  Also used,
// though undocumented, as in Go's memory model: a receive on a rendezvous happens before the send returns,
// and a receive that makes room before the send that takes it.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using namespace std::chrono_literals;
using weft::on_recv;
using weft::on_send;
using weft::otherwise;
using weft::test::everywhere;
using weft::test::task;

namespace {

/// A plain variable, written by one and then by the other.
struct plain {
  long value = 0;
  std::string text;

  void write(long v) {
    value = v;
    text = std::to_string(v);
  }

  bool is(long v) const { return value == v && text == std::to_string(v); }
};

/// Runs `edge(face, plain&)` n times; it writes 1 and, over the edge, 2.
template <typename Edge>
void hands_over(Edge edge, int n = weft::test::unless_sanitized(100, 50)) {
  const auto body = [edge](auto f, int times) -> task<decltype(f)> {
    for (int i = 0; i < times; ++i) {
      plain shared;
      co_await edge(f, shared);
      f.expect(shared.is(2), "the second write is the last");
    }
  };
  everywhere(body, n, 2);
}

void second(plain& p, bool& good) {
  good = p.is(1);
  p.write(2);
}

}  // namespace

TEST_CASE("a send happens before the receive of its value", "[golang][order]") {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{10}}) {
    hands_over([capacity](auto f, plain& p) -> task<decltype(f)> {
      weft::channel<int> ch(capacity);
      const auto writes = [&p](auto g, weft::channel<int> to) -> task<decltype(g)> {
        p.write(1);
        co_await g.send(to, 1);
      };
      auto h = f.go(writes, ch);
      co_await f.recv(ch);
      bool good = false;
      second(p, good);
      f.expect(good, "the write before the send");
      co_await f.join(std::move(h));
    });
  }
}

TEST_CASE("a try_send happens before a try_recv of its value, and a timed send before a timed receive",
          "[golang][order]") {
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::channel<int> ch(1);
    const auto writes = [&p](auto g, weft::channel<int> to) -> task<decltype(g)> {
      p.write(1);
      (void)to.try_send(1);
      co_return;
    };
    auto h = f.go(writes, ch);
    while (!ch.try_recv()) co_await f.yield();
    bool good = false;
    second(p, good);
    f.expect(good, "try");
    co_await f.join(std::move(h));
  });
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::channel<int> ch;
    const auto writes = [&p](auto g, weft::channel<int> to) -> task<decltype(g)> {
      p.write(1);
      (void)co_await g.send_for(to, 1, 1h);
    };
    auto h = f.go(writes, ch);
    (void)co_await f.recv_for(ch, 1h);
    bool good = false;
    second(p, good);
    f.expect(good, "timed");
    co_await f.join(std::move(h));
  });
}

TEST_CASE("a receive on a rendezvous happens before the end of the send", "[golang][order]") {
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::channel<int> ch;
    const auto sends = [&p](auto g, weft::channel<int> to) -> task<decltype(g), bool> {
      co_await g.send(to, 1);
      bool good = false;
      second(p, good);
      co_return good;
    };
    auto h = f.go(sends, ch);
    p.write(1);
    co_await f.recv(ch);
    const bool good = co_await f.join(std::move(h));
    f.expect(good, "the write before the receive");
  });
}

TEST_CASE("a receive that makes room happens before the end of the send that takes it", "[golang][order]") {
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::channel<int> ch(1);
    co_await f.send(ch, 0);
    const auto sends = [&p](auto g, weft::channel<int> to) -> task<decltype(g), bool> {
      co_await g.send(to, 1);
      bool good = false;
      second(p, good);
      co_return good;
    };
    auto h = f.go(sends, ch);
    p.write(1);
    co_await f.recv(ch);
    const bool good = co_await f.join(std::move(h));
    f.expect(good, "the write before the receive");
  });
}

TEST_CASE("a close happens before a receive that reports it, in every form", "[golang][order]") {
  for (int form = 0; form < 4; ++form) {
    hands_over(
        [form](auto f, plain& p) -> task<decltype(f)> {
          weft::channel<int> ch(1);
          const auto closes = [&p](auto g, weft::channel<int> to) -> task<decltype(g)> {
            p.write(1);
            to.close();
            co_return;
          };
          auto h = f.go(closes, ch);
          if (form == 0) co_await f.recv(ch);
          if (form == 1) co_await f.select(on_recv(ch), weft::on_timeout(1h));
          if (form == 2) {
            while (ch.try_recv().status != weft::recv_status::closed) co_await f.yield();
          }
          if (form == 3) {
            for (;;) {
              const std::size_t which = co_await f.select(on_recv(ch), otherwise());
              if (which == 0) break;
              co_await f.yield();
            }
          }
          bool good = false;
          second(p, good);
          f.expect(good, "the write before the close");
          co_await f.join(std::move(h));
        },
        40);
  }
}

TEST_CASE("a send in a select happens before a receive in a select", "[golang][order]") {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{2}}) {
    hands_over([capacity](auto f, plain& p) -> task<decltype(f)> {
      weft::channel<int> ch(capacity), never;
      const auto writes = [&p](auto g, weft::channel<int> to, weft::channel<int> other) -> task<decltype(g)> {
        p.write(1);
        co_await g.select(on_recv(other), on_send(to, 1), on_recv(other));
      };
      auto h = f.go(writes, ch, never);
      co_await f.select(on_recv(never), on_recv(ch));
      bool good = false;
      second(p, good);
      f.expect(good, "the write before the send");
      co_await f.join(std::move(h));
    });
  }
}

TEST_CASE("what is sent may be used up by who receives it", "[golang][order]") {
  const auto produce = [](auto f, weft::channel<std::unique_ptr<plain>> to, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      auto p = std::make_unique<plain>();
      p->write(i);
      co_await f.send(to, std::move(p));
    }
  };
  const auto body = [produce](auto f, int n) -> task<decltype(f)> {
    weft::channel<std::unique_ptr<plain>> ch(2);
    auto a = f.go(produce, ch, n), b = f.go(produce, ch, n);
    long sum = 0;
    for (int i = 0; i < 2 * n; ++i) {
      const auto p = co_await f.recv(ch);
      f.expect((*p)->is((*p)->value), "it is whole");
      sum += (*p)->value;
      (*p)->write(-1);
    }
    f.expect(sum == static_cast<long>(n) * (n - 1), "the sum");
    co_await f.join(std::move(a));
    co_await f.join(std::move(b));
  };
  everywhere(body, 1'000, 3);
}

TEST_CASE("a channel of one place is a mutex, and one of many a wait group", "[golang][order]") {
  const auto adds = [](auto f, weft::channel<void> place, weft::channel<void> done, long* sum,
                       std::string* text, int n) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      co_await f.send(place);
      ++*sum;
      *text += 'x';
      co_await f.recv(place);
    }
    co_await f.send(done);
  };
  const auto body = [adds](auto f, int n) -> task<decltype(f)> {
    long sum = 0;
    std::string text;
    weft::channel<void> place(1), done(4);
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < 4; ++i) all.push_back(f.go(adds, place, done, &sum, &text, n));
    for (int i = 0; i < 4; ++i) co_await f.recv(done);
    f.expect(sum == 4 * n && text.size() == static_cast<std::size_t>(4 * n), "no update is lost");
    for (auto& h : all) co_await f.join(std::move(h));
  };
  everywhere(body, weft::test::unless_sanitized(500, 100), 3);
}

TEST_CASE("go happens before the body, and the body's end before the join, done and on_join",
          "[golang][order]") {
  for (int form = 0; form < 3; ++form) {
    hands_over(
        [form](auto f, plain& p) -> task<decltype(f)> {
          p.write(1);
          const auto runs = [&p](auto g) -> task<decltype(g), bool> {
            bool good = false;
            second(p, good);
            p.write(3);
            co_await g.yield();
            co_return good;
          };
          auto h = f.go(runs);
          if (form == 1) {
            while (!h.done()) co_await f.yield();
          }
          if (form == 2) co_await f.select(weft::on_join(h));
          if (form == 0) {
            const bool good = co_await f.join(std::move(h));
            f.expect(good, "the write before go");
          }
          f.expect(p.is(3), "the write in the body");
          p.write(2);
        },
        50);
  }
}

TEST_CASE("an unlock happens before the next lock, by try_lock too", "[golang][order]") {
  const auto adds = [](auto f, weft::mutex* m, plain* p, int n, bool tries) -> task<decltype(f)> {
    for (int i = 0; i < n; ++i) {
      if (tries) {
        while (!m->try_lock()) co_await f.yield();
      } else {
        co_await f.wait(m->lock());
      }
      p->write(p->value + 1);
      m->unlock();
    }
  };
  const auto body = [adds](auto f, int n) -> task<decltype(f)> {
    weft::mutex m;
    plain p;
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < 4; ++i) all.push_back(f.go(adds, &m, &p, n, i == 3));
    for (auto& h : all) co_await f.join(std::move(h));
    f.expect(p.is(4 * n), "no update is lost");
  };
  everywhere(body, weft::test::unless_sanitized(500, 100), 3);
}

TEST_CASE("a set, a done and a release happen before the end of the wait that they end", "[golang][order]") {
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::event set;
    const auto writes = [&p, &set](auto g) -> task<decltype(g)> {
      p.write(1);
      set.set();
      co_return;
    };
    auto h = f.go(writes);
    co_await f.wait(set.wait());
    bool good = false;
    second(p, good);
    f.expect(good, "the write before set");
    co_await f.join(std::move(h));
  });
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::wait_group group(2);
    plain other;
    const auto writes = [&group](auto g, plain* to) -> task<decltype(g)> {
      to->write(1);
      group.done();
      co_return;
    };
    auto a = f.go(writes, &p), b = f.go(writes, &other);
    co_await f.wait(group.wait());
    bool good = other.is(1), both = false;
    second(p, both);
    f.expect(good && both, "the writes before done");
    co_await f.join(std::move(a));
    co_await f.join(std::move(b));
  });
  hands_over([](auto f, plain& p) -> task<decltype(f)> {
    weft::semaphore permits(0);
    const auto writes = [&p, &permits](auto g) -> task<decltype(g)> {
      p.write(1);
      permits.release();
      co_return;
    };
    auto h = f.go(writes);
    co_await f.wait(permits.acquire());
    bool good = false;
    second(p, good);
    f.expect(good, "the write before release");
    co_await f.join(std::move(h));
  });
}
