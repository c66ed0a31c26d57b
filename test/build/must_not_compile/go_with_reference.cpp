// expect: weft: go\(f, args...\) calls f with copies of the arguments, as rvalues
#include <weft/go.hpp>

#include <functional>

weft::routine<> changes(int& n) {
  n = 1;
  co_return;
}

void start(int& n) {
#ifdef WEFT_SAFE
  weft::go(changes, std::ref(n)).join();
#else
  weft::go(changes, n).join();
#endif
}
