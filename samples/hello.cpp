// hello: go() starts a routine, join() waits for its result.
//
// A routine is a C++20 coroutine that weft runs on its workers.  main() is plain code: it starts routines and
// joins them, and no co_await is needed there.

#include <weft/weft.hpp>

#include <string>
#include <utility>

#include <fmt/core.h>

// What is taken by value is kept in the routine: nothing that the caller has may go away too early.
weft::routine<std::string> greet(std::string name) {
  co_await weft::yield();  // a place where other routines may run: this worker is not blocked
  co_return "hello, " + name;
}

int main() {
  auto first = weft::go(greet, "world");
  auto second = weft::go([](int year) { return "it is " + std::to_string(year); }, 2026);  // plain code, too

  fmt::print("{}\n", first.join());
  fmt::print("{}\n", second.join());
}
