// expect: weft: a routine runs once: go\(std::move\(r\)\)
#include <weft/go.hpp>

#include <utility>

weft::routine<int> one() {
  co_return 1;
}

void start() {
  auto r = one();
#ifdef WEFT_SAFE
  weft::go(std::move(r)).join();
#else
  weft::go(r).join();
#endif
}
