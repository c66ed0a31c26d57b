// samples/crawler: its parts, and the program against servers that are odd.

#include <weft/blocking.hpp>
#include <weft/error.hpp>
#include <weft/io/tcp.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "response.hpp"
#include "support/catch.hpp"
#include "support/program.hpp"
#include "url.hpp"

using namespace weft;

namespace {

std::string resolved(std::string_view base, std::string_view link) {
  const auto to = resolve_link(*parse_url(base), link);
  return to ? to->text() : "";
}

response parsed(std::string_view bytes, bool is_ended = false) {
  response_parser p;
  p.add(bytes);
  if (is_ended) p.end();
  REQUIRE(p.is_complete());
  return p.take();
}

/// Answers by the path; without an answer it says nothing and keeps the connection.
routine<> answer(tcp_stream client, const std::map<std::string, std::string>& answers) {
  try {
    std::string asked;
    std::array<char, 4096> piece;
    while (asked.find("\r\n\r\n") == asked.npos) {
      const std::size_t n = co_await client.read_some(piece);
      if (n == 0) co_return;
      asked.append(piece.data(), n);
    }
    const std::size_t end = asked.find(' ', 4);
    const auto found = answers.find(asked.substr(4, end - 4));
    if (found == answers.end()) {
      co_await client.read_some(piece);
    } else {
      co_await client.write_all(found->second);
    }
  } catch (const std::system_error&) {
  }
}

routine<> serve(tcp_listener& listener, const std::map<std::string, std::string>& answers) {
  co_await scope([&](task_scope& s) -> routine<> {
    for (;;) {
      tcp_stream client = co_await listener.accept();
      s.go(answer, std::move(client), std::cref(answers));
    }
  });
}

std::string page(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string redirect(const std::string& to) {
  return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n";
}

/// The lines that the crawler prints, without the host, and the last one, its counts.
std::pair<std::set<std::string>, std::string> crawl(const std::map<std::string, std::string>& answers,
                                                    const test::words& options, bool starts = true) {
  tcp_listener listener(ip_endpoint::loopback());
  auto server = go(serve, std::ref(listener), std::cref(answers));
  const std::string base = "http://" + std::string(listener.local_endpoint().text().view());
  test::words argv{WEFT_SAMPLES "/crawler"};
  argv.insert(argv.end(), options.begin(), options.end());
  argv.push_back(base + "/");
  const test::outcome o = test::run_program(argv);
  server.cancel();
  REQUIRE_THROWS_AS(server.join(), routine_cancelled);
  REQUIRE(o.how.exited() == (starts ? 0 : 1));
  std::set<std::string> lines;
  std::istringstream all(o.output);
  std::string line, last;
  while (std::getline(all, line)) {
    if (!last.empty()) REQUIRE(lines.insert(last).second);  // nothing is fetched twice
    if (const std::size_t at = line.find(base); at != line.npos) line.erase(at, base.size());
    last = line;
  }
  return {lines, last};
}

}  // namespace

TEST_CASE("a link is resolved as the RFC has it", "[samples][crawler]") {
  const std::string_view base = "http://Host:81/a/b?q#f";
  REQUIRE(parse_url(base)->text() == "http://host:81/a/b?q");
  REQUIRE(resolved(base, "") == "http://host:81/a/b?q");
  REQUIRE(resolved(base, "#g") == "http://host:81/a/b?q");
  REQUIRE(resolved(base, "c") == "http://host:81/a/c");
  REQUIRE(resolved(base, "./c/") == "http://host:81/a/c/");
  REQUIRE(resolved(base, "..") == "http://host:81/");
  REQUIRE(resolved(base, "../../../c") == "http://host:81/c");
  REQUIRE(resolved(base, "/c/./d/../e") == "http://host:81/c/e");
  REQUIRE(resolved(base, "?r=/..") == "http://host:81/a/b?r=/..");
  REQUIRE(resolved(base, "//other/x") == "http://other:80/x");
  REQUIRE(resolved(base, "http://other") == "http://other:80/");
  for (const char* none :
       {"https://x/", "mailto:a@b", "javascript:void(0)", "http:///x", "http://x:y/", "http://"})
    REQUIRE(resolved(base, none).empty());
}

TEST_CASE("what a request line must not have is left out of a link, or encoded", "[samples][crawler]") {
  const std::string_view base = "http://host:81/a/b";
  REQUIRE(resolved(base, "/a b") == "http://host:81/a%20b");
  REQUIRE(resolved(base, " \n/c?x=1 2\t ") == "http://host:81/c?x=1%202");
  REQUIRE(resolved(base, "/x HTTP/1.1\r\nHost: y\r\n\r\nGET /z") ==
          "http://host:81/x%20HTTP/1.1Host:%20yGET%20/z");
  REQUIRE(resolved(base, std::string_view("/\0\x1b\x7f\xc3\xa4%20", 9)) ==
          "http://host:81/%00%1B%7F%C3%A4%20");
  REQUIRE(resolved(base, "ht\ntp://ot\r\nher/x") == "http://other:80/x");
  REQUIRE(resolved(base, "http://a b/").empty());
  REQUIRE(resolved(base, std::string_view("//a\0/", 5)).empty());
  const std::string once = resolved(base, "/a b/c d");
  REQUIRE(resolved(base, once) == once);
  REQUIRE(resolved(once, "e") == "http://host:81/a%20b/e");
}

TEST_CASE("links are the quoted values of href", "[samples][crawler]") {
  const std::vector<std::string> found =
      links_in("<a href=\"a\"><A\nHREF = 'b&amp;c'> href=d href <a xhref='e' href=\"unended");
  REQUIRE(found == std::vector<std::string>{"a", "b&c", "e"});
  REQUIRE(links_in("").empty());
  REQUIRE(links_in("href").empty());
}

TEST_CASE("an answer is the same however its bytes come", "[samples][crawler]") {
  const std::pair<std::string, std::string> whole[] = {
      {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: "
       "r\r\n\r\n",
       "abc0123456789"},
      {"HTTP/1.1 204 No Content\r\n\r\n", ""},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
  };
  for (const auto& [bytes, body] : whole) {
    CAPTURE(bytes);
    REQUIRE(parsed(bytes).body == body);
    response_parser one_by_one;
    for (const char c : bytes) {
      REQUIRE_FALSE(one_by_one.is_complete());
      one_by_one.add({&c, 1});
    }
    REQUIRE(one_by_one.is_complete());
    REQUIRE(one_by_one.take().body == body);
  }
  REQUIRE(parsed("HTTP/1.0 404 No\r\nLocation: /x\r\n\r\nto the end", true).body == "to the end");
}

TEST_CASE("an answer that is none, ends early or has no end is an error", "[samples][crawler]") {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& bad : {std::string("SSH-2.0-x\r\n\r\n"), std::string("HTTP/1.1 2x0 OK\r\n\r\n"),
                                 std::string("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
                                 chunked + "zz\r\n", chunked + "1\r\nabc\r\n", std::string(100'000, 'a')}) {
    response_parser p;
    REQUIRE_THROWS_AS(p.add(bad), bad_response);
  }
  for (const std::string& cut :
       {std::string(), std::string("HTTP/1.1 200 OK\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), chunked + "3\r\nab"}) {
    response_parser p;
    p.add(cut);
    REQUIRE_FALSE(p.is_complete());
    REQUIRE_THROWS_AS(p.end(), bad_response);
  }
  response_parser endless;
  endless.add("HTTP/1.1 200 OK\r\n\r\n");
  const std::string megabyte(1 << 20, 'a');
  for (int i = 0; i < 16; ++i) endless.add(megabyte);
  REQUIRE_THROWS_AS(endless.add("a"), bad_response);
}

TEST_CASE("a site with cycles, redirects, chunks and holes is crawled once", "[samples][crawler]") {
  const std::map<std::string, std::string> answers{
      {"/", page("<a href='/'><a href='a'><a href='/r1'><a href='/gone'><a href='/reset'><a href='/never'>"
                 "<a href='/chunked'><a href='http://example.org/'><a href='mailto:x'>")},
      {"/a", page("<a href='/'><a href='/a#part'><a href='b?x=1&amp;y=2'>")},
      {"/b?x=1&y=2", page("<a href='/c'>")},
      {"/c", page("<a href='/d'>")},
      {"/d", page("")},
      {"/r1", redirect("/r2")},
      {"/r2", redirect("/r1")},
      {"/gone", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
      {"/reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
      {"/chunked",
       "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
       "9\r\n<a href='\r\n7\r\n/late'>\r\n0\r\n\r\n"},
      {"/late", redirect("/a")},
  };
  const auto [lines, counts] = crawl(answers, {"--depth", "3", "--jobs", "3", "--timeout", "2000"});
  REQUIRE(lines == std::set<std::string>{"200 /", "200 /a", "200 /b?x=1&y=2", "200 /c", "200 /chunked",
                                         "302 /late", "302 /r1", "302 /r2", "404 /gone",
                                         "--- /never weft: the time limit has passed",
                                         "--- /reset the connection ended in the middle of the answer"});
  REQUIRE(counts.starts_with("fetched 11, redirects 3, refused 1, failed 2, bytes "));
}

TEST_CASE("the crawler follows ten redirects in a row and no more", "[samples][crawler]") {
  std::map<std::string, std::string> answers{{"/", page("<a href='/0'><a href='/nine'>")},
                                             {"/nine", redirect("/92")},
                                             {"/page", page("<a href='/last'>")},
                                             {"/last", redirect("/end")},
                                             {"/end", page("")}};
  for (int i = 0; i < 100; ++i) answers["/" + std::to_string(i)] = redirect("/" + std::to_string(i + 1));
  answers["/100"] = redirect("/page");
  std::set<std::string> expected{"200 /", "302 /nine", "200 /page", "302 /last", "200 /end"};
  for (int i = 0; i <= 10; ++i) expected.insert("302 /" + std::to_string(i));
  for (int i = 92; i <= 100; ++i) expected.insert("302 /" + std::to_string(i));
  const auto [lines, counts] = crawl(answers, {});
  REQUIRE(lines == expected);
}

TEST_CASE("the crawler says if it cannot begin", "[samples][crawler]") {
  const auto [lines, counts] = crawl({}, {"--timeout", "50"}, false);
  REQUIRE(counts == "fetched 1, redirects 0, refused 0, failed 1, bytes 0");
  REQUIRE(test::run_program({WEFT_SAMPLES "/crawler"}).how.exited() == 2);
  REQUIRE(test::run_program({WEFT_SAMPLES "/crawler", "--jobs"}).how.exited() == 2);
  REQUIRE(test::run_program({WEFT_SAMPLES "/crawler", "https://x"}).how.exited() == 2);
}
