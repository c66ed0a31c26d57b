// pg_pool and a real PostgreSQL.

#include <weft/blocking.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "counterparts/support.hpp"
#include "support/sanitizers.hpp"

using namespace weft;
using namespace std::chrono_literals;

namespace {

/// The server does not run for root.
test::words as_nobody_special() {
  if (::geteuid() != 0) return {};
  return {"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"};
}

bool is_skipped_here() {
#ifndef WEFT_HAS_PG_POOL
  return test::is_skipped("pg_pool was not built, libpq is missing");
#else
  if (test::is_missing("postgres") || test::is_missing("initdb")) return true;
  return ::geteuid() == 0 && ::getpwnam("postgres") == nullptr &&
         test::is_skipped("there is no user postgres");
#endif
}

class postgres {
 public:
  postgres() {
    if (const passwd* const user = ::getpwnam("postgres"); ::geteuid() == 0) {
      std::filesystem::permissions(root_.path(), std::filesystem::perms(0755));
      REQUIRE(::chown(root_.path().c_str(), user->pw_uid, user->pw_gid) == 0);
    }
    test::words argv = as_nobody_special();
    for (const std::string& each :
         {*test::program_path("initdb"), std::string("-D"), data(), std::string("-A"), std::string("trust"),
          std::string("-U"), std::string("weft"), std::string("--no-sync")})
      argv.push_back(each);
    REQUIRE(test::run_program(argv).how.success());
    start();
  }

  postgres(const postgres&) = delete;
  postgres& operator=(const postgres&) = delete;

  /// Killed, it would leave processes of its own behind.
  ~postgres() {
    server_->kill(SIGINT);
    server_->read_rest();
  }

  void start() {
    test::words argv = as_nobody_special();
    for (const std::string& each :
         {*test::program_path("postgres"), std::string("-D"), data(), std::string("-k"),
          root_.path().string(), std::string("-h"), std::string(), std::string("-F"), std::string("-c"),
          std::string("autovacuum=off")})
      argv.push_back(each);
    server_.emplace(test::with_errors(argv));
    test::await_line(*server_, "ready to accept connections");
  }

  void stop() {
    server_->kill(SIGINT);
    server_->read_rest();
    REQUIRE(server_->wait().success());
  }

  std::string address() const { return "host=" + root_.path().string() + " user=weft dbname=postgres"; }

 private:
  std::string data() const { return (root_.path() / "data").string(); }

  const test::scratch_directory root_;
  std::optional<test::program> server_;
};

/// The program, and its answers.
struct pool {
  pool(const postgres& to, int sessions, int milliseconds)
      : is({WEFT_SAMPLES "/pg_pool", to.address(), std::to_string(sessions), std::to_string(milliseconds)},
           true) {}

  void say(const std::string& statement) { is.write(statement + "\n"); }

  /// One row of one column.
  std::string value_of(const std::string& statement) {
    say(statement);
    const std::string value = is.read_line();
    if (value.find("ERROR") == value.npos) REQUIRE(is.read_line() == "(1 rows)");
    return value;
  }

  void end() {
    is.end_input();
    REQUIRE(is.wait().success());
  }

  test::program is;
};

const std::string late = "cancelled: it took too long";

}  // namespace

