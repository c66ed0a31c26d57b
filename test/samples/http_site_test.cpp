// What samples/http_server opens, and when without waiting: site.hpp.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include "site.hpp"
#include "support/catch.hpp"
#include "support/program.hpp"

namespace {

constexpr std::uint64_t not_found = 999;

std::uint64_t closed(const site::opened& found) {
  if (found.file < 0) return not_found;
  ::close(found.file);
  return found.facts.size;
}

}  // namespace

TEST_CASE("a file that was just open is opened again without waiting, and what is refused is not",
          "[samples][http]") {
  const weft::test::scratch_directory root;
  root.write("secret", "secret\n");
  root.write("www/sub/page.html", "<p>page</p>\n");
  const std::filesystem::path www = root.path() / "www";
  std::filesystem::create_symlink("../secret", www / "outside");
  REQUIRE(::mkfifo((www / "fifo").c_str(), 0600) == 0);
  const site served(www.string());
  REQUIRE(closed(served.open("sub/page.html")) == 12);
  const std::optional<site::opened> again = served.open_cached("sub/page.html");
  REQUIRE(again.has_value());
  REQUIRE(again->facts.type == type_of("page.html"));
  REQUIRE(closed(*again) == 12);
  for (const char* name : {"none", "sub", "fifo", "outside", "../secret"}) {
    CAPTURE(name);
    REQUIRE(closed(served.open(name)) == not_found);
    REQUIRE(!served.open_cached(name).has_value());
  }
}
