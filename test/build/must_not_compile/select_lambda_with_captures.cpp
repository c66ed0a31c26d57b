// expect: weft: g\+\+ 12 destroys the captures of a lambda written inside co_await twice: name the lambda
// only: GNU
#include <weft/select.hpp>

#include <string>

weft::routine<> waits(weft::channel<int> ch, std::string text) {
#ifdef WEFT_SAFE
  auto use = [text](std::optional<int>) {};
  co_await weft::select(weft::on_recv(ch, use));
#else
  co_await weft::select(weft::on_recv(ch, [text](std::optional<int>) {}));
#endif
}