TEST_CASE("pg_pool gets rows and errors from PostgreSQL and goes on", "[counterparts][pg]") {
  if (is_skipped_here()) return;
  const postgres pg;
  pool p(pg, 2, 10'000);
  REQUIRE(p.value_of("SELECT 6 * 7") == "42");
  REQUIRE(p.value_of("SELEKT").find("syntax error") != std::string::npos);
  p.is.read_line();  // LINE 1: SELEKT
  p.is.read_line();  //         ^
  REQUIRE(p.value_of("SELECT repeat('x', 1000000)") == std::string(1'000'000, 'x'));
  REQUIRE(p.value_of("SELECT length('" + std::string(3'000'000, 'y') + "')") == "3000000");
  p.say("SELECT i, i * i FROM generate_series(1, 3) i");
  for (const char* line : {"1 | 1", "2 | 4", "3 | 9", "(3 rows)"}) REQUIRE(p.is.read_line() == line);
  p.end();
}

TEST_CASE("pg_pool uses as many sessions as it may, and each again", "[counterparts][pg]") {
  if (is_skipped_here()) return;
  const postgres pg;
  pool p(pg, 4, 10'000);
  for (int i = 0; i < 200; ++i) p.say("SELECT pg_backend_pid() FROM pg_sleep(0.005)");
  std::vector<std::string> sessions;
  for (int i = 0; i < 200; ++i) {
    sessions.push_back(p.is.read_line());
    REQUIRE(p.is.read_line() == "(1 rows)");
  }
  std::sort(sessions.begin(), sessions.end());
  sessions.erase(std::unique(sessions.begin(), sessions.end()), sessions.end());
  REQUIRE(sessions.size() == 4);
  p.end();
}

TEST_CASE("a query that takes too long is stopped on the server and its session is used again",
          "[counterparts][pg]") {
  if (is_skipped_here()) return;
  const postgres pg;
  pool p(pg, 1, 300);
  const std::string session = p.value_of("SELECT pg_backend_pid()");
  p.say("SELECT pg_sleep(1000)");
  REQUIRE(p.is.read_line() == late);
  REQUIRE(p.value_of("SELECT pg_backend_pid()") == session);
  pool other(pg, 1, 10'000);
  REQUIRE(other.value_of(
              "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%(1000)' AND state = 'active'") ==
          "0");
  p.end();
  other.end();
}

TEST_CASE("sessions that have broken are replaced, and so is a server that was away", "[counterparts][pg]") {
  if (is_skipped_here()) return;
  postgres pg;
  pool p(pg, 2, 10'000);
  const std::string session = p.value_of("SELECT pg_backend_pid()");
  p.say("SELECT pg_terminate_backend(pg_backend_pid())");
  REQUIRE(p.is.read_line().starts_with("FATAL:  terminating connection"));
  for (int i = 0; i < 3; ++i) p.is.read_line();
  for (int i = 0; i < 4; ++i) REQUIRE(p.value_of("SELECT 1") == "1");
  pg.stop();
  p.say("SELECT 2");
  REQUIRE(p.is.read_line() != "2");
  pg.start();
  // One session has noticed; the other does when it is used.
  pool fresh(pg, 2, 10'000);
  REQUIRE(fresh.value_of("SELECT 3") == "3");
  fresh.end();
}

TEST_CASE("an address that libpq cannot make sense of is an error of each statement", "[counterparts][pg]") {
  if (is_skipped_here()) return;
  test::program pool({WEFT_SAMPLES "/pg_pool", "nonsense", "1", "10000"}, true);
  for (int i = 0; i < 2; ++i) {
    pool.write("SELECT 1\n");
    REQUIRE(pool.read_line().find("missing \"=\"") != std::string::npos);
  }
  pool.end_input();
  REQUIRE(pool.wait().success());
}

TEST_CASE("a session that has lost its place in the conversation is replaced", "[counterparts][pg]") {
  if (is_skipped_here()) return;
  const postgres pg;
  pool p(pg, 1, 10'000);
  const std::string session = p.value_of("SELECT pg_backend_pid()");
  p.say("COPY (SELECT 1) TO STDOUT");
  REQUIRE(p.is.read_line().find("COPY") != std::string::npos);
  REQUIRE(p.value_of("SELECT pg_backend_pid()") != session);
  if (test::under_asan) return;  // it needs descriptors of its own
  rlimit usual;
  REQUIRE(::prlimit(p.is.id(), RLIMIT_NOFILE, nullptr, &usual) == 0);
  const rlimit few{.rlim_cur = 3, .rlim_max = usual.rlim_max};
  REQUIRE(::prlimit(p.is.id(), RLIMIT_NOFILE, &few, nullptr) == 0);
  p.say("SELECT 1 FROM pg_sleep(0.1)");
  REQUIRE(p.is.read_line().find("Too many open files") != std::string::npos);
  REQUIRE(::prlimit(p.is.id(), RLIMIT_NOFILE, &usual, nullptr) == 0);
  for (int i = 0; i < 3; ++i) REQUIRE(p.value_of("SELECT 2") == "2");
  p.end();
}
