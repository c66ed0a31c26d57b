// Weft's own versions of what crossbeam-channel's mpsc tests (the standard library's, on its channels) check
// of the ends: which goes when, with a value inside, before or while somebody waits.
//
//   smoke*, smoke_threads, smoke_port_gone*, smoke_shared_port_gone*, smoke_chan_gone*,
//   port_gone_concurrent*, chan_gone_concurrent*, stress, stress_shared, oneshot_single_thread_* (13, of each
//   kind), oneshot_multi_task_*, oneshot_multi_thread_*_stress, stream_send_recv_stress,
//   stress_recv_timeout_*, recv_timeout_upgrade, recv_a_lot, shared_recv_timeout, shared_chan_stress,
//   try_recv_states, destroy_upgraded_shared_port_when_sender_still_active, send1-4, issue_15761
//
// In other files: drop_full*, issue_32114 (value_test); iterators (traffic_test); select_tests (select_test);
// try_send1-3 (channel_test).
// Not for weft: upgrades of one flavour to another (a channel is what it is),
// {send,recv}_from_outside_runtime and no_runtime (every mixed and facade run here is).

#include <memory>
#include <vector>

#include "crossbeam/support.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace weft::test;
using weft::recv_status;
using weft::send_status;
using weft::try_send_status;

namespace {

using boxed = std::unique_ptr<int>;

boxed box(int n) {
  return std::make_unique<int>(n);
}

// --- one party ---

const auto alone = [](auto f, int) -> task<decltype(f)> {
  for (const int kind : kinds) {
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // the receiver goes first
      drop(rx);
      drop(tx);
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // the sender goes first
      drop(tx);
      drop(rx);
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a send when the receiver has gone
      drop(rx);
      auto value = box(5);
      f.expect(co_await f.send(tx, std::move(value)) == send_status::closed && value,
               "it fails and gives back");
      f.expect(tx.try_send(std::move(value)) == try_send_status::closed && *value == 5, "as does a try");
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a receive when the sender has gone
      f.expect(rx.try_recv().status == recv_status::empty, "empty while there is one");
      drop(tx);
      f.expect(rx.try_recv().status == recv_status::closed, "closed when there is none");
      const auto end = co_await f.recv(rx);
      f.expect(!end.has_value(), "also for one that would wait");
      f.expect(rx.try_recv().status == recv_status::closed, "and for ever");
    }
    if (kind == rendezvous) continue;
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a value, then nobody: it is received before the end
      f.expect(tx.try_send(box(10)) == try_send_status::sent, "there is room");
      drop(tx);
      const auto got = co_await f.recv(rx);
      f.expect(got && **got == 10, "the value first");
      f.expect(rx.try_recv().status == recv_status::closed, "then the end");
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a value that nobody receives
      f.expect(tx.try_send(box(10)) == try_send_status::sent, "there is room");
      if (kind % 2 == 0) drop(rx);
    }
  }
};

// --- two parties: who goes first is anybody's guess ---

constexpr auto drops_it = [](auto f, auto end) -> task<decltype(f)> {
  drop(end);
  co_return;
};

constexpr auto expects_value = [](auto f, weft::channel_receiver<boxed> rx, int n) -> task<decltype(f)> {
  const auto got = co_await f.recv(rx);
  f.expect(got && **got == n, "its value");
};

constexpr auto expects_end = [](auto f, weft::channel_receiver<boxed> rx) -> task<decltype(f)> {
  const auto got = co_await f.recv(rx);
  f.expect(!got.has_value(), "the end");
};

constexpr auto sends_box = [](auto f, weft::channel_sender<boxed> tx, int n) -> task<decltype(f)> {
  auto mine = box(n);
  const send_status how = co_await f.send(tx, std::move(mine));
  f.expect((how == send_status::sent) == (mine == nullptr), "sent and gone, or here");
};

const auto two_at_once = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    const int kind = kinds[i % 4];
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // both ends go
      auto other = f.go(drops_it, std::move(rx));
      drop(tx);
      co_await f.join(std::move(other));
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a send, and the receiver goes
      auto other = f.go(drops_it, std::move(rx));
      auto sender = f.go(sends_box, std::move(tx), i);
      co_await f.join(std::move(other));
      co_await f.join(std::move(sender));
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a receive, and the sender goes
      auto waits = f.go(expects_end, std::move(rx));
      auto other = f.go(drops_it, std::move(tx));
      co_await f.join(std::move(other));
      co_await f.join(std::move(waits));
    }
    {
      auto [tx, rx] = ends_of<boxed>(kind);  // a receive and a send
      auto waits = f.go(expects_value, std::move(rx), i);
      auto sender = f.go(sends_box, std::move(tx), i);
      co_await f.join(std::move(waits));
      co_await f.join(std::move(sender));
    }
  }
};

/// Sends until it is told that nobody receives.
constexpr auto sends_until_closed = [](auto f, weft::channel_sender<int> tx) -> task<decltype(f), int> {
  int sent = 0;
  while (co_await f.send(tx, sent) == send_status::sent) ++sent;
  co_return sent;
};

const auto receiver_leaves = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    auto a = f.go(sends_until_closed, tx);
    auto b = f.go(sends_until_closed, tx);
    drop(tx);
    for (int i = 0; i < n; ++i) f.expect(co_await f.recv(rx) != std::nullopt, "two send");
    drop(rx);
    const int by_a = co_await f.join(std::move(a));
    const int by_b = co_await f.join(std::move(b));
    f.expect(by_a + by_b >= n, "what was received was sent");
  }
};

constexpr auto receives_until_closed = [](auto f, weft::channel_receiver<int> rx) -> task<decltype(f), int> {
  int got = 0;
  while (co_await f.recv(rx) != std::nullopt) ++got;
  co_return got;
};

