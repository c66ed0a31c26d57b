// expect: weft: a routine is awaited once: co_await std::move\(r\)
#include <weft/routine.hpp>

#include <utility>

weft::routine<int> one() {
  co_return 1;
}

weft::routine<int> twice() {
  auto r = one();
#ifdef WEFT_SAFE
  co_return co_await std::move(r);
#else
  co_return co_await r;
#endif
}
