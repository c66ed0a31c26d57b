// Order: Go's test/chan/fifo.go.

#include <vector>

#include "support/catch.hpp"
#include "support/faces.hpp"

using weft::test::everywhere;
using weft::test::task;

namespace {

/// Receives `value`, having told the next to go on only then.
constexpr auto hop = [](auto f, weft::channel<int> ch, int value, weft::channel<void> in,
                        weft::channel<void> out) -> task<decltype(f)> {
  co_await f.recv(in);
  const auto got = co_await f.recv(ch);
  f.expect(got == value, "values come in the order in which they were sent");
  co_await f.send(out);
};

constexpr auto numbers = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) co_await f.send(ch, i);
};

}  // namespace

TEST_CASE("a buffered channel gives values in the order in which they were sent", "[golang][fifo]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> ch(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) co_await f.send(ch, i);
    for (int i = 0; i < n; ++i) {
      const auto got = co_await f.recv(ch);
      f.expect(got == i, "values come in the order in which they were sent");
    }
  };
  everywhere(body, 10'000, 10);
}

TEST_CASE("a rendezvous gives values in the order in which they were sent", "[golang][fifo]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> ch;
    std::vector<weft::join_handle<>> hops;
    weft::channel<void> in(1);
    (void)in.try_send();
    for (int i = 0; i < n; ++i) {
      weft::channel<void> out(1);
      hops.push_back(f.go(hop, ch, i, in, out));
      in = out;
    }
    auto sender = f.go(numbers, ch, n);
    for (auto& h : hops) co_await f.join(std::move(h));
    co_await f.join(std::move(sender));
    f.expect(in.size() == 1, "each has told the next");
  };
  everywhere(body, 200, 4);
}
