// The parser of samples/http_server: request.hpp.

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "request.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

namespace {

constexpr limits usual;

const std::string example =
    "GET /a%20b?q=1 HTTP/1.1\r\nHost: here\r\nRange:  bytes=1-2 \r\nX-Empty:\r\nX-Text: a\tb \xe9\r\n\r\n";

parsed parse(std::string_view head, const limits& l = usual) {
  request r;
  return parse_head(head, l, r);
}

/// Of a request with these lines.
int refusal(std::string_view lines, const limits& l = usual) {
  const parsed p = parse(lines, l);
  return p.is == parsed::how::refused ? static_cast<int>(p.refusal) : 0;
}

/// Of a GET with Host and these fields.
int refusal_of_fields(std::string_view fields) {
  return refusal("GET / HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n");
}

request of(std::string_view head) {
  request r;
  REQUIRE(parse_head(head, usual, r).is == parsed::how::complete);
  return r;
}

bool same(const parsed& a, const parsed& b) {
  return a.is == b.is && a.size == b.size && a.refusal == b.refusal;
}

}  // namespace

TEST_CASE("a head gives its method, target, version and fields", "[samples][http]") {
  const request r = of(example);
  REQUIRE(r.method == "GET");
  REQUIRE(r.target == "/a%20b?q=1");
  REQUIRE(r.minor == 1);
  REQUIRE(r.fields.size() == 4);
  REQUIRE(r.find("RANGE") == "bytes=1-2");
  REQUIRE(r.find("x-empty") == "");
  REQUIRE(r.find("x-text") == "a\tb \xe9");
  REQUIRE_FALSE(r.find("x-none"));
}

TEST_CASE("a head is incomplete until its last byte, whatever follows it", "[samples][http]") {
  for (std::size_t n = 0; n < example.size(); ++n) {
    CAPTURE(n);
    REQUIRE(parse(example.substr(0, n)).is == parsed::how::incomplete);
  }
  for (const char* after : {"", "\r\n", "GET / HTTP/1.1\r\n", "\0\xff"})
    REQUIRE(parse(example + after).size == example.size());
  REQUIRE(parse("\r\n\n" + example).size == example.size() + 3);
  REQUIRE(parse("GET / HTTP/1.1\nHost: x\n\n").size == 24);
}

