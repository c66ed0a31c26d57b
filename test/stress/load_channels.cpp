// The parties that hand values to one another.

#include <weft/error.hpp>
#include <weft/select.hpp>
#include <weft/stats.hpp>

#include <optional>

#include "stress/load.hpp"

using namespace std::chrono_literals;

namespace weft::test::stress {

namespace {

constexpr nanoseconds short_limit = 50us;
constexpr nanoseconds long_limit = 2ms;

const weft::channel<token>& one_of(world& w, dice& d) {
  return w.channels[d.roll(static_cast<std::uint32_t>(w.channels.size()))];
}

/// Unbounded ones must not grow without one.
bool is_full(const weft::channel<token>& c) {
  return c.size() > 1'000;
}

weft::routine<> serves(weft::channel<std::uint32_t> in, weft::channel<std::uint32_t> out) {
  while (auto v = co_await in.recv()) {
    if (co_await out.send(*v + 1) == weft::send_status::closed) co_return;
  }
}

void serves_here(weft::blocking::channel<std::uint32_t> in, weft::blocking::channel<std::uint32_t> out) {
  for (std::uint32_t v : in) {
    if (out.send(v + 1) == weft::send_status::closed) return;
  }
}

weft::routine<> sends_some(weft::channel<token> to, world& w, dice d) {
  const std::uint32_t n = d.roll(40);
  for (std::uint32_t i = 0; i < n; ++i) {
    token mine(w.book.alive, i);
    bool gone = false;
    try {
      if (d.one_in(3)) {
        auto look = [&gone](weft::send_status s) { gone = s == weft::send_status::sent; };
        co_await weft::select(weft::on_send(to, std::move(mine), look));
      } else {
        gone = co_await to.send(std::move(mine)) == weft::send_status::sent;
      }
    } catch (const weft::cancelled&) {
      w.book.gave(mine, i, gone);
      throw;
    }
    w.book.gave(mine, i, gone);
    if (!gone) break;
  }
}

weft::routine<> receives_some(weft::channel<token> from, world& w) {
  while (auto v = co_await from.recv()) w.book.got(*v);
}

}  // namespace

weft::routine<> sends_in_all_ways(world& w, party& me, dice d) {
  while (w.goes_on()) {
    const weft::channel<token>& a = one_of(w, d);
    const weft::channel<token>& b = one_of(w, d);
    me.step();
    if (is_full(a) || is_full(b)) {
      co_await weft::yield();
      continue;
    }
    const std::uint32_t number = d.roll(1'000);
    token mine(w.book.alive, number);
    bool gone = false;
    try {
      switch (d.roll(5)) {
        case 0:
          gone = co_await a.send_for(std::move(mine), long_limit) == weft::send_until_status::sent;
          break;
        case 1:
          gone = a.try_send(std::move(mine)) == weft::try_send_status::sent;
          co_await weft::yield();
          break;
        case 2:
          gone = co_await a.send_for(std::move(mine), d.below(short_limit)) == weft::send_until_status::sent;
          break;
        case 3: {
          auto look = [&gone](weft::send_status s) { gone = s == weft::send_status::sent; };
          co_await weft::select(weft::on_send(a, std::move(mine), look),
                                weft::on_send(b, std::move(mine), look),
                                weft::on_timeout(d.below(long_limit)));
          break;
        }
        default:
          gone = co_await weft::with_timeout(d.below(short_limit), a.send(std::move(mine))) ==
                 weft::send_status::sent;
      }
    } catch (const weft::timeout_error&) {
    }
    w.book.gave(mine, number, gone);
  }
}

weft::routine<> receives_in_all_ways(world& w, party& me, dice d) {
  const auto take = [&w](std::optional<token> v) {
    if (v) w.book.got(*v);
  };
  while (w.goes_on()) {
    const weft::channel<token>& a = one_of(w, d);
    const weft::channel<token>& b = one_of(w, d);
    me.step();
    try {
      switch (d.roll(6)) {
        case 0:
          if (auto v = co_await a.recv_for(long_limit)) w.book.got(*v);
          break;
        case 1:
          if (auto v = a.try_recv()) w.book.got(*v);
          co_await weft::yield();
          break;
        case 2:
          if (auto v = co_await a.recv_for(d.below(short_limit))) w.book.got(*v);
          break;
        case 3:
          co_await weft::select(weft::on_recv(a, take), weft::on_recv(b, take),
                                weft::on_timeout(d.below(long_limit)));
          break;
        case 4: {
          weft::selector any;
          for (const auto& each : w.channels) any.add(weft::on_recv(each, take));
          any.add(weft::on_timeout(d.below(long_limit)));
          co_await any.wait();
          break;
        }
        default: {
          auto v = co_await weft::with_timeout(d.below(short_limit), a.recv());
          if (v) w.book.got(*v);
        }
      }
    } catch (const weft::timeout_error&) {
    }
  }
}

weft::routine<> plays_ping_pong(world& w, party& me, dice d) {
  while (w.goes_on()) {
    const weft::channel<std::uint32_t> to(d.roll(3)), from(d.roll(3));
    weft::join_handle<void> other = d.one_in(2) ? w.rt.go(serves, to, from) : w.rt.go(serves_here, to, from);
    const std::uint32_t rounds = 1 + d.roll(200);
    for (std::uint32_t i = 0; i < rounds && w.goes_on(); ++i) {
      co_await to.send(std::uint32_t{i});
      const auto v = co_await from.recv();
      if (!v || *v != i + 1) ++w.book.wrong;
      me.step();
    }
    to.close();
    co_await std::move(other);
  }
}

void plays_ping_pong_here(world& w, party& me, dice d) {
  while (w.goes_on()) {
    const weft::blocking::channel<std::uint32_t> to(d.roll(3)), from(d.roll(3));
    weft::join_handle<void> other = d.one_in(2) ? w.rt.go(serves, to, from) : w.rt.go(serves_here, to, from);
    const std::uint32_t rounds = 1 + d.roll(50);
    for (std::uint32_t i = 0; i < rounds && w.goes_on(); ++i) {
      to.send(i);
      const auto v = from.recv();
      if (!v || *v != i + 1) ++w.book.wrong;
      me.step();
    }
    to.close();
    other.join();
  }
}

/// Closed and cancelled at any moment; what is left in them goes with them.
weft::routine<> makes_short_channels(world& w, party& me, dice d) {
  while (w.goes_on()) {
    weft::channel<token> c(d.roll(4));
    std::vector<weft::join_handle<void>> senders, receivers;
    for (std::uint32_t i = 0, n = 1 + d.roll(3); i < n; ++i) {
      senders.push_back(w.rt.go(sends_some, c, std::ref(w), dice(d.seed())));
    }
    for (std::uint32_t i = 0, n = 1 + d.roll(3); i < n; ++i) {
      receivers.push_back(w.rt.go(receives_some, c, std::ref(w)));
    }
    for (std::uint32_t i = 0, n = d.roll(4); i < n; ++i) co_await weft::yield();
    if (d.one_in(2)) senders[0].cancel();
    if (d.one_in(2)) receivers[0].cancel();
    if (d.one_in(2)) co_await weft::sleep_for(d.below(200us));
    c.close();
    for (auto* group : {&senders, &receivers}) {
      for (auto& h : *group) {
        try {
          co_await std::move(h);
        } catch (const weft::routine_cancelled&) {
        }
      }
    }
    while (auto v = c.try_recv()) w.book.got(*v);
    me.step();
  }
}

/// On the thread it is called on.
void sends_and_receives_here(world& w, party& me, dice d) {
  const auto take = [&w](std::optional<token> v) {
    if (v) w.book.got(*v);
  };
  while (w.goes_on()) {
    const weft::blocking::channel<token> a(one_of(w, d)), b(one_of(w, d));
    me.step();
    if (!is_full(a)) {
      const std::uint32_t number = d.roll(1'000);
      token mine(w.book.alive, number);
      bool gone = false;
      if (d.one_in(2)) {
        gone = a.send_for(std::move(mine), d.below(short_limit)) == weft::send_until_status::sent;
      } else {
        const auto look = [&gone](weft::send_status s) { gone = s == weft::send_status::sent; };
        weft::blocking::select(weft::on_send(a, std::move(mine), look), weft::on_recv(b, take),
                               weft::on_timeout(d.below(long_limit)));
      }
      w.book.gave(mine, number, gone);
    }
    if (auto v = b.recv_for(d.below(long_limit))) w.book.got(*v);
  }
}

}  // namespace weft::test::stress
