// crawler: follows the links of a site, from one page on, and says what each gives.
//
//              .--to_fetch--> fetchers --.
//   collector <                           > collector
//              '<------fetched-----------'
//
// The fetchers, a fixed number of routines, are all the concurrency there is.  What has been seen belongs to
// the collector alone, so nothing is locked; it knows how many pages are under way, and closes the channel
// when that is none.

#include <weft/error.hpp>
#include <weft/io/connect.hpp>
#include <weft/io/tcp.hpp>
#include <weft/weft.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "response.hpp"
#include "url.hpp"

namespace {

constexpr const char* usage =
    R"(usage: crawler [--jobs N] [--depth N] [--timeout MILLISECONDS] URL

Follows the links of the page at URL, http:// only, to pages on the same host and port, prints
what each gives, and counts.

  --jobs N     pages that are fetched at the same time (8)
  --depth N    how many links away from URL (10)
  --timeout N  for each page, from the connection to its last byte (10000)

Ends with 0; 1 if the page at URL itself could not be fetched; 2 if the options make no sense.
)";

struct options {
  url start;
  unsigned jobs = 8;
  unsigned depth = 10;
  std::chrono::milliseconds timeout{10'000};
};

constexpr unsigned most_redirects = 10;  // in a row; a server may have no end of them

struct job {
  url at;
  unsigned depth = 0;
  unsigned redirects = 0;  // on the way from the last page
};

struct page {
  job from;
  int code = 0;         // 0: there was no answer
  std::string error{};  // and why
  std::size_t size = 0;
  std::vector<url> links{};
  bool is_redirect = false;
};

weft::routine<response> fetch(const url& at) {
  weft::tcp_stream server = co_await weft::connect_tcp(at.host, at.port);
  const std::string request =
      fmt::format("GET {} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\n\r\n", at.path, at.host, at.port);
  co_await server.write_all(request);
  response_parser parser;
  std::array<char, 16'384> piece;
  while (!parser.is_complete()) {
    const std::size_t n = co_await server.read_some(piece);
    if (n == 0)
      parser.end();
    else
      parser.add(std::string_view(piece.data(), n));
  }
  co_return parser.take();
}

page examine(const job& from, const response& got) {
  page p{.from = from, .code = got.code, .size = got.body.size()};
  std::vector<std::string> links;
  p.is_redirect = got.code / 100 == 3 && !got.location.empty();
  if (p.is_redirect) links.push_back(got.location);
  if (got.code == 200 && got.type.starts_with("text/html")) links = links_in(got.body);
  for (const std::string& link : links) {
    const std::optional<url> to = resolve_link(from.at, link);
    if (to && to->host == from.at.host && to->port == from.at.port) p.links.push_back(*to);
  }
  return p;
}

weft::routine<> fetch_all(const options& chosen, weft::channel_receiver<job> to_fetch,
                          weft::channel_sender<page> fetched) {
  while (auto next = co_await to_fetch.recv()) {
    page p{.from = *next};
    try {
      const response got = co_await weft::with_timeout(chosen.timeout, fetch(next->at));
      p = examine(*next, got);
    } catch (const std::exception& e) {  // of this page: refused, reset, too late, no HTTP
      p.error = e.what();
    }
    co_await fetched.send(std::move(p));
  }
}

struct counts {
  int fetched = 0;
  int redirects = 0;
  int refused = 0;  // 400 and above
  int failed = 0;   // no answer
  std::size_t bytes = 0;
};

void report(const page& p, counts& all) {
  if (p.code == 0)
    fmt::print("--- {} {}\n", p.from.at.text(), p.error);
  else
    fmt::print("{} {}\n", p.code, p.from.at.text());
  ++all.fetched;
  all.redirects += p.is_redirect ? 1 : 0;
  all.refused += p.code >= 400 ? 1 : 0;
  all.failed += p.code == 0 ? 1 : 0;
  all.bytes += p.size;
}

// A redirect leads to the same page, not further away.
weft::routine<bool> collect(const options& chosen, weft::channel_sender<job> to_fetch,
                            weft::channel_receiver<page> fetched) {
  std::set<url> seen{chosen.start};
  counts all;
  bool is_start_there = false;
  job next{chosen.start};
  co_await to_fetch.send(std::move(next));
  for (std::size_t under_way = 1; under_way > 0; --under_way) {
    const std::optional<page> p = co_await fetched.recv();
    report(*p, all);
    if (p->from.at == chosen.start) is_start_there = p->code != 0;
    const unsigned depth = p->from.depth + (p->is_redirect ? 0 : 1);
    const unsigned redirects = p->is_redirect ? p->from.redirects + 1 : 0;
    if (depth > chosen.depth || redirects > most_redirects) continue;
    for (const url& link : p->links) {
      if (!seen.insert(link).second) continue;
      ++under_way;
      next = {link, depth, redirects};
      co_await to_fetch.send(std::move(next));
    }
  }
  fmt::print("fetched {}, redirects {}, refused {}, failed {}, bytes {}\n", all.fetched, all.redirects,
             all.refused, all.failed, all.bytes);
  co_return is_start_there;
}

weft::routine<bool> crawl(const options& chosen) {
  co_return co_await weft::scope([&](weft::task_scope& s) -> weft::routine<bool> {
    auto to_fetch =
        weft::channel<job>::unbounded();  // bounded, collector and fetchers could wait for each other
    weft::channel<page> fetched;
    for (unsigned i = 0; i < chosen.jobs; ++i) s.go(fetch_all, std::cref(chosen), to_fetch, fetched);
    const bool is_start_there = co_await collect(chosen, to_fetch, fetched);
    to_fetch.close();
    co_return is_start_there;
  });
}

[[noreturn]] void refuse(std::string_view what) {
  fmt::print(stderr, "crawler: {}\n{}", what, usage);
  std::exit(2);
}

unsigned number(const char* text) {
  const std::string_view digits = text == nullptr ? "" : text;
  unsigned n = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (error != std::errc() || stop != digits.data() + digits.size()) refuse("a number is missing");
  return n;
}

options parse_options(int argc, char** argv) {
  options chosen;
  std::optional<url> start;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--jobs")
      chosen.jobs = number(argv[++i]);
    else if (name == "--depth")
      chosen.depth = number(argv[++i]);
    else if (name == "--timeout")
      chosen.timeout = std::chrono::milliseconds(number(argv[++i]));
    else
      start = parse_url(name);
  }
  if (!start) refuse("no http:// URL");
  if (chosen.jobs == 0) refuse("--jobs 0 would fetch nothing");
  chosen.start = *start;
  return chosen;
}

}  // namespace

int main(int argc, char** argv) {
  const options chosen = parse_options(argc, argv);
  return weft::go(crawl, std::cref(chosen)).join() ? 0 : 1;
}
