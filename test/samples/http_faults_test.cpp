// samples/http_server/connection.hpp in simulated runs: a server with clients of every kind, whatever goes
// wrong, and a stop at any time.

#include <weft/io/file.hpp>
#include <weft/io/read_file.hpp>
#include <weft/io/tcp.hpp>
#include <weft/sim.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "connection.hpp"
#include "io/support.hpp"
#include "samples/http_client.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;
using instant = std::chrono::steady_clock::time_point;
using test::response;

namespace {

constexpr std::uint64_t seeds = test::sanitized ? 100 : 1'000;

void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

std::size_t draw(std::size_t n) {
  return sim::random() % n;
}

bool one_in(std::size_t n) {
  return draw(n) == 0;
}

constexpr std::array<std::size_t, 4> sizes{0, 10, 3'000, 70'000};  // of the files, whose names they are

/// The run's files.
class simulated_directory {
 public:
  struct document {
    file content;
    file_facts facts;
    status refusal = status::not_found;

    bool is_found() const { return content.is_open(); }

    auto read_at(std::uint64_t offset, mutable_buffer to) { return content.read_at(offset, to); }
  };

  routine<document> open(std::string path) {
    document d;
    const std::string full = "/tmp/" + path;
    try {
      d.content = co_await file::open(full);
      d.facts = {.size = co_await d.content.size(), .type = "text/plain"};
    } catch (const std::system_error& e) {
      if (e.code().value() != ENOENT) d.refusal = status::service_unavailable;
    }
    co_return d;
  }

  static routine<> fill() {
    for (const std::size_t size : sizes) {
      const std::string name = "/tmp/" + std::to_string(size), content = test::text(0, size);
      int error = EMFILE;
      while (error == EMFILE) error = co_await test::error_of(write(name, content));
      check(error == 0, "a file cannot be made");
    }
  }

 private:
  static routine<> write(const std::string& name, const std::string& content) {
    co_await write_file(name, content);
  }
};

// --- the server: as http_server's, but for the signal ---

struct server {
  explicit server(const ip_endpoint& on) : listener(on) {}

  simulated_directory files;
  limits of_clients;
  tcp_listener listener;
  wait_group starting;
  event stop;
  bool has_resets = false;
  bool has_closed = false;  // who connects now may be too late
  bool is_told = false;     // what is sent now may be too late
  instant told, ended;
};

routine<> serve(server& s, tcp_stream peer) {
  s.starting.done();
  connection<tcp_stream, simulated_directory> c(std::move(peer), s.files, s.of_clients);
  co_await c.serve();
}

void start_serving(server& s, task_scope& connections, tcp_stream peer) {
  s.starting.add();
  connections.go(serve, std::ref(s), std::move(peer));
}

// Without a descriptor accept() has lost nothing.
routine<> accept_all(server& s, task_scope& connections) {
  for (;;) {
    try {
      tcp_stream peer = co_await s.listener.accept();
      start_serving(s, connections, std::move(peer));
    } catch (const std::system_error& e) {
      check(e.code().value() == EMFILE, "accept() fails");
    }
  }
}

routine<> accept_waiting(server& s, task_scope& connections) {
  for (bool has_more = true; has_more;) {
    try {
      tcp_stream peer = co_await with_timeout(1ms, s.listener.accept());
      start_serving(s, connections, std::move(peer));
    } catch (const timeout_error&) {
      has_more = false;
    } catch (const std::system_error& e) {
      check(e.code().value() == EMFILE, "accept() fails at the end");
    }
  }
}

routine<> serve_until_told(server& s) {
  co_await scope([&](task_scope& connections) -> routine<> {
    co_await scope([&](task_scope& acceptors) -> routine<> {
      acceptors.go(accept_all, std::ref(s), std::ref(connections));
      co_await s.stop.wait();
      acceptors.cancel();
    });
    s.has_closed = true;
    co_await accept_waiting(s, connections);
    s.listener.close();
    co_await s.starting.wait();
    s.is_told = true;
    s.told = now();
    connections.cancel();
  });
  s.ended = now();
}

// --- a client ---

/// What is sent, and what is to come.
struct question {
  std::string bytes;
  int code = 0;
  std::string body{};  // if it is a file's
  bool is_head = false;
  bool is_whole = true;  // else it has an answer only if the server gets tired of it
};

/// One connection.
struct talk {
  std::vector<question> questions;
  std::size_t window = 1;  // so many are sent before an answer
  std::size_t pieces = 1;  // each is sent in
  bool has_pauses = false;
  bool half_closes = false;
  bool leaves = false;   // at any time, and nothing is owed to it
  bool is_deaf = false;  // as well, and reads nothing

