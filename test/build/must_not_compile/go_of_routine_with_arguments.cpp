// expect: weft: go\(routine\) takes no arguments
#include <weft/go.hpp>

weft::routine<int> one(int n) {
  co_return n;
}

void start() {
#ifdef WEFT_SAFE
  weft::go(one, 1).join();
#else
  weft::go(one(1), 1).join();
#endif
}
