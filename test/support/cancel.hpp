#pragma once

// Cancelling a routine while it waits.

#include <weft/weft.hpp>

#include <stdexcept>

namespace weft::test {

enum class ending { value, cancelled, deadline, timeout, error };

/// How `body` - a coroutine without parameters, named by the caller - ends.
template <typename Body>
weft::routine<ending> ending_of(Body& body) {
  try {
    co_await body();
  } catch (const weft::deadline_exceeded&) {
    co_return ending::deadline;
  } catch (const weft::cancelled&) {
    co_return ending::cancelled;
  } catch (const weft::timeout_error&) {
    co_return ending::timeout;
  } catch (...) {
    co_return ending::error;
  }
  co_return ending::value;
}

/// Runs `body` and cancels it: on one worker exactly when it waits for the first time.
template <typename Body>
ending cancel_while(weft::runtime& rt, Body&& body) {
  weft::event begun;
  auto victim = rt.go([&]() -> weft::routine<ending> {
    begun.set();
    co_return co_await ending_of(body);
  });
  auto canceller = rt.go([&]() -> weft::routine<> {
    co_await begun.wait();
    victim.cancel();
  });
  canceller.join();
  return victim.join();
}

}  // namespace weft::test
