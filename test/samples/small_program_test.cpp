// echo_server and tail_follow, as programs.

#include <weft/blocking.hpp>
#include <weft/io/tcp.hpp>

#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/support.hpp"
#include "support/catch.hpp"
#include "support/program.hpp"
#include "support/sanitizers.hpp"

using namespace weft;

namespace {

void append(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::app) << text;
}

}  // namespace

TEST_CASE("echo_server gives back what comes, survives resets and descriptors that run out", "[samples]") {
  // UBSan needs descriptors of its own, to look at memory.
  const std::string limit = test::under_asan ? "--nofile=1000" : "--nofile=30";
  test::program server({"prlimit", limit, WEFT_SAMPLES "/echo_server"});
  const ip_endpoint at = ip_endpoint::loopback(server.read_port());
  {
    tcp_stream gone = blocking::wait(tcp_stream::connect(at));
    char byte;
    blocking::wait(gone.write_all("x"));
    blocking::wait(gone.read_exactly(mutable_buffer(&byte, 1)));
    gone.set_reset_on_close();
  }
  std::deque<tcp_stream> clients;
  const std::string text = test::text(0, 20'000);
  for (int i = 0; i < 60; ++i) clients.push_back(blocking::wait(tcp_stream::connect(at)));
  for (; !clients.empty(); clients.pop_front()) {
    std::string back(text.size(), ' ');
    blocking::wait(clients.front().write_all(text));
    blocking::wait(clients.front().read_exactly(back));
    REQUIRE(back == text);
  }
  tcp_stream idle = blocking::wait(tcp_stream::connect(at));
  server.kill(SIGTERM);
  char byte;
  REQUIRE(blocking::wait(idle.read_some(mutable_buffer(&byte, 1))) == 0);
  REQUIRE(server.wait().success());
}

TEST_CASE("echo_server survives a system that has no room for a client", "[samples]") {
  // The sanitizers want to be loaded first.
  test::program server({"env", "ASAN_OPTIONS=verify_asan_link_order=0", "LD_PRELOAD=" WEFT_TEST_NO_ROOM,
                        WEFT_SAMPLES "/echo_server"});
  tcp_stream client = blocking::wait(tcp_stream::connect(ip_endpoint::loopback(server.read_port())));
  char byte;
  blocking::wait(client.write_all("x"));
  REQUIRE(blocking::wait(client.read_exactly(mutable_buffer(&byte, 1))) == 1);
  server.kill(SIGTERM);
  REQUIRE(server.wait().success());
}

TEST_CASE("tail_follow prints what is appended, through truncation and rotation", "[samples]") {
  const test::scratch_directory scratch;
  const std::filesystem::path log = scratch.path() / "log", old = scratch.path() / "log.1";
  test::program tail({WEFT_SAMPLES "/tail_follow", log.string()});  // there is no such file yet
  const auto says = [&](const std::string& text) {
    append(log, text + "\n");
    REQUIRE(tail.read_line() == text);
  };
  says("one");
  says("two");
  append(scratch.path() / "other", "not this\n");
  std::filesystem::resize_file(log, 0);
  says("3");
  std::filesystem::rename(log, old);
  append(old, "late\n");
  append(log, "four\n");
  REQUIRE(tail.read_line() == "late");  // to its end, though it has another name
  REQUIRE(tail.read_line() == "four");
  REQUIRE(std::filesystem::remove(log));
  says("five");
  append(scratch.path() / "new", "six\n");
  std::filesystem::rename(scratch.path() / "new", log);
  REQUIRE(tail.read_line() == "six");
  const std::string large = test::text(0, 300'000);
  append(log, large + "\nend\n");
  REQUIRE(tail.read_line() == large);
  REQUIRE(tail.read_line() == "end");
  tail.kill(SIGINT);
  REQUIRE(tail.wait().success());
  REQUIRE(tail.read_rest().empty());
  REQUIRE(test::run_program({WEFT_SAMPLES "/tail_follow", "/no/such/directory/file"}).how.exited() == 1);
}

TEST_CASE("a file that is gone as soon as it is there does not end tail_follow", "[samples]") {
  const test::scratch_directory scratch;
  const std::filesystem::path log = scratch.path() / "log";
  test::program tail({WEFT_SAMPLES "/tail_follow", log.string()});
  append(log, "one\n");
  REQUIRE(tail.read_line() == "one");
  for (int i = 0; i < test::unless_sanitized(20'000, 5'000); ++i) {
    std::filesystem::remove(log);
    append(log, "");
  }
  append(log, "end\n");
  REQUIRE(tail.read_line() == "end");
}

TEST_CASE("tail_follow ends when nobody reads it any more", "[samples]") {
  const test::scratch_directory scratch;
  const std::filesystem::path log = scratch.path() / "log";
  append(log, "one\n");
  test::program tail({WEFT_SAMPLES "/tail_follow", log.string()});
  REQUIRE(tail.read_line() == "one");
  tail.close_output();
  append(log, "two\n");
  REQUIRE(tail.wait().success());
}

TEST_CASE("a reader that stalls does not keep a signal from ending tail_follow", "[samples]") {
  const test::scratch_directory scratch;
  const std::filesystem::path log = scratch.path() / "log";
  append(log, test::text(0, 300'000));
  const std::string pipe = (scratch.path() / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::write(reader, "x", 1) == 1);  // takes a page, and what comes is written in part
  test::program tail({"sh", "-c", "exec " WEFT_SAMPLES "/tail_follow " + log.string() + " >" + pipe});
  const int room = ::fcntl(reader, F_GETPIPE_SZ) - 4'096;
  for (int there = 0; there < room; ::sched_yield()) REQUIRE(::ioctl(reader, FIONREAD, &there) == 0);
  tail.kill(SIGTERM);
  REQUIRE(tail.wait().success());
  ::close(reader);
}

TEST_CASE("the pipe that tail_follow prints to stays blocking for others who write to it", "[samples]") {
  const test::scratch_directory scratch;
  const std::filesystem::path log = scratch.path() / "log";
  append(log, "one\n");
  test::program tail({WEFT_SAMPLES "/tail_follow", log.string()});
  REQUIRE(tail.read_line() == "one");
  std::ifstream about("/proc/" + std::to_string(tail.id()) + "/fdinfo/1");
  std::string name;
  int flags = 0;
  while (name != "flags:") about >> name;
  about >> std::oct >> flags;
  REQUIRE((flags & O_NONBLOCK) == 0);
}

TEST_CASE("tail_follow says if it cannot print", "[samples]") {
  const test::scratch_directory scratch;
  const std::string log = scratch.write("log", "one\n");
  const std::string command = WEFT_SAMPLES "/tail_follow " + log + " 2>&1 >/dev/full";
  const test::outcome o = test::run_program({"sh", "-c", "exec " + command});
  REQUIRE(o.how.exited() == 1);
  REQUIRE(o.output.find("No space left on device") != std::string::npos);
}