constexpr auto sends_ones = [](auto f, weft::channel_sender<int> tx, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i)
    f.expect(co_await f.send(tx, 1) == send_status::sent, "they receive to the end");
};

const auto senders_leave = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    auto a = f.go(receives_until_closed, rx);
    auto b = f.go(receives_until_closed, std::move(rx));
    auto sender = f.go(sends_ones, tx, n);
    (void)co_await f.wait(tx.send_for(1, 1h));
    drop(tx);
    const int by_a = co_await f.join(std::move(a));
    const int by_b = co_await f.join(std::move(b));
    f.expect(by_a + by_b == n + 1, "all that was sent");
    co_await f.join(std::move(sender));
  }
};

// --- many handles, limits ---

constexpr auto sends_once = [](auto f, weft::channel_sender<int> tx, int i) -> task<decltype(f)> {
  if (i % 2 == 1) co_await f.wait(weft::sleep_for(std::chrono::microseconds(i)));
  f.expect(co_await f.send(tx, i) == send_status::sent, "the receiver is there");
};

const auto many_handles = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<int>(kind);
    std::vector<weft::join_handle<>> all;
    for (int i = 0; i < n; ++i) all.push_back(f.go(sends_once, tx, i));
    drop(tx);
    int got = 0, sum = 0;
    for (;;) {
      const auto v = co_await f.recv_for(rx, 10us);
      if (v.status == recv_status::closed) break;
      if (v.status == recv_status::empty) continue;
      ++got;
      sum += *v.value;
    }
    f.expect(got == n && sum == n * (n - 1) / 2, "one of each, and no limit has swallowed any");
    for (auto& h : all) co_await f.join(std::move(h));
  }
};

constexpr auto receives_one = [](auto f, weft::channel_receiver<int> rx,
                                 weft::channel_sender<int> done) -> task<decltype(f)> {
  f.expect(co_await f.recv(rx) == 1, "the first");
  co_await f.send(done, 1);
  drop(rx);  // with values inside, and a sender that is still at it
  co_await f.send(done, 2);
};

const auto dropped_in_use = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [tx, rx] = ends_of<int>(i % 2 == 0 ? unlimited : 3);
    auto [done, seen] = ends_of<int>(3);
    auto other = f.go(receives_one, std::move(rx), std::move(done));
    int sent = 0;
    while (co_await f.send(tx, 1) == send_status::sent) ++sent;
    f.expect(sent >= 1, "until it had gone");
    f.expect(co_await f.recv(seen) == 1, "it had received");
    f.expect(co_await f.recv(seen) == 2, "and gone");
    co_await f.join(std::move(other));
  }
};

constexpr auto answers_at_once = [](auto f, weft::channel_receiver<int> in,
                                    weft::channel_sender<int> out) -> task<decltype(f)> {
  f.expect(co_await f.recv(in) == 1, "asked");
  f.expect(out.try_send(2) == try_send_status::sent, "there is room for the answer");
};

const auto ask_and_answer = [](auto f, int n) -> task<decltype(f)> {
  for (int i = 0; i < n; ++i) {
    auto [ask, asked] = ends_of<int>(3);
    auto [answer, answered] = ends_of<int>(3);
    auto other = f.go(answers_at_once, std::move(asked), std::move(answer));
    f.expect(ask.try_send(1) == try_send_status::sent, "there is room to ask");
    f.expect(co_await f.recv(answered) == 2, "answered, though who answers has gone");
    co_await f.join(std::move(other));
  }
};

constexpr auto sends_through_many = [](auto f, weft::channel_sender<boxed> tx, int n) -> task<decltype(f)> {
  std::vector<weft::join_handle<>> all;
  for (int i = 0; i < n; ++i) all.push_back(f.go(sends_box, tx, i));
  for (auto& h : all) co_await f.join(std::move(h));
};

const auto one_party_each = [](auto f, int n) -> task<decltype(f)> {
  for (const int kind : kinds) {
    auto [tx, rx] = ends_of<boxed>(kind);
    auto senders = f.go(sends_through_many, std::move(tx), n);
    int sum = 0;
    for (int i = 0; i < n; ++i) {
      const auto got = co_await f.recv(rx);
      f.expect(got.has_value(), "one from each");
      if (got) sum += **got;
    }
    f.expect(sum == n * (n - 1) / 2, "each once");
    co_await f.join(std::move(senders));
    f.expect(rx.try_recv().status == recv_status::closed, "each has let go of its handle");
  }
};

}  // namespace

TEST_CASE("an end that has gone shows at the other, before and behind a value", "[crossbeam][end]") {
  everywhere(alone, 0, 0);
}

TEST_CASE("whichever goes first, a value arrives or is still its owner's", "[crossbeam][end]") {
  everywhere(two_at_once, unless_sanitized(1'000, 300), 4);
}

TEST_CASE("senders notice that the receiver has gone", "[crossbeam][end]") {
  everywhere(receiver_leaves, 1'000, 4);
}

TEST_CASE("receivers notice that the senders have gone, and have all by then", "[crossbeam][end]") {
  everywhere(senders_leave, 2'000, 4);
}

TEST_CASE("many handles that each send once lose nothing to a receiver with a limit", "[crossbeam][end]") {
  everywhere(many_handles, 100, 4);
}

TEST_CASE("a receiver goes while it is being sent to", "[crossbeam][end]") {
  everywhere(dropped_in_use, unless_sanitized(500, 150), 4);
}

TEST_CASE("an answer is received though who gave it has gone", "[crossbeam][end]") {
  everywhere(ask_and_answer, unless_sanitized(1'000, 300), 4);
}

TEST_CASE("a party for each value sends it and goes", "[crossbeam][end]") {
  everywhere(one_party_each, 100, 3);
}
