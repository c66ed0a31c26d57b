// expect: weft: with_timeout and its kin await once what they are given: with_timeout\(1s, std::move\(op\)\)
#include <weft/blocking.hpp>
#include <weft/time.hpp>

#include <chrono>
#include <optional>
#include <utility>

std::optional<int> within(std::chrono::seconds d, weft::channel<int>& ch) {
  auto op = ch.recv();
#ifdef WEFT_SAFE
  return weft::blocking::with_timeout(d, std::move(op));
#else
  return weft::blocking::with_timeout(d, op);
#endif
}
