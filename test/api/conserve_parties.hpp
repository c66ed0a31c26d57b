#pragma once

// Who takes part in the conservation test: values that know what became of them, routines and plain code that
// send and receive them in every way there is.
//
// Each value has a number and is an object that counts: who has taken it or got it back empties it, so one
// that is destroyed whole was inside of a channel, or was the copy of a send that did not happen.

#include <weft/weft.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace weft::test::conserve {

/// What became of one value; each is 0 or 1 if all is well.
struct fate {
  std::atomic<std::uint8_t> sent{0}, received{0}, back{0}, copied{0}, gone{0};
};

struct ledger {
  explicit ledger(std::size_t values) : fates(values) {}

  std::optional<std::uint32_t> next() {
    const std::uint32_t n = offered.fetch_add(1);
    return n < fates.size() ? std::optional(n) : std::nullopt;
  }

  std::vector<fate> fates;
  std::atomic<std::uint32_t> offered{0};
  std::atomic<long> made{0}, destroyed{0};  // objects
  std::atomic<long> broken{0}, operations{0};
};

class parcel {
 public:
  parcel(ledger& in, std::uint32_t number) : in_(&in), number_(number), whole_(true) { ++in.made; }

  parcel(const parcel& other) : in_(other.in_), number_(other.number_), whole_(other.whole_) {
    ++in_->made;
    ++mine().copied;
  }

  parcel(parcel&& other) noexcept
      : in_(other.in_), number_(other.number_), whole_(std::exchange(other.whole_, false)) {
    ++in_->made;
  }

  parcel& operator=(parcel&& other) noexcept {
    if (whole_) ++mine().gone;
    in_ = other.in_;
    number_ = other.number_;
    whole_ = std::exchange(other.whole_, false);
    return *this;
  }

  ~parcel() {
    if (whole_) ++mine().gone;
    ++in_->destroyed;
  }

  /// One to receive into.
  explicit parcel(ledger& in) : in_(&in), number_(0), whole_(false) { ++in.made; }

  void take() {
    if (!std::exchange(whole_, false)) ++in_->broken;
    ++mine().received;
  }

  /// The sender's own, after a send.
  void settle(bool sent, bool as_copy) {
    if (sent) ++mine().sent;
    const bool still_here = std::exchange(whole_, false);
    if (still_here != (as_copy || !sent)) ++in_->broken;
    if (still_here) ++mine().back;
  }

 private:
  fate& mine() const { return in_->fates[number_]; }

  ledger* in_;
  std::uint32_t number_;
  bool whole_;
};

/// A cheap generator of its own for each party.
struct dice {
  std::uint32_t state;

  std::uint32_t roll(std::uint32_t n) noexcept {
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % n;
  }

