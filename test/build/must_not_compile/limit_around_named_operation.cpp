// expect: weft: with_timeout and its kin await once what they are given: with_timeout\(1s, std::move\(op\)\)
#include <weft/channel.hpp>
#include <weft/scope.hpp>

#include <chrono>
#include <optional>
#include <utility>

weft::routine<std::optional<int>> within(std::chrono::seconds d, weft::channel<int> ch) {
  auto op = ch.recv();
#ifdef WEFT_SAFE
  co_return co_await weft::with_timeout(d, std::move(op));
#else
  co_return co_await weft::with_timeout(d, op);
#endif
}
