// The crawler and a real nginx.

#include <weft/blocking.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "counterparts/support.hpp"
#include "io/support.hpp"

using namespace weft;

namespace {

std::string configuration(std::uint16_t port, const std::string& prefix) {
  std::string temporary;
  for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
    temporary += std::string("  ") + kind + "_temp_path " + prefix + "/tmp;\n";
  return "daemon off;\nmaster_process off;\npid " + prefix + "/pid;\nevents {}\nhttp {\n" + temporary +
         "  access_log off;\n  types { text/html html; }\n  default_type application/octet-stream;\n"
         "  server {\n    listen 127.0.0.1:" +
         std::to_string(port) + ";\n    root " + prefix +
         "/www;\n    absolute_redirect off;\n    location /listing/ { autoindex on; }\n"
         "    location /moved { return 302 /page1.html; }\n"
         "    location /round { return 301 /round/and; }\n    location /round/and { return 301 /round; }\n"
         "    location /forbidden { return 403; }\n  }\n}\n";
}

}  // namespace

TEST_CASE("the crawler finds all of a site that nginx serves, once", "[counterparts][crawler]") {
  if (test::is_missing("nginx")) return;
  const test::scratch_directory root;
  std::string index =
      "<a href='/sub'><a href='moved'><a href='round'><a href='forbidden'><a href='none'><a href='listing/'>";
  for (int i = 0; i < 50; ++i) {
    const std::string name = "page" + std::to_string(i) + ".html";
    index += "<a href='" + name + "'>";
    root.write("www/" + name,
               "<a href='page" + std::to_string((i + 1) % 50) + ".html'>" + test::text(0, 10'000));
    root.write("www/listing/" + name, "");
  }
  root.write("www/index.html", index);
  root.write("www/sub/index.html", "<a href='../index.html'><a href='deep/'>");
  root.write("www/sub/deep/index.html", "<a href='../../large.bin'>");
  root.write("www/large.bin", test::text(0, 2'000'000));
  const std::uint16_t port = test::free_port();
  const std::string file = root.write("nginx.conf", configuration(port, root.path().string()));
  test::program nginx({*test::program_path("nginx"), "-p", root.path().string(), "-c", file, "-e",
                       (root.path() / "error.log").string()});
  test::await_listener(port);

  const test::outcome o = test::run_program(
      {WEFT_SAMPLES "/crawler", "--jobs", "10", "http://127.0.0.1:" + std::to_string(port) + "/"});
  auto lines = test::lines_of(o.output);
  CAPTURE(o.output);
  REQUIRE(o.how.success());
  // Of the listing, a chunked answer, also what sorts it, and the way up.
  const std::string counts = lines.back();
  lines.pop_back();
  const auto count = [&](const std::string& begin) {
    return std::count_if(lines.begin(), lines.end(),
                         [&](const std::string& l) { return l.starts_with(begin); });
  };
  const std::string site = "http://127.0.0.1:" + std::to_string(port);
  REQUIRE(count("200 " + site + "/page") == 50);
  REQUIRE(count("200 " + site + "/listing/page") == 50);
  for (const char* expected :
       {"301 /sub", "200 /sub/", "200 /sub/deep/", "200 /large.bin", "302 /moved", "301 /round",
        "301 /round/and", "403 /forbidden", "404 /none", "200 /listing/"}) {
    std::string line = expected;
    line.insert(4, site);
    CAPTURE(line);
    REQUIRE(std::count(lines.begin(), lines.end(), line) == 1);
  }
  std::sort(lines.begin(), lines.end());
  REQUIRE(std::adjacent_find(lines.begin(), lines.end()) == lines.end());
  REQUIRE(counts.find("refused 2, failed 0") != counts.npos);
}
