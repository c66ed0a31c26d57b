// http_server and http_server_plain, asked by curl and wrk.

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "counterparts/support.hpp"
#include "io/support.hpp"

using namespace weft;

namespace {

std::string content_of(const std::filesystem::path& file) {
  std::ifstream from(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(from), std::istreambuf_iterator<char>()};
}

struct site {
  explicit site(const std::string& face)
      : large(root.write("large.bin", test::text(0, 1'000'000))),
        small(root.write("index.html", "<p>hello</p>\n")),
        server({WEFT_SAMPLES "/" + face, "--root", root.path().string(), "--port", "0"}),
        at("http://127.0.0.1:" + std::to_string(server.read_port())) {}

  test::outcome curl(test::words options) const {
    options.insert(options.begin(), {"curl", "--silent", "--show-error", "--path-as-is"});
    return test::run_program(options);
  }

  /// What curl prints of one request: the code, and the body in a file.
  std::string code(const std::string& target, test::words options = {}) const {
    options.insert(options.end(), {"--output", body().string(), "--write-out", "%{http_code}", at + target});
    return curl(options).output;
  }

  std::filesystem::path body() const { return root.path() / "body"; }

  void stop() {
    server.kill(SIGTERM);
    REQUIRE(server.wait().success());
  }

  test::scratch_directory root;
  std::string large, small;
  test::program server;
  std::string at;
};

/// The number in front of a word of wrk's report.
long number_before(const std::string& report, const std::string& word) {
  const std::size_t end = report.find(word);
  if (end == report.npos) return -1;
  const std::size_t begin = report.find_last_not_of(" 0123456789", end - 1) + 1;
  return std::stol(report.substr(begin, end - begin));
}

/// The number behind a word of its socket errors; 0 if there were none.
long errors(const std::string& report, const std::string& kind) {
  const std::size_t line = report.find("Socket errors:");
  if (line == report.npos) return 0;
  return std::stol(report.substr(report.find(kind + " ", line) + kind.size() + 1));
}

}  // namespace

