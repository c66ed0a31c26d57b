// What one face of a channel accepts, the other accepts: values in every form, every operation, every end.

#include <weft/blocking.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using weft::recv_status;
using weft::send_status;
using weft::send_until_status;
using weft::try_send_status;

struct point {
  int x, y;

  friend bool operator==(const point&, const point&) = default;
};

struct only_moved {
  explicit only_moved(int n) : number(std::make_unique<int>(n)) {}

  std::unique_ptr<int> number;
};

auto soon() {
  return std::chrono::steady_clock::now() + 1h;
}

}  // namespace

TEST_CASE("both faces of a channel take a value in braces", "[api][channel][facade]") {
  weft::blocking::channel<point> ch(16);
  REQUIRE(ch.send({1, 2}) == send_status::sent);
  REQUIRE(ch.send_for({1, 2}, 1h) == send_until_status::sent);
  REQUIRE(ch.send_until({1, 2}, soon()) == send_until_status::sent);
  const weft::channel<point>& other_face = ch;
  REQUIRE(weft::blocking::wait(other_face.send({1, 2})) == send_status::sent);
  REQUIRE(weft::blocking::wait(other_face.send_for({1, 2}, 1h)) == send_until_status::sent);
  REQUIRE(weft::blocking::wait(other_face.send_until({1, 2}, soon())) == send_until_status::sent);
  REQUIRE(other_face.try_send({1, 2}) == try_send_status::sent);
  const weft::channel_sender<point> end(ch);
  REQUIRE(end.try_send({1, 2}) == try_send_status::sent);
  REQUIRE(weft::blocking::wait(end.send({1, 2})) == send_status::sent);
  REQUIRE(weft::blocking::select(weft::on_send(ch, {1, 2})) == 0);
  REQUIRE(weft::blocking::select(weft::on_send(end, {1, 2}, [](send_status s) {
            if (s != send_status::sent) throw s;
          })) == 0);
  int n = 0;
  while (auto v = ch.try_recv()) n += *v == point{1, 2} ? 1 : 0;
  REQUIRE(n == 11);

  weft::blocking::channel<std::vector<int>> lists(4);
  REQUIRE(lists.send({1, 2, 3}) == send_status::sent);
  REQUIRE(lists.send_for({4}, 1h) == send_until_status::sent);
  REQUIRE(lists.try_send({}) == try_send_status::sent);
  REQUIRE(weft::blocking::select(weft::on_send(lists, {5, 6})) == 0);
  REQUIRE(*lists.recv() == std::vector{1, 2, 3});
  REQUIRE(*lists.recv() == std::vector{4});
  REQUIRE(lists.recv()->empty());
  REQUIRE(*lists.recv() == std::vector{5, 6});
}

TEST_CASE("a routine sends a value in braces", "[api][channel]") {
  weft::runtime rt({.workers = 2});
  weft::channel<point> ch;
  auto sends = rt.go([ch]() -> weft::routine<> {
    co_await ch.send({3, 4});
    const auto timed = co_await ch.send_for({3, 4}, 1h);
    if (timed == send_until_status::sent) co_await weft::select(weft::on_send(ch, {3, 4}));
  });
  auto receives = rt.go([ch]() -> weft::routine<int> {
    int n = 0;
    for (int i = 0; i < 3; ++i) {
      const auto v = co_await ch.recv();
      n += *v == point{3, 4} ? 1 : 0;
    }
    co_return n;
  });
  REQUIRE(receives.join() == 3);
  sends.join();
}

TEST_CASE("both faces take a copy, a const value, a temporary, what converts and what only moves",
          "[api][channel][facade]") {
  weft::blocking::channel<std::string> ch(32);
  const std::string fixed = "a";
  std::string named = "a";
  REQUIRE(ch.send(fixed) == send_status::sent);
  REQUIRE(ch.send(named) == send_status::sent);
  REQUIRE(ch.send("a") == send_status::sent);
  REQUIRE(ch.send({"a"}) == send_status::sent);
  REQUIRE(ch.send_for(fixed, 1h) == send_until_status::sent);
  REQUIRE(ch.send_for("a", 1h) == send_until_status::sent);
  REQUIRE(ch.send_until(fixed, soon()) == send_until_status::sent);
  REQUIRE(ch.send_until(std::string("a"), soon()) == send_until_status::sent);
  REQUIRE(weft::blocking::select(weft::on_send(ch, "a")) == 0);
  REQUIRE(weft::blocking::select(weft::on_send(ch, fixed)) == 0);
  REQUIRE(named == "a");
  REQUIRE(ch.send(std::move(named)) == send_status::sent);
  int n = 0;
  while (auto v = ch.try_recv()) n += *v == "a" ? 1 : 0;
  REQUIRE(n == 11);

  weft::blocking::channel<only_moved> moved(8);
  only_moved value(5);
  REQUIRE(moved.send(std::move(value)) == send_status::sent);
  REQUIRE(moved.send_for(only_moved(5), 1h) == send_until_status::sent);
  REQUIRE(moved.send_until(only_moved(5), soon()) == send_until_status::sent);
  REQUIRE(moved.try_send(only_moved(5)) == try_send_status::sent);
  REQUIRE(weft::blocking::select(weft::on_send(moved, only_moved(5))) == 0);
  for (int i = 0; i < 5; ++i) REQUIRE(*moved.recv()->number == 5);
}

