// expect: weft: a select handler that is a coroutine takes the operation's result by value
#include <weft/select.hpp>

#include <optional>

weft::routine<> wait_for(weft::channel<int> ch) {
#ifdef WEFT_SAFE
  auto handler = [](std::optional<int>) noexcept -> weft::routine<> { co_return; };
#else
  auto handler = [](const std::optional<int>&) noexcept -> weft::routine<> { co_return; };
#endif
  co_await weft::select(weft::on_recv(ch, handler));
}
