// The facade before main and after it: statics, thread_locals, atexit, and a runtime that was stopped.

#include <weft/weft.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

#include <unistd.h>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;

namespace {

void say(const char* text) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, std::strlen(text));
}

weft::routine<int> plus_one(int n) {
  co_await weft::yield();
  co_return n + 1;
}

/// What needs no routine to run: channels that are ready, limits.
bool works_alone() {
  weft::blocking::channel<int> ch(1);
  bool good = ch.send(1) == weft::send_status::sent && ch.recv() == 1;
  good = good && ch.recv_for(1ms).status == weft::recv_status::empty;
  good = good && weft::blocking::select(weft::on_recv(ch), weft::on_timeout(1ms)) == 1;
  weft::event e;
  e.set();
  weft::blocking::wait(e.wait());
  return good;
}

bool works_with_routines() {
  weft::blocking::channel<int> ch;
  auto h = weft::go([ch] { ch.send(4); });
  const bool good = ch.recv() == 4;
  h.join();
  return good && weft::go(plus_one, 1).join() == 2 && weft::blocking::run(plus_one(2)) == 3;
}

/// A process of its own for the test of this name?  Before main there is no other way to know.
bool begins_for(const char* test) {
  if (std::getenv("WEFT_TEST_DIES") == nullptr) return false;
  char text[4096] = {};
  std::FILE* file = std::fopen("/proc/self/cmdline", "r");
  const std::size_t n = std::fread(text, 1, sizeof text - 1, file);
  (void)std::fclose(file);
  const char* name = text + std::strlen(text) + 1;
  return name < text + n && std::strcmp(name, test) == 0;
}

constexpr const char* before_main = "the facade and routines work before main while statics are made";

const bool worked_early = begins_for(before_main) && works_alone() && works_with_routines();

struct uses_weft_at_its_end {
  ~uses_weft_at_its_end() { say(works_alone() ? "alone " : "broken "); }
};

/// When routines do not run any more, as nobody schedules them, or do: never a crash, and no hang.
struct uses_all_at_its_end {
  ~uses_all_at_its_end() {
    say(works_alone() ? "alone " : "broken ");
    say(works_with_routines() ? "routines " : "broken ");
  }
};

void ends_well(const weft::test::death& d, const char* said) {
  INFO(d.said);
  REQUIRE_FALSE(d.aborted);
  REQUIRE(d.said == said);
}

}  // namespace

TEST_CASE("the facade and routines work before main while statics are made", "[api][exit]") {
  ends_well(weft::test::last_words([] {
              say(worked_early ? "early " : "broken ");
              say(works_with_routines() ? "late" : "broken");
            }),
            "early late");
}

TEST_CASE("the facade works while statics are destroyed and in atexit", "[api][exit]") {
  ends_well(weft::test::last_words([] {
              static uses_weft_at_its_end early;  // outlives what the runtime registers
              (void)works_with_routines();
              static uses_weft_at_its_end late;
              (void)std::atexit([] { say(works_alone() ? "atexit " : "broken "); });
              std::exit(0);
            }),
            "atexit alone alone ");
}

TEST_CASE("the facade works in the destructor of a thread's thread_local and so do routines", "[api][exit]") {
  ends_well(weft::test::last_words([] {
              std::thread([] {
                thread_local uses_all_at_its_end early;
                (void)&early;
                (void)works_with_routines();
                thread_local uses_all_at_its_end late;
                (void)&late;
              }).join();
            }),
            "alone routines alone routines ");
}

TEST_CASE("the facade works after the global runtime was stopped, and what needs it throws stopped",
          "[api][exit]") {
  (void)works_with_routines();
  weft::runtime::global().stop();
  REQUIRE(works_alone());
  REQUIRE_THROWS_AS(weft::go(plus_one, 1), weft::stopped);
  REQUIRE_THROWS_AS(weft::blocking::run(plus_one(1)), weft::stopped);
  weft::init_global_runtime({.workers = 1});
  REQUIRE(works_with_routines());
}