TEST_CASE("curl gets files and ranges of them byte for byte", "[counterparts][http]") {
  if (test::is_missing("curl")) return;
  site s(GENERATE("http_server", "http_server_plain"));
  const std::string all = content_of(s.large);
  REQUIRE(s.code("/large.bin") == "200");
  REQUIRE(content_of(s.body()) == all);
  const std::pair<std::string, std::string> ranges[] = {
      {"0-0", all.substr(0, 1)},
      {"1000-70000", all.substr(1'000, 69'001)},
      {"999999-", all.substr(999'999)},
      {"-1", all.substr(999'999)},
      {"-100000", all.substr(900'000)},
      {"123456-99999999", all.substr(123'456)},
      {"-99999999", all},
  };
  for (const auto& [range, expected] : ranges) {
    CAPTURE(range);
    REQUIRE(s.code("/large.bin", {"--range", range}) == "206");
    REQUIRE(content_of(s.body()) == expected);
  }
  REQUIRE(s.code("/large.bin", {"--range", "1000000-"}) == "416");
  std::ofstream(s.body(), std::ios::binary) << all.substr(0, 500'000);
  REQUIRE(s.code("/large.bin", {"--continue-at", "-"}) == "206");
  REQUIRE(content_of(s.body()) == all);
  s.stop();
}

TEST_CASE("curl's other requests are answered as HTTP has it", "[counterparts][http]") {
  if (test::is_missing("curl")) return;
  site s(GENERATE("http_server", "http_server_plain"));
  REQUIRE(s.code("/") == "200");
  REQUIRE(content_of(s.body()) == "<p>hello</p>\n");
  REQUIRE(s.code("/", {"--time-cond", s.small}) == "304");
  REQUIRE(s.code("/", {"--time-cond", "1 Jan 2001"}) == "200");
  REQUIRE(s.code("/none") == "404");
  REQUIRE(s.code("/../etc/passwd") == "400");
  REQUIRE(s.code("/%2e%2e/etc/passwd") == "400");
  REQUIRE(s.code("/", {"--request", "DELETE"}) == "405");
  REQUIRE(s.code("/", {"--request", "NONSENSE"}) == "501");
  REQUIRE(s.code("/", {"--data-binary", "@" + s.large}) == "405");  // asks before it sends it
  REQUIRE(s.code("/", {"--header", "Expect:", "--data-binary", "@" + s.large}) == "405");
  REQUIRE(s.code("/" + std::string(9'000, 'a')) == "414");
  REQUIRE(s.code("/", {"--header", "A: " + std::string(20'000, 'a')}) == "431");
  REQUIRE(s.code("/", {"--http1.0"}) == "200");
  const test::outcome head = s.curl({"--head", s.at + "/large.bin"});
  REQUIRE(head.output.find("Content-Length: 1000000\r\n") != std::string::npos);
  s.stop();
}

TEST_CASE("curl keeps one connection for many requests", "[counterparts][http]") {
  if (test::is_missing("curl")) return;
  site s(GENERATE("http_server", "http_server_plain"));
  const test::outcome o = s.curl({"--output", "/dev/null", "--write-out", "%{http_code} %{num_connects}\n",
                                  s.at + "/[1-20]", "--output", "/dev/null", s.at + "/index.html"});
  const auto lines = test::lines_of(o.output);
  REQUIRE(lines.size() == 21);
  REQUIRE(lines.front() == "404 1");
  for (std::size_t i = 1; i < 20; ++i) REQUIRE(lines[i] == "404 0");
  REQUIRE(lines.back() == "200 0");
  s.stop();
}

TEST_CASE("wrk finds no error, one request at a time and pipelined", "[counterparts][http]") {
  if (test::is_missing("wrk")) return;
  site s(GENERATE("http_server", "http_server_plain"));
  const std::string script = s.root.write("pipeline.lua",
                                          "init = function(args)\n"
                                          "  local each = {}\n"
                                          "  for i = 1, 16 do each[i] = wrk.format(nil, '/') end\n"
                                          "  all = table.concat(each)\n"
                                          "end\n"
                                          "request = function() return all end\n");
  for (const test::words& how : {test::words{s.at + "/"}, test::words{"--script", script, s.at + "/"},
                                 test::words{s.at + "/large.bin"}}) {
    test::words argv{"wrk", "--threads", "1", "--connections", "32", "--duration", "1s"};
    argv.insert(argv.end(), how.begin(), how.end());
    const std::string report = test::run_program(argv).output;
    CAPTURE(report);
    REQUIRE(number_before(report, "requests in") > 0);
    REQUIRE(report.find("Socket errors") == std::string::npos);
    REQUIRE(report.find("Non-2xx") == std::string::npos);
  }
  s.stop();
}

TEST_CASE("a server that is stopped under wrk's load ends, and has answered nothing but 200",
          "[counterparts][http]") {
  if (test::is_missing("wrk")) return;
  site s(GENERATE("http_server", "http_server_plain"));
  const std::string script =
      s.root.write("tells.lua",
                   "local answers = 0\n"
                   "response = function()\n"
                   "  answers = answers + 1\n"
                   "  if answers == 1000 then io.write('under load\\n') io.flush() end\n"
                   "end\n");
  test::program wrk({"wrk", "--threads", "1", "--connections", "50", "--duration", "15s", "--timeout", "30s",
                     "--script", script, s.at + "/"});
  while (wrk.read_line() != "under load") {
  }
  s.stop();
  wrk.kill(SIGINT);  // it ends with its report
  const std::string report = wrk.read_rest();
  CAPTURE(report);
  REQUIRE(number_before(report, "requests in") >= 1'000);
  REQUIRE(report.find("Non-2xx") == std::string::npos);
  // A connection that is idle when the server stops may be closed in wrk's face; that is one for each.
  REQUIRE(errors(report, "read") <= 50);
  REQUIRE(errors(report, "timeout") == 0);
}
