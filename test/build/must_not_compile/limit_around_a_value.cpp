// expect: weft: in plain code give a function

#include <weft/blocking.hpp>
#include <weft/channel.hpp>
#include <weft/time.hpp>

#include <chrono>
#include <optional>

using namespace std::chrono_literals;

std::optional<int> within_a_second(weft::channel<int>& ch) {
#ifdef WEFT_SAFE
  return weft::blocking::with_timeout(1s, [&] { return weft::blocking::wait(ch.recv()); });
#else
  return weft::blocking::with_timeout(1s, weft::blocking::wait(ch.recv()));
#endif
}
