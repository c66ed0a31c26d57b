// expect: weft: a coroutine's parameters may not be over-aligned
#include <weft/go.hpp>

struct alignas(32) wide {
  float lanes[8] = {};
};

#ifdef WEFT_SAFE
weft::routine<> add(const wide& w, float* sum) {
  for (float f : w.lanes) *sum += f;
  co_return;
}
#else
weft::routine<> add(wide w, float* sum) {
  for (float f : w.lanes) *sum += f;
  co_return;
}
#endif

void start(float* sum) {
  weft::go(add, wide(), sum).join();
}
