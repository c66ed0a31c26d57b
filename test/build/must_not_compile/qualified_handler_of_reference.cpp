// expect: weft: a select handler that is a coroutine takes the operation's result by value
#include <weft/select.hpp>

#include <optional>

struct printer {
#ifdef WEFT_SAFE
  weft::routine<> operator()(std::optional<int> value) &;
#else
  weft::routine<> operator()(const std::optional<int>& value) &;
#endif
};

weft::routine<> wait_for(weft::channel<int> ch) {
  printer print;
  co_await weft::select(weft::on_recv(ch, print));
}
