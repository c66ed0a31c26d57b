// What samples/http_server answers: answer.hpp.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "answer.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

constexpr http_time example_date{784'111'777s};
constexpr file_facts example_file{1'000, example_date, "text/plain"};
using how = byte_range::how;

answer to(std::string_view method, std::string fields, const file_facts& file = example_file) {
  const std::string head = std::string(method) + " /a HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
  request r;
  const limits usual;
  REQUIRE(parse_head(head, usual, r).is == parsed::how::complete);
  return answer_with(r, file);
}

int code(const answer& a) {
  return static_cast<int>(a.code);
}

bool is_part(const byte_range& r, std::uint64_t first, std::uint64_t length) {
  return r.is == how::part && r.first == first && r.length == length;
}

}  // namespace

TEST_CASE("a range is a part of the file, all of it, or none there is", "[samples][http]") {
  REQUIRE(is_part(range_of("bytes=0-0", 10), 0, 1));
  REQUIRE(is_part(range_of("bytes=2-5", 10), 2, 4));
  REQUIRE(is_part(range_of("Bytes=2-99", 10), 2, 8));
  REQUIRE(is_part(range_of("bytes=2-", 10), 2, 8));
  REQUIRE(is_part(range_of("bytes=-3", 10), 7, 3));
  REQUIRE(is_part(range_of("bytes=-99", 10), 0, 10));
  REQUIRE(is_part(range_of("bytes=0-99999999999999999999999", 10), 0, 10));
  for (const char* none : {"bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999999-"}) {
    CAPTURE(none);
    REQUIRE(range_of(none, 10).is == how::unsatisfiable);
  }
  REQUIRE(range_of("bytes=0-", 0).is == how::unsatisfiable);
  REQUIRE(range_of("bytes=-1", 0).is == how::unsatisfiable);
  for (const char* ignored :
       {"", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1-b", "bytes=1-2,4-5", "lines=1-2",
        "bytes=--1", "bytes=+1-2", "bytes = 1-2", "bytes=1 - 2"}) {
    CAPTURE(ignored);
    REQUIRE(range_of(ignored, 10).is == how::whole);
  }
}

TEST_CASE("a date is written and read as the RFC has it", "[samples][http]") {
  REQUIRE(date_text(example_date) == "Sun, 06 Nov 1994 08:49:37 GMT");
  REQUIRE(parse_date("Sun, 06 Nov 1994 08:49:37 GMT") == example_date);
  for (const char* bad :
       {"", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT+1", "1994-11-06"})
    REQUIRE_FALSE(parse_date(bad));
}

TEST_CASE("what the client has already is not sent again", "[samples][http]") {
  const auto since = [](http_time t) { return "If-Modified-Since: " + date_text(t) + "\r\n"; };
  REQUIRE(code(to("GET", since(example_date))) == 304);
  REQUIRE(code(to("HEAD", since(example_date + 1s))) == 304);
  REQUIRE(code(to("GET", since(example_date - 1s))) == 200);
  REQUIRE(code(to("GET", "If-Modified-Since: yesterday\r\n")) == 200);
  REQUIRE(code(to("GET", since(example_date) + "Range: bytes=0-1\r\n")) == 304);
}

TEST_CASE("a date counts for nothing beside If-None-Match", "[samples][http]") {
  const std::string since = "If-Modified-Since: " + date_text(example_date) + "\r\n";
  REQUIRE(code(to("GET", since + "If-None-Match: \"x\"\r\n")) == 200);
  REQUIRE(code(to("GET", "If-None-Match: W/\"x\", \"y\"\r\n" + since)) == 200);
  REQUIRE(code(to("GET", "If-None-Match: *\r\n")) == 304);  // any will do, and there is one
}

TEST_CASE("a range is answered for GET alone, and if the file is still the same", "[samples][http]") {
  const std::string range = "Range: bytes=10-19\r\n";
  const answer part = to("GET", range);
  REQUIRE(code(part) == 206);
  REQUIRE(part.first == 10);
  REQUIRE(part.length == 10);
  REQUIRE(head_of(part, false, example_date).find("Content-Range: bytes 10-19/1000\r\n") !=
          std::string::npos);
  REQUIRE(code(to("HEAD", range)) == 200);
  REQUIRE(code(to("GET", range + "If-Range: " + date_text(example_date) + "\r\n")) == 206);
  REQUIRE(code(to("GET", range + "If-Range: " + date_text(example_date - 1s) + "\r\n")) == 200);
  const answer none = to("GET", "Range: bytes=1000-\r\n");
  REQUIRE(code(none) == 416);
  REQUIRE(none.length == 0);
  REQUIRE(head_of(none, false, example_date).find("Content-Range: bytes */1000\r\n") != std::string::npos);
}

TEST_CASE("a head says what follows it", "[samples][http]") {
  REQUIRE(head_of(to("GET", ""), false, example_date) ==
          "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
          "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n"
          "Content-Type: text/plain\r\nContent-Length: 1000\r\nConnection: keep-alive\r\n\r\n");
  const answer refused = answer_without_file(status::method_not_allowed, false);
  const std::string head = head_of(refused, true, example_date);
  REQUIRE(head ==
          "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
          "Content-Type: text/plain\r\nContent-Length: 23\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n");
  REQUIRE(head_of(refused, false, example_date) == head + "405 Method Not Allowed\n");
  REQUIRE(head_of(to("GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), false, example_date)
              .find("Content-Length") == std::string::npos);
}

TEST_CASE("a type is known by the name's end, in any case", "[samples][http]") {
  REQUIRE(type_of("a/b.HTML") == "text/html; charset=utf-8");
  REQUIRE(type_of("a.tar.png") == "image/png");
  for (const char* unknown : {"", "a", "a.", "a.exe", "a.png/b", ".png.x"})
    REQUIRE(type_of(unknown) == "application/octet-stream");
}
