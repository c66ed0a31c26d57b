// expect: weft: this cannot be awaited; a join_handle is awaited once
#include <weft/go.hpp>

weft::routine<int> three() {
  co_return 3;
}

weft::routine<int> asks() {
  auto h = weft::go(three);
#ifdef WEFT_SAFE
  co_return co_await std::move(h);
#else
  co_return co_await h;
#endif
}