TEST_CASE("channels of void have every operation at both faces and both ends", "[api][channel][facade]") {
  using weft::blocking::wait;
  const auto past = std::chrono::steady_clock::now();
  weft::blocking::channel<void> ch(1);
  REQUIRE(ch.send() == send_status::sent);
  REQUIRE(ch.try_send() == try_send_status::full);
  REQUIRE(ch.send_for(0s) == send_until_status::timed_out);
  REQUIRE(ch.send_until(past) == send_until_status::timed_out);
  REQUIRE(ch.recv());
  REQUIRE(ch.try_recv().status == recv_status::empty);
  REQUIRE(ch.recv_for(0s).status == recv_status::empty);
  REQUIRE(ch.recv_until(past).status == recv_status::empty);
  REQUIRE(weft::blocking::select(weft::on_send(ch)) == 0);
  REQUIRE(weft::blocking::select(weft::on_recv(ch)) == 0);

  auto [tx, rx] = weft::make_channel<void>(1);
  REQUIRE(wait(tx.send()) == send_status::sent);
  REQUIRE(tx.try_send() == try_send_status::full);
  REQUIRE(wait(tx.send_for(0s)) == send_until_status::timed_out);
  REQUIRE(wait(tx.send_until(past)) == send_until_status::timed_out);
  REQUIRE(wait(rx.recv()));
  REQUIRE(rx.try_recv().status == recv_status::empty);
  REQUIRE(wait(rx.recv_for(0s)).status == recv_status::empty);
  REQUIRE(wait(rx.recv_until(past)).status == recv_status::empty);
  REQUIRE(weft::blocking::select(weft::on_send(tx)) == 0);
  REQUIRE(weft::blocking::select(weft::on_recv(rx)) == 0);
}

TEST_CASE("the ends of a channel have every operation", "[api][channel][facade]") {
  using weft::blocking::wait;
  const auto past = std::chrono::steady_clock::now();
  auto [tx, rx] = weft::blocking::make_channel<int>(1);
  REQUIRE(wait(tx.send(1)) == send_status::sent);
  REQUIRE(tx.try_send(2) == try_send_status::full);
  REQUIRE(wait(tx.send_for(2, 0s)) == send_until_status::timed_out);
  REQUIRE(wait(tx.send_until(2, past)) == send_until_status::timed_out);
  REQUIRE(rx.size() == 1);
  REQUIRE(wait(rx.recv()) == 1);
  REQUIRE(rx.try_recv().status == recv_status::empty);
  REQUIRE(wait(rx.recv_for(0s)).status == recv_status::empty);
  REQUIRE(wait(rx.recv_until(past)).status == recv_status::empty);
  REQUIRE(wait(tx.send(3)) == send_status::sent);
  int into = 0;
  REQUIRE(wait(rx.recv_into(into)));
  REQUIRE(into == 3);
  REQUIRE(tx == rx);
  REQUIRE(tx.close());
  REQUIRE(rx.is_closed());
}

namespace {

/// Its last bytes are free, and who derives from it puts members there.
class roomy {
 public:
  roomy() = default;

  roomy(int a, char b) : a_(a), b_(b) {}

  int a() const { return a_; }

  char b() const { return b_; }

 private:
  int a_ = 0;
  char b_ = 0;
};

struct tenant : roomy {
  char mine = 'm';
};

struct nothing {};

struct beside_nothing : nothing {
  char mine = 'm';
};

}  // namespace

TEST_CASE("recv_into a base leaves what is derived from it alone", "[api][channel]") {
  static_assert(std::is_trivially_copyable_v<roomy> && sizeof(tenant) == sizeof(roomy));
  static_assert(sizeof(beside_nothing) == sizeof(nothing));
  using weft::blocking::wait;
  weft::channel<roomy> rooms(1);
  REQUIRE(rooms.try_send(roomy(1, 'b')) == try_send_status::sent);
  tenant t;
  REQUIRE(wait(rooms.recv_into(static_cast<roomy&>(t))));
  REQUIRE(t.a() == 1);
  REQUIRE(t.b() == 'b');
  REQUIRE(t.mine == 'm');
  weft::channel<nothing> empty(1);
  REQUIRE(empty.try_send(nothing()) == try_send_status::sent);
  beside_nothing beside;
  REQUIRE(wait(empty.recv_into(static_cast<nothing&>(beside))));
  REQUIRE(beside.mine == 'm');
}