TEST_CASE("what is no request is refused with the status that says why", "[samples][http]") {
  for (const char* line :
       {"GET", "GET /", "GET / ", "GET  / HTTP/1.1", "GET / x HTTP/1.1", " GET / HTTP/1.1", "G(T / HTTP/1.1",
        "GET / http/1.1", "GET / HTTP/1", "GET / HTTP/11", "GET / HTTP/1.x", "GET /\x01 HTTP/1.1",
        "GET /\x80 HTTP/1.1", "GET /\x7f HTTP/1.1", "\x16\x03\x01", "GET\t/ HTTP/1.1"}) {
    CAPTURE(line);
    REQUIRE(refusal(std::string(line) + "\r\nHost: x\r\n\r\n") == 400);
    REQUIRE(refusal(std::string(line) + "\r\n") == 400);  // as soon as the line is there
  }
  REQUIRE(refusal("GET / HTTP/2.0\r\n") == 505);
  REQUIRE(refusal("GET / HTTP/0.9\r\n") == 505);
  REQUIRE(refusal("GET / HTTP/1.9\r\nHost: x\r\n\r\n") == 0);
  REQUIRE(refusal("GET / HTTP/1.1\r\n\r\n") == 400);  // no Host
  REQUIRE(refusal("GET / HTTP/1.0\r\n\r\n") == 0);
  for (const char* fields :
       {"Host: y\r\n", "A b: c\r\n", "A : c\r\n", ": c\r\n", "A\r\n", " folded\r\n", "A: \x01\r\n",
        "A: b\rc\r\n", "Content-Length: -1\r\n", "Content-Length: 1,1\r\n", "Content-Length:\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"}) {
    CAPTURE(fields);
    REQUIRE(refusal_of_fields(fields) == 400);
  }
  REQUIRE(refusal("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
}

TEST_CASE("heads beyond the limits are refused before they are complete", "[samples][http]") {
  const std::string a(9'000, 'a');
  REQUIRE(refusal("GET /" + a + " HTTP/1.1\r\n") == 414);
  REQUIRE(refusal("GET /" + a + a) == 414);
  REQUIRE(refusal(a + a) == 414);
  REQUIRE(refusal("GET / HTTP/1.1\r\nA: " + a + a) == 431);
  REQUIRE(refusal("GET / HTTP/1.1\r\nA: " + a + "\r\nB: " + a + "\r\n") == 431);
  std::string many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 1; i < 100; ++i) many += "A: b\r\n";
  REQUIRE(refusal(many + "\r\n") == 0);
  REQUIRE(refusal(many + "A: b\r\n") == 431);
  REQUIRE(refusal(std::string(20'000, '\n')) != 0);
}

TEST_CASE("a connection stays or not as version and fields say", "[samples][http]") {
  REQUIRE(of("GET / HTTP/1.1\r\nHost: x\r\n\r\n").keep_alive);
  REQUIRE_FALSE(of("GET / HTTP/1.1\r\nHost: x\r\nConnection: TE , Close\r\n\r\n").keep_alive);
  REQUIRE_FALSE(of("GET / HTTP/1.0\r\n\r\n").keep_alive);
  REQUIRE(of("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
  REQUIRE_FALSE(of("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 000\r\n\r\n").has_body);
  REQUIRE(of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n").has_body);
  REQUIRE(of("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").has_body);
}

TEST_CASE("a target is a path beneath the root or none", "[samples][http]") {
  REQUIRE(path_of("/") == "index.html");
  REQUIRE(path_of("/a/b.txt") == "a/b.txt");
  REQUIRE(path_of("/a/?q=../..") == "a/index.html");
  REQUIRE(path_of("/%61%2F%20") == "a/ ");
  REQUIRE(path_of("///etc/passwd") == "etc/passwd");
  REQUIRE(path_of("/..a/b../...") == "..a/b../...");
  REQUIRE(path_of("http://host:1/a") == "a");
  REQUIRE(path_of("HTTP://host") == "index.html");
  for (const char* bad : {"", "a", "*", "/..", "/../", "/a/..", "/a/../b", "/%2e%2e/a", "/%2E./a",
                          "/a%2f..%2fb", "/%", "/%1", "/%zz", "/a%00b", "ftp://x/a", "http://host/../a"}) {
    CAPTURE(bad);
    REQUIRE_FALSE(path_of(bad));
  }
}

TEST_CASE("nonsense has one verdict, and more bytes do not change it", "[samples][http]") {
  std::mt19937 draw(1);
  const std::string_view pieces[] = {"\r\n", "\n", " ",  ":",  "HTTP/1.1", "Host: x\r\n",
                                     "GET ", "%",  "..", "\0", "\xff"};
  int complete = 0, refused = 0;
  for (int round = 0; round < weft::test::unless_sanitized(20'000, 2'000); ++round) {
    std::string head = example;
    for (auto changes = draw() % 4; changes > 0; --changes) {
      const std::size_t at = draw() % head.size();
      const std::string_view piece = pieces[draw() % std::size(pieces)];
      if (draw() % 2 == 0)
        head[at] = static_cast<char>(draw());
      else
        head.replace(at, draw() % 5, piece);
    }
    parsed verdict = parse("");
    for (std::size_t n = 0; n <= head.size(); ++n) {
      const parsed now = parse(std::string_view(head).substr(0, n));
      if (verdict.is != parsed::how::incomplete) REQUIRE(same(now, verdict));
      verdict = now;
    }
    complete += verdict.is == parsed::how::complete ? 1 : 0;
    refused += verdict.is == parsed::how::refused ? 1 : 0;
  }
  REQUIRE(complete > 0);
  REQUIRE(refused > 0);
}
