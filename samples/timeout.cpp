// timeout: limits on a wait, on a stretch of work, and on everything below it; and what is left to the
// caller.
//
// The rule behind all of it: an operation that did not happen has taken nothing.  A value that was not sent
// is still in its variable, a handle that was not joined is still a handle.

#include <weft/weft.hpp>

#include <chrono>
#include <string>
#include <utility>

#include <fmt/core.h>

using namespace std::chrono_literals;

weft::routine<> waits_with_a_limit() {
  weft::channel<std::string> letters;  // rendezvous, and nobody is at the other end
  const auto letter = co_await letters.recv_for(5ms);
  fmt::print("recv_for: {}\n", letter.status == weft::recv_status::empty ? "nothing came" : "?");

  std::string mine = "a letter that is still mine";
  const auto status = co_await letters.send_for(std::move(mine), 5ms);
  fmt::print("send_for: {}, {}\n", status == weft::send_until_status::timed_out ? "timed out" : "?", mine);
}

weft::routine<int> answer_slowly() {
  co_await weft::sleep_for(50ms);
  co_return 42;
}

// The limit ends the wait, not the routine that is waited for.
weft::routine<> waits_again_after_a_timeout() {
  auto answer = weft::go(answer_slowly);
  try {
    co_await weft::with_timeout(5ms, std::move(answer));
  } catch (const weft::timeout_error&) {
    fmt::print("with_timeout: too early\n");
  }
  const int value = co_await std::move(answer);
  fmt::print("joined later: {}\n", value);
}

// A routine takes its time to say good-bye.
weft::routine<> say_goodbye() {
  co_await weft::sleep_for(1ms);
  fmt::print("deadline: cleaned up\n");
}

// Knows nothing of any limit, and ends in time nevertheless.
weft::routine<> work_for_ever() {
  bool is_late = false;
  try {
    while (true) co_await weft::sleep_for(1h);
  } catch (const weft::deadline_exceeded&) {
    is_late = true;  // co_await is not allowed in a catch block
  }
  if (is_late) co_await weft::shield(say_goodbye());  // every other wait would throw again
  weft::this_routine::check();
}

weft::routine<> inherits_a_deadline() {
  try {
    co_await weft::with_deadline(std::chrono::steady_clock::now() + 5ms, work_for_ever());
  } catch (const weft::timeout_error&) {
    fmt::print("with_deadline: time is up\n");
  }
}

weft::routine<> is_cancelled() {
  auto sleeper = weft::go(work_for_ever);
  sleeper.cancel();  // asks; its next wait, or the one it is in, throws weft::cancelled
  try {
    co_await std::move(sleeper);
  } catch (const weft::routine_cancelled&) {
    fmt::print("cancel: it has no result\n");
  }
}

int main() {
  weft::go(waits_with_a_limit).join();
  weft::go(waits_again_after_a_timeout).join();
  weft::go(inherits_a_deadline).join();
  weft::go(is_cancelled).join();
}
