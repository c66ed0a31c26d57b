// Load on select: Go's runtime TestSelectStress, TestChanSendBarrier and TestChanSendSelectBarrier;
// test/chan/select2.go (memory), test/chanlinear.go (time).

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <malloc.h>

#include "support/catch.hpp"
#include "support/faces.hpp"

using namespace std::chrono_literals;
using weft::on_recv;
using weft::on_send;
using weft::test::everywhere;
using weft::test::task;

namespace {

using four = std::array<weft::channel<int>, 4>;

constexpr auto send_many = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) co_await f.send(ch, i);
};

constexpr auto recv_many = [](auto f, weft::channel<int> ch, int n) -> task<decltype(f), int> {
  int got = 0;
  for (int i = 0; i < n; ++i) {
    const auto v = co_await f.recv(ch);
    got += v.has_value();
  }
  co_return got;
};

/// n to each, whichever takes it.
constexpr auto select_send_many = [](auto f, four ch, int n) -> task<decltype(f)> {
  std::array left{n, n, n, n};
  for (int i = 0; i < 4 * n; ++i) {
    const std::size_t which =
        co_await f.select(on_send(ch[3], i).when(left[3] != 0), on_send(ch[2], i).when(left[2] != 0),
                          on_send(ch[0], i).when(left[0] != 0), on_send(ch[1], i).when(left[1] != 0));
    --left[std::array<std::size_t, 4>{3, 2, 0, 1}[which]];
  }
};

constexpr auto select_recv_many = [](auto f, four ch, int n) -> task<decltype(f), int> {
  std::array left{n, n, n, n};
  int got = 0;
  const auto take = [&got](std::optional<int> v) { got += v.has_value(); };
  for (int i = 0; i < 4 * n; ++i) {
    const std::size_t which =
        co_await f.select(on_recv(ch[0], take).when(left[0] != 0), on_recv(ch[1], take).when(left[1] != 0),
                          on_recv(ch[2], take).when(left[2] != 0), on_recv(ch[3], take).when(left[3] != 0));
    --left[which];
  }
  co_return got;
};

struct response {
  std::string text;
  int number;
};

constexpr auto answer = [](auto f, weft::channel<std::unique_ptr<response>> to, int i) -> task<decltype(f)> {
  auto r = std::make_unique<response>();
  r->text = "an answer that does not fit into the small buffer";
  r->number = i;
  co_await f.send(to, std::move(r));
};

/// Asks n times; each answer comes from a routine of its own, and is seen wholly.
constexpr auto ask = [](auto f, int n, bool selects) -> task<decltype(f), int> {
  int good = 0;
  for (int i = 0; i < n; ++i) {
    weft::channel<std::unique_ptr<response>> ch(1);
    auto h = f.go(answer, ch, i);
    std::unique_ptr<response> r;
    if (selects) {
      const auto take = [&r](std::optional<std::unique_ptr<response>> v) { r = *std::move(v); };
      co_await f.select(on_recv(ch, take), weft::on_timeout(1h));
    } else {
      co_await f.recv_into(ch, r);
    }
    good += r != nullptr && r->number == i && r->text.size() == 49;
    co_await f.join(std::move(h));
  }
  co_return good;
};

/// Waits for its own channel or for one that all share; which it was.
constexpr auto wait_for_either = [](auto f, weft::channel<void> own,
                                    weft::channel<void> shared) -> task<decltype(f), std::size_t> {
  co_return co_await f.select(on_recv(own), on_recv(shared));
};

/// In use, of malloc's memory; 0 under sanitizers, which have one of their own.
std::size_t allocated() {
  return ::mallinfo2().uordblks;
}

}  // namespace