  tcp_stream stream{};
  bool is_in_time = false;
  std::vector<instant> sent{};  // before the stop; of each that is whole, in order
  std::size_t answered = 0;
  std::size_t refused = 0;  // of these, for want of a descriptor
  bool is_right = true;
  bool is_torn = false;  // an answer that has only begun
};

question draw_question() {
  const std::size_t size = sizes[draw(sizes.size())];
  const std::string target = "/" + std::to_string(size), host = "Host: x\r\n";
  const std::string get = "GET " + target + " HTTP/1.1\r\n" + host;
  switch (draw(6)) {
    case 0:
      return {"HEAD " + target + " HTTP/1.1\r\n" + host + "\r\n", 200, {}, true};
    case 1:
      return {"GET /none HTTP/1.1\r\n" + host + "\r\n", 404};
    case 2:
      return {"FOO / HTTP/1.1\r\n" + host + "\r\n", 501};
    case 3:
      if (size < 10) return {get + "Range: bytes=5-\r\n\r\n", 416};
      return {get + "Range: bytes=5-\r\n\r\n", 206, test::text(5, size - 5)};
    case 4:  // longer than what is read at once
      return {get + "X: " + std::string(draw(3'000), 'x') + "\r\n\r\n", 200, test::text(0, size)};
    default:
      return {get + "\r\n", 200, test::text(0, size)};
  }
}

/// After which no other is answered.
question draw_last_question() {
  const std::string behind = one_in(2) ? "GET /10 HTTP/1.1\r\nHost: x\r\n\r\n" : "";
  switch (draw(5)) {
    case 0:
      return {"nonsense\r\n\r\n" + behind, 400};
    case 1:
      return {"GET /10 HTTP/2.0\r\n\r\n" + behind, 505};
    case 2:
      return {"POST /10 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789" + behind, 405};
    case 3:
      return {"GET /10 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + behind, 200, test::text(0, 10)};
    default:
      return {.bytes = "GET /10 HTTP/1.1\r\nHo", .code = 408, .is_whole = false};
  }
}

void draw_talk(talk& t) {
  for (std::size_t n = draw(5); n > 0; --n) t.questions.push_back(draw_question());
  if (one_in(3)) t.questions.push_back(draw_last_question());
  t.window = one_in(2) ? 1 : 1 + draw(5);
  if (one_in(2)) t.pieces = 1 + draw(8);
  t.has_pauses = one_in(2);
  t.half_closes = one_in(3);
  t.leaves = one_in(5);
  t.is_deaf = t.leaves && one_in(4);
  if (t.is_deaf) t.window = t.questions.size();
}

// All of a head's are shorter than the limit for it.
routine<> pause(const talk& t) {
  if (t.has_pauses && one_in(3)) co_await sleep_for(std::chrono::milliseconds(draw(800)));
}

routine<> send_all(talk& t, const server& to, semaphore& may_send) {
  for (const question& each : t.questions) {
    co_await may_send.acquire();
    const std::size_t size = each.bytes.size() / t.pieces + 1;
    for (std::size_t at = 0; at < each.bytes.size(); at += size) {
      const std::string piece = each.bytes.substr(at, size);
      co_await t.stream.write_all(piece);
      co_await pause(t);
    }
    if (each.is_whole && !to.is_told) t.sent.push_back(now());
  }
  if (t.half_closes) t.stream.shutdown_write();
}

void judge(talk& t, const response& r) {
  check(t.answered < t.questions.size(), "an answer to nothing");
  const question& asked = t.questions[t.answered++];
  const bool is_refused = r.code == 503;
  const bool is_right = r.code == asked.code && (r.code >= 400 || r.body == asked.body);
  t.refused += is_refused;
  t.is_right = t.is_right && (is_right || is_refused);
}

/// Until the connection ends.
routine<> hear_all(talk& t, semaphore& may_send) {
  std::string rest;
  for (;;) {
    const bool is_head = t.answered < t.questions.size() && t.questions[t.answered].is_head;
    const response r = co_await test::read_response(t.stream, rest, is_head);
    t.is_torn = !r.is_whole && r.code != 0;
    if (!r.is_whole) co_return;
    judge(t, r);
    may_send.release();
    const bool has_all = t.answered == t.questions.size();
    if (has_all && one_in(2)) co_return;  // else it waits for the server to end it
  }
}

routine<> leave(talk& t) {
  if (t.is_deaf) {
    co_await sleep_for(std::chrono::seconds(draw(60)));
  } else {
    for (std::size_t turns = draw(100); turns > 0; --turns) co_await yield();
  }
  if (one_in(2)) t.stream.set_reset_on_close();
  t.stream.close();
}

routine<> connect(talk& t, const server& to) {
  t.stream = co_await tcp_stream::connect(to.listener.local_endpoint());
}

routine<> converse(talk& t, const server& with) {
  int error = EMFILE;
  while (error == EMFILE) error = co_await test::error_of(connect(t, with));
  check(error == 0 || with.has_closed || with.has_resets, "a connection is refused");
  if (error != 0) co_return;
  t.is_in_time = !with.has_closed;
  semaphore may_send(t.window);
  co_await scope([&](task_scope& s) -> routine<> {
    const auto send = [&]() -> routine<> { (void)co_await test::error_of(send_all(t, with, may_send)); };
    const auto go_away = [&]() -> routine<> { (void)co_await test::error_of(leave(t)); };
    s.go(send);
    if (t.leaves) s.go(go_away);
    if (t.is_deaf) co_return;
    co_await hear_all(t, may_send);
    s.cancel();
  });
  t.stream.close();
}

// --- all of it ---

/// How a run went.
struct tally {
  std::size_t owed = 0;  // answers
  std::size_t answered = 0;
  std::size_t refused = 0;  // of these
};

/// Late is what takes no longer than `latest`.
void settle(const talk& t, const server& s, std::chrono::milliseconds latest, tally& all) {
  check(t.is_right, "another answer");
  all.answered += t.answered;
  all.refused += t.refused;
  if (t.leaves || s.has_resets) return;
  check(!t.is_torn, "half an answer");
  if (!t.is_in_time) return;
  const auto is_owed = [&](instant sent) { return sent + latest <= s.told; };
  const auto owed = static_cast<std::size_t>(std::count_if(t.sent.begin(), t.sent.end(), is_owed));
  check(t.answered >= owed, "a request that was sent before the stop has no answer");
  all.owed += owed;
}

routine<> serve_some(bool has_resets, std::chrono::milliseconds latest, tally& all) {
  co_await simulated_directory::fill();
  std::optional<server> made;
  while (test::error_in([&] { made.emplace(ip_endpoint::loopback()); }) != 0) {
  }
  server& s = *made;
  s.has_resets = has_resets;
  std::vector<talk> talks(4);
  for (talk& each : talks) draw_talk(each);
  co_await scope([&](task_scope& all_of_them) -> routine<> {
    all_of_them.go(serve_until_told, std::ref(s));
    for (talk& each : talks) all_of_them.go(converse, std::ref(each), std::cref(s));
    if (one_in(2)) {
      co_await sleep_for(std::chrono::milliseconds(draw(3'000)));
    } else {
      for (std::size_t turns = draw(400); turns > 0; --turns) co_await yield();
    }
    s.stop.set();
  });
  check(s.ended - s.told < 1min, "the server does not end");
  for (const talk& each : talks) settle(each, s, latest, all);
}

tally serve_in_all_seeds(const sim::options& how) {
  tally all;
  const auto latest = how.delays == 0 ? 0ms : 2'000ms;
  const auto r = sim::for_each_seed(
      seeds, [&] { return serve_some(how.resets != 0, latest, all); }, how);
  INFO(r.report);
  REQUIRE(r.ok);
  return all;
}

constexpr sim::options in_any_order{
    .schedule = sim::strategy::mixed, .delayed_wakes = 30, .spurious_wakes = 30, .short_transfers = 100};

}  // namespace

TEST_CASE("each request that was sent before the stop has one answer, the right one, in order",
          "[samples][http][sim]") {
  const tally all = serve_in_all_seeds(in_any_order);
  REQUIRE(all.owed > seeds * 2);
  REQUIRE(all.answered > all.owed);
  REQUIRE(all.refused == 0);
}

TEST_CASE("each request that came before the stop has its answer though all is late and descriptors run out",
          "[samples][http][sim]") {
  sim::options how = in_any_order;
  how.delays = 50;
  how.no_descriptors = 50;
  const tally all = serve_in_all_seeds(how);
  REQUIRE(all.owed > seeds / 2);
  REQUIRE(all.refused > seeds / 100);
}

TEST_CASE("connections that are reset end, with no wrong answer, and the server ends in order",
          "[samples][http][sim]") {
  sim::options how = in_any_order;
  how.delays = 50;
  how.resets = 10;
  how.no_descriptors = 20;
  REQUIRE(serve_in_all_seeds(how).answered > seeds);
}

TEST_CASE("a stop answers all that was sent before it, however much that is", "[samples][http][sim]") {
  const auto program = []() -> routine<> {
    simulated_directory nothing;
    const limits of_clients;
    test::connection c = co_await test::connect_here();
    const auto serve_it = [&](tcp_stream peer) -> routine<> {
      connection<tcp_stream, simulated_directory> it(std::move(peer), nothing, of_clients);
      co_await it.serve();
    };
    auto serving = go(serve_it, std::move(c.far));
    co_await sleep_for(1ms);  // it waits for a request
    const std::string half_of_a_read =
        "GET /none HTTP/1.1\r\nHost: x\r\nX: " + std::string(476, 'x') + "\r\n\r\n";
    std::string many;
    for (int i = 0; i < 10; ++i) many += half_of_a_read;
    co_await c.near.write_all(many);
    serving.cancel();
    std::string rest;
    int answered = 0;
    for (bool is_whole = true; is_whole; answered += is_whole) {
      const response r = co_await test::read_response(c.near, rest);
      is_whole = r.is_whole;
    }
    check(answered == 10, "not all of them");
    co_await std::move(serving);
  };
  const auto r = sim::for_each_seed(seeds, program, in_any_order);
  INFO(r.report);
  REQUIRE(r.ok);
}