  std::chrono::nanoseconds limit() noexcept { return std::chrono::nanoseconds(roll(3) * 5'000); }
};

// Rendezvous, one slot, some slots, unbounded; of the last one the ends are dropped while others work.
constexpr std::size_t channels = 5, dropped = 4, slots_of_dropped = 8;

using sender = weft::channel_sender<parcel>;
using receiver = weft::channel_receiver<parcel>;
using senders = std::array<std::optional<sender>, channels>;
using receivers = std::array<std::optional<receiver>, channels>;

/// The first channel's end instead of one that is dropped.
template <typename End>
const End& pick(const std::array<std::optional<End>, channels>& of, dice& d) {
  const auto& one = of[d.roll(channels)];
  return one ? *one : *of[0];
}

enum class send_by { value, copy, trying, limit, timeout, select, meeting, select_copy, cancelled };
enum class receive_by { value, into, trying, limit, timeout, select, select_now, cancelled };
constexpr std::uint32_t ways_to_send = 9, ways_to_receive = 8;

/// A send that is under way: to `a`, in a select perhaps to `b`, or a receive from `c`.
struct sending {
  sending(ledger& in, std::uint32_t number, const senders& to, const receivers& from, dice& d)
      : mine(in, number),
        a(pick(to, d)),
        b(pick(to, d)),
        c(pick(from, d)),
        how(static_cast<send_by>(d.roll(ways_to_send))),
        limit(d.limit()) {
    ++in.operations;
  }

  void settle() { mine.settle(sent, how == send_by::copy || how == send_by::select_copy); }

  parcel mine;
  const sender &a, &b;
  const receiver& c;
  send_by how;
  std::chrono::nanoseconds limit;
  bool sent = false;
};

/// What a party that receives does next.
struct receiving {
  receiving(ledger& in, const receivers& from, std::size_t first, dice& d)
      : place(in),
        a(*from[first]),
        b(pick(from, d)),
        how(static_cast<receive_by>(d.roll(ways_to_receive))),
        limit(d.limit()) {
    ++in.operations;
  }

  template <typename Value>  // optional<parcel> or received<parcel>
  void got(Value v) {
    if (v) (*v).take();
  }

  parcel place;
  const receiver &a, &b;
  receive_by how;
  std::chrono::nanoseconds limit;
};

/// Of the channels whose end is held and that may still give something, one; none: it is over.
inline std::optional<std::size_t> one_that_goes_on(const receivers& from, dice& d) {
  const std::size_t first = d.roll(channels);
  for (std::size_t i = 0; i < channels; ++i) {
    const std::size_t at = (first + i) % channels;
    if (from[at] && !(from[at]->is_closed() && from[at]->size() == 0)) return at;
  }
  return std::nullopt;
}

inline weft::routine<> cancels(weft::task_scope& s) {
  s.cancel();
  co_return;
}

// --- routines ---

inline weft::routine<> send_once(sending& s) {
  auto look = [&s](weft::send_status how) { s.sent = how == weft::send_status::sent; };
  auto take = [](std::optional<parcel> v) {
    if (v) v->take();
  };
  auto scoped = [&](weft::task_scope& scope) -> weft::routine<> {
    scope.go(cancels, std::ref(scope));
    look(co_await s.a.send(std::move(s.mine)));
  };
  switch (s.how) {
    case send_by::value:
      look(co_await s.a.send(std::move(s.mine)));
      break;
    case send_by::copy:
      look(co_await s.a.send(s.mine));
      break;
    case send_by::trying:
      s.sent = s.a.try_send(std::move(s.mine)) == weft::try_send_status::sent;
      break;
    case send_by::limit:
      s.sent = co_await s.a.send_for(std::move(s.mine), s.limit) == weft::send_until_status::sent;
      break;
    case send_by::timeout:
      look(co_await weft::with_timeout(s.limit, s.a.send(std::move(s.mine))));
      break;
    case send_by::select:
      co_await weft::select(weft::on_send(s.a, std::move(s.mine), look),
                            weft::on_send(s.b, std::move(s.mine), look), weft::on_timeout(s.limit));
      break;
    case send_by::meeting:
      co_await weft::select(weft::on_send(s.a, std::move(s.mine), look), weft::on_recv(s.c, take),
                            weft::on_timeout(s.limit));
      break;
    case send_by::select_copy:
      co_await weft::select(weft::on_send(s.a, s.mine, look), weft::otherwise());
      break;
    case send_by::cancelled:
      co_await weft::scope(scoped);
      break;
  }
}

inline weft::routine<> sends(senders to, receivers from, ledger& in, dice d) {
  while (const auto number = in.next()) {
    sending s(in, *number, to, from, d);
    try {
      co_await send_once(s);
    } catch (const weft::timeout_error&) {
    } catch (const weft::cancelled&) {
      s.settle();
      throw;
    }
    s.settle();
    if (d.roll(200) == 0) to[dropped].reset();
  }
}

inline weft::routine<> receive_once(receiving& r) {
  auto look = [&r](std::optional<parcel> v) { r.got(std::move(v)); };
  auto scoped = [&](weft::task_scope& scope) -> weft::routine<> {
    scope.go(cancels, std::ref(scope));
    look(co_await r.a.recv());
  };
  switch (r.how) {
    case receive_by::value:
      look(co_await r.a.recv());
      break;
    case receive_by::into: {
      const bool assigned = co_await r.a.recv_into(r.place);
      if (assigned) r.place.take();
      break;
    }
    case receive_by::trying:
      r.got(r.a.try_recv());
      co_await weft::yield();
      break;
    case receive_by::limit:
      r.got(co_await r.a.recv_for(r.limit));
      break;
    case receive_by::timeout:
      look(co_await weft::with_timeout(r.limit, r.a.recv()));
      break;
    case receive_by::select:
      co_await weft::select(weft::on_recv(r.a, look), weft::on_recv(r.b, look), weft::on_timeout(r.limit));
      break;
    case receive_by::select_now:
      co_await weft::select(weft::on_recv(r.a, look), weft::on_recv(r.b, look), weft::otherwise());
      co_await weft::yield();
      break;
    case receive_by::cancelled:
      co_await weft::scope(scoped);
      break;
  }
}

inline weft::routine<> receives(receivers from, ledger& in, dice d) {
  while (const auto first = one_that_goes_on(from, d)) {
    receiving r(in, from, *first, d);
    try {
      co_await receive_once(r);
    } catch (const weft::timeout_error&) {
    }
    if (d.roll(50) == 0) from[dropped].reset();
  }
}

/// Nobody waits for ever to send while this one is there: it is not cancelled.
inline weft::routine<> stays(receiver from, ledger& in, std::uint32_t leaves_after) {
  for (std::uint32_t n = 0; n < leaves_after; ++n) {
    ++in.operations;
    auto v = co_await from.recv();
    if (!v) break;
    v->take();
  }
}

// --- plain code ---

inline void send_once_plainly(sending& s) {
  namespace plain = weft::blocking;
  const auto look = [&s](weft::send_status how) { s.sent = how == weft::send_status::sent; };
  const auto take = [](std::optional<parcel> v) {
    if (v) v->take();
  };
  switch (s.how) {
    case send_by::value:
      return look(plain::wait(s.a.send(std::move(s.mine))));
    case send_by::copy:
      return look(plain::wait(s.a.send(s.mine)));
    case send_by::trying:
      s.sent = s.a.try_send(std::move(s.mine)) == weft::try_send_status::sent;
      return;
    case send_by::limit:
      s.sent = plain::wait(s.a.send_for(std::move(s.mine), s.limit)) == weft::send_until_status::sent;
      return;
    case send_by::timeout:
      return look(plain::with_timeout(s.limit, s.a.send(std::move(s.mine))));
    case send_by::select:
      plain::select(weft::on_send(s.a, std::move(s.mine), look), weft::on_send(s.b, std::move(s.mine), look),
                    weft::on_timeout(s.limit));
      return;
    case send_by::meeting:
      plain::select(weft::on_send(s.a, std::move(s.mine), look), weft::on_recv(s.c, take),
                    weft::on_timeout(s.limit));
      return;
    case send_by::select_copy:
      plain::select(weft::on_send(s.a, s.mine, look), weft::otherwise());
      return;
    case send_by::cancelled:
      plain::scope([&](weft::task_scope& scope) {
        scope.go(cancels, std::ref(scope));
        look(plain::wait(s.a.send(std::move(s.mine))));
      });
      return;
  }
}

inline void send_next_plainly(std::uint32_t number, const senders& to, const receivers& from, ledger& in,
                              dice& d) {
  sending s(in, number, to, from, d);
  try {
    send_once_plainly(s);
  } catch (const weft::timeout_error&) {
  } catch (const weft::cancelled&) {
    s.settle();
    throw;
  }
  s.settle();
}

inline void sends_plainly(senders to, receivers from, ledger& in, dice d) {
  while (const auto number = in.next()) {
    send_next_plainly(*number, to, from, in, d);
    if (d.roll(200) == 0) to[dropped].reset();
  }
}

inline void receive_once_plainly(receiving& r) {
  namespace plain = weft::blocking;
  const auto look = [&r](std::optional<parcel> v) { r.got(std::move(v)); };
  switch (r.how) {
    case receive_by::value:
      return look(plain::wait(r.a.recv()));
    case receive_by::into:
      if (plain::wait(r.a.recv_into(r.place))) r.place.take();
      return;
    case receive_by::trying:
      return r.got(r.a.try_recv());
    case receive_by::limit:
      return r.got(plain::wait(r.a.recv_for(r.limit)));
    case receive_by::timeout:
      return look(plain::with_timeout(r.limit, r.a.recv()));
    case receive_by::select:
      plain::select(weft::on_recv(r.a, look), weft::on_recv(r.b, look), weft::on_timeout(r.limit));
      return;
    case receive_by::select_now:
      plain::select(weft::on_recv(r.a, look), weft::on_recv(r.b, look), weft::otherwise());
      return;
    case receive_by::cancelled:
      plain::scope([&](weft::task_scope& scope) {
        scope.go(cancels, std::ref(scope));
        look(plain::wait(r.a.recv()));
      });
      return;
  }
}

inline void receives_plainly(receivers from, ledger& in, dice d) {
  while (const auto first = one_that_goes_on(from, d)) {
    receiving r(in, from, *first, d);
    try {
      receive_once_plainly(r);
    } catch (const weft::timeout_error&) {
    }
    if (d.roll(50) == 0) from[dropped].reset();
  }
}

}  // namespace weft::test::conserve