TEST_CASE("plain and selecting senders and receivers on four channels come to their end",
          "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const four ch{weft::channel<int>(), weft::channel<int>(), weft::channel<int>(2), weft::channel<int>(3)};
    std::vector<weft::join_handle<>> senders;
    std::vector<weft::join_handle<int>> receivers;
    for (const auto& each : ch) {
      senders.push_back(f.go(send_many, each, n));
      receivers.push_back(f.go(recv_many, each, n));
    }
    senders.push_back(f.go(select_send_many, ch, n));
    receivers.push_back(f.go(select_recv_many, ch, n));
    int got = 0;
    for (auto& h : receivers) got += co_await f.join(std::move(h));
    for (auto& h : senders) co_await f.join(std::move(h));
    f.expect(got == 8 * n, "all has come");
    for (const auto& each : ch) f.expect(each.size() == 0, "and nothing is left");
  };
  everywhere(body, weft::test::unless_sanitized(2'000, 300), 3);
}

TEST_CASE("what was written before a send is seen whole after the receive", "[golang][select]") {
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    for (const bool selects : std::array{false, true}) {
      const int askers = f.simulated() ? 2 : 20;
      std::vector<weft::join_handle<int>> all;
      for (int i = 0; i < askers; ++i) all.push_back(f.go(ask, n, selects));
      int good = 0;
      for (auto& h : all) good += co_await f.join(std::move(h));
      f.expect(good == askers * n, "every answer is whole");
    }
  };
  everywhere(body, weft::test::unless_sanitized(100, 20), 2);
}

TEST_CASE("a hundred thousand selects leave no memory behind", "[golang][select]") {
  const auto receiver = [](auto f, weft::channel<int> ch, weft::channel<int> never,
                           int n) -> task<decltype(f), int> {
    int wrong = 0;
    for (int i = 0; i < n; ++i) wrong += co_await f.select(on_recv(ch), on_recv(never)) != 0;
    co_return wrong;
  };
  const auto body = [receiver](auto f, int n) -> task<decltype(f)> {
    weft::channel<int> ch, never;
    for (int warm = 0; warm < 2; ++warm) {
      const int rounds = warm == 0 ? n / 10 : n;
      const std::size_t before = allocated();
      auto r = f.go(receiver, ch, never, rounds);
      auto s = f.go(send_many, ch, rounds);
      const int wrong = co_await f.join(std::move(r));
      co_await f.join(std::move(s));
      const std::size_t after = allocated();
      f.expect(wrong == 0, "nothing comes from the channel that nobody sends to");
      f.expect(warm == 0 || after < before + 110'000, "no more than Go allows");
    }
  };
  weft::test::on_workers(2, weft::test::faces::coroutine, body,
                         weft::test::unless_sanitized(100'000, 10'000));
  weft::test::on_workers(2, weft::test::faces::facade, body, weft::test::unless_sanitized(20'000, 2'000));
  weft::test::on_workers(2, weft::test::faces::mixed, body, weft::test::unless_sanitized(20'000, 2'000));
}

TEST_CASE("a waiter leaves the line of a channel in the same time however long the line is",
          "[golang][select]") {
  // All wait on one channel and each on its own: those of the middle leave first.  If leaving meant to walk
  // the line, the steps would be n * n / 4, and the test's time would not do.
  const auto body = [](auto f, int n) -> task<decltype(f)> {
    const std::size_t count = f.only_routines() ? static_cast<std::size_t>(n) : (f.simulated() ? 8 : 100);
    weft::channel<void> shared;
    std::vector<weft::channel<void>> own(count);
    std::vector<weft::join_handle<std::size_t>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(f.go(wait_for_either, own[i], shared));
    for (std::size_t i = 0; i < count / 2; ++i) co_await f.send(own[(i + count / 4) % count]);
    shared.close();
    std::size_t by_own = 0;
    for (auto& h : all) by_own += co_await f.join(std::move(h)) == 0 ? 1U : 0U;
    f.expect(by_own == count / 2, "who was sent something, by its own channel");
  };
  everywhere(body, weft::test::unless_sanitized(100'000, 5'000), 50);
}
